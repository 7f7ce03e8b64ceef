package actor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"mime/multipart"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// form is one operation filled in with the facts of an account: how a
// registration or a login is written.
type form struct {
	op    *graph.Op
	media string
	// which optional inputs go along: 0 those that make an account, 1 all plain ones, 2 none
	breadth int
	over    map[string]any  // by Input.Where: what is sent whatever the facts say
	drop    map[string]bool // by Input.Where: left out
	take    map[string]bool // by Input.Where: goes along although optional
	as      map[string]string
	unique  map[string]bool // by Input.Where: nobody else may have it
	extra   map[string]any  // by JSON pointer: what no input describes
	header  []target.Field
}

// fromFact stands for a fact of whichever account the form is filled in for.
type fromFact string

func newForm(op *graph.Op) *form {
	f := &form{op: op, over: map[string]any{}, drop: map[string]bool{}, take: map[string]bool{}, as: map[string]string{}, unique: map[string]bool{}, extra: map[string]any{}}
	if op.Body != nil && len(op.Body.Content) > 0 {
		f.media = mediaOf(op)[0]
	}
	return f
}

func (f *form) clone() *form {
	c := *f
	c.over, c.drop, c.take, c.as, c.extra, c.unique = maps.Clone(f.over), maps.Clone(f.drop), maps.Clone(f.take), maps.Clone(f.as), maps.Clone(f.extra), maps.Clone(f.unique)
	c.header = slices.Clone(f.header)
	return &c
}

