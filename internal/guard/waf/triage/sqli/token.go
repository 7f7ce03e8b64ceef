package sqli

import "strings"

// Kinds of tokens, as the library writes them into fingerprints.
const (
	keyword    byte = 'k'
	union      byte = 'U'
	group      byte = 'B'
	expression byte = 'E'
	sqlType    byte = 't'
	function   byte = 'f'
	bareWord   byte = 'n'
	number     byte = '1'
	variable   byte = 'v'
	quoted     byte = 's'
	operator   byte = 'o'
	logic      byte = '&'
	collate    byte = 'A'
	openParen  byte = '('
	closeParen byte = ')'
	leftBrace  byte = '{'
	rightBrace byte = '}'
	dot        byte = '.'
	comma      byte = ','
	colon      byte = ':'
	semicolon  byte = ';'
	tsql       byte = 'T'
	unknown    byte = '?'
)

// maxValue is how much of a token the library keeps.
const maxValue = 31

// token is one piece of a text.
type token struct {
	kind  byte
	sure  bool // whether opens is known
	opens bool // a phrase of the table begins with it
	value string
}

// unary reports whether the token is an operator that may stand before a value.
func (t *token) unary() bool {
	if t.kind != operator {
		return false
	}
	switch len(t.value) {
	case 1:
		c := t.value[0]
		return c == '+' || c == '-' || c == '!' || c == '~'
	case 2:
		return t.value == "!!"
	case 3:
		return equal("NOT", t.value)
	}
	return false
}

// lexer cuts a text into tokens.
type lexer struct {
	table *Table
	text  string
	at    int
	quote byte // the text is read as if it began behind this one
	// lost says that there was something that only the library understands.
	lost bool
}

// How a token begins, by its first byte.
const (
	atLost byte = iota // what only the library understands
	atWhite
	atWord
	atPrefix // a word, unless a quote follows the letter
	atNumber // or a dot
	atOperator
	atLongOperator // perhaps of two or three bytes
	atDash
	atSlash
	atQuote
	atVariable
	atBracket
	atSingle // the byte is the token's kind
	atOther
)

var begins = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case c <= ' ' || c == 0x7f || c == 0xa0:
			t[i] = atWhite
		case strings.IndexByte("bBeEnNqQuUxX", c) >= 0:
			t[i] = atPrefix
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80:
			t[i] = atWord
		case c >= '0' && c <= '9' || c == '.':
			t[i] = atNumber
		case strings.IndexByte("%+^~", c) >= 0:
			t[i] = atOperator
		case strings.IndexByte("!&*:<=>|", c) >= 0:
			t[i] = atLongOperator
		case c == '-':
			t[i] = atDash
		case c == '/':
			t[i] = atSlash
		case c == '\'' || c == '"':
			t[i] = atQuote
		case c == '@':
			t[i] = atVariable
		case c == '[':
			t[i] = atBracket
		case strings.IndexByte("(),;{}", c) >= 0:
			t[i] = atSingle
		case c == '?' || c == ']':
			t[i] = atOther
		}
	}
	return t
}()

// set is a set of bytes.
type set [256]bool

func setOf(s string) (t set) {
	for i := range len(s) {
		t[s[i]] = true
	}
	return t
}

// What ends words and variables.
var (
	endsWord     = setOf(" []{}<>:\\?=@!#~+-*/&|^%(),';\t\n\v\f\r\"\xa0\x00")
	endsVariable = setOf(" <>:\\?=@!#~+-*/&|^%(),';\t\n\v\f\r'`\"")
)

// next reads a token; false says that there is none, or that the lexer is lost.
func (l *lexer) next(t *token) bool {
	*t = token{}
	s := l.text
	if l.at == 0 && l.quote != 0 {
		l.at = l.string(t, 0, l.quote)
		return true
	}
	for l.at < len(s) {
		c := s[l.at]
		switch begins[c] {
		case atWhite:
			l.at++
			continue
		case atWord:
			return l.word(t)
		case atPrefix:
			if l.prefixed() {
				break
			}
			return l.word(t)
		case atNumber:
			if l.number(t) {
				return true
			}
			continue
		case atOperator:
			return l.one(t, operator)
		case atLongOperator:
			return l.operator(t)
		case atDash:
			if l.at+1 < len(s) && s[l.at+1] == '-' {
				break
			}
			return l.one(t, operator)
		case atSlash:
			if l.at+1 < len(s) && s[l.at+1] == '*' {
				break
			}
			return l.one(t, operator)
		case atQuote:
			l.at = l.string(t, l.at+1, c)
			return true
		case atVariable:
			if !l.variable(t) {
				break
			}
			return true
		case atBracket:
			end := strings.IndexByte(s[l.at:], ']') + 1
			if end == 0 {
				end = len(s) - l.at
			}
			return l.take(t, bareWord, end)
		case atSingle:
			return l.one(t, c)
		case atOther:
			return l.one(t, unknown)
		}
		l.lost = true
		return false
	}
	return false
}

// prefixed reports whether a string with a prefix may begin: x'…', nq'…', u&'…'.
func (l *lexer) prefixed() bool {
	s := l.text[l.at+1:]
	return len(s) > 0 && s[0] == '\'' || len(s) > 1 && s[1] == '\'' && (s[0] == '&' || s[0]|0x20 == 'q')
}

// take makes a token of the next n bytes.
func (l *lexer) take(t *token, kind byte, n int) bool {
	t.kind, t.value = kind, l.text[l.at:l.at+min(n, maxValue)]
	l.at += n
	return true
}

