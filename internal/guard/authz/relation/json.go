package relation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Sink takes a value in the order of its text. A Builder is one, a Tree another.
type Sink interface {
	Null()
	Bool(bool)
	Number(json string)
	String(string)
	Object()
	Key(string)
	Array()
	End() // of the object or array begun last
	Err() error
}

// JSON reads JSON (RFC 8259) from a stream into a Sink, without holding the
// text. Invalid UTF-8 is refused, and by the sinks duplicate keys.
type JSON struct {
	r    io.Reader
	b    Sink
	buf  []byte
	at   int   // in buf
	end  int   // of what was read into buf
	past int64 // bytes of the text before buf
	text []byte
	err  error // of the stream
}

// maxText bounds one string or number of a document.
const maxText = 1 << 20

// NewJSON reads from r into b.
func NewJSON(r io.Reader, b Sink) *JSON { return &JSON{r: r, b: b, buf: make([]byte, 64<<10)} }

// Document reads one value, which must be all that there is.
func (j *JSON) Document() error {
	if err := j.Value(); err != nil {
		return err
	}
	if c, ok := j.space(); ok {
		return j.wrong("%q stands after the document", c)
	}
	return j.ended()
}

// More reports whether another value follows, as in NDJSON.
func (j *JSON) More() (bool, error) {
	_, ok := j.space()
	if ok {
		return true, nil
	}
	return false, j.ended()
}

func (j *JSON) ended() error {
	if j.err != nil && !errors.Is(j.err, io.EOF) {
		return fmt.Errorf("reading JSON: %w", j.err)
	}
	return nil
}

func (j *JSON) wrong(format string, args ...any) error {
	if err := j.ended(); err != nil {
		return err
	}
	return fmt.Errorf("reading JSON at byte %d: %s", j.past+int64(j.at), fmt.Sprintf(format, args...))
}

// peek returns the next byte.
func (j *JSON) peek() (byte, bool) {
	if j.at < j.end {
		return j.buf[j.at], true
	}
	for j.err == nil {
		j.past += int64(j.end)
		j.at = 0
		j.end, j.err = j.r.Read(j.buf)
		if j.end > 0 {
			return j.buf[0], true
		}
	}
	j.end = 0
	j.at = 0
	return 0, false
}

func (j *JSON) space() (byte, bool) {
	for {
		c, ok := j.peek()
		if !ok || c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c, ok
		}
		j.at++
	}
}

// Value reads one value.
func (j *JSON) Value() error {
	c, ok := j.space()
	if !ok {
		return j.wrong("a value is missing")
	}
	switch c {
	case '{':
		return j.object()
	case '[':
		return j.array()
	case '"':
		s, err := j.string()
		if err != nil {
			return err
		}
		j.b.String(string(s))
	case 't':
		if err := j.word("true"); err != nil {
			return err
		}
		j.b.Bool(true)
	case 'f':
		if err := j.word("false"); err != nil {
			return err
		}
		j.b.Bool(false)
	case 'n':
		if err := j.word("null"); err != nil {
			return err
		}
		j.b.Null()
	default:
		s, err := j.number(c)
		if err != nil {
			return err
		}
		j.b.Number(s)
	}
	return j.b.Err()
}

func (j *JSON) word(w string) error {
	for i := range len(w) {
		if c, ok := j.peek(); !ok || c != w[i] {
			return j.wrong("%s is expected", w)
		}
		j.at++
	}
	return nil
}

func (j *JSON) object() error {
	j.at++
	if j.b.Object(); j.b.Err() != nil {
		return j.b.Err()
	}
	for first := true; ; first = false {
		c, ok := j.space()
		if ok && c == '}' && first {
			break
		}
		if !ok || c != '"' {
			return j.wrong("a key is expected")
		}
		key, err := j.string()
		if err != nil {
			return err
		}
		j.b.Key(string(key))
		if c, ok := j.space(); !ok || c != ':' {
			return j.wrong("a colon is expected")
		}
		j.at++
		if err := j.Value(); err != nil {
			return err
		}
		if c, ok = j.space(); ok && c == '}' {
			break
		}
		if !ok || c != ',' {
			return j.wrong("a comma or } is expected")
		}
		j.at++
	}
	j.at++
	j.b.End()
	return j.b.Err()
}

func (j *JSON) array() error {
	j.at++
	if j.b.Array(); j.b.Err() != nil {
		return j.b.Err()
	}
	for first := true; ; first = false {
		if c, ok := j.space(); ok && c == ']' && first {
			break
		}
		if err := j.Value(); err != nil {
			return err
		}
		c, ok := j.space()
		if ok && c == ']' {
			break
		}
		if !ok || c != ',' {
			return j.wrong("a comma or ] is expected")
		}
		j.at++
	}
	j.at++
	j.b.End()
	return j.b.Err()
}

// string reads a string; what it returns is good until the next call.
func (j *JSON) string() ([]byte, error) {
	j.at++
	j.text = j.text[:0]
	for {
		if _, ok := j.peek(); !ok {
			return nil, j.wrong("a string does not end")
		}
		run := j.buf[j.at:j.end]
		n := 0
		for n < len(run) && run[n] != '"' && run[n] != '\\' && run[n] >= 0x20 {
			n++
		}
		if len(j.text)+n > maxText {
			return nil, j.wrong("a string is longer than %d bytes", maxText)
		}
		j.text = append(j.text, run[:n]...)
		j.at += n
		if n == len(run) {
			continue
		}
		switch run[n] {
		case '"':
			j.at++
			if !utf8.Valid(j.text) {
				return nil, j.wrong("a string is not valid UTF-8")
			}
			return j.text, nil
		case '\\':
			j.at++
			if err := j.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, j.wrong("a control character stands in a string")
		}
	}
}

