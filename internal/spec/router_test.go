package spec

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// routed builds a router of "METHOD /template" lines.
func routed(t testing.TB, bases []string, lines ...string) (*API, []Problem) {
	t.Helper()
	api := &API{}
	var routes []route
	for _, line := range lines {
		method, path, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("not a method and a path: %q", line)
		}
		tmpl := parseTemplate(path)
		op := &Operation{Index: len(api.Operations), ID: line, Method: method, Path: path}
		for _, v := range tmpl.vars {
			op.PathParams = append(op.PathParams, &Parameter{Name: v, In: "path"})
		}
		r := route{op: op, tmpl: &tmpl}
		for _, b := range bases {
			host := ""
			if h, p, ok := strings.Cut(b, "|"); ok {
				host, b = h, p
			}
			r.bases = append(r.bases, basePath{path: b, host: host})
		}
		api.Operations = append(api.Operations, op)
		routes = append(routes, r)
	}
	var problems []Problem
	api.router = newRouter(routes, func(p Problem) { problems = append(problems, p) })
	return api, problems
}

func TestRoute(t *testing.T) {
	lines := []string{
		"GET /", "GET /pets", "POST /pets", "GET /pets/", "GET /pets/{id}", "DELETE /pets/{petId}", "GET /pets/mine", "HEAD /pets/mine",
		"GET /pets/{id}/photos/{photo}.{ext}", "POST /pets/{id}:feed", "GET /pets/findByStatus",
		"GET /{kind}/{id}/notes", "GET /pets/{id}/owner", "GET /diff/{a}...{b}", "GET /a b/{x}", "GET /caf%C3%A9",
		"GET /odata/Pets('{key}')", "GET /odata/Pets({n})", "GET /range/{a}-{b}-{c}",
	}
	api, problems := routed(t, []string{""}, lines...)
	if len(problems) > 0 {
		t.Fatalf("unexpected problems: %v", problems)
	}
	for _, c := range []struct {
		method, path, want string
		params             []string
		allowed            []string
		head               bool
	}{
		{method: "GET", path: "/", want: "GET /"},
		{method: "GET", path: "/pets", want: "GET /pets"},
		{method: "POST", path: "/pets", want: "POST /pets"},
		{method: "GET", path: "/pets/", want: "GET /pets/"},
		{method: "GET", path: "/pets//"},
		{method: "GET", path: "//pets"},
		{method: "GET", path: "/Pets"},
		{method: "GET", path: "/pets/7", want: "GET /pets/{id}", params: []string{"7"}},
		{method: "DELETE", path: "/pets/7", want: "DELETE /pets/{petId}", params: []string{"7"}},
		{method: "GET", path: "/pets/mine", want: "GET /pets/mine"},
		{method: "DELETE", path: "/pets/mine", want: "DELETE /pets/{petId}", params: []string{"mine"}},
		{method: "PUT", path: "/pets/mine", allowed: []string{"GET", "DELETE", "HEAD"}},
		{method: "HEAD", path: "/pets/mine", want: "HEAD /pets/mine"},
		{method: "HEAD", path: "/pets/findByStatus", want: "GET /pets/findByStatus", head: true},
		{method: "HEAD", path: "/pets/7", want: "GET /pets/{id}", params: []string{"7"}, head: true},
		{method: "get", path: "/pets", allowed: []string{"GET", "POST"}},
		{method: "PROPFIND", path: "/pets", allowed: []string{"GET", "POST"}},
		{method: "POST", path: "/pets/7:feed", want: "POST /pets/{id}:feed", params: []string{"7"}},
		{method: "POST", path: "/pets/7%3Afeed", want: "POST /pets/{id}:feed", params: []string{"7"}},
		{method: "GET", path: "/pets/7:feed", want: "GET /pets/{id}", params: []string{"7:feed"}},
		{method: "POST", path: "/pets/:feed", allowed: []string{"GET", "DELETE"}},
		{method: "GET", path: "/pets/7/photos/a.b.png", want: "GET /pets/{id}/photos/{photo}.{ext}", params: []string{"7", "a", "b.png"}},
		{method: "GET", path: "/pets/7/photos/.png"},
		{method: "GET", path: "/pets/7/photos/a."},
		{method: "GET", path: "/pets/a%2Fb", want: "GET /pets/{id}", params: []string{"a/b"}},
		{method: "GET", path: "/pets/%zz"},
		{method: "GET", path: "/pets/7%"},
		{method: "GET", path: "/pets/7/notes", want: "GET /{kind}/{id}/notes", params: []string{"pets", "7"}},
		{method: "GET", path: "/pets/7/owner", want: "GET /pets/{id}/owner", params: []string{"7"}},
		{method: "GET", path: "/diff/main...fix...2", want: "GET /diff/{a}...{b}", params: []string{"main", "fix...2"}},
		{method: "GET", path: "/a%20b/x", want: "GET /a b/{x}", params: []string{"x"}},
		{method: "GET", path: "/caf%C3%A9", want: "GET /caf%C3%A9"},
		{method: "GET", path: "/odata/Pets('k')", want: "GET /odata/Pets('{key}')", params: []string{"k"}},
		{method: "GET", path: "/odata/Pets(5)", want: "GET /odata/Pets({n})", params: []string{"5"}},
		{method: "GET", path: "/odata/Pets()"},
		{method: "GET", path: "/range/1-2-3-4", want: "GET /range/{a}-{b}-{c}", params: []string{"1", "2", "3-4"}},
		{method: "GET", path: "/range/1-2"},
		{method: "GET", path: ""},
		{method: "GET", path: "pets"},
	} {
		t.Run(c.method+c.path, func(t *testing.T) {
			m := api.Route(c.method, "", c.path)
			got := ""
			if m.Operation != nil {
				got = m.Operation.ID
			}
			if got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			if !slices.Equal(m.Params, c.params) || !slices.Equal(m.Allowed, c.allowed) || m.HeadOfGet != c.head {
				t.Errorf("got %+v", m)
			}
			if known := c.want != "" || len(c.allowed) > 0; m.PathKnown != known {
				t.Errorf("PathKnown is %v", m.PathKnown)
			}
		})
	}
}