// mediaOf lists the content types to send op's body as, the best first.
func mediaOf(op *graph.Op) []string {
	const js, form, multi = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
	var declared []string
	if op.Body != nil {
		for _, m := range op.Body.Content {
			declared = append(declared, m.Type)
		}
	}
	var out []string
	for _, t := range []string{js, form, multi} {
		if slices.Contains(declared, t) {
			out = append(out, t)
		}
	}
	for _, t := range declared {
		if strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "/json") && t != js {
			out = append(out, t)
		}
	}
	for _, t := range []string{js, form} {
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// fact is what an input takes, with what was learnt of this form.
func (f *form) fact(in *graph.Input) string {
	if a, ok := f.as[in.Where()]; ok {
		return a
	}
	return factOf(in)
}

// wants says whether an input goes along.
func (f *form) wants(in *graph.Input) bool {
	where := in.Where()
	if f.drop[where] || in.ReadOnly {
		return false
	}
	if _, ok := f.over[where]; ok || f.take[where] || in.In == "path" {
		return true
	}
	if in.Required {
		return true
	}
	if in.In == "header" || in.In == "cookie" {
		return false
	}
	fact := f.fact(in)
	switch f.breadth {
	case 2:
		return fact == factPassword && !f.required()
	case 1:
		switch fact {
		case factRole, factID, factOTP, factCSRF, factCaptcha, factInvite:
			return false
		case factTenant:
			return !byID(in)
		case "":
			switch in.Meaning {
			case graph.MeansText, graph.MeansUndefined, graph.MeansName:
				return in.In == "body" && in.Type != "array" && in.Type != "object" && in.Object == nil && !strings.Contains(in.Pointer, "*")
			}
			return false
		}
		return true
	}
	switch fact {
	case factEmail, factUsername, factPassword, factConfirm, factTerms, factGrant:
		return true
	case factTenant:
		return !byID(in)
	}
	return false
}

// byID: the input names something by its identifier, not by what people call it.
func byID(in *graph.Input) bool {
	w := words(in.Name)
	return in.Type == "integer" || in.Format == "uuid" || len(w) > 0 && (w[len(w)-1] == "id" || w[len(w)-1] == "uuid")
}

// required: the description says of at least one input of the body that it is required.
func (f *form) required() bool {
	return slices.ContainsFunc(f.op.Inputs, func(in *graph.Input) bool { return in.Required && in.In == "body" })
}

// value is what an input is given. What does not fit the schema is made to fit,
// and the fact is what was sent from then on.
func (f *form) value(in *graph.Input, facts map[string]string, rng *rand.Rand) any {
	if v, ok := f.over[in.Where()]; ok {
		return v
	}
	if f.unique[in.Where()] {
		key := uniqueKey(in)
		if facts[key] == "" {
			facts[key] = vary(plainText(f.plain(in, facts, rng)), rng)
		}
		return typed(in, facts[key])
	}
	return f.plain(in, facts, rng)
}

// uniqueKey is under which name a value that only one account may have is kept.
func uniqueKey(in *graph.Input) string { return "only " + in.Where() }

// vary draws another value that looks like v: other digits, or more letters.
func vary(v string, rng *rand.Rand) string {
	b := []byte(v)
	digits := 0
	for i, c := range b {
		if c >= '0' && c <= '9' {
			b[i] = byte('1' + rng.IntN(9))
			digits++
		}
	}
	if digits < 4 {
		return string(b) + strconv.Itoa(1000+rng.IntN(9000))
	}
	return string(b)
}

// plain is what an input is given where nobody has said anything else.
func (f *form) plain(in *graph.Input, facts map[string]string, rng *rand.Rand) any {
	fact := f.fact(in)
	switch fact {
	case factTerms:
		return true
	case factConfirm:
		return typed(in, facts[factPassword])
	case factRole:
		return sampleRole(in, rng)
	case factGrant:
		return grantOf(in, rng)
	case factID:
		if facts[factID] == "" {
			facts[factID] = freshID(in, rng)
		}
	case factTenant:
		if byID(in) {
			return sample(in, rng) // a name is none; see tenantInput for one that is known
		}
	case factCaptcha, factInvite, factOTP, factCSRF, "":
		if v, ok := facts[in.Name]; ok && fact == "" && !listedOtherwise(in, v) {
			return typed(in, v)
		}
		return sample(in, rng)
	}
	t, ok := facts[fact]
	if !ok || t == "" {
		// Who has only one of the two goes by that.
		switch fact {
		case factUsername:
			t = facts[factEmail]
		case factEmail:
			t = facts[factUsername]
		}
		if t == "" {
			return sample(in, rng)
		}
		return typed(in, t)
	}
	v := typed(in, t)
	if in.Schema == nil {
		return v
	}
	tree := value.FromAny(v)
	if in.Schema.Valid(&tree, nil) {
		return v
	}
	fitted := f.fit(in, fact, t, rng)
	if s, ok := fitted.(string); ok && fact != factName && fact != factDate {
		facts[fact] = s
	}
	return fitted
}

// listedOtherwise: the description lists what an input may be, and the text is none of it.
// A name alone, such as "type", is of one thing here and of another there: each document
// of JSON:API says by it what it holds.
func listedOtherwise(in *graph.Input, text string) bool {
	if in.Schema == nil || len(in.Schema.Enum()) == 0 {
		return false
	}
	v := value.FromAny(typed(in, text))
	return !in.Schema.Valid(&v, nil)
}

// fit makes a fact's text fit the schema: shorter, longer, or drawn from the pattern.
func (f *form) fit(in *graph.Input, fact, t string, rng *rand.Rand) any {
	if e := in.Schema.Enum(); len(e) > 0 {
		return e[0].ToAny()
	}
	try := func(s string) (any, bool) {
		v := typed(in, s)
		tree := value.FromAny(v)
		return v, in.Schema.Valid(&tree, nil)
	}
	b := in.Schema.Bounds()
	options := []string{t}
	if fact == factPhone {
		for _, p := range phones {
			options = append(options, p(rng.IntN(100000)))
		}
	}
	if b.MaxLength >= 0 && len(t) > b.MaxLength {
		// The end is what makes it unique.
		options = append(options, t[len(t)-b.MaxLength:], t[:b.MaxLength])
	}
	options = append(options, fitLength(in.Schema, t), strings.ToUpper(t), plain(t))
	for _, o := range options {
		if v, ok := try(o); ok {
			return v
		}
	}
	for _, p := range in.Schema.Patterns() {
		if s, ok := matching(in.Schema, p, rng); ok {
			return s
		}
	}
	return typed(in, fitLength(in.Schema, t))
}

func texts(list []*value.Value) []string {
	out := make([]string, 0, len(list))
	for _, v := range list {
		out = append(out, v.Text)
	}
	return out
}

func sampleRole(in *graph.Input, rng *rand.Rand) any {
	if in.Schema != nil {
		if options := texts(in.Schema.Enum()); len(options) > 0 {
			return typed(in, leastRole(options))
		}
		// By number or by name: of a name it can be told how much it may do.
		for _, choice := range in.Schema.Alternatives() {
			for _, s := range choice {
				if options := texts(s.Enum()); len(options) > 0 && s.Type() == "string" {
					return leastRole(options)
				}
			}
		}
	}
	if in.Type == "string" || in.Type == "" {
		return "user"
	}
	return sample(in, rng)
}

// grantOf: the password grant, where an operation is an OAuth2 token endpoint (RFC 6749, 4.3).
func grantOf(in *graph.Input, rng *rand.Rand) any {
	v := value.Value{Kind: value.String, Text: "password"}
	if in.Schema == nil || in.Schema.Valid(&v, nil) {
		return "password"
	}
	return sample(in, rng)
}

func freshID(in *graph.Input, rng *rand.Rand) string {
	switch {
	case in.Type == "integer" || in.Type == "number":
		return strconv.Itoa(100_000_000 + rng.IntN(800_000_000))
	case in.Format == "uuid" || in.Type == "":
		return uuid(rng)
	}
	return "crn" + strconv.Itoa(100_000_000+rng.IntN(800_000_000))
}

// typed gives a text the JSON type that the input has.
func typed(in *graph.Input, t string) any {
	switch in.Type {
	case "integer":
		if n, err := strconv.ParseInt(t, 10, 64); err == nil {
			return n
		}
		digits := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r
			}
			return -1
		}, t)
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			return n
		}
	case "number":
		if n, err := strconv.ParseFloat(t, 64); err == nil {
			return n
		}
	case "boolean":
		return t == "true" || t == "1" || t == "yes"
	}
	return t
}

