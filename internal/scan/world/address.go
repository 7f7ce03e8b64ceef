package world

import (
	"net/url"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// Some APIs name an object by its address and by nothing else: "name":
// "shelves/4/books/9" (Google's AIP-122), "self", "href", "@id" (JSON-LD), "_links" (HAL).
// The last part of it is what paths take.

// addressPart finds the last part of an address.
const addressPart = `([^/?#]+)/?(?:[?#].*)?$`

// partKey is the name of the identifier that is the last part of what a member holds.
func partKey(member string) string { return member + "#id" }

// selfNames are members that name the object itself, where others may name its kin.
var selfNames = []string{"name", "self", "href", "@id", "selflink", "uri", "url", "resourcename", "link", "canonicalurl"}

// addressIn finds the member of a node by which an object of a resource is addressed, where
// it stands, and the part that paths take. nil: no member is the address of one.
func addressIn(node *value.Value, r *graph.Resource) (k *value.Value, at, id string) {
	paths := r.Paths()
	if len(paths) == 0 {
		return nil, "", ""
	}
	best := len(selfNames) + 1
	try := func(m *value.Value, name, where string) {
		if m == nil || m.Kind != value.String || !strings.Contains(m.Text, "/") || len(m.Text) > maxLink {
			return
		}
		rank := slices.Index(selfNames, strings.ToLower(name))
		if rank < 0 {
			rank = len(selfNames)
		}
		if part := lastOf(m.Text, paths); part != "" && rank < best {
			k, at, id, best = m, where, part, rank
		}
	}
	for i := range node.Kids {
		m := &node.Kids[i]
		where := "/" + value.EscapeToken(m.Name)
		try(m, m.Name, where)
		if name := strings.ToLower(m.Name); m.Kind == value.Object && (name == "_links" || name == "links" || name == "self") {
			for j := range m.Kids {
				if l := &m.Kids[j]; strings.EqualFold(l.Name, "self") || strings.EqualFold(l.Name, "href") {
					below := where + "/" + value.EscapeToken(l.Name)
					try(l, "self", below)
					try(l.Get("href"), "self", below+"/href")
				}
			}
		}
	}
	return k, at, id
}

// lastOf is the last part of an address that one of the paths ends as; "" where none does.
// A whole address may have more in front, one that is relative less: "books/9" is of
// /v1/shelves/{shelf}/books/{book} where it says "shelves/4/books/9", or the end of it.
func lastOf(address string, paths [][]string) string {
	u, err := url.Parse(address)
	if err != nil || strings.ContainsAny(address, " \n<>{}") {
		return ""
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 {
		return ""
	}
	for _, path := range paths {
		n := min(len(path), len(parts))
		literal := false
		same := n >= 2 && func() bool {
			for i := 1; i <= n; i++ {
				want, is := path[len(path)-i], parts[len(parts)-i]
				if strings.HasPrefix(want, "{") {
					if is == "" {
						return false
					}
					continue
				}
				if want != is {
					return false
				}
				literal = true
			}
			return true
		}()
		if same && literal {
			return parts[len(parts)-1]
		}
	}
	return ""
}
