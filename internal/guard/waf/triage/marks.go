package triage

import (
	"regexp/syntax"
	"slices"
	"unicode"
)

// marks says which classes of bytes a text holds, one bit each: every sign of ASCII is
// a class of its own, letters and digits are three, and all bytes beyond ASCII one.
type marks uint64

// markOf is the class of each byte.
var markOf = func() (t [256]marks) {
	next := 0
	one := func() marks {
		next++
		return 1 << (next - 1)
	}
	digit, upper, lower, control, high := one(), one(), one(), one(), one()
	for i := range t {
		switch c := byte(i); {
		case c >= '0' && c <= '9':
			t[i] = digit
		case c >= 'A' && c <= 'Z':
			t[i] = upper
		case c >= 'a' && c <= 'z':
			t[i] = lower
		case c >= 0x80:
			t[i] = high
		case c != 0 && c < '\t' || c > '\r' && c < ' ' || c == 0x7f:
			t[i] = control
		default:
			t[i] = one()
		}
	}
	return t
}()

// marksOf reads a text.
func marksOf(s string) marks {
	var a, b, c, d marks
	for ; len(s) >= 4; s = s[4:] {
		a |= markOf[s[0]]
		b |= markOf[s[1]]
		c |= markOf[s[2]]
		d |= markOf[s[3]]
	}
	for i := range len(s) {
		a |= markOf[s[i]]
	}
	return a | b | c | d
}

func marksIn(list string) marks { return marksOf(list) }

var (
	high = markOf[0x80]
	// coded are what decoders and comments begin with: a text with none of them is plain,
	// see profile, unless two of its signs make a comment.
	coded = marksIn("\x00%+&\\#\x80")
	// everyday are bytes that most texts hold: that a pattern needs one of them says nothing.
	everyday = marksIn("aA0 ")
)

// plain reports whether every decoder leaves a text as it is.
func (m marks) plain(s string) bool {
	if m&coded != 0 {
		return false
	}
	return m&(markOf['*']|markOf['-']) == 0 || uncommented(s)
}

// uncommented reports whether no two signs of a text make a comment.
func uncommented(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		switch c, d := s[i], s[i+1]; {
		case c == '-' && d == '-', c == '*' && d == '/', c == '/' && d == '*':
			return false
		}
	}
	return true
}

// signs is what a pattern needs: a text that it matches holds, of at least one of the
// lists, a byte of each of its sets. A list without sets is met by every text; without
// lists nothing is matched.
type signs [][]marks

// maxSigns are the lists that are kept apart; beyond them less is demanded.
const maxSigns = 48

// metBy reports whether a text with these bytes may be matched.
func (n signs) metBy(m marks) bool {
	return slices.ContainsFunc(n, func(sets []marks) bool {
		return !slices.ContainsFunc(sets, func(s marks) bool { return s&m == 0 })
	})
}

var noSigns = signs{nil} // every text will do

// signsOf finds what an expression needs.
func signsOf(expr string) signs {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return noSigns
	}
	return signsIn(re)
}

func signsIn(re *syntax.Regexp) signs {
	switch re.Op {
	case syntax.OpNoMatch:
		return nil
	case syntax.OpLiteral:
		var sets []marks
		for _, r := range re.Rune {
			m := markOfRune(r)
			if re.Flags&syntax.FoldCase != 0 {
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					m |= markOfRune(f)
				}
			}
			sets = demand(sets, m)
		}
		return signs{sets}
	case syntax.OpCharClass:
		var m marks
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= min(re.Rune[i+1], 0x80); r++ {
				m |= markOfRune(r)
			}
			m |= markOfRune(re.Rune[i+1])
		}
		return signs{demand(nil, m)}
	case syntax.OpCapture, syntax.OpPlus:
		return signsIn(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return signsIn(re.Sub[0])
		}
	case syntax.OpConcat:
		all := noSigns
		for _, sub := range re.Sub {
			all = all.and(signsIn(sub))
		}
		return all
	case syntax.OpAlternate:
		var all signs
		for _, sub := range re.Sub {
			all = all.or(signsIn(sub))
		}
		return all
	}
	return noSigns
}

func markOfRune(r rune) marks {
	if r >= 0x80 {
		return high
	}
	return markOf[r]
}

// demand adds a set to a list, unless it says nothing.
func demand(sets []marks, m marks) []marks {
	if m&everyday != 0 || slices.Contains(sets, m) {
		return sets
	}
	return append(sets, m)
}

func (n signs) and(o signs) signs {
	if len(n)*len(o) > maxSigns {
		// Either is true by itself: the one that demands more is kept.
		if len(o) < len(n) {
			return o
		}
		return n
	}
	var out signs
	for _, a := range n {
		for _, b := range o {
			sets := slices.Clone(a)
			for _, m := range b {
				sets = demand(sets, m)
			}
			out = out.or(signs{sets})
		}
	}
	return out
}

func (n signs) or(o signs) signs {
	out := slices.Clone(n)
	for _, sets := range o {
		// What demands more than another list adds nothing to it.
		if slices.ContainsFunc(out, func(have []marks) bool { return within(have, sets) }) {
			continue
		}
		out = append(slices.DeleteFunc(out, func(have []marks) bool { return within(sets, have) }), sets)
	}
	if len(out) > maxSigns {
		return noSigns
	}
	return out
}

// within reports whether all sets of a are sets of b.
func within(a, b []marks) bool {
	return !slices.ContainsFunc(a, func(m marks) bool { return !slices.Contains(b, m) })
}
