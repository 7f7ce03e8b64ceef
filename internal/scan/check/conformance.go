package check

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "conformance", Title: "The answer is none that the description has",
	OWASP: "API9:2023", CWE: "CWE-1059", WSTG: "WSTG-INFO-05", CVSS: vectorInfo,
	About: "Compares the answers to calls that work with the description: status, media type, and the members that are required. One row an operation. It runs when it is named, since sloppy descriptions have many such rows and no hole by them.",
	Proof: "The answer is so twice, to a call that is as the description says.",
	Fix:   "Generate the description from the code or the code from the description, and compare them in the tests.",
	Mode:  Safe, Off: true,
	Run: conformance,
})

func conformance(ctx context.Context, p *Probe) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil || base.Status/100 != 2 || len(op.Responses) == 0 {
			return err
		}
		p.Note(op, Clean)
		what, expect := departs(op, base)
		if what == "" {
			return nil
		}
		var l steps
		st, err := p.step(nil, call, "call", scenario.Attack)
		st.Note, st.Expect = what, []scenario.Expect{expect}
		l.add(st, err)
		if l.err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		_, err = p.Prove(ctx, Hypothesis{
			Op: op, Where: "answer", Title: fmt.Sprintf("%s %s: %s", op.Method, op.Path, what), Cause: what,
			Description: "The description and the program disagree: " + what + ". Who writes clients or rules after the description is misled.",
			Scenario:    &scenario.Scenario{Name: "an answer against its description", Steps: l.list},
		})
		return err
	})
}

// departs says in what an answer departs from an operation's description, and
// how that is seen; "" where it does not.
func departs(op *graph.Op, x *target.Exchange) (string, scenario.Expect) {
	code := strconv.Itoa(x.Status)
	r := declared(op, x.Status)
	if r == nil {
		return "status " + code + " is not described", scenario.Expect{Status: code}
	}
	media, _, _ := strings.Cut(strings.ToLower(x.Header.Get("Content-Type")), ";")
	media = strings.TrimSpace(media)
	if len(r.Content) == 0 || media == "" || len(x.Body) == 0 {
		return "", scenario.Expect{}
	}
	var m *spec.MediaType
	for _, c := range r.Content {
		if c.Type == media || c.Type == "*/*" || strings.HasSuffix(c.Type, "/*") && strings.HasPrefix(media, strings.TrimSuffix(c.Type, "*")) {
			m = c
		}
	}
	if m == nil {
		return "media type " + media + " is not described for status " + code, scenario.Expect{Status: code, Header: "Content-Type", Matches: `(?i)^` + strings.NewReplacer("+", `\+`, ".", `\.`).Replace(media)}
	}
	if m.Schema == nil || !strings.Contains(media, "json") {
		return "", scenario.Expect{}
	}
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return "", scenario.Expect{}
	}
	object, isObject := body.(map[string]any)
	if !isObject {
		return "", scenario.Expect{}
	}
	for _, name := range m.Schema.Required() {
		if _, there := object[name]; !there {
			at := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
			return "the member " + name + " is required, and is not in the answer", scenario.Expect{Status: code, At: at, Missing: true}
		}
	}
	return "", scenario.Expect{}
}

// declared is what an operation's description says of a status, nil for nothing.
func declared(op *graph.Op, status int) *spec.Response {
	var wide, other *spec.Response
	for _, r := range op.Responses {
		switch s := strings.ToUpper(r.Status); {
		case s == strconv.Itoa(status):
			return r
		case len(s) == 3 && strings.HasSuffix(s, "XX") && s[0] == strconv.Itoa(status)[0]:
			wide = r
		case s == "DEFAULT":
			other = r
		}
	}
	if wide != nil {
		return wide
	}
	return other
}
