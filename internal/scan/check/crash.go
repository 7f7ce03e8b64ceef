package check

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "server-error", Title: "An input breaks the server's program",
	OWASP: "API8:2023", CWE: "CWE-755", WSTG: "WSTG-ERRH-01",
	CVSS:  vectorCrash,
	About: "Calls operations well, then with one input at or beyond its bounds: empty, null, of another type, too large for a machine's numbers, with a NUL byte; and with a body of another shape. What the call does not need to fail is left out.",
	Proof: "The answer is 500, twice, where the same call with the input as it should be is not answered with 5xx; or 500 to a call that is as the description says, three times.",
	Fix:   "Validate what comes in before it is used, and answer 400 or 422; let no error of the program's own reach the caller.",
	Mode:  Default, Late: true,
	Run: serverError,
})

// Bounds of what the check sends.
const (
	maxCrashes    = 900 // requests in all
	crashesPerOp  = 14
	smallerTrials = 6
)

func serverError(ctx context.Context, p *Probe) error {
	var sent atomic.Int64
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if sent.Load() > maxCrashes || op.Has(graph.Batch) || streamsOut(op) {
			return nil
		}
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil {
			return err
		}
		if base.Status >= 500 || base.Status == 429 || base.Status == 401 || base.Status == 403 {
			if broke(base) {
				return p.crashesPlain(ctx, op, call)
			}
			return nil // there is no way in, and nothing to compare with
		}
		p.Note(op, Clean)
		for i, b := range p.bounds(op, call) {
			if i >= crashesPerOp {
				break
			}
			sent.Add(1)
			x, err := p.bounded(ctx, call, b)
			if err != nil {
				return err
			}
			if x == nil || !broke(x) {
				continue
			}
			done, err := p.crashes(ctx, op, call, b)
			if err != nil || done {
				return err
			}
		}
		return nil
	})
}

// broke reports whether the server's program failed, by the status that was sent:
// {"code": 500, "msg": "no such order"} with a 200 is how many an API says no.
func broke(x *target.Exchange) bool {
	return cmp.Or(x.Wire, x.Status) == http.StatusInternalServerError
}

func streamsOut(op *graph.Op) bool {
	for _, r := range op.Responses {
		for _, m := range r.Content {
			if m.Type == "text/event-stream" || m.Type == "application/x-ndjson" {
				return true
			}
		}
	}
	return false
}

// bound is one way to put a call at or beyond its bounds: another value in one
// input, or another body.
type bound struct {
	where string // "" the body as a whole
	text  string // JSON text of the value; the body
	note  string
}

const (
	hugeInteger = "99999999999999999999"
	nulText     = `"crenel\u0000"`
)

// bounds are those worth trying on an operation, the likeliest to hurt first.
func (p *Probe) bounds(op *graph.Op, call *world.Call) []bound {
	var path, query, body, rest []bound
	top := strings.Count(wrapper(op), "/") + 1
	for _, in := range op.Inputs {
		where := in.Where()
		if _, there := call.Values[where]; in.ReadOnly || in.In == "header" || in.In == "cookie" || !there && in.In != "query" && (in.In != "body" || strings.Count(in.Pointer, "/") > top) || identifies(op, in) {
			continue
		}
		number := in.Type == "integer" || in.Type == "number"
		date := strings.HasPrefix(in.Format, "date") || in.Meaning == graph.MeansDate
		add := func(list *[]bound, text, note string) { *list = append(*list, bound{where, text, note}) }
		switch in.In {
		case "path":
			add(&path, hugeInteger, "a number that no machine word holds")
			if p.firsts(op, in) {
				add(&path, nulText, "a NUL byte")
				add(&path, "-1", "a negative number")
			}
		case "query":
			switch {
			case number:
				add(&query, hugeInteger, "a number that no machine word holds")
				add(&query, "-1", "a negative number")
				add(&query, `"crenel"`, "a text in place of a number")
			case date:
				add(&query, `"0000-00-00"`, "a date that is none")
			default:
				add(&query, nulText, "a NUL byte")
			}
		case "body":
			if strings.Count(in.Pointer, "*") > 1 {
				continue
			}
			add(&body, "null", "null")
			switch {
			case number:
				add(&body, hugeInteger, "a number that no machine word holds")
				add(&rest, `"crenel"`, "a text in place of a number")
			case date:
				add(&body, `"0000-00-00"`, "a date that is none")
			case in.Type == "boolean":
				add(&rest, `"crenel"`, "a text in place of a truth value")
			default:
				add(&body, `{"crenel":[]}`, "an object in place of a scalar")
				add(&rest, "7", "a number in place of a text")
				add(&rest, nulText, "a NUL byte")
				add(&rest, `""`, "nothing")
			}
		}
	}
	if call.Media != "" && strings.Contains(call.Media, "json") {
		query = append(query, bound{"", "[]", "a list in place of an object"}, bound{"", "null", "null in place of an object"})
		rest = append(rest, bound{"", `{"crenel`, "a body that breaks off"}, bound{"", `"crenel"`, "a text in place of an object"})
	}
	return slices.Concat(path, query, body, rest)
}

