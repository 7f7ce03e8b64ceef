package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// errNothing says that a story cannot be told here: an object, an actor or a
// call is not to be had.
var errNothing = errors.New("nothing to try it with")

// run tells the story for each operation that the check applies to.
func (w *Written) run(ctx context.Context, p *Probe) error {
	if w.Applies == nil {
		return w.try(ctx, p, nil, nil)
	}
	var list []*chosen
	for _, op := range p.Ops() {
		if in, ok := w.Applies.chooses(op, w.input); ok {
			list = append(list, &chosen{op, in})
		}
	}
	return Each(ctx, p, list, func(ctx context.Context, c *chosen) error { return w.try(ctx, p, c.op, c.in) })
}

type chosen struct {
	op *graph.Op
	in *graph.Input
}

func (w *Written) try(ctx context.Context, p *Probe, op *graph.Op, in *graph.Input) error {
	t := &story{w: w, p: p, op: op, in: in}
	h, err := t.hypothesis(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p.Log.DebugContext(ctx, "a written check could not be tried", "check", w.ID, "error", err)
		p.Note(op, Skipped)
		return nil
	}
	_, err = p.Prove(ctx, h)
	return err
}

// story is one story on one operation.
type story struct {
	w  *Written
	p  *Probe
	op *graph.Op
	in *graph.Input
	s  *subject
}

func (t *story) hypothesis(ctx context.Context) (Hypothesis, error) {
	w := t.w
	var h Hypothesis
	for _, st := range w.Steps {
		if err := t.present(st.As); err != nil {
			return h, err
		}
	}
	sc := &scenario.Scenario{Name: t.text(w.Title)}
	if w.Object != nil {
		if err := t.make(ctx); err != nil {
			return h, err
		}
		sc.Steps = t.s.setup()
	}
	for i := range w.Steps {
		st, err := t.step(ctx, &w.Steps[i])
		if err != nil {
			return h, err
		}
		sc.Steps = append(sc.Steps, st)
	}
	h = Hypothesis{Op: t.op, Where: t.text(w.Where), Title: t.text(w.Title), Description: t.text(w.Description), Scenario: sc}
	if h.Where == "" && t.in != nil {
		h.Where = t.in.Where()
	}
	if t.op != nil && !strings.Contains(w.Title, "${op") {
		h.Title = t.op.Method + " " + t.op.Path + ": " + h.Title
	}
	return h, nil
}

// present says whether an actor can be had.
func (t *story) present(name string) error {
	if name == actor.Nobody || strings.HasPrefix(name, "fresh") || t.p.Actor(strings.TrimPrefix(name, "again-")) != nil {
		return nil
	}
	return fmt.Errorf("%w: there is no actor %q", errNothing, name)
}

// make finds the object that the story begins with, and how to make another.
func (t *story) make(ctx context.Context) error {
	owner := t.p.Actor(t.w.Object.As)
	if owner == nil {
		return fmt.Errorf("%w: there is no actor %q", errNothing, t.w.Object.As)
	}
	var r *graph.Resource
	switch {
	case t.w.Object.Of != "this":
		r = t.p.Graph.Resource(t.w.Object.Of)
	case t.named() != nil:
		r = t.p.resourceOf(t.named())
	default:
		r = t.op.About
	}
	if r == nil {
		return fmt.Errorf("%w: there is no resource %q", errNothing, t.w.Object.Of)
	}
	list := t.p.subjects(r, owner, 1)
	if len(list) == 0 || list[0].recipe == nil {
		if _, err := t.p.World.Make(ctx, r, owner); err != nil {
			return fmt.Errorf("%w: a %s of %s: %w", errNothing, r.Name, owner.Name, err)
		}
		list = t.p.subjects(r, owner, 1)
	}
	if len(list) == 0 {
		return fmt.Errorf("%w: %s has no %s", errNothing, owner.Name, r.Name)
	}
	t.s = list[0]
	return nil
}

// named is the last input of the operation's path that names an object.
func (t *story) named() *graph.Input {
	var last *graph.Input
	for _, in := range t.op.Inputs {
		if in.In == "path" && t.p.resourceOf(in) != nil {
			last = in
		}
	}
	return last
}

var aboutObject = regexp.MustCompile(`\$\{(op|object|input)(?:\.([A-Za-z0-9_]+))?((?:\|[a-z0-9]+)*)\}`)

// text replaces what only the run knows: ${op.method}, ${op.path}, ${op.id},
// ${input}, ${object.id}, ${object.canary} and ${object.FIELD}. What it cannot
// replace stays, and makes the scenario inconclusive.
func (t *story) text(s string) string {
	return aboutObject.ReplaceAllStringFunc(s, func(m string) string {
		g := aboutObject.FindStringSubmatch(m)
		switch {
		case g[1] == "op" && t.op != nil:
			if v, ok := map[string]string{"method": t.op.Method, "path": t.op.Path, "id": t.op.ID}[g[2]]; ok {
				return v
			}
		case g[1] == "input" && t.in != nil:
			return t.in.Where()
		case g[1] == "object" && t.s != nil:
			if v := t.s.value(g[2], g[3]); v != "" {
				return v
			}
		}
		return m
	})
}

// value is a placeholder for something of the subject, or its value where it is
// not made anew.
func (s *subject) value(name, filters string) string {
	if name == "canary" {
		if len(s.marks) > 0 {
			return s.marks[0]
		}
		return ""
	}
	if s.recipe == nil {
		if name == "id" {
			return s.object.ID
		}
		return s.object.IDs()[name]
	}
	v := s.recipe.IDs[name]
	if name == "id" {
		v = s.recipe.ID
	}
	if v == "" {
		return ""
	}
	return "${" + v + filters + "}"
}