func (l *lexer) one(t *token, kind byte) bool { return l.take(t, kind, 1) }

// string reads up to the closing quote, from behind the opening one, and returns what
// is behind it. A quote twice is part of the string; backslashes there are none.
func (l *lexer) string(t *token, from int, quote byte) int {
	t.kind = quoted
	for i := from; ; {
		n := strings.IndexByte(l.text[i:], quote)
		switch {
		case n < 0:
			return len(l.text)
		case i+n+1 < len(l.text) && l.text[i+n+1] == quote:
			i += n + 2
		default:
			return i + n + 1
		}
	}
}

func (l *lexer) operator(t *token) bool {
	s := l.text[l.at:]
	if len(s) < 2 {
		return l.one(t, operator)
	}
	if strings.HasPrefix(s, "<=>") {
		return l.take(t, operator, 3)
	}
	if e := l.look(s[:2]); e != nil && e.kind != 0 {
		return l.take(t, e.kind, 2)
	}
	if s[0] == ':' {
		return l.one(t, colon)
	}
	return l.one(t, operator)
}

// inWord is what a byte is in a word: 0 ends it, special is a dot, a backtick or beyond
// ASCII, others are the byte in upper case.
var inWord = func() (t [256]byte) {
	for i := range t {
		switch {
		case endsWord[i]:
		case i == '.' || i == '`' || i >= 0x80:
			t[i] = special
		default:
			t[i] = max(upper[i], special+1)
		}
	}
	return t
}()

const special = 1

// word reads a word. One that begins with a word of the table and a dot is that one.
func (l *lexer) word(t *token) bool {
	s := l.text[l.at:]
	h, n, beyond := hashSeed, 0, false
	for ; n < len(s); n++ {
		u := inWord[s[n]]
		if u <= special {
			if u != special {
				break
			}
			c := s[n]
			if n < maxValue && c < 0x80 && !beyond && n > 0 {
				if e := l.table.find(h, s[:n], ""); e != nil && e.kind != 0 && e.kind != bareWord {
					t.sure, t.opens = true, e.opens
					return l.take(t, e.kind, n)
				}
			}
			if c >= 0x80 {
				beyond = true // no word of the table, but for what folds to ASCII
				if n+1 < len(s) && (c == 0xc4 && s[n+1] == 0xb1 || c == 0xc5 && s[n+1] == 0xbf) {
					l.lost = true
					return false
				}
			}
			u = c
		}
		h = (h ^ uint32(u)) * hashPrime
	}
	kind := bareWord
	if n <= maxValue {
		t.sure = true
		if !beyond {
			if e := l.table.find(h, s[:n], ""); e != nil {
				t.opens = e.opens
				if e.kind != 0 {
					kind = e.kind
				}
			}
		}
	}
	return l.take(t, kind, n)
}

// look finds a word in the table. One beyond ASCII is not there.
func (l *lexer) look(s string) *entry {
	if !ascii(s) {
		l.lost = l.lost || strings.Contains(s, "\u0131") || strings.Contains(s, "\u017f") // their upper case is in ASCII
		return nil
	}
	return l.table.find(hash(hashSeed, s), s, "")
}

// variable reads a name behind @ or @@; false says that it is quoted.
func (l *lexer) variable(t *token) bool {
	s, n := l.text, l.at+1
	if n < len(s) && s[n] == '@' {
		n++
	}
	if n < len(s) && (s[n] == '`' || s[n] == '\'' || s[n] == '"') {
		return false
	}
	l.at = n
	end := n
	for end < len(s) && !endsVariable[s[end]] {
		end++
	}
	return l.take(t, variable, end-n)
}

// number reads a number or a dot; false says that it was one with an empty exponent,
// which MySQL overlooks.
func (l *lexer) number(t *token) bool {
	s, start := l.text, l.at
	if s[start] == '0' && start+1 < len(s) {
		switch s[start+1] | 0x20 {
		case 'x':
			return l.digits(t, func(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' })
		case 'b':
			return l.digits(t, func(c byte) bool { return c == '0' || c == '1' })
		}
	}
	n := start
	digits := func() {
		for n < len(s) && isDigit(s[n]) {
			n++
		}
	}
	digits()
	if n < len(s) && s[n] == '.' {
		n++
		digits()
		if n-start == 1 {
			return l.one(t, dot)
		}
	}
	bare := false // an exponent without digits
	if n < len(s) && s[n]|0x20 == 'e' {
		n++
		if n < len(s) && (s[n] == '+' || s[n] == '-') {
			n++
		}
		from := n
		digits()
		bare = n == from
	}
	if n < len(s) && (s[n]|0x20 == 'd' || s[n]|0x20 == 'f') {
		// A suffix of Oracle's, if the number ends there.
		if n+1 == len(s) || isWhite(s[n+1]) || s[n+1] == ';' || s[n+1]|0x20 == 'u' {
			n++
		}
	}
	if bare {
		l.at = n
		return false
	}
	return l.take(t, number, n-start)
}

// digits reads a hexadecimal or binary number; without digits it is a name.
func (l *lexer) digits(t *token, is func(byte) bool) bool {
	n := 2
	for l.at+n < len(l.text) && is(l.text[l.at+n]) {
		n++
	}
	if n == 2 {
		return l.take(t, bareWord, 2)
	}
	return l.take(t, number, n)
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func isWhite(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' || c == 0xa0 || c == 0 }
