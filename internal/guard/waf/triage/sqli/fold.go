package sqli

import "strings"

// maxTokens is how many tokens a fingerprint has at most.
const maxTokens = 5

// Silent reports that libinjection certainly sees no SQL in a text.
func (t *Table) Silent(s string) bool {
	if !t.usable {
		return false
	}
	if strings.IndexByte(s, '\\') >= 0 {
		return false
	}
	return t.silent(s, 0) &&
		(strings.IndexByte(s, '\'') < 0 || t.silent(s, '\'')) &&
		(strings.IndexByte(s, '"') < 0 || t.silent(s, '"'))
}

// silent reads a text as if it began behind a quote, or behind none (0).
func (t *Table) silent(s string, quote byte) bool {
	f := folder{lexer: lexer{table: t, text: s, quote: quote}}
	n := f.fold()
	if f.done {
		// Wherever they stand, these make an attack of a text or are signs of one.
		return strings.IndexByte(s, '{') < 0 && strings.IndexByte(s, '`') < 0 && !strings.Contains(s, "/*")
	}
	if f.lost {
		return false
	}
	if n == 0 {
		return true
	}
	var fingerprint [maxTokens]byte
	h := fold(hashSeed, '0')
	for i := range n {
		fingerprint[i] = f.tokens[i].kind
		h = fold(h, fingerprint[i])
	}
	return !t.listed(h, fingerprint[:n])
}

// listed reports whether a fingerprint is one of SQL, or may be.
func (t *Table) listed(h uint32, fingerprint []byte) bool {
	want := tag(h)
	for i := place(h); t.slots[i] != 0; i = (i + 1) % tableSize {
		if t.slots[i] != want {
			continue
		}
		e := &t.list[t.entries[i]]
		same := len(e.key) == len(fingerprint)+1 && e.key[0] == '0'
		for j := 0; same && j < len(fingerprint); j++ {
			same = e.key[j+1] == upper[fingerprint[j]]
		}
		if same {
			return true
		}
	}
	return false
}

// folder folds tokens as the library does.
type folder struct {
	lexer
	tokens [8]token
	done   bool // the tokens at the beginning have told that there is no SQL
}

// dead reports whether the first n tokens, 2 or 3, are values with which no fingerprint
// of SQL begins. Whatever follows, they stay: what is folded keeps the first of its tokens
// where this is a value, and takes away no value that follows another. But names may
// begin a phrase, the last one may be that of a function, and a string before a string
// is one with it.
func (f *folder) dead(n int) bool {
	a, b, c := &f.tokens[0], &f.tokens[1], &f.tokens[2]
	if n == 2 {
		f.done = f.table.dead[spell(a.kind, b.kind, 0)] && a.staysBefore(b) && b.stays()
	} else {
		f.done = f.table.dead[spell(a.kind, b.kind, c.kind)] && a.staysBefore(b) && b.staysBefore(c) && c.stays()
	}
	return f.done
}

// stays reports whether a value is one whatever comes next.
func (t *token) stays() bool {
	return t.kind != bareWord || t.sure && !t.opens && !isCallable(t.value)
}

// staysBefore reports the same where another value comes next. Numbers and strings are
// part of no phrase.
func (t *token) staysBefore(next *token) bool {
	switch t.kind {
	case quoted:
		return next.kind != quoted
	case bareWord:
		return next.kind != bareWord || t.sure && !t.opens
	}
	return true
}

// merge makes one token of two that are a phrase of the table.
func (f *folder) merge(a, b *token) bool {
	switch a.kind {
	case keyword, bareWord, operator, union, function, expression, tsql, sqlType:
	default:
		return false
	}
	switch b.kind {
	case keyword, bareWord, operator, union, function, expression, tsql, sqlType, logic:
	default:
		return false
	}
	if a.sure && !a.opens || len(a.value)+len(b.value)+1 > maxValue+1 {
		return false
	}
	if !ascii(a.value) || !ascii(b.value) {
		// Two letters beyond ASCII are upper case in it: see lexer.look.
		f.look(a.value)
		f.look(b.value)
		return false
	}
	if b.value == "" {
		return false // no phrase ends with a space
	}
	h := hash(fold(hash(hashSeed, a.value), ' '), b.value)
	e := f.table.find(h, a.value, b.value)
	if e == nil || e.kind == 0 {
		return false
	}
	n := min(len(e.key), maxValue)
	*a = token{kind: e.kind, value: e.key[:n], sure: n == len(e.key), opens: e.opens}
	return true
}

// fold reads tokens and folds them until five are left or the text ends, and returns
// how many there are. It is the library's, case by case and in its order.
func (f *folder) fold() int {
	v := &f.tokens
	// A name behind a name folds to nothing, whatever comes next, unless it is a phrase.
	names := func(left int) bool {
		a := &v[left]
		return a.kind == bareWord && a.sure && !a.opens && v[left+1].kind == bareWord
	}
	pos, left, more := 0, 0, true
	for more {
		more = f.next(&v[0])
		if k := v[0].kind; k != openParen && k != sqlType && !v[0].unary() {
			break
		}
	}
	if !more {
		return 0 // nothing, or nothing but signs and brackets
	}
	pos++
	for {
		if pos >= maxTokens && f.five() {
			if pos > maxTokens {
				v[1] = v[maxTokens]
				left, pos = 1, 2
			} else {
				left, pos = 0, 1
			}
		}
		if !more || left >= maxTokens {
			left = pos
			break
		}
		for more && pos <= maxTokens && pos-left < 2 {
			if more = f.next(&v[pos]); more {
				pos++
			}
		}
		if f.lost {
			return 0
		}
		if pos-left < 2 {
			left = pos
			continue
		}
		if left == 0 && f.dead(2) {
			return 0
		}
		plain := names(left)
		if !plain && f.two(&pos, &left) {
			continue
		}
		if f.lost {
			return 0
		}
		for more && pos <= maxTokens && pos-left < 3 {
			if more = f.next(&v[pos]); more {
				pos++
			}
		}
		if f.lost {
			return 0
		}
		if pos-left < 3 {
			left = pos
			continue
		}
		if left == 0 && f.dead(3) {
			return 0
		}
		if plain || !f.three(&pos, &left) {
			left++
		}
	}
	return min(left, maxTokens)
}

