package actor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// baseProbe is how well a base path fits.
type baseProbe struct {
	base  string
	tried int
	there int // operations that are there: answered otherwise than what surely is not
	shut  int // of which nothing can be said: all that is below asks for a login
}

// orient finds out below which base path the API is: the one that was given, or
// one that the description's servers have. Nobody's credentials are sent.
func (p *People) orient(ctx context.Context) error {
	given := p.c.Base()
	bases := []string{given}
	add := func(b string) {
		if b = strings.TrimRight(b, "/"); !slices.Contains(bases, b) && (b == "" || strings.HasPrefix(b, "/")) && !strings.ContainsAny(b, " \t\r\n?#{") {
			bases = append(bases, b)
		}
	}
	for _, s := range p.g.API.Servers {
		add(s.BasePath)
		if given != "" {
			add(given + s.BasePath)
		}
	}
	add("")
	if len(bases) > 6 {
		bases = bases[:6]
	}
	probes := p.baseOps()
	if len(probes) == 0 {
		return nil
	}
	var best baseProbe
	for i, b := range bases {
		pr, err := p.probeBase(ctx, b, probes)
		if err != nil {
			return err
		}
		if i == 0 || pr.there > best.there {
			best = pr
		}
		if i == 0 && pr.there == 0 && pr.shut == pr.tried {
			return nil // nothing below it can be told from what is not there: it is taken as given
		}
		if pr.there == pr.tried {
			break
		}
	}
	if best.there == 0 && best.tried > 0 {
		p.problem("", fmt.Sprintf("none of %d operations is there, neither below %s nor below any path that the description's servers have", len(probes), pathText(given)),
			"Check the address of the target and its base path: it is what comes before the paths of the description.")
		return nil
	}
	if best.base != given {
		p.c.SetBase(best.base)
		p.note(fmt.Sprintf("the API is below %s (found by trying the description's servers), not below %s", pathText(best.base), pathText(given)))
	}
	return nil
}

func pathText(b string) string {
	if b == "" {
		return "/"
	}
	return b
}

// baseOps are operations that can be asked for without knowing anything.
func (p *People) baseOps() []*target.Request {
	var out []*target.Request
	take := func(most int, pick func(op *graph.Op) bool) {
		for _, op := range p.g.Ops {
			if len(out) >= most {
				return
			}
			if strings.Contains(op.Path, "{") || op.Path == "/" || op.Has(graph.Hazard) || op.Has(graph.Logout) || op.Has(graph.Debug) || !pick(op) ||
				slices.ContainsFunc(out, func(r *target.Request) bool { return r.Path == op.Path }) {
				continue
			}
			out = append(out, &target.Request{Method: op.Method, Path: op.Path})
		}
	}
	get := func(op *graph.Op) bool { return op.Method == http.MethodGet }
	take(3, get)
	// A login without a body is refused, where it is.
	take(5, func(op *graph.Op) bool {
		return op.Method == http.MethodPost && (op.Has(graph.Login) || op.Has(graph.Register))
	})
	take(6, get)
	for _, r := range out {
		if r.Method == http.MethodPost {
			r.Body = []byte("{}")
			r.Header = []target.Field{{Name: "Content-Type", Value: "application/json"}}
		}
	}
	return out
}

func (p *People) probeBase(ctx context.Context, base string, probes []*target.Request) (baseProbe, error) {
	pr := baseProbe{base: base}
	ask := func(method, path string, like *target.Request) (*target.Exchange, error) {
		r := like.Clone()
		r.Method, r.Path, r.Root = method, path, true
		return p.c.Do(ctx, Nobody, r)
	}
	absent := map[string]string{}
	for _, r := range probes {
		if _, known := absent[r.Method]; !known {
			ex, err := ask(r.Method, base+"/crenel-"+clip(plain(p.cfg.Run), 8)+"-nothing", r)
			if err != nil {
				return pr, fmt.Errorf("looking for the base path: %w", err)
			}
			if ex.Err == nil {
				absent[r.Method] = kindOfAnswer(ex)
			}
		}
		ex, err := ask(r.Method, base+r.Path, r)
		if errors.Is(err, target.ErrRefused) {
			continue // it is never to be called
		}
		if err != nil {
			return pr, fmt.Errorf("looking for the base path: %w", err)
		}
		pr.tried++
		if ex.Err == nil && ex.Status != 404 && kindOfAnswer(ex) != absent[r.Method] {
			pr.there++
		} else if denied(ex) {
			pr.shut++
		}
	}
	return pr, nil
}

// kindOfAnswer is status, type and outline of an answer: what differs between an
// operation and a page that is served for every path.
func kindOfAnswer(ex *target.Exchange) string {
	typ, _, _ := strings.Cut(ex.Header.Get("Content-Type"), ";")
	out := fmt.Sprintf("%d %s", ex.Status, typ)
	if v := tree(ex); v != nil {
		switch v.Kind {
		case value.Object:
			for i := range v.Kids {
				out += " " + v.Kids[i].Name
			}
		default:
			out += " " + v.Kind.String()
		}
		if ex.Status == 401 || ex.Status == 403 {
			// Everything below the base may ask for a login, the absent too.
			out += steady(string(ex.Body[:min(len(ex.Body), 200)]))
		}
	}
	return out
}
