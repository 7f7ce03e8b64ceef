package world

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var styles = []struct {
	name   string
	spec   string
	server func(*memo) http.Handler
	makes  []string // resources of which the user has objects with canaries
	most   int      // requests
	gone   []string // rows of which none is left in the end
}{
	{"strict, nested, wrapped, integers", strictSpec, strict, []string{"workspace", "board", "card"}, 90, []string{"workspace", "board", "card"}},
	{"Location alone, UUIDs", locatedSpec, located, []string{"note"}, 20, []string{"note"}},
	{"forms, slugs, nothing said of answers, found in lists", silentSpec, silent, []string{"book"}, 25, nil},
	{"named by the maker, refusals that are 200", casualSpec, casual, []string{"book"}, 25, nil},
	{"XML, files, text", bagSpec, bag, []string{"album", "photo"}, 30, nil},
}

func pair() []*actor.Actor {
	return []*actor.Actor{
		bearer(actor.User, "ann", map[string]string{"id": "ann", "username": "ann"}),
		bearer(actor.Peer, "ben", map[string]string{"id": "ben", "username": "ben"}),
	}
}

func TestStyles(t *testing.T) {
	for _, s := range styles {
		t.Run(s.name, func(t *testing.T) {
			m := &memo{rows: map[string][]row{}}
			w, c, g := stage(t, s.server(m), s.spec, Options{Seed: 7}, pair()...)
			if err := w.Build(t.Context()); err != nil {
				t.Fatal(err)
			}
			show(t, w)
			if testing.Verbose() {
				for _, x := range c.sent {
					t.Logf("%s %s %s %s -> %d %s", x.As, x.Request.Method, x.Request.Path, cut(string(x.Request.Body), 200), x.Status, cut(string(x.Body), 200))
				}
			}
			for _, c := range w.Coverage() {
				if !c.Reached {
					t.Errorf("%s %s was not reached: %s", c.Method, c.Path, c.Reason)
				}
			}
			if n := c.seq.Load(); n > int64(s.most) {
				t.Errorf("%d requests, more than %d", n, s.most)
			}
			for _, a := range w.actors() {
				for _, name := range s.makes {
					i := slices.IndexFunc(g.Resources, func(r *graph.Resource) bool { return r.Name == name })
					if i < 0 {
						t.Fatalf("the graph has no %s", name)
					}
					owned(t, w, g.Resources[i], a)
				}
			}
			recipes(t, w, c, g, s.makes)
			left := w.Cleanup(t.Context())
			for _, l := range left {
				if !strings.Contains(l.Why, "no operation") {
					t.Errorf("left behind: %+v", l)
				}
			}
			for _, name := range s.gone {
				if n := len(m.rows[name]); n > 0 {
					t.Errorf("%d %ss are still there", n, name)
				}
			}
		})
	}
}

// owned checks that an actor has an object whose canaries it reads back, and nobody else's.
func owned(t *testing.T, w *World, r *graph.Resource, a *actor.Actor) {
	t.Helper()
	list := w.Objects(r, a)
	if len(list) == 0 {
		t.Errorf("%s has no %s", a.Name, r.Name)
		return
	}
	for _, o := range list {
		if !o.Made || o.deleted || len(o.canaries) == 0 || o.reader == nil {
			t.Errorf("%s's %s %s: made %v, canaries %v, reader %v", a.Name, r.Name, o.ID, o.Made, o.canaries, o.reader)
			continue
		}
		x, err := w.Send(context.Background(), w.Reader(o))
		if err != nil || !success(x) {
			t.Errorf("%s cannot read its %s: %v", a.Name, r.Name, err)
			continue
		}
		for pointer, token := range o.canaries {
			if !strings.Contains(string(x.Body), token) {
				t.Errorf("%s's answer lacks %s at %s", r.Name, token, pointer)
			}
		}
	}
}

// recipes runs each recipe as a scenario of its own: what it makes is new.
func recipes(t *testing.T, w *World, c *wire, g *graph.Graph, names []string) {
	t.Helper()
	st := &scenario.Stage{Sender: flock{c, w}, People: named2{w}, RunID: "r2"}
	for _, r := range g.Resources {
		if !slices.Contains(names, r.Name) {
			continue
		}
		recipe, err := w.Recipe(t.Context(), r, w.actors()[0], "x")
		if err != nil {
			t.Errorf("recipe of %s: %v", r.Name, err)
			continue
		}
		var o *Object
		for _, known := range w.Objects(r, w.actors()[0]) {
			if known.Made {
				o = known
				break
			}
		}
		read := w.Reader(o)
		bind := map[string]string{}
		for where, used := range read.Uses {
			if used == o {
				bind[where] = "${" + recipe.ID + "}"
			}
		}
		for i, p := range o.Parents { // the fresh one lies under fresh ones
			_ = i
			for where, used := range read.Uses {
				if used == p {
					bind[where] = "${x_" + p.Resource.Name + ".id}"
					if v := parentVariable(recipe, p.Resource.Name); v != "" {
						bind[where] = "${" + v + "}"
					}
				}
			}
		}
		step, err := w.Step(read, bind)
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		step.ID, step.Part = "read", scenario.Control
		step.Expect = []scenario.Expect{{Status: "2xx"}}
		for _, text := range recipe.Canaries {
			step.Expect = append(step.Expect, scenario.Expect{Contains: []string{text}})
		}
		if len(recipe.Canaries) == 0 {
			t.Errorf("the recipe of %s has no canaries", r.Name)
		}
		out, err := st.Run(t.Context(), &scenario.Scenario{Name: r.Name, Steps: append(recipe.Steps, step)}, "n1")
		if err != nil {
			t.Errorf("%s: %v", r.Name, err)
			continue
		}
		if out.Verdict == scenario.Inconclusive || out.Verdict == scenario.Refuted {
			t.Errorf("the recipe of %s does not make one: %s at %s: %s\n%+v", r.Name, out.Verdict, out.Step, out.Why, recipe.Steps)
		}
	}
}

// parentVariable finds the variable that a step of the recipe saved for a parent.
func parentVariable(r *Recipe, resource string) string {
	for _, s := range r.Steps {
		for _, v := range s.Save {
			head, _, _ := strings.Cut(v.As, ".")
			if strings.HasSuffix(head, "_"+resource) && !v.Optional {
				return v.As
			}
		}
	}
	return ""
}

type flock struct {
	*wire
	w *World
}

func (s flock) Do(ctx context.Context, as string, r *target.Request) (*target.Exchange, error) {
	x, err := s.wire.Do(ctx, as, r)
	if err == nil {
		s.w.Follow(x)
	}
	return x, err
}

func (s flock) DoTogether(ctx context.Context, as string, rs []*target.Request) ([]*target.Exchange, error) {
	var out []*target.Exchange
	for _, r := range rs {
		x, err := s.Do(ctx, as, r)
		if err != nil {
			return nil, err
		}
		out = append(out, x)
	}
	return out, nil
}

type named2 struct{ w *World }

func (n named2) Get(name string) *actor.Actor {
	for _, a := range n.w.people.All() {
		if a.Name == name {
			return a
		}
	}
	return nil
}

func (n named2) Fresh(ctx context.Context) (*actor.Actor, error) { return n.w.people.Fresh(ctx) }

func (n named2) Login(context.Context, *actor.Actor) (*actor.Session, error) {
	return nil, errors.New("nobody logs in again here")
}