func (j *JSON) escape() error {
	c, ok := j.peek()
	if !ok {
		return j.wrong("a string does not end")
	}
	j.at++
	switch c {
	case '"', '\\', '/':
		j.text = append(j.text, c)
	case 'b':
		j.text = append(j.text, '\b')
	case 'f':
		j.text = append(j.text, '\f')
	case 'n':
		j.text = append(j.text, '\n')
	case 'r':
		j.text = append(j.text, '\r')
	case 't':
		j.text = append(j.text, '\t')
	case 'u':
		r, err := j.hex()
		if err != nil {
			return err
		}
		if utf16.IsSurrogate(r) {
			if err := j.word(`\u`); err != nil {
				return j.wrong("half of a surrogate pair")
			}
			low, err := j.hex()
			if err != nil {
				return err
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				return j.wrong("half of a surrogate pair")
			}
		}
		j.text = utf8.AppendRune(j.text, r)
	default:
		return j.wrong("unknown escape \\%c", c)
	}
	return nil
}

func (j *JSON) hex() (rune, error) {
	var r rune
	for range 4 {
		c, ok := j.peek()
		switch {
		case ok && c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case ok && c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, j.wrong("four hexadecimal digits are expected")
		}
		j.at++
	}
	return r, nil
}

// number reads what may be a number and checks that it is one.
func (j *JSON) number(c byte) (string, error) {
	j.text = j.text[:0]
	for ok := true; ok && (c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'); c, ok = j.peek() {
		if len(j.text) >= 1024 {
			return "", j.wrong("a number is longer than 1024 digits")
		}
		j.text = append(j.text, c)
		j.at++
	}
	if !isNumber(j.text) {
		if len(j.text) == 0 {
			return "", j.wrong("%q begins no value", c)
		}
		return "", j.wrong("%q is not a number", j.text)
	}
	return string(j.text), nil
}

// isNumber is the grammar of RFC 8259 section 6.
func isNumber(b []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		b = b[n:]
		return n > 0
	}
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) > 0 && b[0] == '0' {
		b = b[1:]
	} else if !digits() {
		return false
	}
	if len(b) > 0 && b[0] == '.' {
		b = b[1:]
		if !digits() {
			return false
		}
	}
	if len(b) > 0 && b[0]|0x20 == 'e' {
		b = b[1:]
		if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(b) == 0
}

// To has the values that follow written to another sink.
func (j *JSON) To(b Sink) { j.b = b }

// Enter steps into an array or object, whose elements Next then tells apart; it
// returns the byte that it begins with.
func (j *JSON) Enter() (byte, error) {
	c, ok := j.space()
	if !ok || c != '[' && c != '{' {
		return 0, j.wrong("an object or array is expected")
	}
	j.at++
	return c, nil
}

// Next goes to the next element of an array entered, or member of an object
// entered, of which it returns the key; false when there is none.
func (j *JSON) Next(begun byte, first bool) (key string, more bool, err error) {
	c, ok := j.space()
	if ok && c == begun+2 { // ']' or '}'
		j.at++
		return "", false, nil
	}
	if !first {
		if !ok || c != ',' {
			return "", false, j.wrong("a comma or %q is expected", begun+2)
		}
		j.at++
		c, ok = j.space()
	}
	if begun == '[' {
		return "", true, nil
	}
	if !ok || c != '"' {
		return "", false, j.wrong("a key is expected")
	}
	k, err := j.string()
	if err != nil {
		return "", false, err
	}
	key = string(k)
	if c, ok := j.space(); !ok || c != ':' {
		return "", false, j.wrong("a colon is expected")
	}
	j.at++
	return key, true, nil
}

// Any writes a value as encoding/json and YAML decoders give it.
func (b *Builder) Any(v any) {
	switch v := v.(type) {
	case nil:
		b.Null()
	case bool:
		b.Bool(v)
	case string:
		if !utf8.ValidString(v) {
			b.fail(errors.New("a string is not valid UTF-8"))
		}
		b.String(v)
	case json.Number:
		if !isNumber([]byte(v)) {
			b.fail(fmt.Errorf("%q is not a number", string(v)))
		}
		b.Number(string(v))
	case int:
		b.Number(strconv.Itoa(v))
	case int64:
		b.Number(strconv.FormatInt(v, 10))
	case uint64:
		b.Number(strconv.FormatUint(v, 10))
	case float64:
		text, err := json.Marshal(v)
		if err != nil {
			b.fail(fmt.Errorf("a number that JSON has not: %w", err))
		}
		b.Number(string(text))
	case []any:
		b.Array()
		for _, e := range v {
			b.Any(e)
		}
		b.End()
	case map[string]any:
		b.Object()
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b.Key(k)
			b.Any(v[k])
		}
		b.End()
	default:
		b.fail(fmt.Errorf("a value of type %T is not of JSON", v))
	}
}