func TestRouteBasePaths(t *testing.T) {
	api, _ := routed(t, []string{"", "/v1", "admin.example|/v1/inner"}, "GET /pets", "GET /v1/pets", "GET /")
	for _, c := range []struct{ host, path, want string }{
		{"", "/pets", "GET /pets"},
		{"", "/v1/pets", "GET /pets"}, // the longest base path first
		{"", "/v1/v1/pets", "GET /v1/pets"},
		{"", "/v1", ""},
		{"", "/v1/", "GET /"},
		{"", "/v2/pets", ""},
		{"", "/v1pets", ""},
		{"", "/v1/inner/pets", "GET /pets"},
		{"ADMIN.example", "/v1/inner/pets", "GET /pets"},
		{"other.example", "/v1/inner/pets", "GET /pets"},
	} {
		m := api.Route("GET", c.host, c.path)
		if got := operationID(m.Operation); got != c.want {
			t.Errorf("%s%s: got %q, want %q", c.host, c.path, got, c.want)
		}
	}
	two, _ := routed(t, []string{"a.example|/a", "b.example|/b"}, "GET /x")
	for _, c := range []struct{ host, path, want string }{
		{"a.example", "/a/x", "GET /x"}, {"a.example", "/b/x", ""}, {"gateway.local", "/b/x", "GET /x"},
	} {
		if got := operationID(two.Route("GET", c.host, c.path).Operation); got != c.want {
			t.Errorf("%s%s: got %q, want %q", c.host, c.path, got, c.want)
		}
	}
}

func operationID(op *Operation) string {
	if op == nil {
		return ""
	}
	return op.ID
}