// request writes the form as a request of an account with these facts.
func (f *form) request(facts map[string]string, rng *rand.Rand) (*target.Request, error) {
	r := &target.Request{Method: f.op.Method, Path: f.op.Path}
	var query []string
	var tree any = map[string]any{}
	some := false
	// Parameters first, then the body: an id in the path may be one in the body, too.
	for _, in := range f.op.Inputs {
		if !f.wants(in) {
			continue
		}
		v := f.value(in, facts, rng)
		switch in.In {
		case "path":
			r.Path = strings.ReplaceAll(r.Path, "{"+in.Name+"}", url.PathEscape(plainText(v)))
		case "query":
			query = append(query, url.QueryEscape(in.Name)+"="+url.QueryEscape(plainText(v)))
		case "header":
			r.Header = append(r.Header, target.Field{Name: in.Name, Value: headerText(plainText(v))})
		case "cookie":
			Part{In: "cookie", Name: in.Name, Value: headerText(plainText(v))}.apply(r)
		case "body":
			tree, some = place(tree, in.Pointer, v), true
		}
	}
	for _, ptr := range slices.Sorted(maps.Keys(f.extra)) {
		v := f.extra[ptr]
		if fact, ok := v.(fromFact); ok {
			v = facts[string(fact)]
		}
		tree, some = place(tree, ptr, v), true
	}
	if i := strings.IndexByte(r.Path, '{'); i >= 0 {
		return nil, fmt.Errorf("%s %s: nothing is known for the path's variable %s", f.op.Method, f.op.Path, r.Path[i:])
	}
	r.Query = strings.Join(query, "&")
	r.Header = append(r.Header, f.header...)
	if !some && f.op.Body == nil {
		return r, nil
	}
	typ, body, err := encode(f.media, tree)
	if err != nil {
		return nil, fmt.Errorf("writing the body of %s %s: %w", f.op.Method, f.op.Path, err)
	}
	r.Header = append(r.Header, target.Field{Name: "Content-Type", Value: typ})
	r.Body = body
	return r, nil
}

// headerText leaves out what would end a header field.
func headerText(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 32 || r == 127 {
			return -1
		}
		return r
	}, s)
}

func plainText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil:
		return ""
	case map[string]any, []any:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
	return fmt.Sprint(v)
}

// place puts v at a JSON pointer of tree, making what lies above it. "*" and
// "0" make a list of one; the empty pointer is the tree itself.
func place(tree any, pointer string, v any) any {
	if pointer == "" {
		return v
	}
	token, rest, _ := strings.Cut(pointer[1:], "/")
	if rest != "" || strings.HasSuffix(pointer, "/") && len(pointer) > 1+len(token) {
		rest = "/" + rest
	}
	token = value.UnescapeToken(token)
	if token == "*" || token == "0" {
		list, _ := tree.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = place(list[0], rest, v)
		return list
	}
	m, ok := tree.(map[string]any)
	if !ok {
		m = map[string]any{}
	}
	m[token] = place(m[token], rest, v)
	return m
}

// encode writes a tree in a media type.
func encode(media string, tree any) (string, []byte, error) {
	switch {
	case media == "application/x-www-form-urlencoded":
		return media, []byte(flat(tree).Encode()), nil
	case media == "multipart/form-data":
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		fields := flat(tree)
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			for _, v := range fields[name] {
				if err := w.WriteField(name, v); err != nil {
					return "", nil, err
				}
			}
		}
		if err := w.Close(); err != nil {
			return "", nil, err
		}
		return w.FormDataContentType(), b.Bytes(), nil
	}
	if media == "" || !strings.Contains(media, "json") {
		media = "application/json"
	}
	b, err := json.Marshal(tree)
	return media, b, err
}

// flat writes a tree as form fields: members of members as a[b].
func flat(tree any) url.Values {
	out := url.Values{}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, sub := range v {
				if name != "" {
					k = name + "[" + k + "]"
				}
				walk(k, sub)
			}
		case []any:
			for _, sub := range v {
				walk(name, sub)
			}
		default:
			out.Add(name, plainText(v))
		}
	}
	walk("", tree)
	return out
}

func formPair(name, v string) string { return url.QueryEscape(name) + "=" + url.QueryEscape(v) }
