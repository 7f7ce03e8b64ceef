package value

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Pair is one name=value of a query or a form, in the order sent.
type Pair struct {
	Name, Value       string // percent-decoded, + as a space; valid UTF-8
	RawName, RawValue string // as sent
	Offset            int    // of RawName in the source
	// HasEquals is false for a name alone ("?debug"), whose Value is "".
	HasEquals bool
}

// Query decodes the query of a URL (without the question mark) as
// application/x-www-form-urlencoded, in order and with repetitions: what a
// parameter's style makes of them is the contract's business.
//
// It is strict where servers disagree: a percent sign must begin an escape of
// two hex digits, names and values must be UTF-8, control characters and bytes
// that a URL cannot hold must be escaped. A semicolon separates nothing. Empty
// pairs ("a=1&&b=2") are skipped. The error is always an *Error; Limits.Keys
// bounds the pairs and Limits.String each name and value.
func Query(raw string, lim Limits) ([]Pair, error) {
	pairs, err := splitPairs(raw, lim.WithDefaults())
	if err != nil {
		return nil, err
	}
	return pairs, nil
}

// Form decodes a body of media type application/x-www-form-urlencoded into an
// Object of Strings, by the rules of Query. A field that comes again becomes an
// Array of its values, at the place of the first; the schema says whether it
// may. All Strings are Untyped; Start and End are those of the raw value (of
// the first to the last value, for an Array).
func Form(src []byte, lim Limits) (*Value, error) {
	lim = lim.WithDefaults()
	pairs, err := splitPairs(string(src), lim)
	if err != nil {
		return nil, err
	}
	if len(pairs)+1 > lim.Nodes {
		return nil, &Error{Fault: FaultKeys, Detail: fmt.Sprintf("more than %d values", lim.Nodes)}
	}
	g := group{kids: make([]Value, 0, len(pairs))}
	for i := range pairs {
		p := &pairs[i]
		at := p.Offset + len(p.RawName)
		if p.HasEquals {
			at++
		}
		v := Value{
			Name: p.Name, Text: p.Value, Kind: String, Untyped: true,
			Start: uint32(at), End: uint32(at + len(p.RawValue)),
		}
		if _, err := g.add(v, p.Offset, &lim); err != nil {
			return nil, err
		}
	}
	return &Value{Kind: Object, Kids: g.kids, End: uint32(len(src))}, nil
}

func splitPairs(raw string, lim Limits) ([]Pair, *Error) {
	if uint64(len(raw)) >= 1<<32 {
		return nil, &Error{Fault: FaultSyntax, Detail: "a form of 4 GiB or more"}
	}
	if raw == "" {
		return nil, nil
	}
	pairs := make([]Pair, 0, min(strings.Count(raw, "&")+1, lim.Keys))
	for at := 0; at <= len(raw); {
		end := strings.IndexByte(raw[at:], '&')
		if end < 0 {
			end = len(raw)
		} else {
			end += at
		}
		if end > at {
			if len(pairs) >= lim.Keys {
				return nil, &Error{Fault: FaultKeys, Offset: at, Detail: fmt.Sprintf("more than %d fields", lim.Keys)}
			}
			p := Pair{Offset: at, RawName: raw[at:end]}
			if eq := strings.IndexByte(p.RawName, '='); eq >= 0 {
				p.RawName, p.RawValue, p.HasEquals = p.RawName[:eq], p.RawName[eq+1:], true
			}
			var err *Error
			if p.Name, err = unescapeForm(p.RawName, at, lim.String); err != nil {
				return nil, err
			}
			if p.Value, err = unescapeForm(p.RawValue, end-len(p.RawValue), lim.String); err != nil {
				err.Pointer = string(appendToken(nil, p.Name))
				return nil, err
			}
			pairs = append(pairs, p)
		}
		at = end + 1
	}
	return pairs, nil
}

// unescapeForm decodes one name or value. It copies only when there is something to decode.
func unescapeForm(s string, offset, limit int) (string, *Error) {
	plain := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%' || c == '+':
			plain = false
		case c <= 0x20 || c == 0x7F:
			return "", &Error{Fault: FaultSyntax, Offset: offset + i, Detail: "a space or control character that is not escaped"}
		}
	}
	out := s
	if !plain {
		b := make([]byte, 0, len(s))
		for i := 0; i < len(s); i++ {
			switch c := s[i]; c {
			case '+':
				b = append(b, ' ')
			case '%':
				if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
					return "", &Error{Fault: FaultSyntax, Offset: offset + i, Detail: "a percent sign without two hex digits"}
				}
				b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
				i += 2
			default:
				b = append(b, c)
			}
		}
		out = string(b)
	}
	if len(out) > limit {
		return "", &Error{Fault: FaultString, Offset: offset, Detail: fmt.Sprintf("a name or value longer than %d bytes", limit)}
	}
	if !utf8.ValidString(out) {
		return "", &Error{Fault: FaultInvalidUTF8, Offset: offset, Detail: "a name or value that is not UTF-8"}
	}
	return out, nil
}

func isHex(c byte) bool {
	return c-'0' <= 9 || c-'a' <= 5 || c-'A' <= 5
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// Text decodes a body of media type text/plain into one String. It must be
// UTF-8, without a byte order mark, and hold no NUL, at which C programs stop
// reading. Like JSON's, the String shares src's memory.
func Text(src []byte, lim Limits) (*Value, error) {
	lim = lim.WithDefaults()
	switch {
	case uint64(len(src)) >= 1<<32 || len(src) > lim.String:
		return nil, &Error{Fault: FaultString, Detail: fmt.Sprintf("a text longer than %d bytes", lim.String)}
	case bytes.HasPrefix(src, []byte("\xEF\xBB\xBF")):
		return nil, &Error{Fault: FaultSyntax, Detail: "byte order mark"}
	case bytes.IndexByte(src, 0) >= 0:
		return nil, &Error{Fault: FaultSyntax, Offset: bytes.IndexByte(src, 0), Detail: "a NUL byte"}
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, &Error{Fault: FaultInvalidUTF8, Offset: i, Detail: "bytes that are not UTF-8"}
		}
		i += n
	}
	return &Value{Kind: String, Text: shared(src), End: uint32(len(src)), Untyped: true}, nil
}