// step is a written step as a scenario's.
func (t *story) step(ctx context.Context, w *WrittenStep) (scenario.Step, error) {
	st := t.filled(w.Step)
	if w.Call == nil {
		return st, nil
	}
	c, err := t.call(ctx, w)
	if err != nil {
		return st, err
	}
	called, err := t.p.World.Step(c.call, c.bind)
	if err != nil {
		return st, fmt.Errorf("%w: %w", errNothing, err)
	}
	st.Send = called.Send
	if st.Note == "" {
		st.Note = called.Note
	}
	return st, nil
}

// filled is a step in whose texts ${op…}, ${object…} and ${input} are replaced.
func (t *story) filled(st scenario.Step) scenario.Step {
	st.Note = t.text(st.Note)
	if st.Send != nil {
		s := *st.Send
		for _, f := range []*string{&s.Path, &s.RawQ, &s.Body, &s.Type, &s.Host, &s.Credential} {
			*f = t.text(*f)
		}
		s.Query, s.Header = t.pairs(s.Query), t.pairs(s.Header)
		st.Send = &s
	}
	if st.Raw != nil {
		w := *st.Raw
		w.Lines = slices.Clone(w.Lines)
		for i := range w.Lines {
			w.Lines[i] = t.text(w.Lines[i])
		}
		w.H2 = t.pairs(w.H2)
		st.Raw = &w
	}
	st.Compute = slices.Clone(st.Compute)
	for i := range st.Compute {
		args := maps.Clone(st.Compute[i].Args)
		for k := range args {
			args[k] = t.text(args[k])
		}
		st.Compute[i].Args = args
	}
	st.Expect = slices.Clone(st.Expect)
	for i := range st.Expect {
		e := &st.Expect[i]
		e.Contains, e.Lacks = t.texts(e.Contains), t.texts(e.Lacks)
		e.Matches = t.text(e.Matches)
		for _, f := range []**string{&e.Equals, &e.Differs} {
			if *f != nil {
				v := t.text(**f)
				*f = &v
			}
		}
	}
	return st
}

func (t *story) texts(list []string) []string {
	out := slices.Clone(list)
	for i := range out {
		out[i] = t.text(out[i])
	}
	return out
}

func (t *story) pairs(list []scenario.Pair) []scenario.Pair {
	out := slices.Clone(list)
	for i := range out {
		out[i] = scenario.Pair{Name: t.text(out[i].Name), Value: t.text(out[i].Value)}
	}
	return out
}

type boundCall struct {
	call *world.Call
	bind map[string]string
}

// call is a valid call as the step wants it, on the story's object where the
// operation takes one.
func (t *story) call(ctx context.Context, w *WrittenStep) (*boundCall, error) {
	op := t.operation(w.Call.Operation)
	if op == nil {
		return nil, fmt.Errorf("%w: there is no operation %q", errNothing, w.Call.Operation)
	}
	// The call is composed as somebody who can: then it is done as the step says.
	who := t.p.Actor(w.As)
	if who == nil {
		who = t.p.Actor(actor.User)
	}
	if t.s != nil {
		who = t.s.object.Owner()
	}
	var c *world.Call
	var err error
	with := t.s
	if in := t.on(op); in != nil {
		if c, err = t.p.on(ctx, op, who, in, t.s.object); err == nil && w.Call.Absent {
			c, with = c.With(in.Where(), jsonID(in, absent(t.s.object.ID))), nil
		}
	} else {
		c, err = t.p.World.Call(ctx, op, who, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNothing, err)
	}
	if strings.HasPrefix(w.As, "fresh") || strings.HasPrefix(w.As, "again-") {
		c = c.By(t.p.Actor(actor.User))
	} else {
		c = c.By(t.p.Actor(w.As))
	}
	for _, where := range w.Call.Without {
		c = c.With(t.text(where), "")
	}
	bind := c.Renew(w.ID)
	if with != nil && with.recipe != nil {
		maps.Copy(bind, with.recipe.Bind(c))
	}
	for where, v := range w.Call.With {
		text, err := t.json(v)
		if err != nil {
			return nil, fmt.Errorf("step %s: with %s: %w", w.ID, where, err)
		}
		bind[t.text(where)] = text
	}
	return &boundCall{c, bind}, nil
}

// on is the input of op that takes the story's object, nil when none does.
func (t *story) on(op *graph.Op) *graph.Input {
	if t.s == nil {
		return nil
	}
	return t.p.naming(op, t.s.object.Resource)
}

var lone = regexp.MustCompile(`^\$\{[A-Za-z0-9_.\-]+\}$`)

// json is a value of With as a call binds it: a lone placeholder stands for a
// whole JSON value, any other text is a JSON string.
func (t *story) json(v any) (string, error) {
	if s, ok := v.(string); ok {
		s = t.text(s)
		if lone.MatchString(s) {
			return s, nil
		}
		v = s
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("it cannot be written as JSON: %w", err)
	}
	return string(text), nil
}

// operation finds what a call names.
func (t *story) operation(name string) *graph.Op {
	if name == "this" {
		return t.op
	}
	method, at, both := strings.Cut(name, " ")
	for _, op := range t.p.Graph.Ops {
		if op.ID == name || both && strings.EqualFold(op.Method, method) && op.Path == strings.TrimSpace(at) {
			return op
		}
	}
	var r *graph.Resource
	switch {
	case t.s != nil:
		r = t.s.object.Resource
	case t.op != nil:
		r = t.op.About
	}
	if r == nil {
		return nil
	}
	for _, op := range r.Of(graph.Kind(name)) {
		return op
	}
	return nil
}
