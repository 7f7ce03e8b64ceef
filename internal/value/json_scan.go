package value

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// scan is the first pass: it checks src against RFC 8259 and the limits, and
// writes the tape. It keeps its own stack, so no document can overflow Go's.
func (s *scratch) scan(src []byte) *Error {
	var (
		i    int
		name entry // the pending member's name; zero inside an array and for the root
		str  span
		err  *Error
	)
	if len(src) >= 3 && src[0] == 0xEF && src[1] == 0xBB && src[2] == 0xBF {
		return s.fail(src, FaultSyntax, 0, "byte order mark")
	}

value:
	i = skipSpace(src, i)
	if i >= len(src) {
		return s.fail(src, FaultSyntax, i, "ends where a value should be")
	}
	if len(s.tape) >= s.lim.Nodes {
		return s.fail(src, FaultKeys, i, "more than %d values", s.lim.Nodes)
	}
	if top := len(s.frames) - 1; top >= 0 {
		s.frames[top].kid = uint32(len(s.tape))
	}
	name.start = uint32(i)
	s.tape = append(s.tape, name)
	{
		e := &s.tape[len(s.tape)-1]
		name = entry{}
		switch c := src[i]; c {
		case '{', '[':
			if len(s.frames) >= s.lim.Depth {
				return s.fail(src, FaultDepth, i, "nested more than %d deep", s.lim.Depth)
			}
			s.frames = append(s.frames, frame{node: uint32(len(s.tape) - 1)})
			i = skipSpace(src, i+1)
			if c == '{' {
				e.kind = Object
				if i < len(src) && src[i] == '}' {
					goto closed
				}
				goto member
			}
			e.kind = Array
			if i < len(src) && src[i] == ']' {
				goto closed
			}
			goto element
		case '"':
			e.kind = String
			if str, i, err = s.scanString(src, i); err != nil {
				return err
			}
			e.textOff, e.textLen, e.escText = str.off, str.len, str.esc
		case 't':
			e.kind = Bool
			if i, err = s.literal(src, i, "true"); err != nil {
				return err
			}
		case 'f':
			e.kind = Bool
			if i, err = s.literal(src, i, "false"); err != nil {
				return err
			}
		case 'n':
			if i, err = s.literal(src, i, "null"); err != nil {
				return err
			}
			e.end = uint32(i)
			goto after
		default:
			e.kind = Number
			if i, err = s.scanNumber(src, i); err != nil {
				return err
			}
		}
		e.end = uint32(i)
		if e.kind != String {
			e.textOff, e.textLen = e.start, e.end-e.start
		}
	}

after: // a value is complete
	{
		top := len(s.frames) - 1
		i = skipSpace(src, i)
		if top < 0 {
			if i < len(src) {
				return s.fail(src, FaultTrailing, i, "data after the document")
			}
			return nil
		}
		if i >= len(src) {
			return s.fail(src, FaultSyntax, i, "ends inside an array or object")
		}
		isArray := s.tape[s.frames[top].node].kind == Array
		switch c := src[i]; {
		case c == ',':
			i = skipSpace(src, i+1)
			if isArray {
				goto element
			}
			goto member
		case c == ']' && isArray, c == '}' && !isArray:
			goto closed
		}
		if isArray {
			return s.fail(src, FaultSyntax, i, "want a comma or ] after an array's element")
		}
		return s.fail(src, FaultSyntax, i, "want a comma or } after an object's member")
	}

element:
	{
		f := &s.frames[len(s.frames)-1]
		if int(f.n) >= s.lim.Items {
			return s.fail(src, FaultItems, i, "more than %d elements in an array", s.lim.Items)
		}
		f.n++
		goto value
	}

member:
	{
		f := &s.frames[len(s.frames)-1]
		f.kid = 0
		if i >= len(src) || src[i] != '"' {
			return s.fail(src, FaultSyntax, i, "want a member's name in quotes")
		}
		if int(f.n) >= s.lim.Keys {
			return s.fail(src, FaultKeys, i, "more than %d members in an object", s.lim.Keys)
		}
		f.n++
		if str, i, err = s.scanString(src, i); err != nil {
			return err
		}
		name = entry{nameOff: str.off, nameLen: str.len, escName: str.esc}
		i = skipSpace(src, i)
		if i >= len(src) || src[i] != ':' {
			return s.fail(src, FaultSyntax, i, "want a colon after a member's name")
		}
		i++
		goto value
	}

closed: // src[i] is the closing bracket
	{
		top := len(s.frames) - 1
		f := s.frames[top]
		s.frames = s.frames[:top]
		i++
		e := &s.tape[f.node]
		e.end, e.textLen = uint32(i), f.n
		goto after
	}
}

