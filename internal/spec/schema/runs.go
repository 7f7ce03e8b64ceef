package schema

import (
	"regexp"
	"regexp/syntax"
	"strconv"
	"unicode/utf8"
)

// runs matches, by hand and in one pass, an anchored sequence of character
// classes with counts: ^[a-z0-9-]{1,36}$, ^\d{4}-\d{2}-\d{2}$, ^https://. Most
// patterns in real documents are of this kind.
//
// Taking as many characters as a class allows is exact only when what follows
// cannot start with one of them, so newRuns accepts nothing else.
type runs struct {
	steps []run
	open  bool // whatever follows the last step is accepted
}

type run struct {
	ascii    [2]uint64
	wide     []rune // pairs, ascending: the class above ASCII
	min, max int    // max -1: no limit
}

func (r *run) has(c rune) bool {
	if c < utf8.RuneSelf {
		return r.ascii[c>>6]&(1<<(c&63)) != 0
	}
	for i := 0; i+1 < len(r.wide); i += 2 {
		if c < r.wide[i] {
			return false
		}
		if c <= r.wide[i+1] {
			return true
		}
	}
	return false
}

func (r *runs) match(s string) bool {
	at := 0
	for i := range r.steps {
		step := &r.steps[i]
		n := 0
		for n != step.max && at < len(s) {
			c, size := rune(s[at]), 1
			if c >= utf8.RuneSelf {
				c, size = utf8.DecodeRuneInString(s[at:])
			}
			if !step.has(c) {
				break
			}
			at += size
			n++
		}
		if n < step.min {
			return false
		}
	}
	return r.open || at == len(s)
}

// newRuns compiles re if it is of this kind. everything means that any string matches.
func newRuns(re *syntax.Regexp) (r *runs, everything bool) {
	var parts []*syntax.Regexp
	if re = unwrap(re); re.Op == syntax.OpConcat {
		parts = re.Sub
	} else {
		parts = []*syntax.Regexp{re}
	}
	if len(parts) == 1 && (parts[0].Op == syntax.OpBeginText || parts[0].Op == syntax.OpEndText || parts[0].Op == syntax.OpEmptyMatch) {
		return nil, true
	}
	if parts[0].Op != syntax.OpBeginText {
		return nil, false
	}
	r = &runs{open: true}
	parts = parts[1:]
	if len(parts) > 0 && parts[len(parts)-1].Op == syntax.OpEndText {
		r.open, parts = false, parts[:len(parts)-1]
	}
	for _, p := range parts {
		if !r.add(unwrap(p), 1, 1) {
			return nil, false
		}
	}
	everything = r.settle()
	if !everything && !r.exact() {
		return nil, false
	}
	return r, everything
}

// settle drops what an open end makes needless. It reports whether nothing is
// left to check.
func (r *runs) settle() bool {
	for r.open && len(r.steps) > 0 {
		last := &r.steps[len(r.steps)-1]
		last.max = last.min
		if last.min > 0 {
			break
		}
		r.steps = r.steps[:len(r.steps)-1]
	}
	return r.open && len(r.steps) == 0
}

// exact reports whether greed decides rightly at each step.
func (r *runs) exact() bool {
	for i := range r.steps {
		if r.steps[i].min == r.steps[i].max {
			continue
		}
		for j := i + 1; j < len(r.steps); j++ {
			if overlap(&r.steps[i], &r.steps[j]) {
				return false
			}
			if r.steps[j].min > 0 {
				break
			}
		}
	}
	return true
}

func overlap(a, b *run) bool {
	if a.ascii[0]&b.ascii[0]|a.ascii[1]&b.ascii[1] != 0 {
		return true
	}
	for i := 0; i+1 < len(a.wide); i += 2 {
		for j := 0; j+1 < len(b.wide); j += 2 {
			if a.wide[i] <= b.wide[j+1] && b.wide[j] <= a.wide[i+1] {
				return true
			}
		}
	}
	return false
}

