package triage

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"weak"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/wasilibs/go-re2/experimental"
)

// decoders are transformations that leave a plain text as it is.
var decoders = map[string]bool{
	"urlDecodeUni": true, "urlDecode": true, "htmlEntityDecode": true, "jsDecode": true, "cssDecode": true, "escapeSeqDecode": true,
	"removeNulls": true, "replaceNulls": true, "utf8toUnicode": true, "replaceComments": true, "removeComments": true, "removeCommentsChar": true,
}

// plain reports whether every decoder leaves the text as it is.
func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 0x80, c == 0, c == '%', c == '+', c == '&', c == '\\', c == '#':
			return false
		case (c == '*' || c == '-') && i+1 < len(s) && (s[i+1] == '/' || s[i+1] == '-'),
			c == '/' && i+1 < len(s) && s[i+1] == '*':
			return false
		}
	}
	return true
}

// family is the rules whose transformations differ by decoders only. On plain
// texts they all see the same, so one set of their patterns is scanned once.
type family struct {
	key string
	flavour
	residual []plugintypes.Transformation // those that are no decoders
	chains   []chain
	rules    []*rule
	of       []int // the chain of each rule
	patterns []string
	whole    [kinds]bool     // a rule looks at all texts of the kind, or all but some
	named    map[string]bool // header fields that rules look at by name, in lower case
	some     [kinds]bool     // a rule looks at some texts of the kind
}

// chain is one list of transformations.
type chain struct {
	key   string
	steps []plugintypes.Transformation
}

// family returns that of a list of transformations.
func (t *Triage) family(names []string, fl flavour) *family {
	var rest []string
	for _, n := range names {
		if !decoders[n] {
			rest = append(rest, n)
		}
	}
	key := strings.Join(rest, ",")
	for _, f := range t.families {
		if f.key == key && f.flavour == fl {
			return f
		}
	}
	f := &family{key: key, flavour: fl, named: map[string]bool{}}
	f.residual, _ = transformations(rest) // each has been found already
	t.families = append(t.families, f)
	return f
}

func (f *family) add(r *rule, variant int, pattern string) {
	key := strings.Join(r.names[variant], ",")
	i := slices.IndexFunc(f.chains, func(c chain) bool { return c.key == key })
	if i < 0 {
		i = len(f.chains)
		f.chains = append(f.chains, chain{key: key, steps: r.chains[variant]})
	}
	f.rules, f.of, f.patterns = append(f.rules, r), append(f.of, i), append(f.patterns, pattern)
	for n := range r.targets {
		g := &r.targets[n]
		kind, ok := texts[g.variable]
		if !ok || g.except || g.count {
			continue
		}
		f.some[kind] = true
		if g.selector != "" && kind == Header {
			f.named[g.selector] = true
		} else {
			f.whole[kind] = true
		}
	}
}

// looksAt reports whether a rule of the family may look at the text.
func (f *family) looksAt(t *Text) bool {
	if f.whole[t.Kind] || !f.some[t.Kind] {
		return f.whole[t.Kind]
	}
	for name := range f.named {
		if strings.EqualFold(name, t.Name) {
			return true
		}
	}
	return false
}

// flavour is what patterns must have in common to be in one set: lists of words,
// added to expressions, make many more states than both have apart.
type flavour struct{ bytes, words bool }

var flavours = [...]flavour{{}, {words: true}, {bytes: true}}

// book is the patterns of all families of one flavour in one set.
type book struct {
	flavour
	patterns []string
	of       []*family
	place    []int // in the family
	sets     *pool
}

// compile makes the sets. A pattern that no set takes is evaluated text by text.
func (t *Triage) compile() error {
	for i, flavour := range flavours {
		b := &t.books[i]
		b.flavour = flavour
		for _, f := range t.families {
			if f.flavour != flavour {
				continue
			}
			for n := range f.rules {
				b.patterns, b.of, b.place = append(b.patterns, f.patterns[n]), append(b.of, f), append(b.place, n)
			}
		}
		for {
			var err error
			if b.sets, err = poolOf(b.patterns, flavour.bytes); err == nil {
				break
			}
			bad := slices.IndexFunc(b.patterns, func(p string) bool {
				_, err := compileSet([]string{p}, flavour.bytes)
				return err != nil
			})
			if bad < 0 {
				return fmt.Errorf("compiling %d patterns: %w", len(b.patterns), err)
			}
			t.single = append(t.single, b.of[bad].rules[b.place[bad]])
			b.patterns, b.of, b.place = slices.Delete(b.patterns, bad, bad+1), slices.Delete(b.of, bad, bad+1), slices.Delete(b.place, bad, bad+1)
		}
	}
	return nil
}

// scan is the work on one request.
type scan struct {
	list  []Text
	plain []bool    // of each text
	found [][]*rule // the rules that match, of each text
	todo  []int     // places of the texts that are not remembered
	seen  []string  // what has been appended of one text
	buf   []byte
}

