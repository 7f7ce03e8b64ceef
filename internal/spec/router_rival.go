package spec

import (
	"strings"
	"unicode"
)

// Many servers read a path more loosely than a document is written: they ignore
// case (Express, ASP.NET), cut path parameters off ("admin;x", servlets), take an
// extension for a format ("admin.json", Rails), and drop spaces and dots at the
// end of a segment (IIS). To such a server "/users/Admin" is "/users/admin", to
// the document it is "/users/{id}": the gateway would judge one operation and the
// upstream run another (CWE-178, CWE-436). Match.Rival says that this is so.

// looseLiterals are a place's literal texts as the loosest server reads them; nil
// when it has none.
func (p *place) looseLiterals() map[string]bool {
	if len(p.literals) == 0 {
		return nil
	}
	m := make(map[string]bool, len(p.literals))
	for text := range p.literals {
		m[fold(text)] = true
	}
	return m
}

// fold maps texts that differ only in case to one, also by characters whose
// other case is ASCII (the long s, the dotless i, the Kelvin sign).
func fold(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return strings.ToLower(strings.ToUpper(s))
		}
	}
	return strings.ToLower(s) // which allocates nothing when there is nothing to lower
}

// readings are what a loose server may take a segment for. An extension is one in
// the last segment alone.
func readings(seg string, last bool) (whole, stem string) {
	seg, _, _ = strings.Cut(seg, ";")
	seg = strings.TrimRight(strings.TrimFunc(seg, unicode.IsSpace), ".")
	whole = fold(strings.TrimRightFunc(seg, unicode.IsSpace))
	stem = whole
	if last {
		stem, _, _ = strings.Cut(whole, ".")
	}
	return whole, stem
}

// wary finds the entries that have a variable where others have literal text.
func (g *group) wary() {
	for i := range g.places {
		g.places[i].loose = g.places[i].looseLiterals()
	}
	for i := range g.entries {
		e := &g.entries[i]
		for j := range g.places {
			e.wary = e.wary || e.tmpl.segments[j].vars() > 0 && g.places[j].loose != nil
		}
	}
}

// rival reports whether a loose server would take the segments for an operation
// of the same method that is more specific than the chosen one.
func (g *group) rival(chosen, method int, segments []string) bool {
	e := &g.entries[chosen]
	if !e.wary {
		return false
	}
	last := len(segments) - 1
	hit := false
	for i, seg := range segments {
		p := &g.places[i]
		if p.loose == nil || e.tmpl.segments[i].vars() == 0 {
			continue
		}
		if whole, stem := readings(seg, i == last); p.loose[whole] || p.loose[stem] {
			hit = true
			break
		}
	}
	if !hit {
		return false
	}
	for i := range g.entries[:chosen] {
		other := &g.entries[i]
		if (other.ops[method] != nil || method == methodHEAD && other.ops[methodGET] != nil) && other.tmpl.fitsLoosely(segments) {
			return true
		}
	}
	return false
}

func (t *template) fitsLoosely(segments []string) bool {
	for i := range t.segments {
		s := &t.segments[i]
		if s.vars() > 0 {
			if !s.match(segments[i], nil) {
				return false
			}
			continue
		}
		whole, stem := readings(segments[i], i == len(segments)-1)
		if text := fold(s.lits[0]); text != whole && text != stem {
			return false
		}
	}
	return true
}

// Resembles reports whether a loose server would find a path of the document where
// Route finds none: what is not in the document must not reach what is.
func (a *API) Resembles(path string) bool {
	if a.router == nil {
		return false
	}
	for i := range a.router.mounts {
		m := &a.router.mounts[i]
		base := len(m.base)
		if len(path) <= base || fold(path[:base]) != fold(m.base) || path[base] != '/' {
			continue
		}
		if m.table.resembles(strings.TrimRight(path[base+1:], "/")) {
			return true
		}
	}
	return false
}

func (t *table) resembles(path string) bool {
	segments := strings.Split(path, "/")
	if len(segments) >= len(t.groups) || t.groups[len(segments)] == nil {
		return false
	}
	for i := range segments {
		seg, ok := unescapePath(segments[i])
		if !ok {
			return true // nobody can tell what it is
		}
		segments[i] = seg
	}
	for i := range t.groups[len(segments)].entries {
		if t.groups[len(segments)].entries[i].tmpl.fitsLoosely(segments) {
			return true
		}
	}
	return false
}

// LooselyUnder reports whether a loose server would find a path under a base path,
// under which it does not lie to the letter. Both are percent-encoded.
func LooselyUnder(path, base string) bool {
	if strings.HasPrefix(path, base) && (len(path) == len(base) || path[len(base)] == '/') {
		return false
	}
	for base != "" {
		if path == "" {
			return false
		}
		var want, got string
		want, base = firstSegment(base)
		got, path = firstSegment(path)
		text, ok := unescapePath(want)
		seg, ok2 := unescapePath(got)
		if whole, _ := readings(seg, false); !ok || !ok2 || fold(text) != whole {
			return false
		}
	}
	return true
}

// firstSegment cuts "/a/b" into "a" and "/b".
func firstSegment(path string) (seg, rest string) {
	path = path[1:]
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}