func TestCollisions(t *testing.T) {
	api, problems := routed(t, []string{""},
		"GET /a/{x}", "GET /a/{y}", "PUT /a/{z}",
		"POST /#Action=Start", "POST /#Action=Stop",
		"GET /b", "GET /b?acl", "PUT /b?acl",
	)
	var got []string
	for _, p := range problems {
		got = append(got, p.Code)
	}
	want := []string{"spec.template_collision", "spec.path_query", "spec.path_query", "spec.path_query", "spec.path_query"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct{ method, path, want string }{
		{"GET", "/a/1", "GET /a/{x}"}, {"PUT", "/a/1", "PUT /a/{z}"}, {"POST", "/", ""}, {"GET", "/b", "GET /b"}, {"PUT", "/b", "PUT /b?acl"},
	} {
		if id := operationID(api.Route(c.method, "", c.path).Operation); id != c.want {
			t.Errorf("%s %s: got %q, want %q", c.method, c.path, id, c.want)
		}
	}
	for i, unroutable := range []bool{false, true, false, true, true, false, true, false} {
		if op := api.Operations[i]; (op.Unroutable != "") != unroutable {
			t.Errorf("%s: Unroutable is %q", op.ID, op.Unroutable)
		}
	}
}

// TestRouteCost holds the router to its promise with templates made to spite a
// trie: every mixture of the literal a and a variable, so that each segment of
// /a/a/…/b doubles what a backtracking search visits.
func TestRouteCost(t *testing.T) {
	const depth = 12
	var lines []string
	for bits := range 1 << depth {
		var b strings.Builder
		for i := range depth {
			if bits>>i&1 == 0 {
				b.WriteString("/a")
			} else {
				fmt.Fprintf(&b, "/{v%d}", i)
			}
		}
		lines = append(lines, "GET "+b.String()+"/end")
	}
	spiteful, _ := routed(t, []string{""}, lines...)
	miss := strings.Repeat("/a", depth) + "/b"
	hit := strings.Repeat("/a", depth-1) + "/z/end"
	if spiteful.Route("GET", "", miss).PathKnown || spiteful.Route("GET", "", hit).Operation == nil {
		t.Fatal("routed wrongly")
	}
	// Among as many templates that part in the last segment only, where any
	// matcher is at its best, a miss must cost about the same. A search that goes
	// back visits 8,191 nodes for one and 13 for the other.
	var plain []string
	for i := range 1 << depth {
		plain = append(plain, fmt.Sprintf("GET %s/x%d", strings.Repeat("/a", depth), i))
	}
	kind, _ := routed(t, []string{""}, plain...)
	cost := func(api *API) time.Duration {
		best := time.Hour
		for range 20 { // the least of several, since others share the machine
			start := time.Now()
			for range 200 {
				api.Route("GET", "", miss)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	if bad, good := cost(spiteful), cost(kind); bad > 10*good {
		t.Errorf("a miss costs %v among spiteful templates, %v among plain ones (for 200)", bad, good)
	}
	// Patterns inside a segment: many dashes against many variables.
	many, _ := routed(t, []string{""}, "GET /{a}-{b}-{c}-{d}-{e}-{f}-{g}-{h}!")
	long := "/" + strings.Repeat("-", 100_000)
	start := time.Now()
	if many.Route("GET", "", long).PathKnown {
		t.Error("matched without its end")
	}
	if took := time.Since(start); took > 2*time.Second { // one pass takes microseconds, trying every split years
		t.Errorf("a long segment costs %v", took)
	}
	if got := many.Route("GET", "", long+"!"); len(got.Params) != 8 {
		t.Errorf("got %d values", len(got.Params))
	}
}

// reference is a matcher as simple as can be: one regular expression a segment.
func reference(lines []string, method, path string) (want string, params []string, known bool) {
	type found struct {
		line   string
		key    []int
		params []string
	}
	var all []found
	for _, line := range lines {
		_, tmpl, _ := strings.Cut(line, " ")
		ts, ps := strings.Split(tmpl[1:], "/"), strings.Split(path[1:], "/")
		if len(ts) != len(ps) {
			continue
		}
		f := found{line: line}
		ok := true
		for i := range ts {
			seg, err := url.PathUnescape(ps[i])
			if err != nil {
				return "", nil, false
			}
			expr, lits, vars := "", 0, 0
			for rest := ts[i]; rest != ""; {
				open := strings.IndexByte(rest, '{')
				if open == 0 {
					rest = rest[strings.IndexByte(rest, '}')+1:]
					expr += "(.+?)"
					vars++
					continue
				}
				if open < 0 {
					open = len(rest)
				}
				expr += regexp.QuoteMeta(rest[:open])
				lits += open
				rest = rest[open:]
			}
			m := regexp.MustCompile("(?s)^" + expr + "$").FindStringSubmatch(seg)
			if m == nil {
				ok = false
				break
			}
			f.params = append(f.params, m[1:]...)
			switch {
			case vars == 0:
				f.key = append(f.key, 0, 0)
			case lits > 0:
				f.key = append(f.key, 1, -lits)
			default:
				f.key = append(f.key, 2, 0)
			}
		}
		if ok {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b found) int { return slices.Compare(a.key, b.key) })
	for _, f := range all {
		if strings.HasPrefix(f.line, method+" ") {
			return f.line, f.params, true
		}
	}
	return "", nil, len(all) > 0
}

var fuzzTemplate = regexp.MustCompile(`^(GET|PUT|POST) (/([a-c.:-]|\{[x-z]\})*)+$`)

func FuzzRoute(f *testing.F) {
	f.Add("GET /a/{x}\nGET /a/b\nPUT /a/{x}.{y}\nGET /{z}/c", "GET", "/a/b")
	f.Add("GET /{x}-{y}\nGET /{x}:a\nGET /a-{x}", "GET", "/a-b:a")
	f.Add("POST /{x}/{y}/a\nPOST /a/{y}/b\nPOST /a/b/{z}", "POST", "/a/b/c")
	f.Add("GET /a/\nGET /a", "GET", "/a/")
	f.Add("GET /{x}.a.{y}", "GET", "/a.a.a.%61.b")
	f.Fuzz(func(t *testing.T, templates, method, path string) {
		if path == "" || path[0] != '/' || len(path) > 200 || len(templates) > 400 || strings.ContainsRune(path, utf8Bad) || methodIndex(method) < 0 {
			t.Skip()
		}
		var lines []string
		shapes := map[string]bool{}
		for _, line := range strings.Split(templates, "\n") {
			if !fuzzTemplate.MatchString(line) || strings.Contains(line, "}{") {
				continue
			}
			_, p, _ := strings.Cut(line, " ")
			tmpl := parseTemplate(p)
			if len(tmpl.faults) > 0 {
				continue
			}
			key := line[:strings.IndexByte(line, ' ')] + tmpl.shape()
			if !shapes[key] {
				shapes[key] = true
				lines = append(lines, line)
			}
		}
		if len(lines) == 0 || method == "HEAD" {
			t.Skip()
		}
		api, problems := routed(t, []string{""}, lines...)
		if len(problems) > 0 {
			t.Fatalf("problems: %v", problems)
		}
		want, params, known := reference(lines, method, path)
		got := api.Route(method, "", path)
		if operationID(got.Operation) != want || got.PathKnown != known || !slices.Equal(got.Params, params) {
			t.Fatalf("%s %s among %q: got %q %q known %v, want %q %q known %v", method, path, lines, operationID(got.Operation), got.Params, got.PathKnown, want, params, known)
		}
	})
}

// utf8Bad stands for bytes that are no UTF-8: the reference's regular
// expressions read them as one character each, which is not what is compared.
const utf8Bad = '\uFFFD'

func BenchmarkRoute(b *testing.B) {
	var lines []string
	for _, res := range []string{"users", "orders", "items", "carts", "depots", "parcels", "invoices", "cards"} {
		lines = append(lines, "GET /"+res, "POST /"+res, "GET /"+res+"/{id}", "PUT /"+res+"/{id}", "DELETE /"+res+"/{id}",
			"GET /"+res+"/{id}/notes/{note}", "POST /"+res+"/{id}:close", "GET /"+res+"/search")
	}
	api, _ := routed(b, []string{"/api/v1"}, lines...)
	for _, path := range []string{"/api/v1/parcels", "/api/v1/parcels/81f2", "/api/v1/parcels/81f2/notes/5"} {
		b.Run(strings.ReplaceAll(path[1:], "/", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if api.Route("GET", "gateway.example", path).Operation == nil {
					b.Fatal("not routed")
				}
			}
		})
	}
}

func TestRouteAllocations(t *testing.T) {
	api, _ := routed(t, []string{"/api"}, "GET /users", "GET /users/{id}", "GET /users/{id}/notes/{n}.txt")
	for path, most := range map[string]float64{"/api/users": 0, "/api/users/5": 1, "/api/users/5/notes/x.txt": 1, "/api/nothing/here": 0} {
		if got := testing.AllocsPerRun(100, func() { api.Route("GET", "h", path) }); got > most {
			t.Errorf("%s: %v allocations, at most %v are promised", path, got, most)
		}
	}
}
