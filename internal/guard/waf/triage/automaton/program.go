package automaton

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// Expression is one pattern of a set.
type Expression struct {
	Text string // as regexp.Compile takes it
	// Lower also matches a text that the expression would match after its ASCII
	// letters had been made lower case.
	Lower bool
	Loose Loose
}

// Loose also matches a text in ASCII of which something has been taken out, though it
// is still there. Zero-width assertions are then tried on both sides of it; what is
// no boundary of a word (\B) is said to be everywhere.
type Loose struct {
	Gaps   string // bytes that may stand before any character
	Blanks string // bytes of which any number stand for a space
	Before string // characters before which blanks may stand, too
}

// instruction is a step of a program. Those that consume nothing and ask nothing
// have been taken out by following them: see program.follow.
type instruction struct {
	op    syntax.InstOp // InstRune, InstEmptyWidth, InstMatch, InstAlt, InstNop or InstFail
	cond  syntax.EmptyOp
	set   int32 // of InstRune: place in program.sets
	out   int32
	other int32 // of InstAlt
	id    int32 // of InstMatch: the expression
}

// program is the expressions' programs, one behind the other.
type program struct {
	bytes  bool // a text's bytes are its characters
	code   []instruction
	starts []int32

	bounds  []rune      // first character of each class, in order
	class   [256]uint16 // of ASCII, or of all bytes
	classes int         // without that of the end
	sets    [][]uint64  // sets of classes, one bit each
	kinds   []kind      // of each class
}

// kind is what zero-width assertions ask of a character.
type kind uint8

const (
	begin kind = iota // there is no character before
	newline
	word
	other
	end // there is no character behind
)

func kindOf(r rune) kind {
	switch {
	case r == '\n':
		return newline
	case r == '_' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z':
		return word
	}
	return other
}

// sample is a character of the kind, for syntax.EmptyOpContext.
var sample = [...]rune{begin: -1, newline: '\n', word: 'a', other: ' ', end: -1}

func newProgram(list []Expression, bytes bool) (*program, error) {
	p := &program{bytes: bytes}
	var ranges [][]rune // of each set, before classes are known
	known := map[string]int32{}
	for id, e := range list {
		re, err := syntax.Parse(e.Text, syntax.Perl)
		if err != nil {
			return nil, fmt.Errorf("reading expression %d: %w", id, err)
		}
		prog, err := syntax.Compile(re.Simplify())
		if err != nil {
			return nil, fmt.Errorf("compiling expression %d: %w", id, err)
		}
		base := int32(len(p.code))
		p.starts = append(p.starts, base+int32(prog.Start))
		setOf := func(rs []rune) int32 {
			key := runesKey(rs)
			set, ok := known[key]
			if !ok {
				set = int32(len(ranges))
				ranges, known[key] = append(ranges, rs), set
			}
			return set
		}
		for i := range prog.Inst {
			in := &prog.Inst[i]
			c := instruction{op: in.Op, out: base + int32(in.Out)}
			switch in.Op {
			case syntax.InstAlt, syntax.InstAltMatch:
				c.op, c.other = syntax.InstAlt, base+int32(in.Arg)
			case syntax.InstCapture, syntax.InstNop:
				c.op = syntax.InstNop
			case syntax.InstEmptyWidth:
				c.cond = syntax.EmptyOp(in.Arg)
			case syntax.InstMatch:
				c.id = int32(id)
			case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
				c.op = syntax.InstRune
				rs := rangesOf(in)
				if e.Lower {
					rs = withUpper(rs)
				}
				c.set = setOf(e.Loose.widen(rs))
			}
			p.code = append(p.code, c)
		}
		if e.Loose != (Loose{}) {
			for i := range prog.Inst {
				var rs []rune
				if op := p.code[base+int32(i)].op; op == syntax.InstRune {
					rs = ranges[p.code[base+int32(i)].set]
				} else if op != syntax.InstEmptyWidth {
					continue
				} else if apart(prog, uint32(i)) {
					p.code[base+int32(i)].cond = 0
				}
				if gap := e.Loose.gap(rs); gap != nil {
					p.loosen(base+int32(i), setOf(gap))
				}
			}
		}
	}
	p.divide(ranges)
	return p, nil
}