func (s *scan) begin(list []Text) {
	s.list, s.plain, s.found, s.todo = list, s.plain[:0], s.found[:0], s.todo[:0]
	for i := range list {
		s.plain, s.found = append(s.plain, plain(list[i].Text)), append(s.found, nil)
	}
}

// end lets go of the request's texts.
func (s *scan) end() {
	s.list = nil
	clear(s.found)
	clear(s.seen[:cap(s.seen)])
}

func (s *scan) note(i int, r *rule) {
	if !slices.Contains(s.found[i], r) {
		s.found[i] = append(s.found[i], r)
	}
}

// scan finds the texts that a rule of the book matches. An error is that the set
// has given up.
func (b *book) scan(t *Triage, s *scan) error {
	s.buf = s.buf[:0]
	for _, i := range s.todo {
		s.lines(t, i, b.flavour)
	}
	if len(s.buf) == 0 {
		return nil
	}
	hits, err := b.sets.find(s.buf)
	if err != nil || len(hits) == 0 {
		return err
	}
	// Something matches somewhere: which rule, and where?
	for _, i := range s.todo {
		if !slices.ContainsFunc(hits, func(h int) bool { return b.of[h].rules[b.place[h]].looksAt(&s.list[i]) }) {
			continue
		}
		found := hits
		if len(s.todo) > 1 {
			s.buf = s.buf[:0]
			s.lines(t, i, b.flavour)
			if alone, err := b.sets.find(s.buf); err == nil {
				found = alone
			}
		}
		for _, h := range found {
			r := b.of[h].rules[b.place[h]]
			if r.looksAt(&s.list[i]) && r.matches(s.list[i].Text) {
				s.note(i, r)
			}
		}
	}
	return nil
}

// lines appends what rules see of a text, each thing once.
func (s *scan) lines(t *Triage, i int, fl flavour) {
	x := &s.list[i]
	s.seen = s.seen[:0]
	for _, f := range t.families {
		if f.flavour != fl || !f.looksAt(x) {
			continue
		}
		if s.plain[i] {
			s.line(transform(f.residual, x.Text), fl.bytes)
			continue
		}
		for c := range f.chains {
			s.line(transform(f.chains[c].steps, x.Text), fl.bytes)
		}
	}
}

// line appends a text and a line end, unless it has been. A byte that is no character becomes U+FFFD:
// that is how the engine's matcher reads it, and RE2 does not.
func (s *scan) line(text string, bytes bool) {
	if text == "" && len(s.seen) > 0 || slices.Contains(s.seen, text) {
		return
	}
	s.seen = append(s.seen, text)
	if bytes || utf8.ValidString(text) {
		s.buf = append(s.buf, text...)
	} else {
		for _, r := range text {
			s.buf = utf8.AppendRune(s.buf, r)
		}
	}
	s.buf = append(s.buf, '\n')
}

// pool is one set for each processor: scans of one set wait for each other.
type pool struct {
	sets []*locked
}

type locked struct {
	sync.Mutex
	set *experimental.Set
}

func compileSet(patterns []string, bytes bool) (*experimental.Set, error) {
	return experimental.CompileSetWithOptions(patterns, experimental.CompileOptions{Latin1: bytes})
}

// pools are those in use, by what they were made of: a reload mostly brings the
// same rules, and APIs share them.
var (
	poolsMu sync.Mutex
	pools   = map[[sha256.Size]byte]weak.Pointer[pool]{}
	recent  [8]*pool // kept between two configs that use them
	next    int
)

func poolOf(patterns []string, bytes bool) (*pool, error) {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%v %q", bytes, patterns) // it cannot fail
	key := [sha256.Size]byte(h.Sum(nil))
	poolsMu.Lock()
	defer poolsMu.Unlock()
	for k, w := range pools {
		if w.Value() == nil {
			delete(pools, k)
		}
	}
	if p := pools[key].Value(); p != nil {
		return p, nil
	}
	p, err := newPool(patterns, bytes)
	if err == nil {
		pools[key] = weak.Make(p)
		recent[next%len(recent)] = p
		next++
	}
	return p, err
}

func newPool(patterns []string, bytes bool) (*pool, error) {
	p := new(pool)
	if len(patterns) == 0 {
		return p, nil
	}
	for range max(1, runtime.GOMAXPROCS(0)) {
		set, err := compileSet(patterns, bytes)
		if err != nil {
			return nil, err
		}
		p.sets = append(p.sets, &locked{set: set})
	}
	return p, nil
}

// find returns the places of the patterns that match.
func (p *pool) find(text []byte) ([]int, error) {
	if len(p.sets) == 0 {
		return nil, nil
	}
	for _, l := range p.sets {
		if l.TryLock() {
			defer l.Unlock()
			return l.set.FindAllWithError(text, -1)
		}
	}
	l := p.sets[0]
	l.Lock()
	defer l.Unlock()
	return l.set.FindAllWithError(text, -1)
}
