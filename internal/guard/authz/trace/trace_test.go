package trace_test

import (
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/internal/guard/authz/trace"
)

const policy = `package p

import rego.v1

default decision := false

decision if staff

decision if {
	input.id == "7"
	trace("asked for 7")
}

staff if "staff" in input.roles
`

// events evaluates data.p.decision on an input.
func events(t *testing.T, input map[string]any) []*topdown.Event {
	t.Helper()
	buffer := topdown.NewBufferTracer()
	if _, err := rego.New(rego.Query("data.p.decision"), rego.Module("p.rego", policy), rego.Input(input), rego.QueryTracer(buffer)).Eval(t.Context()); err != nil {
		t.Fatal(err)
	}
	return *buffer
}

func TestOf(t *testing.T) {
	for name, c := range map[string]struct {
		input  map[string]any
		held   string
		failed string
	}{
		"by role":   {map[string]any{"roles": []any{"staff"}, "id": "8"}, "data.p.decision p.rego:7, data.p.staff p.rego:14", ""},
		"by object": {map[string]any{"roles": []any{"guest"}, "id": "7"}, "data.p.decision p.rego:9", "staff p.rego:7"},
		"not":       {map[string]any{"roles": []any{"guest"}, "id": "8"}, "data.p.decision p.rego:5", "staff p.rego:7"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := trace.Of(events(t, c.input), "data.p.decision", "")
			if err != nil {
				t.Fatal(err)
			}
			var held, failed []string
			for _, h := range s.Held {
				held = append(held, h.Rule+" "+h.Place)
			}
			for _, f := range s.Failed {
				if f.Times < 1 {
					t.Errorf("%s failed %d times", f.Expression, f.Times)
				}
				failed = append(failed, f.Expression+" "+f.Place)
			}
			if got := strings.Join(held, ", "); got != c.held {
				t.Errorf("held: %s", got)
			}
			if got := strings.Join(failed, ", "); !strings.Contains(got, c.failed) {
				t.Errorf("failed: %s", got)
			}
			if s.Text != "" {
				t.Errorf("text that nobody asked for: %s", s.Text)
			}
		})
	}
}

func TestText(t *testing.T) {
	list := events(t, map[string]any{"roles": []any{"guest"}, "id": "7"})
	for kind, c := range map[string]struct{ has, lacks string }{
		trace.Full:  {"Exit data.p.decision", "\x00"},
		trace.Fails: {"Fail ", "Exit data.p.decision"},
		trace.Notes: {`Note "asked for 7"`, "Fail "},
	} {
		text, err := trace.Text(list, kind)
		if err != nil || !strings.Contains(text, c.has) || strings.Contains(text, c.lacks) {
			t.Errorf("%s: %v\n%s", kind, err, text)
		}
	}
	for _, kind := range []string{trace.None, ""} {
		if text, err := trace.Text(list, kind); err != nil || text != "" {
			t.Errorf("%q: %v, %s", kind, err, text)
		}
	}
	if _, err := trace.Text(list, "all"); err == nil || !strings.Contains(err.Error(), "full, fails, notes and none") {
		t.Errorf("an unknown kind: %v", err)
	}
}

// Rules that hold in both evaluations are not among the differences, wherever
// they stand.
func TestWithout(t *testing.T) {
	of := func(input map[string]any) *trace.Rules {
		r := trace.NewRules()
		for _, e := range events(t, input) {
			r.TraceEvent(*e)
		}
		return r
	}
	staff, guest := of(map[string]any{"roles": []any{"staff"}, "id": "7"}), of(map[string]any{"roles": []any{"guest"}, "id": "7"})
	if lost := staff.Without(guest, "data.p.decision"); staff.Len() == 0 || len(lost) != staff.Len()-shared(staff, guest) {
		t.Errorf("of %d rules %v are told", staff.Len(), lost)
	}
	if lost := staff.Without(staff, ""); len(lost) != 0 {
		t.Errorf("an evaluation without itself: %v", lost)
	}
}

func shared(a, b *trace.Rules) int {
	n := 0
	for _, h := range a.Without(trace.NewRules(), "") {
		for _, o := range b.Without(trace.NewRules(), "") {
			if h == o {
				n++
			}
		}
	}
	return n
}
