package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "undocumented-method", Title: "A path answers to a method that the description does not have",
	OWASP: "API9:2023", CWE: "CWE-1059", WSTG: "WSTG-CONF-06", CVSS: vectorLow,
	About: "Asks for OPTIONS at each path, and tries the methods of Allow that the description lacks: GET, and DELETE, PUT and PATCH on objects made for it alone.",
	Proof: "GET gets data that a made-up method does not get; after DELETE the owner does not find the object, after PUT or PATCH it has the new text. The status of DELETE, PUT and PATCH is not looked at, nor is what Allow says a proof. Controls: before, and after a made-up method, the object is as it was made.",
	Fix:   "Describe the method and guard it as the others are, or take its handler away; let Allow name what there is.",
	Mode:  Default,
	Run:   undocumentedMethod,
})

// reBraces finds a path's variables, whose names say nothing of what it is.
var reBraces = regexp.MustCompile(`\{[^/}]*\}`)

// noMethod is one that no server has.
const noMethod = "CRENEL"

func undocumentedMethod(ctx context.Context, p *Probe) error {
	described := map[string][]string{}
	first := map[string]*graph.Op{}
	var paths []string
	same := func(path string) string { return reBraces.ReplaceAllString(path, "{}") }
	for _, op := range p.Graph.Ops {
		described[same(op.Path)] = append(described[same(op.Path)], op.Method)
	}
	for _, op := range p.Ops() {
		if op.Has(graph.Hazard) || op.Has(graph.Logout) {
			continue
		}
		// The one that reads stands for its path: it is called without harm.
		if was := first[op.Path]; was == nil {
			first[op.Path] = op
			paths = append(paths, op.Path)
		} else if op.Method == http.MethodGet {
			first[op.Path] = op
		}
	}
	return Each(ctx, p, paths, func(ctx context.Context, path string) error {
		op := first[path]
		user := p.Actor(actor.User)
		call, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			return nil //nolint:nilerr // a path that cannot be asked for does not end the run
		}
		r, err := p.World.Request(call)
		if err != nil {
			return nil //nolint:nilerr // the same
		}
		x, err := p.Do(ctx, user, &target.Request{Method: http.MethodOptions, Path: r.Path})
		if err != nil {
			return err
		}
		p.Note(op, Clean)
		for _, method := range strings.Split(strings.Join(x.Header.Values("Allow"), ","), ",") {
			method = strings.ToUpper(strings.TrimSpace(method))
			if slices.Contains(described[same(path)], method) {
				continue
			}
			switch method {
			case http.MethodGet:
				err = p.readsUndescribed(ctx, op, r.Path, call)
			case http.MethodDelete, http.MethodPut, http.MethodPatch:
				err = p.writesUndescribed(ctx, op, method)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// readsUndescribed: GET at a path for which the description has others.
func (p *Probe) readsUndescribed(ctx context.Context, op *graph.Op, path string, call *world.Call) error {
	if len(op.PathParams) > 0 {
		return nil // whose object it is that the path names, only its reader would say
	}
	x, err := p.Do(ctx, call.As, &target.Request{Method: http.MethodGet, Path: path})
	if err != nil || !tells(x) {
		return err
	}
	as := actor.Nobody
	if call.As != nil {
		as = call.As.Name
	}
	send := func(method, path string) *scenario.Send { return &scenario.Send{Method: method, Path: path} }
	_, err = p.Prove(ctx, Hypothesis{
		Method: http.MethodGet, Path: op.Path, Where: "method", Title: "GET " + op.Path + " is not described, and answers", Cause: "GET is not described, and answers",
		Description: "Allow names GET, which the description does not have at this path, and it answers with data.",
		Scenario: &scenario.Scenario{Name: "a method that is not described", Steps: []scenario.Step{
			{ID: "none", Part: scenario.Control, As: as, Note: "what a made-up method gets", Send: send(noMethod, path), Expect: []scenario.Expect{{Status: "!2xx"}}},
			{ID: "beside", Part: scenario.Control, As: as, Note: "what a made-up path beside it gets", Send: send(http.MethodGet, path+"${canary.beside}"), Expect: []scenario.Expect{{Status: "any"}}},
			{ID: "get", Part: scenario.Attack, As: as, Note: "GET gets data", Send: send(http.MethodGet, path), Expect: []scenario.Expect{{Status: "2xx", Header: "Content-Type", Matches: "(?i)json|csv"}, {Unlike: "beside"}}},
		}},
	})
	return err
}

// writesUndescribed: DELETE, PUT or PATCH on an object that is made for it.
func (p *Probe) writesUndescribed(ctx context.Context, op *graph.Op, method string) error {
	user := p.Actor(actor.User)
	if op.Method != http.MethodGet || op.About == nil || op.About.IsPerson || op.About.IsTenant || user == nil {
		return nil
	}
	in := p.naming(op, op.About)
	if in == nil || in.In != "path" {
		return nil
	}
	for _, s := range p.subjects(op.About, user, 1) {
		if s.recipe == nil || len(s.marks) == 0 {
			continue // what the run did not make is not touched
		}
		own, err := p.on(ctx, op, user, in, s.object)
		if err != nil {
			continue
		}
		var l steps
		l.list = s.setup()
		read := func(id string, part scenario.Part, note string, e scenario.Expect) {
			st, err := p.step(s, own, id, part)
			st.Note, st.Expect = note, []scenario.Expect{e}
			l.add(st, err)
		}
		is := scenario.Expect{Status: "2xx", Contains: s.marks[:1]}
		read("before", scenario.Control, "the owner finds the object", is)
		write := func(id string, part scenario.Part, note, method string) {
			st, err := p.step(s, own, id, part)
			if err == nil {
				st.Send.Method = method
				if method != http.MethodDelete {
					st.Send.Body, st.Send.Type = changedBody(s)
				}
			}
			st.Note, st.Expect = note, nil
			l.add(st, err)
		}
		write("none", scenario.Control, "a made-up method is sent", noMethod)
		read("still", scenario.Control, "and the object is as it was", is)
		write("write", scenario.Attack, method+" is sent, which the description does not have", method)
		what := "it is gone"
		if method == http.MethodDelete {
			read("gone", scenario.Observe, "the owner does not find it any more", scenario.Expect{Status: "404|410"})
		} else {
			what = "it is changed"
			if body, _ := changedBody(s); body == "" {
				return nil
			}
			read("changed", scenario.Observe, "the object holds the new text", scenario.Expect{Status: "2xx", Contains: []string{"${canary.undescribed}"}})
		}
		if l.err != nil {
			continue
		}
		_, err = p.Prove(ctx, Hypothesis{
			Method: method, Path: op.Path, Where: "method", Title: fmt.Sprintf("%s %s is not described, and works", method, op.Path), Cause: method + " is not described, and works",
			Description: fmt.Sprintf("Allow names %s, which the description does not have at this path. The owner sent it, and %s: whatever guards the described methods may not know of this one.", method, what),
			Scenario:    &scenario.Scenario{Name: "a method that is not described", Steps: l.list},
		})
		return err
	}
	return nil
}

// changedBody is what the object was made with, with another text in place of
// the first that only it holds; "" where it is no text that can be changed.
func changedBody(s *subject) (body, media string) {
	made := s.recipe.Steps[len(s.recipe.Steps)-1].Send
	if made == nil || !strings.Contains(made.Body, s.marks[0]) {
		return "", ""
	}
	return strings.ReplaceAll(made.Body, s.marks[0], "${canary.undescribed}"), made.Type
}