// five reports whether the five tokens are one of the shapes of which the library
// keeps the first only.
func (f *folder) five() bool {
	k := func(i int) byte { return f.tokens[i].kind }
	return k(0) == number && (k(1) == operator || k(1) == comma) && k(2) == openParen && k(3) == number && k(4) == closeParen ||
		k(0) == bareWord && k(1) == operator && k(2) == openParen && (k(3) == bareWord || k(3) == number) && k(4) == closeParen ||
		k(0) == number && k(1) == closeParen && k(2) == comma && k(3) == openParen && k(4) == number ||
		k(0) == bareWord && k(1) == closeParen && k(2) == operator && k(3) == openParen && k(4) == bareWord
}

// callable are names that are functions where a bracket follows.
var callable = []string{
	"USER_ID", "USER_NAME", "DATABASE", "PASSWORD", "USER", "CURRENT_USER", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP",
}

// two folds the two tokens at left and reports whether it did.
func (f *folder) two(pos, left *int) bool {
	a, b := &f.tokens[*left], &f.tokens[*left+1]
	switch {
	case a.kind == quoted && b.kind == quoted, a.kind == semicolon && b.kind == semicolon:
		*pos--
		return true
	case (a.kind == operator || a.kind == logic) && (b.unary() || b.kind == sqlType):
		*pos--
		*left = 0
		return true
	case a.kind == openParen && b.unary(), f.merge(a, b):
		*pos--
		*left = max(*left-1, 0)
		return true
	case a.kind == semicolon && b.kind == function && len(b.value) > 1 && b.value[0]|0x20 == 'i' && b.value[1]|0x20 == 'f':
		b.kind = tsql
		return true
	case (a.kind == bareWord || a.kind == variable) && b.kind == openParen && isCallable(a.value):
		a.kind = function
		return true
	case a.kind == keyword && (equal("IN", a.value) || equal("NOT IN", a.value)):
		if b.kind == openParen {
			a.kind = operator
		} else {
			a.kind = bareWord
		}
		return true
	case a.kind == operator && (equal("LIKE", a.value) || equal("NOT LIKE", a.value)):
		if b.kind == openParen {
			a.kind = function
		}
	case a.kind == sqlType && (b.kind == bareWord || b.kind == number || b.kind == sqlType || b.kind == openParen || b.kind == function || b.kind == variable || b.kind == quoted):
		*a = *b
		*pos--
		*left = 0
		return true
	case a.kind == collate && b.kind == bareWord:
		if strings.IndexByte(b.value, '_') >= 0 {
			b.kind = sqlType
			*left = 0
		}
	case a.kind == openParen && b.kind == openParen, a.kind == closeParen && b.kind == closeParen:
		*pos--
		*left = 0
		return true
	case a.kind == leftBrace && b.kind == bareWord:
		if b.value == "" {
			f.lost = true // the library takes it for an attack
			return false
		}
		*pos -= 2
		*left = 0
		return true
	case b.kind == rightBrace:
		*pos--
		*left = 0
		return true
	}
	return false
}

func isCallable(s string) bool {
	for _, name := range callable {
		if equal(name, s) {
			return true
		}
	}
	return false
}

// three folds the three tokens at left and reports whether it did.
func (f *folder) three(pos, left *int) bool {
	a, b, c := &f.tokens[*left], &f.tokens[*left+1], &f.tokens[*left+2]
	value := func(t *token) bool {
		return t.kind == number || t.kind == bareWord || t.kind == quoted || t.kind == variable
	}
	switch {
	case a.kind == number && b.kind == operator && c.kind == number,
		a.kind == operator && b.kind != openParen && c.kind == operator,
		a.kind == logic && c.kind == logic,
		a.kind == variable && b.kind == operator && (c.kind == variable || c.kind == number || c.kind == bareWord),
		(a.kind == bareWord || a.kind == number) && b.kind == operator && (c.kind == number || c.kind == bareWord),
		value(a) && b.kind == operator && b.value == "::" && c.kind == sqlType,
		value(a) && b.kind == comma && value(c):
		*pos -= 2
		*left = 0
	case (a.kind == expression || a.kind == group || a.kind == comma) && b.unary() && c.kind == openParen,
		(a.kind == keyword || a.kind == expression || a.kind == group) && b.unary() && (value(c) || c.kind == function):
		*b = *c
		*pos--
		*left = 0
	case a.kind == comma && b.unary() && value(c):
		*b = *c
		*left = 0
		*pos -= 3
	case a.kind == comma && b.unary() && c.kind == function:
		*b = *c
		*pos--
		*left = 0
	case a.kind == bareWord && b.kind == dot && c.kind == bareWord:
		*pos -= 2
		*left = 0
	case a.kind == expression && b.kind == dot && c.kind == bareWord:
		*b = *c
		*pos--
		*left = 0
	case a.kind == function && b.kind == openParen && c.kind != closeParen:
		if equal("USER", a.value) {
			a.kind = bareWord
		}
		return false
	default:
		return false
	}
	return true
}
