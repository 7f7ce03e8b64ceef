package guard_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
)

func allow(context.Context, *exchange.Exchange) exchange.Verdict { return exchange.Verdict{} }

func deny(context.Context, *exchange.Exchange) exchange.Verdict {
	return exchange.Refuse("authz.denied", "", "no")
}

func unable(context.Context, *exchange.Exchange) exchange.Verdict {
	return exchange.Undecided("authn.unavailable", "issuer down")
}

func blowUp(context.Context, *exchange.Exchange) exchange.Verdict { panic("secret-in-panic") }

func settings(m map[string]guard.Setting) guard.Settings {
	return func(g string, _ *spec.Operation) guard.Setting {
		if s, ok := m[g]; ok {
			return s
		}
		return guard.Setting{Mode: guard.Enforce}
	}
}

func TestRun(t *testing.T) {
	for name, c := range map[string]struct {
		steps    []guard.Step
		settings map[string]guard.Setting
		code     string
		ran      []string
	}{
		"all allow":                   {[]guard.Step{{Guard: "a", Rule: allow}, {Guard: "b", Rule: allow}}, nil, "", []string{"a", "b"}},
		"first denial ends the run":   {[]guard.Step{{Guard: "a", Rule: deny}, {Guard: "b", Rule: allow}}, nil, "authz.denied", []string{"a"}},
		"monitored denial lets pass":  {[]guard.Step{{Guard: "a", Rule: deny}, {Guard: "b", Rule: allow}}, map[string]guard.Setting{"a": {Mode: guard.Monitor}}, "", []string{"a", "b"}},
		"off is not run":              {[]guard.Step{{Guard: "a", Rule: deny}, {Guard: "b", Rule: allow}}, map[string]guard.Setting{"a": {}}, "", []string{"b"}},
		"unable denies":               {[]guard.Step{{Guard: "a", Rule: unable}, {Guard: "b", Rule: allow}}, nil, "authn.unavailable", []string{"a"}},
		"unable lets pass when open":  {[]guard.Step{{Guard: "a", Rule: unable}, {Guard: "b", Rule: allow}}, map[string]guard.Setting{"a": {Mode: guard.Enforce, FailOpen: true}}, "", []string{"a", "b"}},
		"open does not soften deny":   {[]guard.Step{{Guard: "a", Rule: deny}}, map[string]guard.Setting{"a": {Mode: guard.Enforce, FailOpen: true}}, "authz.denied", []string{"a"}},
		"panic denies":                {[]guard.Step{{Guard: "a", Rule: blowUp}, {Guard: "b", Rule: allow}}, nil, "gateway.internal", []string{"a"}},
		"panic denies even when open": {[]guard.Step{{Guard: "a", Rule: blowUp}}, map[string]guard.Setting{"a": {Mode: guard.Enforce, FailOpen: true}}, "gateway.internal", []string{"a"}},
		"other phases are not run":    {[]guard.Step{{Guard: "a", Phase: exchange.ResponseHead, Rule: deny}, {Guard: "b", Rule: allow}}, nil, "", []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var logged strings.Builder
			ch := guard.NewChain(nil, c.steps, settings(c.settings), slog.New(slog.NewTextHandler(&logged, nil)))
			x := &exchange.Exchange{ID: "r1"}
			v := ch.Run(t.Context(), x, exchange.RequestHead)
			if v.Code != c.code {
				t.Errorf("code %q, want %q", v.Code, c.code)
			}
			var ran []string
			for _, r := range x.Rulings {
				ran = append(ran, r.Guard)
			}
			if d := cmp.Diff(c.ran, ran); d != "" {
				t.Errorf("steps run (-want +got):\n%s", d)
			}
			if strings.Contains(name, "panic") && strings.Count(logged.String(), "guard panicked") != 1 {
				t.Errorf("want one log line for the panic, got %q", logged.String())
			}
		})
	}
}

// A step that makes the operation known switches to that operation's own
// settings for the steps behind it, and none is run twice or left out.
func TestRunSwitchesToOperation(t *testing.T) {
	api := &spec.API{Operations: []*spec.Operation{{Index: 0, ID: "x"}, {Index: 1, ID: "y"}}}
	find := func(_ context.Context, x *exchange.Exchange) exchange.Verdict {
		x.Operation = api.Operations[1]
		return exchange.Verdict{}
	}
	steps := []guard.Step{
		{Guard: "limit", Rule: allow},
		{Guard: "contract", Rule: find},
		{Guard: "authn", Rule: deny},
		{Guard: "authz", Rule: allow},
		{Guard: "waf", Rule: allow, Applies: func(op *spec.Operation) bool { return op == nil }},
	}
	ch := guard.NewChain(api, steps, func(g string, op *spec.Operation) guard.Setting {
		if g == "authn" && op != nil && op.ID == "y" || g == "limit" && op != nil {
			return guard.Setting{Mode: guard.Off}
		}
		return guard.Setting{Mode: guard.Enforce}
	}, slog.New(slog.DiscardHandler))
	x := &exchange.Exchange{}
	if v := ch.Run(t.Context(), x, exchange.RequestHead); v.Action != exchange.Allow {
		t.Fatalf("denied: %+v", v)
	}
	var ran []string
	for _, r := range x.Rulings {
		ran = append(ran, r.Guard)
	}
	if d := cmp.Diff([]string{"limit", "contract", "authz"}, ran); d != "" {
		t.Errorf("steps run (-want +got):\n%s", d)
	}
}
