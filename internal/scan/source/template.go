package source

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// segment is one segment of a captured path.
type segment struct {
	text string
	name string // of a variable that the capture itself names (":id", "{{orderId}}"), "" for none
}

var (
	longRandom = regexp.MustCompile(`^[A-Za-z0-9_-]{20,}$`)
	prefixedID = regexp.MustCompile(`^[A-Za-z]{1,6}[-_]?[0-9]{2,}[A-Za-z0-9-]*$`)
	digitsOnly = regexp.MustCompile(`^-?[0-9]+$`)
	versionSeg = regexp.MustCompile(`^v[0-9]+([._][0-9]+)*$`)
)

// isIDText reports whether a text is an identifier by its looks.
func isIDText(s string) bool {
	switch {
	case s == "" || versionSeg.MatchString(strings.ToLower(s)):
		return false
	case digitsOnly.MatchString(s), uuidText.MatchString(s):
		return true
	case hexText.MatchString(s) && len(s) >= 8 && strings.ContainsAny(s, "0123456789"):
		return true
	case prefixedID.MatchString(s):
		return true
	case longRandom.MatchString(s) && strings.ContainsAny(s, "0123456789") && strings.Count(s, "-") < 3:
		return true
	case strings.Contains(s, "@") || dateText.MatchString(s):
		return true
	}
	return false
}

// trie gathers captured paths, to find out which segments vary.
type trie struct {
	kids   map[string]*trie
	order  []string
	ends   map[string]bool // methods that end here
	keys   map[string]bool // what answers here looked like: names of their members, joined
	varied bool            // this node is a variable
	name   string
	values []string
}

func newTrie() *trie {
	return &trie{kids: map[string]*trie{}, ends: map[string]bool{}, keys: map[string]bool{}}
}

func (t *trie) kid(key string) *trie {
	k := t.kids[key]
	if k == nil {
		k = newTrie()
		t.kids[key] = k
		t.order = append(t.order, key)
	}
	return k
}

const varKey = "\x00"

// add puts a path into the trie; identifiers share one node.
func (t *trie) add(segs []segment, method, answer string) {
	for _, s := range segs {
		switch {
		case s.name != "":
			t = t.kid(varKey)
			t.varied = true
			if t.name == "" {
				t.name = s.name
			}
		case isIDText(s.text):
			t = t.kid(varKey)
			t.varied = true
		default:
			t = t.kid(s.text)
		}
		if t.varied && s.text != "" && !slices.Contains(t.values, s.text) && len(t.values) < 50 {
			t.values = append(t.values, s.text)
		}
	}
	t.ends[method] = true
	if answer != "" {
		t.keys[answer] = true
	}
}

// minAlike is how many siblings must be alike before words are taken for values.
const minAlike = 3

// settle merges siblings that are alike: same methods, same answers, same
// things below them, after a plural ("/articles/how-to-…", "/users/alice").
func (t *trie) settle(parent string) {
	var words []string
	for _, key := range t.order {
		if key != varKey {
			words = append(words, key)
		}
	}
	plural := false
	if w := spec.Words(parent); len(w) > 0 {
		plural = spec.Singular(w[len(w)-1]) != w[len(w)-1]
	}
	groups := map[string][]string{}
	var sigs []string
	for _, key := range words {
		sig := t.kids[key].signature(0)
		if groups[sig] == nil {
			sigs = append(sigs, sig)
		}
		groups[sig] = append(groups[sig], key)
	}
	for _, sig := range sigs {
		alike := groups[sig]
		slugs := 0
		for _, key := range alike {
			if strings.Count(key, "-") >= 2 || strings.ContainsAny(key, "0123456789%") {
				slugs++
			}
		}
		v := t.kids[varKey]
		joinsVar := v != nil && v.signature(0) == sig && slugs > 0
		if !plural || sig == "" || !(len(alike) >= minAlike || slugs == len(alike) && slugs > 0 || joinsVar) {
			continue
		}
		if len(alike) >= minAlike && slugs == 0 && !sameAnswers(t, alike) {
			continue
		}
		into := t.kid(varKey)
		into.varied = true
		for _, key := range alike {
			into.values = append(into.values, key)
			into.absorb(t.kids[key])
			delete(t.kids, key)
			t.order = slices.DeleteFunc(t.order, func(k string) bool { return k == key })
		}
	}
	for _, key := range t.order {
		name := key
		if key == varKey {
			name = ""
		}
		t.kids[key].settle(name)
	}
}

// sameAnswers: what comes back from all of them has the same members, so they
// are objects of one kind and not different things.
func sameAnswers(t *trie, keys []string) bool {
	all := map[string]bool{}
	for _, k := range keys {
		if len(t.kids[k].keys) == 0 {
			return false
		}
		for a := range t.kids[k].keys {
			all[a] = true
		}
	}
	return len(all) == 1
}

// signature says what can be done at and below a node.
func (t *trie) signature(depth int) string {
	var parts []string
	for m := range t.ends {
		parts = append(parts, m)
	}
	if depth < 3 {
		for k, kid := range t.kids {
			if k == varKey {
				k = "{}"
			}
			parts = append(parts, k+"("+kid.signature(depth+1)+")")
		}
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}

func (t *trie) absorb(o *trie) {
	for m := range o.ends {
		t.ends[m] = true
	}
	for k := range o.keys {
		t.keys[k] = true
	}
	for _, key := range o.order {
		k := t.kid(key)
		src := o.kids[key]
		k.varied = k.varied || src.varied
		if k.name == "" {
			k.name = src.name
		}
		k.values = append(k.values, src.values...)
		k.absorb(src)
	}
}

// pathVar is a variable of a template that was found.
type pathVar struct {
	name   string
	values []string
}

// template is the template of a captured path, with its variables.
func (t *trie) template(segs []segment) (string, []pathVar) {
	var b strings.Builder
	var vars []pathVar
	before := ""
	used := map[string]bool{}
	for _, s := range segs {
		b.WriteByte('/')
		k := t.kids[s.text]
		if s.name != "" || k == nil || k.varied {
			k = t.kids[varKey]
		}
		if k == nil { // cannot be: the path was added
			b.WriteString(s.text)
			continue
		}
		if !k.varied {
			b.WriteString(s.text)
			before = s.text
			t = k
			continue
		}
		name := variableName(k.name)
		if name == "" {
			if name = variableName(spec.ResourceName(before)); name != "" {
				name += "_id"
			} else {
				name = "id"
			}
		}
		for n := 2; used[name]; n++ {
			name = strings.TrimRight(name, "0123456789") + string(rune('0'+n%10))
			if n > 9 {
				name += "x"
			}
		}
		used[name] = true
		b.WriteString("{" + name + "}")
		vars = append(vars, pathVar{name, k.values})
		t = k
	}
	if b.Len() == 0 {
		return "/", nil
	}
	return b.String(), vars
}

// variableName keeps of a name what a template may hold.
func variableName(s string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			return c
		}
		return -1
	}, s), "-_")
}
