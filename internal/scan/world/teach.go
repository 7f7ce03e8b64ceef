package world

import (
	"cmp"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// teaching turns one complaint into what will be put into one input.
type teaching struct {
	w     *World
	c     *Call
	k     *Complaint
	where string
	t     *lesson
	in    *graph.Input   // nil: the description does not know it
	s     *schema.Schema // nil: anything
	name  string
	sent  string // JSON text
	was   bool   // something was sent
}

// teach changes what will be put into an input; false when nothing is left to try.
func (w *World) teach(c *Call, where string, k *Complaint) bool {
	l := &teaching{w: w, c: c, k: k, where: where, t: w.taughtOf(c.Op).get(where), in: inputOf(c.Op, where),
		name: where[strings.LastIndexAny(where, "./")+1:]}
	l.sent, l.was = c.Values[where]
	if l.in != nil {
		l.s, l.name = l.in.Schema, l.in.Name
	}
	return l.obey()
}

// use sets a value that a message asked for, even if the description would
// not have it: the server knows better.
func (l *teaching) use(texts ...string) bool {
	for _, text := range texts {
		if text != "" && text != l.sent && l.t.allows(text) {
			l.refuse()
			l.t.need, l.t.text, l.t.fresh = true, text, ""
			l.w.share(l.in, l.name, l.t)
			return true
		}
	}
	return false
}

// useFresh sets the shape of a value that is new with each call.
func (l *teaching) useFresh(shapes ...string) bool {
	for _, shape := range shapes {
		if shape != l.t.fresh && l.w.mint.fits(shape, l.s) {
			l.t.need, l.t.fresh, l.t.text = true, shape, ""
			return true
		}
	}
	return false
}

// other asks for another value than the one that was sent.
func (l *teaching) other() bool {
	if !l.was && l.c.Files[l.where].Content == nil {
		if l.t.need {
			return false
		}
		l.t.need = true
		return true
	}
	l.refuse()
	l.t.next++
	l.t.text, l.t.fresh = "", ""
	return l.t.next < 8
}

func (l *teaching) refuse() {
	if l.was {
		l.t.refused = append(l.t.refused, l.sent)
	}
}

// text reports whether the value is a text that is no number: of those, lengths are meant.
func (l *teaching) text() bool {
	if isNumber(strings.Trim(l.sent, `"`)) {
		return false
	}
	return l.in != nil && l.in.Type == "string" || l.in == nil && strings.HasPrefix(l.sent, `"`)
}

// obey does what the complaint's rule asks for.
func (l *teaching) obey() bool {
	switch l.k.Rule {
	case isRequired:
		if !l.was {
			if l.t.need && !l.t.ban {
				return false
			}
			l.t.need, l.t.ban = true, false
			return true
		}
		return l.other()
	case isUnknown:
		if !l.was || l.t.ban {
			return false
		}
		l.t.ban = true
		return true
	case isEnum:
		var texts []string
		for _, v := range l.k.Values {
			texts = append(texts, l.w.as(l.in, v))
		}
		if l.use(texts...) {
			return true
		}
		return l.other()
	case isType:
		return l.use(retyped(l.sent, l.k.Want)...) || l.other()
	case isLow, isHigh:
		if l.text() {
			return l.resize(l.k) || l.other()
		}
		if l.k.Bound != "" {
			return l.use(l.w.as(l.in, l.k.Bound)) || l.other()
		}
		return l.other()
	case isShort, isLong:
		if least, err := strconv.Atoi(l.k.Other); err == nil && l.k.Rule == isLong && len([]rune(scalarText(l.sent))) < least {
			short := *l.k // "4 to 6 characters" says both
			short.Rule, short.Bound = isShort, l.k.Other
			return l.resize(&short) || l.other()
		}
		return l.resize(l.k) || l.other()
	case isFormat:
		if l.k.Want == "email" && (l.in == nil || l.c.Op.Kind == graph.Create || l.c.Op.Has(graph.Register)) && l.useFresh(`"${canary}@example.com"`) {
			return true
		}
		return l.use(l.w.formatted(l.k, l.name, l.sent)...) || l.other()
	case isTaken:
		if l.useFresh(freshLike(l.sent)...) {
			return true
		}
		return l.other()
	case isMatch:
		for _, p := range sortedKeys(l.c.Values) {
			if n := squeezed(p[strings.LastIndexAny(p, "./")+1:]); p != l.where && l.k.Other != "" && n == squeezed(l.k.Other) {
				return l.use(l.c.Values[p])
			}
		}
		return l.other()
	case isFuture, isPast:
		days := 90
		if l.k.Rule == isPast {
			days = -90
		}
		return l.use(shifted(l.sent, days, l.w.o.Now())...) || l.other()
	}
	// What no rule says: the values that the message itself names, then others.
	var texts []string
	for _, text := range mentioned(l.k.Text) {
		texts = append(texts, l.w.as(l.in, scalarText(text)))
	}
	return l.use(texts...) || l.other()
}

// resize makes a text as long as a message wants it.
func (l *teaching) resize(k *Complaint) bool {
	n, err := strconv.Atoi(k.Bound)
	if err != nil || n < 0 || n > 10_000 { // the target's word, and no length there is
		n = 20
		if k.Rule == isLong || k.Rule == isHigh {
			n = 8
		}
	}
	text := []rune(scalarText(l.sent))
	switch {
	case k.Rule == isShort || k.Rule == isLow:
		if strings.HasPrefix(l.sent, "[") {
			return false
		}
		for len(text) < n {
			text = append(text, []rune("abcdefghij")[len(text)%10])
		}
	case len(text) > n:
		if n >= 10 && l.useFresh(`"u${number}"`) {
			return true
		}
		text = text[:n]
	default:
		return false
	}
	if isNumber(l.sent) {
		return l.use(strings.Repeat("1", max(1, n)))
	}
	return l.use(quoted(string(text)))
}

// formatted lists values of a format.
func (w *World) formatted(k *Complaint, name, sent string) []string {
	when := w.moment(wordsOf(name))
	text := scalarText(sent)
	var out []string
	if l := layoutOf(k.Text); l != "" && (k.Want == "date" || k.Want == "date-time" || k.Want == "time") {
		out = append(out, quoted(when.Format(l)))
	}
	switch k.Want {
	case "email":
		out = append(out, `"crenel@example.com"`)
	case "uuid":
		out = append(out, quoted(uuidOf(w.mint.sum())))
	case "url":
		out = append(out, `"https://example.com/a"`, `"https://www.example.com/"`, `"http://example.com/"`)
	case "phone":
		out = append(out, `"+4915112345678"`, `"+14155552671"`, `"4155552671"`, `"+919876543210"`, `"9876543210"`)
	case "date":
		for _, l := range []string{"2006-01-02", "2006-01-02T15:04:05Z", "02/01/2006", "01/02/2006", "2006-01-02 15:04:05"} {
			out = append(out, quoted(when.Format(l)))
		}
	case "date-time":
		for _, l := range []string{"2006-01-02T15:04:05Z", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04:05.000Z", "2006-01-02T15:04"} {
			out = append(out, quoted(when.Format(l)))
		}
		out = append(out, strconv.FormatInt(when.Unix(), 10))
	case "time":
		out = append(out, `"10:00"`, `"10:00:00"`)
	case "ip":
		out = append(out, `"192.0.2.1"`)
	case "card":
		out = append(out, `"4242424242424242"`, `"4111111111111111"`, `"5555555555554444"`)
	case "iban":
		out = append(out, `"DE89370400440532013000"`, `"GB82WEST12345698765432"`)
	case "objectid":
		out = append(out, `"65f1c0ffee65f1c0ffee65f1"`)
	case "letters":
		out = append(out, `"Crenel"`, `"crenel"`)
	case "alphanumeric":
		out = append(out, `"crenel1"`, `"CRENEL01"`)
	case "digits":
		out = append(out, `"1234567890"`, `"123456"`, `"1234"`)
	case "uppercase":
		out = append(out, quoted(strings.ToUpper(text)))
	case "lowercase":
		out = append(out, quoted(strings.ToLower(text)))
	case "base64":
		out = append(out, `"QSBub3RlLg=="`)
	case "country":
		out = append(out, `"DE"`, `"DEU"`)
	case "currency":
		out = append(out, `"EUR"`, `"USD"`)
	case "password":
		out = append(out, `"Cr3nel-Pass!word"`, `"Cr3nel!9"`)
	}
	return append(mentioned(k.Text), out...)
}

// retyped writes a value as another type.
func retyped(sent, want string) []string {
	text := scalarText(sent)
	switch want {
	case "integer", "number":
		if isNumber(text) && !strings.Contains(text, ".") {
			return []string{text, "1"}
		}
		return []string{"1"}
	case "boolean":
		return []string{"true"}
	case "string":
		if strings.HasPrefix(sent, `"`) {
			return nil
		}
		return []string{quoted(text)}
	case "array":
		if strings.HasPrefix(sent, "[") {
			return []string{`["crenel"]`, "[1]"}
		}
		return []string{"[" + cmp.Or(sent, `"crenel"`) + "]", "[]"}
	case "object":
		return []string{"{}"}
	}
	return nil
}

// freshLike are shapes of fresh values that look like what was refused as taken.
func freshLike(sent string) []string {
	text := scalarText(sent)
	switch {
	case strings.Contains(text, "@"):
		return []string{`"${canary}@example.com"`}
	case !strings.HasPrefix(sent, `"`):
		return []string{"${number}"}
	case len(text) == 36 && strings.Count(text, "-") == 4:
		return []string{`"${uuid}"`}
	case isNumber(strings.TrimPrefix(text, "+")):
		return []string{`"+49${number}"`, `"9${number}"`, `"${number}"`}
	}
	return []string{`"${canary}"`, `"${canary|upper}"`, `"u${number}"`, `"${number}"`}
}

// shifted moves a date, in the layout that it is written in.
func shifted(sent string, days int, now time.Time) []string {
	text := scalarText(sent)
	to := now.UTC().Truncate(24*time.Hour).Add(10*time.Hour).AddDate(0, 0, days)
	for _, l := range exampleLayouts {
		if _, err := time.Parse(l, text); err == nil {
			return []string{quoted(to.Format(l))}
		}
	}
	if isNumber(text) {
		return []string{strconv.FormatInt(to.Unix(), 10), strconv.FormatInt(to.UnixMilli(), 10)}
	}
	return []string{quoted(to.Format("2006-01-02")), quoted(to.Format("2006-01-02T15:04:05Z"))}
}
