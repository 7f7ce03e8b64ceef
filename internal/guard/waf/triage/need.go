package triage

import (
	"math/bits"
	"regexp/syntax"
	"unicode"
)

// bytesOf is a set of bytes; those of 0x80 and above stand for all characters
// beyond ASCII.
type bytesOf [4]uint64

func (s *bytesOf) add(lo, hi rune) {
	for r := lo; r <= min(hi, 0x7f); r++ {
		s[r/64] |= 1 << (r % 64)
	}
	if hi >= 0x80 {
		s[2], s[3] = ^uint64(0), ^uint64(0)
	}
}

func (s *bytesOf) join(o *bytesOf) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *bytesOf) meets(o *bytesOf) bool {
	return s[0]&o[0]|s[1]&o[1]|s[2]&o[2]|s[3]&o[3] != 0
}

// common are bytes that most texts hold: a set with one of them rules nothing out.
var common = func() (s bytesOf) {
	s.add('a', 'z')
	s.add('A', 'Z')
	s.add('0', '9')
	s.add(' ', ' ')
	return s
}()

// needOf finds a set of bytes of which every match of an expression holds at least
// one; ok is false when there is none that is of use.
func needOf(expr string) (need bytesOf, ok bool) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return need, false
	}
	return needIn(re)
}

func needIn(re *syntax.Regexp) (best bytesOf, ok bool) {
	take := func(s bytesOf) {
		if !s.meets(&common) && (!ok || size(&s) < size(&best)) {
			best, ok = s, true
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			var s bytesOf
			s.add(r, r)
			if re.Flags&syntax.FoldCase != 0 {
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					s.add(f, f)
				}
			}
			take(s)
		}
	case syntax.OpCharClass:
		var s bytesOf
		for i := 0; i+1 < len(re.Rune); i += 2 {
			s.add(re.Rune[i], re.Rune[i+1])
		}
		take(s)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if s, of := needIn(sub); of {
				take(s)
			}
		}
	case syntax.OpCapture, syntax.OpPlus:
		return needIn(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return needIn(re.Sub[0])
		}
	case syntax.OpAlternate:
		var all bytesOf
		for _, sub := range re.Sub {
			s, of := needIn(sub)
			if !of {
				return best, false
			}
			all.join(&s)
		}
		take(all)
	}
	return best, ok
}

func size(s *bytesOf) int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}
