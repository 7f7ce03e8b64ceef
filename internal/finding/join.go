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
// that says most about it first. What they find at one operation is one hole.
var sameHole = []lack{
	// Nobody is asked who they are: that garbage is taken for a credential, that one
	// without the role gets in, that a page for developers is open, follows from it.
	{checks: []string{"auth-missing", "auth-garbage"}},
	{checks: []string{"auth-missing", "bfla"}},
	// A page for developers shows what it was made to show.
	{checks: []string{"debug-exposed", "password-exposed", "excessive-data"}},
	{checks: []string{"auth-missing", "debug-exposed"}},
	{checks: []string{"debug-exposed", "undocumented"}},
	// A password that was seen as it was set is the password in the field of that name.
	{checks: []string{"password-exposed", "excessive-data"}, cwe: true},
	// Who does not look at the signature looks at nothing else that the token says.
	{checks: []string{"jwt-unverified", "jwt-expiry", "jwt-claims"}, whole: true},
	// Another's object is shown by the same identifier, named in another way.
	{checks: []string{"bola-read", "bola-variant"}, where: true},
	{checks: []string{"bola-write", "bola-variant"}, where: true},
	{checks: []string{"sqli", "sqli-time"}, where: true},
}

// lack is what several checks show in their own ways.
type lack struct {
	checks []string
	where  bool // only at one place of an operation
	cwe    bool // only where they are of one kind of weakness
	whole  bool // of the API as a whole, not of an operation
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
	for i := range sameHole {
		out = sameHole[i].join(out)
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

// join joins what several of the checks found at one operation.
func (l *lack) join(list []*Finding) []*Finding {
	type key struct{ method, path, where, cwe string }
	by := map[key][]*Finding{}
	for _, f := range list {
		if (f.Path == "") != l.whole || !slices.Contains(l.checks, f.Check) {
			continue
		}
		if len(f.Places) > 1 && f.Check != l.checks[0] {
			continue // a row of its own already
		}
		k := key{f.Method, f.Path, "", ""}
		if l.where {
			k.where = f.Where
		}
		if l.cwe {
			k.cwe = f.CWE
		}
		by[k] = append(by[k], f)
	}
	gone := map[*Finding]bool{}
	for _, group := range by {
		slices.SortStableFunc(group, func(a, b *Finding) int {
			return cmp.Compare(slices.Index(l.checks, a.Check), slices.Index(l.checks, b.Check))
		})
		first := group[0]
		if first.Check != l.checks[0] || !slices.ContainsFunc(group, func(f *Finding) bool { return f.Check != first.Check }) {
			continue // what the rest follows from is not there, and one check tells its places apart itself
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
