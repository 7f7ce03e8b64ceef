package scan

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// allow keeps what the user said is never called from being called, whoever
// would: the operations that the description has, and paths that it lacks.
func (r *run) allow() func(*target.Request) error {
	if len(r.o.Leave) == 0 {
		return r.spares
	}
	below := ""
	routes := world.New(r.graph, nil, nil, world.Options{BasePath: &below})
	base := ""
	if u, err := url.Parse(r.o.Target); err == nil {
		base = strings.TrimSuffix(u.Path, "/")
	}
	return func(q *target.Request) error {
		for _, c := range calls(q, base) {
			if op := routes.OpOf(&target.Request{Method: c.method, Path: c.path}); op != nil {
				if matches(r.o.Leave, op) {
					return fmt.Errorf("%s %s is left alone, as the options say", op.Method, op.Path)
				}
			} else if leaves(r.o.Leave, c) {
				return fmt.Errorf("%s %s is left alone, as the options say", c.method, c.path)
			}
		}
		return r.spares(q)
	}
}

// spares keeps what was there before the run from being deleted, whichever check would.
func (r *run) spares(q *target.Request) error {
	if w := r.lives.Load(); w != nil {
		return w.Spares(q)
	}
	return nil
}

// call is what a request may be taken for.
type call struct{ method, path string }

// calls are all that a server may take a request for: by its path as it is
// sent and as it is once decoded and cleaned, below the target's base path and
// from the root, and by the headers and parameters that override method and path.
func calls(q *target.Request, base string) []call {
	methods, paths := []string{q.Method}, []string{q.Path}
	if cut, ok := strings.CutPrefix(q.Path, base+"/"); ok && q.Root {
		paths = append(paths, "/"+cut)
	}
	for _, f := range q.Header {
		switch strings.ToLower(f.Name) {
		case "x-http-method-override", "x-http-method", "x-method-override":
			methods = append(methods, strings.ToUpper(f.Value))
		case "x-original-url", "x-rewrite-url":
			to, _, _ := strings.Cut(f.Value, "?")
			paths = append(paths, to)
			if cut, ok := strings.CutPrefix(to, base+"/"); ok {
				paths = append(paths, "/"+cut)
			}
		}
	}
	if v, err := url.ParseQuery(q.Query); err == nil && v.Get("_method") != "" {
		methods = append(methods, strings.ToUpper(v.Get("_method")))
	}
	for _, p := range paths {
		plain := reParameter.ReplaceAllString(p, "")
		if d, err := url.PathUnescape(plain); err == nil {
			plain = d
		}
		if plain = path.Clean("/" + plain); plain != p {
			paths = append(paths, plain)
		}
	}
	var out []call
	for _, m := range methods {
		for _, p := range paths {
			out = append(out, call{m, p})
		}
	}
	return out
}

var (
	reParameter = regexp.MustCompile(`;[^/]*`)
	reVariable  = regexp.MustCompile(`\{[^/}]*\}`)
)

// leaves reports whether one of the patterns names what the description lacks.
// Letters' case does not count: many a server's router does not look at it. A
// pattern's variables stand for anything.
func leaves(patterns []string, c call) bool {
	for _, p := range patterns {
		method, at, both := strings.Cut(p, " ")
		if !both {
			method, at = "", p
		}
		if method != "" && !strings.EqualFold(method, c.method) {
			continue
		}
		at, is := strings.ToLower(reVariable.ReplaceAllString(at, "?*")), strings.ToLower(c.path)
		if fits(at, is) || fits(at, strings.TrimSuffix(is, "/")) {
			return true
		}
	}
	return false
}

// matches reports whether one of the patterns names an operation: "/orders/*",
// "DELETE /users/{id}".
func matches(patterns []string, op *graph.Op) bool {
	for _, p := range patterns {
		method, at, both := strings.Cut(p, " ")
		if !both {
			method, at = "", p
		}
		if method != "" && !strings.EqualFold(method, op.Method) {
			continue
		}
		if fits(at, op.Path) {
			return true
		}
	}
	return false
}

// fits reports whether a path is what a pattern says: the same, or by its stars.
// A star at the end stands for whatever follows.
func fits(pattern, at string) bool {
	if pattern == at {
		return true
	}
	if ok, err := path.Match(pattern, at); err == nil && ok {
		return true
	}
	prefix, ok := strings.CutSuffix(pattern, "*")
	return ok && strings.HasPrefix(at, prefix)
}
