package world

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// linkKey is where values of a path's variable are remembered that stood in addresses:
// the same for all paths that begin alike.
func linkKey(path, variable string) string { return "link " + upTo(path, variable) }

// upTo is the beginning of a path, up to one of its variables.
func upTo(path, variable string) string {
	before, _, _ := strings.Cut(path, "{"+variable+"}")
	return before + "{" + variable + "}"
}

const maxLink = 2000 // characters of an address that is looked into

// links remembers what an address in an answer holds (an invitation's, the next
// page's): the parameters of its query, and what stands where a described path has a
// variable. Nothing is fetched.
func (w *World) links(text string, k *known) {
	if len(text) > maxLink || !strings.Contains(text, "/") || strings.ContainsAny(text, " \n<>{}") {
		return
	}
	u, err := url.Parse(text)
	if err != nil {
		return
	}
	relative := u.Host == "" && !strings.HasPrefix(text, "/") // "operations/9f2c"
	if head, _, _ := strings.Cut(text, "/"); relative && (!w.steps[head] || u.RawQuery != "" || u.Fragment != "") {
		return // most texts with a slash are no addresses
	}
	held := func(v string) *known {
		return &known{as: k.as, text: quoted(v), with: k.with, list: k.list}
	}
	// Applications in browsers have both in the fragment: "#/join?ticket=…".
	at, params, _ := strings.Cut(u.Fragment, "?")
	if params == "" && strings.Contains(at, "=") {
		at, params = "", at
	}
	for _, raw := range []string{u.RawQuery, params} {
		q, err := url.ParseQuery(raw)
		if err != nil {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(q)) {
			if v := q.Get(name); v != "" {
				w.remember(nameKey(name), held(v))
			}
		}
	}
	for _, path := range []string{u.Path, at} {
		parts := strings.Split(strings.Trim(path, "/"), "/")
		if len(parts) < 2 || len(parts) > 12 {
			continue
		}
		seen := map[string]bool{}
		for _, op := range w.g.Ops {
			for _, p := range op.PathParams {
				if key := linkKey(op.Path, p.Name); !seen[key] {
					seen[key] = true
					if v := variableIn(upTo(op.Path, p.Name), parts, relative); v != "" {
						w.remember(key, held(v))
					}
				}
			}
		}
	}
}

// opaque is a part of a path that somebody drew: no word.
var opaque = regexp.MustCompile(`^[\w~.-]*\d[\w~.-]*$|^[A-Za-z_-]{16,}$`)

// variableIn is the value that a path has for the last variable of a described one,
// whose parts it ends with; "" where it is another path. One that is relative may leave
// out what the described one begins with.
func variableIn(path string, parts []string, relative bool) string {
	own := strings.Split(strings.Trim(path, "/"), "/")
	if relative && len(own) > len(parts) {
		own = own[len(own)-len(parts):]
	}
	if len(own) < 2 || len(own) > len(parts) {
		return ""
	}
	fixed, last := false, ""
	for i, want := range own {
		is := parts[len(parts)-len(own)+i]
		switch variable := strings.HasPrefix(want, "{") && strings.HasSuffix(want, "}"); {
		case !variable && is != want, variable && !opaque.MatchString(is):
			return ""
		case !variable:
			fixed = true
		default:
			last = is
		}
	}
	if !fixed {
		return ""
	}
	return last
}

// linked are what an input of a path may hold by addresses that an actor was given.
func (w *World) linked(in *graph.Input, as string, closed bool) []choice {
	if in.In != "path" || in.Op == nil || closed && (in.Op.Kind != graph.Action || in.Op.Has(graph.Hazard) || in.Op.Has(graph.Admin)) {
		return nil
	}
	var out []choice
	list := w.pool[linkKey(in.Op.Path, in.Name)]
	for i, k := range list {
		// What a call acts on stood in an address of its own, which only its maker was given.
		if closed && (k.list || k.as != as) {
			continue
		}
		score := 2.2
		if k.as != as {
			score = 1.2
		}
		if with := withoutDeleted(k.with); len(with) == len(k.with) {
			out = append(out, choice{text: k.text, with: with, score: score + float64(i)/float64(len(list)+1)/2})
		}
	}
	return out
}

var (
	reMeans  = regexp.MustCompile(`(?i)pay|paid|method|means|fund|source|provider|gateway|billing|wallet|settle|charge`)
	reChoice = regexp.MustCompile(`(?i)plan|tier|level|type|kind|class`)
)

// otherMeans is for a call that was refused because it costs: the next of the other
// values that the description lists for how it is paid, or else for what is bought.
func (p *plan) otherMeans(c *Call) bool {
	n := 0
	for _, re := range []*regexp.Regexp{reMeans, reChoice} {
		for _, in := range c.Op.Inputs {
			if in.Schema == nil || in.In == "path" || !re.MatchString(in.Name) || c.Values[in.Where()] == "" {
				continue
			}
			for _, v := range in.Schema.Rules().Enum {
				if v.Kind != value.String {
					continue
				}
				if n++; n <= p.means {
					continue
				}
				p.means = n
				text := string(value.Append(nil, v))
				if text == c.Values[in.Where()] {
					continue
				}
				p.over = maps.Clone(p.over)
				if p.over == nil {
					p.over = map[string]string{}
				}
				p.over[in.Where()] = text
				return true
			}
		}
	}
	return false
}
