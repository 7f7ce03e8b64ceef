package rewrite

import "github.com/crenel-project/crenel/internal/value"

// stringCheck checks the content of a JSON string as its bytes come: escapes,
// surrogate pairs, UTF-8 and control characters. The zero stringCheck stands
// behind the opening quote.
type stringCheck struct {
	escapes  bool // an escape was seen
	mode     stringMode
	left     uint8  // hex digits or continuation bytes to come
	low, top byte   // bounds of the next continuation byte
	unit     uint16 // the escape's code unit so far
	pair     bool   // a high surrogate came: a low one must follow
}

type stringMode uint8

const (
	plain     stringMode = iota
	backslash            // behind a backslash
	hexDigits            // in \u
	continued            // in a UTF-8 sequence
	wantSlash            // behind a high surrogate
	wantU                // behind that one's backslash
)

const firstPlain = 0x20 // the first byte that is no control character

// plainByte are the bytes that stand for themselves.
var plainByte = func() (t [256]bool) {
	for c := firstPlain; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// scan takes bytes up to the closing quote, or all of p. It returns how many it
// took, whether the string is complete, and what is wrong with the byte after
// the ones taken.
func (s *stringCheck) scan(p []byte) (int, bool, value.Fault) {
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch s.mode {
		case plain:
			for plainByte[c] {
				if i++; i == len(p) {
					return i, false, ""
				}
				c = p[i]
			}
			switch {
			case c == '"':
				return i + 1, true, ""
			case c == '\\':
				s.mode, s.escapes = backslash, true
			case c < firstPlain:
				return i, false, value.FaultSyntax
			case !s.lead(c):
				return i, false, value.FaultInvalidUTF8
			}
		case continued:
			if c < s.low || c > s.top {
				return i, false, value.FaultInvalidUTF8
			}
			s.low, s.top = 0x80, 0xBF
			if s.left--; s.left == 0 {
				s.mode = plain
			}
		case backslash:
			switch c {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				s.mode = plain
			case 'u':
				s.mode, s.left, s.unit = hexDigits, 4, 0
			default:
				return i, false, value.FaultSyntax
			}
		case hexDigits:
			d, ok := hexDigit(c)
			if !ok {
				return i, false, value.FaultSyntax
			}
			s.unit = s.unit<<4 | uint16(d)
			if s.left--; s.left == 0 && !s.unitDone() {
				return i, false, value.FaultInvalidUTF8
			}
		case wantSlash:
			if c != '\\' {
				return i, false, value.FaultInvalidUTF8
			}
			s.mode = wantU
		case wantU:
			if c != 'u' {
				return i, false, value.FaultInvalidUTF8
			}
			s.mode, s.left, s.unit = hexDigits, 4, 0
		}
	}
	return len(p), false, ""
}

// unitDone takes the code unit of a \u escape.
func (s *stringCheck) unitDone() bool {
	high, low := s.unit >= 0xD800 && s.unit < 0xDC00, s.unit >= 0xDC00 && s.unit < 0xE000
	if low != s.pair {
		return false
	}
	s.mode, s.pair = plain, high
	if high {
		s.mode = wantSlash
	}
	return true
}

// lead takes the first byte of a UTF-8 sequence (Unicode, table 3-7).
func (s *stringCheck) lead(c byte) bool {
	s.mode, s.low, s.top = continued, 0x80, 0xBF
	switch {
	case c >= 0xC2 && c <= 0xDF:
		s.left = 1
	case c >= 0xE0 && c <= 0xEF:
		s.left = 2
		if c == 0xE0 {
			s.low = 0xA0
		} else if c == 0xED {
			s.top = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		s.left = 3
		if c == 0xF0 {
			s.low = 0x90
		} else if c == 0xF4 {
			s.top = 0x8F
		}
	default:
		return false
	}
	return true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c-'0' <= 9:
		return c - '0', true
	case c-'a' <= 5:
		return c - 'a' + 10, true
	case c-'A' <= 5:
		return c - 'A' + 10, true
	}
	return 0, false
}