// apart reports whether an assertion holds on the far side of what has been taken out, and
// is followed by one that holds on the near side: `\b^a` or `a$\b`. With something between
// the two there is no place for both in this order.
func apart(prog *syntax.Prog, pc uint32) bool {
	const ends, begins, words = syntax.EmptyEndLine | syntax.EmptyEndText, syntax.EmptyBeginLine | syntax.EmptyBeginText, syntax.EmptyWordBoundary
	var near syntax.EmptyOp
	switch cond := syntax.EmptyOp(prog.Inst[pc].Arg); {
	case cond&ends != 0:
		near = begins | words
	case cond&words != 0:
		near = begins
	default:
		return false
	}
	seen := map[uint32]bool{}
	next := []uint32{prog.Inst[pc].Out}
	for len(next) > 0 {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		switch in := &prog.Inst[at]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			next = append(next, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			next = append(next, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&near != 0 {
				return true
			}
			next = append(next, in.Out)
		}
	}
	return false
}

// runesKey tells lists of ranges apart.
func runesKey(rs []rune) string {
	key := make([]byte, 0, 4*len(rs))
	for _, r := range rs {
		key = binary.NativeEndian.AppendUint32(key, uint32(r))
	}
	return string(key)
}

// widen lets what takes a space take all that stands for one.
func (l Loose) widen(rs []rune) []rune {
	if !takesRune(rs, ' ') {
		return rs
	}
	return append(slices.Clone(rs), pairs(l.Blanks)...)
}

// gap is what may stand before an instruction that takes rs, or nil.
func (l Loose) gap(rs []rune) []rune {
	gaps := l.Gaps
	if takesRune(rs, ' ') || strings.ContainsFunc(l.Before, func(r rune) bool { return takesRune(rs, r) }) {
		gaps += l.Blanks
	}
	return pairs(gaps)
}

func takesRune(rs []rune, r rune) bool {
	for i := 0; i+1 < len(rs); i += 2 {
		if rs[i] <= r && r <= rs[i+1] {
			return true
		}
	}
	return false
}

func pairs(list string) (rs []rune) {
	for _, r := range list {
		rs = append(rs, r, r)
	}
	return rs
}

// loosen lets any number of characters of a set stand before an instruction, which
// moves to make room for the choice.
func (p *program) loosen(pc, set int32) {
	own, loop := int32(len(p.code)), int32(len(p.code))+1
	in := p.code[pc]
	if in.op == syntax.InstEmptyWidth && in.cond&syntax.EmptyNoWordBoundary != 0 {
		in.cond &^= syntax.EmptyNoWordBoundary
	}
	p.code = append(p.code, in, instruction{op: syntax.InstRune, set: set, out: pc})
	p.code[pc] = instruction{op: syntax.InstAlt, out: own, other: loop}
}

// rangesOf are the characters that an instruction takes, as pairs.
func rangesOf(in *syntax.Inst) []rune {
	switch in.Op {
	case syntax.InstRuneAny:
		return []rune{0, unicode.MaxRune}
	case syntax.InstRuneAnyNotNL:
		return []rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune}
	}
	if len(in.Rune) != 1 {
		return in.Rune
	}
	r := in.Rune[0]
	out := []rune{r, r}
	if syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			out = append(out, f, f)
		}
	}
	return out
}

// withUpper adds the upper-case forms of ASCII letters.
func withUpper(rs []rune) []rune {
	out := slices.Clone(rs)
	for i := 0; i+1 < len(rs); i += 2 {
		if lo, hi := max(rs[i], 'a'), min(rs[i+1], 'z'); lo <= hi {
			out = append(out, lo-'a'+'A', hi-'a'+'A')
		}
	}
	return out
}

// divide makes the classes: characters that no set and no assertion tells apart.
func (p *program) divide(ranges [][]rune) {
	bounds := map[rune]bool{0: true}
	mark := func(lo, hi rune) {
		bounds[lo] = true
		if hi < unicode.MaxRune {
			bounds[hi+1] = true
		}
	}
	for _, pair := range [][2]rune{{'\n', '\n'}, {'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}} {
		mark(pair[0], pair[1])
	}
	for _, rs := range ranges {
		for i := 0; i+1 < len(rs); i += 2 {
			mark(rs[i], rs[i+1])
		}
	}
	for r := range bounds {
		p.bounds = append(p.bounds, r)
	}
	slices.Sort(p.bounds)
	p.classes = len(p.bounds)
	for i := range p.class {
		p.class[i] = p.classOf(rune(i))
	}
	for _, r := range p.bounds {
		p.kinds = append(p.kinds, kindOf(r))
	}
	for _, rs := range ranges {
		set := make([]uint64, (p.classes+63)/64)
		for i := 0; i+1 < len(rs); i += 2 {
			for c := int(p.classOf(rs[i])); c < p.classes && p.bounds[c] <= rs[i+1]; c++ {
				set[c/64] |= 1 << (c % 64)
			}
		}
		p.sets = append(p.sets, set)
	}
}

func (p *program) classOf(r rune) uint16 {
	i, found := slices.BinarySearch(p.bounds, r)
	if !found {
		i--
	}
	return uint16(i)
}

func (p *program) takes(in *instruction, class int) bool {
	return p.sets[in.set][class/64]&(1<<(class%64)) != 0
}
