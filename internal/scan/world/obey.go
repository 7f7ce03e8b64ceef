package world

import (
	"math/big"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
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
func (w *World) obey(c *Call, complaints []Complaint) (changed bool) {
	defer w.survive(c.Op)
	for i := range complaints {
		k := &complaints[i]
		if k.Field == "" {
			if told := firstWord(c, k); told != nil {
				k = told
			} else if onlyText(c, k) == "" {
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
	if k.Field == "" {
		return onlyText(c, k)
	}
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
