package world

import (
	"cmp"
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

var bigOne = big.NewRat(1, 1)

func bigRat(n string) (*big.Rat, bool) {
	if n == "" || strings.ContainsAny(n, "eE/") || len(n) > 40 {
		return nil, false
	}
	return new(big.Rat).SetString(n)
}

// obey takes what an answer said to heart: it reports whether the next call
// will be another one. w.mu is held.
func (w *World) obey(c *Call, complaints []Complaint) bool {
	changed := false
	for i := range complaints {
		k := &complaints[i]
		if k.Field == "" {
			if k = firstWord(c, k); k == nil {
				continue
			}
		}
		where := w.placeOf(c, k)
		if where == "" {
			continue
		}
		below := within(c.Op, where)
		if len(below) > 0 && k.Rule == isRequired && len(c.values(where)) == 0 {
			// What is missing is an object. Where that is not enough, it is its members:
			// no object without any is one.
			if t := w.taughtOf(c.Op).get(where); !t.need {
				t.need, changed = true, true
				continue
			}
			for _, in := range below {
				changed = w.teach(c, in.Where(), k) || changed
			}
			continue
		}
		if w.teach(c, where, k) {
			changed = true
		}
	}
	return changed
}

// within are the inputs inside the member of a body that a place is; none where
// the place is an input itself.
func within(op *graph.Op, where string) []*graph.Input {
	if !strings.HasPrefix(where, "body./") || inputOf(op, where) != nil {
		return nil
	}
	var out, must []*graph.Input
	for _, in := range op.Inputs {
		switch {
		case in.ReadOnly || !strings.HasPrefix(in.Where(), where+"/"):
		case in.Required:
			must = append(must, in)
		case op.Kind == graph.Update && keepsOut(in):
		default:
			out = append(out, in)
		}
	}
	if len(must) > 0 {
		return must
	}
	return out
}

// keepsOut reports whether a change of an input could shut the caller out.
func keepsOut(in *graph.Input) bool {
	switch in.Meaning {
	case graph.MeansPassword, graph.MeansEmail, graph.MeansUsername, graph.MeansRole, graph.MeansToken, graph.MeansOTP:
		return true
	}
	return false
}

// values are those that a call has below a place.
func (c *Call) values(where string) []string {
	var out []string
	for _, w := range sortedKeys(c.Values) {
		if strings.HasPrefix(w, where+"/") {
			out = append(out, w)
		}
	}
	return out
}

var reFirstWord = regexp.MustCompile(`^["'\x60]?([A-Za-z_][\w\-]*)["'\x60]?:? (?:is|are|must|should|may|can|has|needs|does)\b`)

// firstWord reads a message that begins with the name of an input which is a word of
// the language as well ("to must be a whole number"): only the operation tells.
func firstWord(c *Call, k *Complaint) *Complaint {
	m := reFirstWord.FindStringSubmatch(k.Text)
	if m == nil {
		return nil
	}
	for _, in := range c.Op.Inputs {
		if in.Name == m[1] {
			told := *k
			told.Field = in.Name
			told.classify(strings.TrimPrefix(k.Text, m[1]))
			return &told
		}
	}
	return nil
}

// placeOf finds the input that a complaint is about; "" when it can be none.
func (w *World) placeOf(c *Call, k *Complaint) string {
	type candidate struct {
		where string
		score int
	}
	var best candidate
	path := strings.Split(k.Field, "/")
	plain := make([]string, 0, len(path))
	for _, p := range path {
		if _, is := index(p); !is {
			plain = append(plain, squeezed(p))
		}
	}
	if len(plain) == 0 {
		return ""
	}
	try := func(where string) {
		in, rest, _ := strings.Cut(where, ".")
		names := []string{squeezed(rest)}
		if in == "body" {
			names = names[:0]
			for _, t := range tokens(pattern(rest)) {
				if t != "*" {
					names = append(names, squeezed(t))
				}
			}
		}
		if len(names) == 0 || names[len(names)-1] != plain[len(plain)-1] {
			return
		}
		score := 10
		for i := 1; i < min(len(names), len(plain)); i++ {
			if names[len(names)-1-i] != plain[len(plain)-1-i] {
				score -= 3
				break
			}
			score += 2
		}
		if len(names) == len(plain) {
			score += 2
		}
		if k.In == in {
			score += 3
		}
		if _, sent := c.Values[where]; sent {
			score++
		}
		if score > best.score {
			best = candidate{where, score}
		}
	}
	for _, in := range c.Op.Inputs {
		try(in.Where())
	}
	for _, where := range sortedKeys(c.Values) {
		if in, rest, _ := strings.Cut(where, "."); in == "body" {
			try("body." + pattern(rest))
			continue
		}
		try(where)
	}
	for _, where := range sortedKeys(c.Files) {
		try(where)
	}
	if best.where != "" {
		return best.where
	}
	if k.Rule == isUnknown {
		return ""
	}
	// The description does not know it: an unknown member of the body, or of the query.
	name := path[len(path)-1]
	if strings.ContainsAny(name, " \t") {
		name = strings.ReplaceAll(strings.ToLower(name), " ", "_")
	}
	switch {
	case notNames[strings.ToLower(name)] && !k.Named && !reWrapper.MatchString(k.Text) || len(name) > 60:
		return ""
	case k.Rule != isRequired && k.Rule != isEnum && k.Rule != isType && k.Rule != isFormat:
		return ""
	case k.In == "query" || k.In == "header":
		return k.In + "." + name
	case c.Op.Method == http.MethodGet || c.Op.Method == http.MethodHead || c.Op.Method == http.MethodDelete:
		return "query." + name
	}
	pointer := ""
	for _, p := range path[:len(path)-1] {
		if _, is := index(p); is {
			p = "*"
		}
		pointer += "/" + value.EscapeToken(p)
	}
	return "body." + pointer + "/" + value.EscapeToken(name)
}

// teach changes what will be put into an input.
func (w *World) teach(c *Call, where string, k *Complaint) bool {
	t := w.taughtOf(c.Op).get(where)
	sent, was := c.Values[where]
	in := inputOf(c.Op, where)
	var s *schema.Schema
	name := where[strings.LastIndexAny(where, "./")+1:]
	if in != nil {
		s, name = in.Schema, in.Name
	}
	// use sets a value that a message asked for, even if the description would
	// not have it: the server knows better.
	use := func(texts ...string) bool {
		for _, text := range texts {
			if text != "" && text != sent && t.allows(text) {
				if was {
					t.refused = append(t.refused, sent)
				}
				t.need, t.text, t.fresh = true, text, ""
				w.share(in, name, t)
				return true
			}
		}
		return false
	}
	useFresh := func(shapes ...string) bool {
		for _, shape := range shapes {
			if shape != t.fresh && w.mint.fits(shape, s) {
				t.need, t.fresh, t.text = true, shape, ""
				return true
			}
		}
		return false
	}
	other := func() bool {
		if !was && c.Files[where].Content == nil {
			if t.need {
				return false
			}
			t.need = true
			return true
		}
		if was {
			t.refused = append(t.refused, sent)
		}
		t.next++
		t.text, t.fresh = "", ""
		return t.next < 8
	}
	switch k.Rule {
	case isRequired:
		if !was {
			if t.need && !t.ban {
				return false
			}
			t.need, t.ban = true, false
			return true
		}
		return other()
	case isUnknown:
		if !was || t.ban {
			return false
		}
		t.ban = true
		return true
	case isEnum:
		var texts []string
		for _, v := range k.Values {
			texts = append(texts, w.as(in, v))
		}
		if use(texts...) {
			return true
		}
		return other()
	case isType:
		return use(retyped(sent, k.Want)...) || other()
	case isLow, isHigh:
		if in != nil && in.Type == "string" && !isNumber(strings.Trim(sent, `"`)) || in == nil && strings.HasPrefix(sent, `"`) && !isNumber(strings.Trim(sent, `"`)) {
			return w.resize(k, sent, use, useFresh) || other()
		}
		if k.Bound != "" {
			return use(w.as(in, k.Bound)) || other()
		}
		return other()
	case isShort, isLong:
		if least, err := strconv.Atoi(k.Other); err == nil && k.Rule == isLong && len([]rune(scalarText(sent))) < least {
			short := *k // "4 to 6 characters" says both
			short.Rule, short.Bound = isShort, k.Other
			return w.resize(&short, sent, use, useFresh) || other()
		}
		return w.resize(k, sent, use, useFresh) || other()
	case isFormat:
		if k.Want == "email" && (in == nil || c.Op.Kind == graph.Create || c.Op.Has(graph.Register)) && useFresh(`"${canary}@example.com"`) {
			return true
		}
		return use(w.formatted(k, name, sent)...) || other()
	case isTaken:
		if useFresh(freshLike(sent)...) {
			return true
		}
		return other()
	case isMatch:
		for _, p := range sortedKeys(c.Values) {
			if n := squeezed(p[strings.LastIndexAny(p, "./")+1:]); p != where && k.Other != "" && n == squeezed(k.Other) {
				return use(c.Values[p])
			}
		}
		return other()
	case isFuture, isPast:
		days := 90
		if k.Rule == isPast {
			days = -90
		}
		return use(shifted(sent, days, w.o.Now())...) || other()
	}
	// What no rule says: the values that the message itself names, then others.
	var texts []string
	for _, text := range mentioned(k.Text) {
		texts = append(texts, w.as(in, scalarText(text)))
	}
	return use(texts...) || other()
}

func inputOf(op *graph.Op, where string) *graph.Input {
	for _, in := range op.Inputs {
		if in.Where() == where {
			return in
		}
	}
	return nil
}

// share lets other operations learn of a value by its name, where they know no better.
func (w *World) share(in *graph.Input, name string, t *lesson) {
	typ := ""
	if in != nil {
		if linked(in) {
			return
		}
		typ = in.Type
	}
	if len(squeezed(name)) > 2 {
		w.shared[typ+" "+squeezed(name)] = &lesson{text: t.text}
	}
}

// as writes a text as an input's type wants it.
func (w *World) as(in *graph.Input, text string) string {
	typ := ""
	if in != nil {
		typ = in.Type
	}
	switch {
	case (typ == "integer" || typ == "number" || typ == "") && isNumber(text):
		return text
	case (typ == "boolean" || typ == "") && (text == "true" || text == "false"):
		return text
	}
	return quoted(text)
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

// resize makes a text as long as a message wants it.
func (w *World) resize(k *Complaint, sent string, use func(...string) bool, useFresh func(...string) bool) bool {
	n, err := strconv.Atoi(k.Bound)
	if err != nil || n > 10_000 {
		n = 20
		if k.Rule == isLong || k.Rule == isHigh {
			n = 8
		}
	}
	text := []rune(scalarText(sent))
	switch {
	case k.Rule == isShort || k.Rule == isLow:
		if strings.HasPrefix(sent, "[") {
			return false
		}
		for len(text) < n {
			text = append(text, []rune("abcdefghij")[len(text)%10])
		}
	case len(text) > n:
		if n >= 10 && useFresh(`"u${number}"`) {
			return true
		}
		text = text[:n]
	default:
		return false
	}
	if isNumber(sent) {
		return use(strings.Repeat("1", max(1, n)))
	}
	return use(quoted(string(text)))
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

// blamed reports whether complaints say that an identifier names nothing.
func blamed(complaints []Complaint) bool {
	return slices.ContainsFunc(complaints, func(k Complaint) bool { return k.Rule == isAbsent })
}

// Offered lists the values that the answer to a refused call says an input may have.
func Offered(body []byte, input string) []string {
	for _, k := range readComplaints(body) {
		if k.Rule == isEnum && (k.Field == "" || squeezed(k.Field[strings.LastIndexByte(k.Field, '/')+1:]) == squeezed(input)) {
			return k.Values
		}
	}
	return nil
}