// span is where the text of a string lies: in the source, or in scratch.text when esc.
type span struct {
	off, len uint32
	esc      bool
}

func skipSpace(src []byte, i int) int {
	for i < len(src) && (src[i] == ' ' || src[i] == '\n' || src[i] == '\r' || src[i] == '\t') {
		i++
	}
	return i
}

func (s *scratch) literal(src []byte, i int, want string) (int, *Error) {
	end := i + len(want)
	if end > len(src) || string(src[i:end]) != want {
		return i, s.fail(src, FaultSyntax, i, "not a JSON value")
	}
	return end, nil
}

const (
	lows  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainEnd returns the index of the first byte from i on that ends a run of
// plain string bytes: a quote, a backslash, a control character or, unless
// wide, a byte that is not ASCII.
func plainEnd(src []byte, i int, wide bool) int {
	stop := uint64(highs)
	if wide {
		stop = 0
	}
	for i+8 <= len(src) {
		w := binary.LittleEndian.Uint64(src[i:])
		control := (w - 0x20*lows) &^ w
		q := w ^ '"'*lows
		quote := (q - lows) &^ q
		b := w ^ '\\'*lows
		slash := (b - lows) &^ b
		// A borrow can only spoil bytes above a true hit: the lowest is exact.
		if hit := ((control | quote | slash) & highs) | w&stop; hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
		i += 8
	}
	for i < len(src) {
		if c := src[i]; c == '"' || c == '\\' || c < 0x20 || (c >= 0x80 && !wide) {
			return i
		}
		i++
	}
	return i
}

// scanString reads the string whose quote is at src[i] and returns its text and
// the index after its closing quote.
func (s *scratch) scanString(src []byte, i int) (span, int, *Error) {
	start := i + 1
	i = plainEnd(src, start, false)
	ascii := true
	if i < len(src) && src[i] >= 0x80 {
		ascii = false
		i = plainEnd(src, i, true)
	}
	if i < len(src) && src[i] == '\\' {
		return s.scanEscaped(src, start, i)
	}
	if err := s.stringEnd(src, i); err != nil {
		return span{}, i, err
	}
	if i-start > s.lim.String {
		return span{}, i, s.fail(src, FaultString, start-1, "a string longer than %d bytes", s.lim.String)
	}
	if !ascii && !utf8.Valid(src[start:i]) {
		return span{}, i, s.badUTF8(src, start, i)
	}
	return span{off: uint32(start), len: uint32(i - start)}, i + 1, nil
}

// stringEnd explains what stopped a run of plain bytes when it is not the closing quote.
func (s *scratch) stringEnd(src []byte, i int) *Error {
	switch {
	case i >= len(src):
		return s.fail(src, FaultSyntax, i, "ends inside a string")
	case src[i] != '"':
		return s.fail(src, FaultSyntax, i, "a control character inside a string")
	}
	return nil
}

func (s *scratch) badUTF8(src []byte, from, to int) *Error {
	for from < to {
		r, n := utf8.DecodeRune(src[from:to])
		if r == utf8.RuneError && n == 1 {
			break
		}
		from += n
	}
	return s.fail(src, FaultInvalidUTF8, from, "bytes that are not UTF-8")
}

// scanEscaped reads a string with its first escape at src[i], decoding to s.text.
func (s *scratch) scanEscaped(src []byte, start, i int) (span, int, *Error) {
	out := span{off: uint32(len(s.text)), esc: true}
	plain := start
	for {
		if !utf8.Valid(src[plain:i]) {
			return out, i, s.badUTF8(src, plain, i)
		}
		s.text = append(s.text, src[plain:i]...)
		if i >= len(src) || src[i] != '\\' {
			if err := s.stringEnd(src, i); err != nil {
				return out, i, err
			}
			break
		}
		r, n, fault := unescape(src[i:])
		switch fault {
		case "":
		case FaultInvalidUTF8:
			return out, i, s.fail(src, fault, i, "an escape of half a surrogate pair")
		default:
			return out, i, s.fail(src, fault, i, "not an escape of JSON")
		}
		s.text = utf8.AppendRune(s.text, r)
		i += n
		plain = i
		i = plainEnd(src, i, true)
		if len(s.text)-int(out.off) > s.lim.String {
			break
		}
	}
	if len(s.text)-int(out.off) > s.lim.String {
		return out, i, s.fail(src, FaultString, start-1, "a string longer than %d bytes", s.lim.String)
	}
	out.len = uint32(len(s.text)) - out.off
	return out, i + 1, nil
}

// unescape decodes the escape at the head of b, which begins with a backslash,
// and returns its length in b. A surrogate pair is one escape of 12 bytes.
func unescape(b []byte) (rune, int, Fault) {
	if len(b) < 2 {
		return 0, 0, FaultSyntax
	}
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2, ""
	case 'b':
		return '\b', 2, ""
	case 'f':
		return '\f', 2, ""
	case 'n':
		return '\n', 2, ""
	case 'r':
		return '\r', 2, ""
	case 't':
		return '\t', 2, ""
	case 'u':
		r, ok := hex4(b[2:])
		switch {
		case !ok:
			return 0, 0, FaultSyntax
		case r < 0xD800 || r > 0xDFFF:
			return r, 6, ""
		case r > 0xDBFF || len(b) < 12 || b[6] != '\\' || b[7] != 'u':
			return 0, 0, FaultInvalidUTF8
		}
		low, ok := hex4(b[8:])
		if !ok || low < 0xDC00 || low > 0xDFFF {
			return 0, 0, FaultInvalidUTF8
		}
		return (r-0xD800)<<10 | (low - 0xDC00) + 0x10000, 12, ""
	}
	return 0, 0, FaultSyntax
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// scanNumber reads the number at src[i] and returns the index after it.
func (s *scratch) scanNumber(src []byte, i int) (int, *Error) {
	start := i
	end, exponent, ok := numberEnd(src, i)
	if !ok {
		if end == start {
			return i, s.fail(src, FaultSyntax, i, "not a JSON value")
		}
		return i, s.fail(src, FaultSyntax, start, "not a JSON number")
	}
	if end-start > s.lim.Digits {
		return i, s.fail(src, FaultNumberRange, start, "a number of more than %d characters", s.lim.Digits)
	}
	// Without an exponent, 300 characters can neither overflow nor vanish.
	if (exponent || end-start > 300) && !inRange(unsafe.String(&src[start], end-start)) {
		return i, s.fail(src, FaultNumberRange, start, "a number outside the range of a 64-bit float")
	}
	return end, nil
}

// numberEnd returns the end of the number at b[i] in the grammar of RFC 8259
// section 6, whether it has an exponent, and whether it is one.
func numberEnd(b []byte, i int) (end int, exponent, ok bool) {
	digits := func() bool {
		from := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
		if i < len(b) && b[i]-'0' <= 9 {
			return i, false, false // a leading zero
		}
	} else if !digits() {
		return i, false, false
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return i, false, false
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		exponent = true
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return i, true, false
		}
	}
	return i, exponent, true
}

// inRange reports whether a float64 holds the number without becoming infinite,
// and without becoming zero when it is not zero.
func inRange(literal string) bool {
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || math.IsInf(f, 0) {
		return false
	}
	return f != 0 || zeroMantissa(literal)
}

// zeroMantissa reports whether every digit before the exponent is 0.
func zeroMantissa(literal string) bool {
	for i := 0; i < len(literal); i++ {
		switch c := literal[i]; {
		case c == 'e' || c == 'E':
			return true
		case c >= '1' && c <= '9':
			return false
		}
	}
	return true
}
