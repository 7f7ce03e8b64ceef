package finding

import (
	"cmp"
	"fmt"
	"slices"
)

// At is one place in which a hole shows.
type At struct {
	// Fingerprint is what the row would have that were about this place alone.
	Fingerprint string `json:"fingerprint"`
	Check       string `json:"check"`
	Title       string `json:"title"`
	Method      string `json:"method"`
	Path        string `json:"path"`
	Operation   string `json:"operation,omitempty"`
	Where       string `json:"where,omitempty"`
	Place       *Place `json:"place,omitempty"`
}

// sameHole are checks that show one lack of an operation in several ways, the one
// that says most about it first. What they find at one operation is one hole; with
// where, only at one place of it.
var sameHole = []struct {
	checks []string
	where  bool
}{
	// Nobody is asked who they are: that garbage is taken for a credential, that one
	// without the role gets in, that a page for developers is open, follows from it.
	{[]string{"auth-missing", "auth-garbage"}, false},
	{[]string{"auth-missing", "bfla"}, false},
	{[]string{"auth-missing", "debug-exposed"}, false},
	{[]string{"debug-exposed", "undocumented"}, false},
	// Another's object is shown by the same identifier, named in another way.
	{[]string{"bola-read", "bola-variant"}, true},
	{[]string{"bola-write", "bola-variant"}, true},
	{[]string{"sqli", "sqli-time"}, true},
}

// Join makes one row of what is one hole: of findings with one Cause, whatever
// operations they show in, and of those by which several checks show one lack of one
// operation. The row is the gravest's, and Places names all. Holes of different
// operations stay apart unless their check says that they have one cause. The list
// is changed, and comes back sorted.
func Join(list []*Finding) []*Finding {
	Sort(list)
	taken := map[*Finding]bool{}
	out := make([]*Finding, 0, len(list)) // written as a list where it is empty
	for _, f := range list {
		if taken[f] || f.Cause == "" {
			continue
		}
		var group []*Finding
		for _, g := range list {
			if g.Check == f.Check && g.Cause == f.Cause {
				group, taken[g] = append(group, g), true
			}
		}
		out = append(out, caused(group))
	}
	for _, f := range list {
		if !taken[f] {
			out = append(out, f)
		}
	}
	for _, same := range sameHole {
		out = joinOne(out, same.checks, same.where)
	}
	Sort(out)
	return out
}

// caused makes one row of findings with one cause. Its fingerprint is of the cause,
// also where it shows in one place alone: one place more is no other hole.
func caused(group []*Finding) *Finding {
	f := group[0]
	places := make([]At, 0, len(group))
	for _, g := range group {
		places = append(places, g.at())
		f.Requests = max(f.Requests, g.Requests)
	}
	f.Places = places
	f.Fingerprint = Print(f.Check, "", "", "cause "+f.Cause)
	if len(group) > 1 {
		f.Title = fmt.Sprintf("%d operations: %s", len(group), f.Cause)
	}
	return f
}

// joinOne joins what several of the checks found at one operation.
func joinOne(list []*Finding, checks []string, where bool) []*Finding {
	type key struct{ method, path, where string }
	by := map[key][]*Finding{}
	for _, f := range list {
		if f.Path == "" || len(f.Places) > 1 || !slices.Contains(checks, f.Check) {
			continue
		}
		k := key{f.Method, f.Path, ""}
		if where {
			k.where = f.Where
		}
		by[k] = append(by[k], f)
	}
	gone := map[*Finding]bool{}
	for _, group := range by {
		slices.SortStableFunc(group, func(a, b *Finding) int {
			return cmp.Compare(slices.Index(checks, a.Check), slices.Index(checks, b.Check))
		})
		first := group[0]
		if !slices.ContainsFunc(group, func(f *Finding) bool { return f.Check != first.Check }) {
			continue // one check tells its places apart itself
		}
		var places []At
		for _, f := range group {
			if f != first && f.Check == first.Check {
				continue
			}
			if len(f.Places) > 0 {
				places = append(places, f.Places...)
			} else {
				places = append(places, f.at())
			}
			if f != first {
				gone[f] = true
				if f.Score > first.Score {
					first.Score, first.Severity, first.CVSS = f.Score, f.Severity, f.CVSS
				}
			}
		}
		first.Places = places
	}
	return slices.DeleteFunc(list, func(f *Finding) bool { return gone[f] })
}

func (f *Finding) at() At {
	return At{Fingerprint: f.Fingerprint, Check: f.Check, Title: f.Title, Method: f.Method, Path: f.Path, Operation: f.Operation, Where: f.Where, Place: f.Place}
}

// Also are the places of a row beside the one that it is about.
func (f *Finding) Also() []At {
	if len(f.Places) < 2 {
		return nil
	}
	return f.Places[1:]
}

// known reports whether every place of a row, or the row, is among fingerprints:
// those of a time when each place was a row of its own count as well.
func (f *Finding) known(has func(string) bool) bool {
	if has(f.Fingerprint) {
		return true
	}
	for i := range f.Places {
		if !has(f.Places[i].Fingerprint) {
			return false
		}
	}
	return len(f.Places) > 0
}
