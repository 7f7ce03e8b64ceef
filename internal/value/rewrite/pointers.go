package rewrite

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// Mask is what stands in place of a masked scalar when nobody says otherwise: a
// string becomes "***", a number or boolean null.
func Mask(kind value.Kind, _ string) []byte {
	if kind == value.String {
		return stars
	}
	return null
}

var stars, null = []byte(`"***"`), []byte("null")

// Pointers returns a Filter that drops and masks by JSON pointer (RFC 6901). A
// token * stands for any one name or index, ** for any number of tokens, also
// none. To mask an object or array is to mask every scalar in it. replace makes
// the mask of a scalar; nil is Mask.
//
// All mistakes are reported together.
func Pointers(drop, mask []string, replace func(kind value.Kind, text string) []byte) (Filter, error) {
	p := &pointers{replace: replace}
	if replace == nil {
		p.replace = Mask
	}
	var wrong []error
	add := func(list []string, end token) {
		for _, pattern := range list {
			if err := p.add(pattern, end); err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	add(drop, token{kind: endDrop})
	add(mask, token{kind: endMask})
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	p.words = (len(p.tokens) + 63) / 64
	return p, nil
}

// pointers runs all patterns at once as one automaton without backtracking: a
// position is a token of a pattern that may come next, a State the set of them.
type pointers struct {
	tokens  []token // the patterns one after another, each with its end
	starts  []int
	words   int // of a set of positions
	replace func(kind value.Kind, text string) []byte
}

type tokenKind uint8

const (
	literal tokenKind = iota
	anyOne
	anyDepth
	endDrop
	endMask
)

type token struct {
	kind  tokenKind
	name  string
	index int // name as an array's index, -1 when it is none
}

func (p *pointers) add(pattern string, end token) error {
	if pattern == "" || pattern[0] != '/' {
		return fmt.Errorf("pointer %q: want a JSON pointer that begins with a slash, such as /items/*/name", pattern)
	}
	p.starts = append(p.starts, len(p.tokens))
	for _, s := range strings.Split(pattern[1:], "/") {
		switch {
		case s == "*":
			p.tokens = append(p.tokens, token{kind: anyOne})
		case s == "**":
			p.tokens = append(p.tokens, token{kind: anyDepth})
		case badEscape(s):
			return fmt.Errorf("pointer %q: a tilde stands only in ~0 (a tilde) and ~1 (a slash)", pattern)
		default:
			p.tokens = append(p.tokens, token{name: value.UnescapeToken(s), index: indexOf(s)})
		}
	}
	p.tokens = append(p.tokens, end)
	return nil
}

func indexOf(s string) int {
	if n, err := strconv.Atoi(s); err == nil && strconv.Itoa(n) == s {
		return n
	}
	return -1
}

func badEscape(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] == '~' && (i+1 == len(s) || (s[i+1] != '0' && s[i+1] != '1')) {
			return true
		}
	}
	return false
}

// put adds a position to a set, and those that follow it without a token.
func (p *pointers) put(set []uint64, at int) {
	for {
		set[at/64] |= 1 << (at % 64)
		if p.tokens[at].kind != anyDepth {
			return
		}
		at++
	}
}

// step fills next with the positions after one more token of the document: a
// name, or an index when index is not negative.
func (p *pointers) step(set, next []uint64, name string, index int) {
	for w, word := range set {
		for ; word != 0; word &= word - 1 {
			at := w*64 + bits.TrailingZeros64(word)
			switch t := &p.tokens[at]; t.kind {
			case literal:
				if (index < 0 && t.name == name) || (index >= 0 && t.index == index) {
					p.put(next, at+1)
				}
			case anyOne:
				p.put(next, at+1)
			case anyDepth, endMask: // all below a masked value is masked
				p.put(next, at)
			}
		}
	}
}

// reached returns whether the set holds the end of a pattern to drop, and of one to mask.
func (p *pointers) reached(set []uint64) (drop, mask bool) {
	for w, word := range set {
		for ; word != 0; word &= word - 1 {
			switch p.tokens[w*64+bits.TrailingZeros64(word)].kind {
			case endDrop:
				drop = true
			case endMask:
				mask = true
			}
		}
	}
	return drop, mask
}

func (p *pointers) Root() State {
	set := make([]uint64, p.words)
	for _, at := range p.starts {
		p.put(set, at)
	}
	if p.words == 1 {
		return State{Bits: set[0]}
	}
	return State{Ref: set}
}

func (p *pointers) Member(s State, name string) (State, Action) { return p.next(s, name, -1) }

func (p *pointers) Item(s State, i int) (State, Action) { return p.next(s, "", i) }

func (p *pointers) next(s State, name string, index int) (State, Action) {
	if p.words <= 1 {
		set, next := [1]uint64{s.Bits}, [1]uint64{}
		p.step(set[:], next[:], name, index)
		return State{Bits: next[0]}, p.rule(next[:])
	}
	set, _ := s.Ref.([]uint64)
	next := make([]uint64, p.words)
	p.step(set, next, name, index)
	return State{Ref: next}, p.rule(next)
}

func (p *pointers) rule(set []uint64) Action {
	if drop, _ := p.reached(set); drop {
		return Drop
	}
	for _, word := range set {
		if word != 0 {
			return Keep
		}
	}
	return Pass
}

func (p *pointers) Scalar(s State, kind value.Kind, text string) ([]byte, Action) {
	narrow := [1]uint64{s.Bits}
	set := narrow[:]
	if p.words > 1 {
		set, _ = s.Ref.([]uint64)
	}
	if _, mask := p.reached(set); mask && kind != value.Null {
		return p.replace(kind, text), Replace
	}
	return nil, Keep
}