// add appends re repeated from low to high times.
func (r *runs) add(re *syntax.Regexp, low, high int) bool {
	const most = 64
	if len(r.steps) > most {
		return false
	}
	switch re.Op {
	case syntax.OpEmptyMatch:
		return true
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 || len(re.Rune) > 1 && (low != 1 || high != 1) {
			return false
		}
		for _, c := range re.Rune {
			r.push([]rune{c, c}, low, high)
		}
		return true
	case syntax.OpCharClass:
		r.push(re.Rune, low, high)
		return true
	case syntax.OpAnyChar:
		r.push([]rune{0, utf8.MaxRune}, low, high)
		return true
	}
	if low != 1 || high != 1 {
		return false
	}
	sub := func() *syntax.Regexp { return unwrap(re.Sub[0]) }
	switch re.Op {
	case syntax.OpStar:
		return r.add(sub(), 0, -1)
	case syntax.OpPlus:
		return r.add(sub(), 1, -1)
	case syntax.OpQuest:
		return r.add(sub(), 0, 1)
	case syntax.OpRepeat:
		return r.add(sub(), re.Min, re.Max)
	case syntax.OpConcat:
		for _, s := range re.Sub {
			if !r.add(unwrap(s), 1, 1) {
				return false
			}
		}
		return true
	}
	return false
}

func (r *runs) push(pairs []rune, low, high int) {
	step := run{min: low, max: high}
	for i := 0; i+1 < len(pairs); i += 2 {
		a, b := pairs[i], pairs[i+1]
		for ; a <= b && a < utf8.RuneSelf; a++ {
			step.ascii[a>>6] |= 1 << (a & 63)
		}
		if a <= b {
			step.wide = append(step.wide, a, b)
		}
	}
	// Neighbours of one class and fixed counts are one step.
	if n := len(r.steps); n > 0 && step.wide == nil && r.steps[n-1].wide == nil && r.steps[n-1].ascii == step.ascii {
		last := &r.steps[n-1]
		last.min += step.min
		if last.max < 0 || step.max < 0 {
			last.max = -1
		} else {
			last.max += step.max
		}
		return
	}
	r.steps = append(r.steps, step)
}

var largeCount = regexp.MustCompile(`^(\\A.*(?:\]|[A-Za-z0-9]))\{(\d+)(?:(,)(\d*))?\}\\z$`)

// parseLarge reads a sequence whose last count is beyond the 1,000 of Go's
// regexp: ^[\w-]{1,4096}$ is one class to us, whatever the count.
func parseLarge(text string) (*runs, bool) {
	m := largeCount.FindStringSubmatch(text)
	if m == nil {
		return nil, false
	}
	re, err := syntax.Parse(m[1]+`{1}\z`, syntax.Perl)
	if err != nil {
		return nil, false
	}
	r, _ := newRuns(re)
	if r == nil || len(r.steps) == 0 || r.steps[len(r.steps)-1].min != 1 || r.steps[len(r.steps)-1].max != 1 {
		return nil, false
	}
	last := &r.steps[len(r.steps)-1]
	low, err := strconv.Atoi(m[2])
	if err != nil {
		return nil, false
	}
	high := low
	if m[3] != "" {
		high = -1
		if m[4] != "" {
			if high, err = strconv.Atoi(m[4]); err != nil || high < low {
				return nil, false
			}
		}
	}
	last.min, last.max = low, high
	return r, r.exact()
}

// pinned is pinnedPattern for a sequence.
func (r *runs) pinned() bool {
	if r.open {
		return false
	}
	for i := range r.steps {
		if r.steps[i].wide != nil {
			return false
		}
		for c := rune(0); c < utf8.RuneSelf; c++ {
			if r.steps[i].has(c) && !harmlessRune(c) {
				return false
			}
		}
	}
	return true
}