// firsts: the path's variable is looked at by this operation as by no more than one
// before it. What reads a path's identifier is the same wherever it stands: two
// operations show whether it holds, and the others are asked with what a type lets
// through.
func (p *Probe) firsts(op *graph.Op, in *graph.Input) bool {
	r := p.resourceOf(in)
	if r == nil {
		return true
	}
	before := 0
	for _, o := range p.Graph.Ops {
		if o == op {
			break
		}
		if slices.ContainsFunc(o.Inputs, func(other *graph.Input) bool { return other.In == "path" && p.resourceOf(other) == r }) {
			before++
		}
	}
	return before < 2
}

// identifies: what the account is known by is left as it is.
func identifies(op *graph.Op, in *graph.Input) bool {
	switch in.Meaning {
	case graph.MeansPassword, graph.MeansOTP, graph.MeansCSRF, graph.MeansFile, graph.MeansOwner, graph.MeansTenant, graph.MeansRole:
		return true
	case graph.MeansEmail, graph.MeansUsername, graph.MeansToken, graph.MeansPhone:
		return op.Method != http.MethodGet && (op.About == nil || op.About.IsPerson) && !op.Has(graph.Search)
	}
	return false
}

// bounded sends a call with a bound in it; nil where it cannot be written.
func (p *Probe) bounded(ctx context.Context, call *world.Call, b bound) (*target.Exchange, error) {
	if b.where != "" {
		call = call.With(b.where, b.text)
	}
	r, err := p.World.Request(call)
	if err != nil {
		return nil, nil //nolint:nilerr // a call that cannot be written does not end the run
	}
	if b.where == "" {
		r.Body = []byte(b.text)
	}
	return p.Do(ctx, call.As, r)
}

func (p *Probe) boundStep(call *world.Call, id string, part scenario.Part, b *bound, e scenario.Expect) (scenario.Step, error) {
	bind := call.Renew(id)
	note := "the call as it should be"
	if b != nil {
		note = b.note
		if b.where != "" {
			bind[b.where] = b.text
		}
	}
	st, err := p.World.Step(call, bind)
	if err == nil && b != nil && b.where == "" {
		st.Send.Body = b.text
	}
	st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
	return st, err
}

func (p *Probe) crashes(ctx context.Context, op *graph.Op, call *world.Call, b bound) (bool, error) {
	call, err := p.smaller(ctx, op, call, b)
	if err != nil {
		return false, err
	}
	var l steps
	l.add(p.boundStep(call, "well", scenario.Control, nil, scenario.Expect{Status: "!5xx"}))
	l.add(p.boundStep(call, "first", scenario.Attack, &b, scenario.Expect{Status: "500"}))
	l.add(p.boundStep(call, "second", scenario.Attack, &b, scenario.Expect{Status: "500"}))
	l.add(p.boundStep(call, "well2", scenario.Control, nil, scenario.Expect{Status: "!5xx"}))
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	place := b.where
	if place == "" {
		place = "body"
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "robustness", Title: fmt.Sprintf("%s %s breaks on %s in %s", op.Method, op.Path, b.note, strings.TrimPrefix(place, "body./")), Cause: "breaks on " + b.note + " in " + kindOfPlace(place),
		Description: fmt.Sprintf("With %s in %s the server's program fails; everything else of the call is as it should be.", b.note, place),
		Scenario:    &scenario.Scenario{Name: "an input that breaks the program", Steps: l.list},
	})
}

// kindOfPlace is where a program reads a value from: one mistake in reading it shows
// in each operation that does.
func kindOfPlace(where string) string {
	in, _, _ := strings.Cut(where, ".")
	return "the " + in
}

// crashesPlain: the call as the description says is answered 500.
func (p *Probe) crashesPlain(ctx context.Context, op *graph.Op, call *world.Call) error {
	var l steps
	st, err := p.boundStep(call, "plain", scenario.Attack, nil, scenario.Expect{Status: "500", AtLeast: 3})
	st.Times = 3
	l.add(st, err)
	if l.err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	_, err = p.Prove(ctx, Hypothesis{
		Op: op, Where: "robustness", Title: fmt.Sprintf("%s %s breaks on what the description allows", op.Method, op.Path),
		Description: "A call that is as the description says makes the server's program fail.",
		Scenario:    &scenario.Scenario{Name: "a valid call that breaks the program", Steps: l.list},
	})
	return err
}

// smaller leaves out what the call does not need to fail: optional inputs, one after the other.
func (p *Probe) smaller(ctx context.Context, op *graph.Op, call *world.Call, b bound) (*world.Call, error) {
	if b.where == "" {
		return call, nil
	}
	tried := 0
	for _, in := range op.Inputs {
		where := in.Where()
		if _, there := call.Values[where]; !there || in.Required || in.In == "path" || where == b.where || strings.HasPrefix(b.where, where+"/") || tried >= smallerTrials {
			continue
		}
		tried++
		less := call.With(where, "")
		well, err := p.bounded(ctx, less, bound{where: where})
		if err != nil {
			return nil, err
		}
		if well == nil || well.Status/100 != 2 {
			continue
		}
		x, err := p.bounded(ctx, less, b)
		if err != nil {
			return nil, err
		}
		if x != nil && broke(x) {
			call = less
		}
	}
	return call, nil
}
