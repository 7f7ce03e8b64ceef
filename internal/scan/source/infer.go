package source

import (
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// shape is what samples of one value have in common.
type shape struct {
	kinds   map[value.Kind]bool
	whole   bool // every number has no fraction
	format  string
	mixed   bool // texts of several formats
	members []member
	objects int // samples that were objects
	items   *shape
	example string // of a plain text or number, when it is safe to keep
	kind    value.Kind
}

type member struct {
	name  string
	seen  int
	shape *shape
}

// Bounds of what is learned from one sample.
const (
	maxInferDepth   = 24
	maxInferMembers = 400
	maxInferItems   = 20
)

// infer reads the shape of one sample. name is of the member that holds it:
// values of secrets and of persons are not kept as examples.
func infer(v *value.Value, name string) *shape { return inferAt(v, name, 0) }

func inferAt(v *value.Value, name string, depth int) *shape {
	s := &shape{kinds: map[value.Kind]bool{v.Kind: true}, kind: v.Kind}
	switch v.Kind {
	case value.Object:
		s.objects = 1
		if depth >= maxInferDepth {
			return s
		}
		if len(v.Kids) > 0 && mapLike(v) { // keys are values: {"7f3a…": {…}, …}
			for i := range v.Kids {
				s.items = s.items.merge(inferAt(&v.Kids[i], name, depth+1))
			}
			return s
		}
		for i := range v.Kids[:min(len(v.Kids), maxInferMembers)] {
			k := &v.Kids[i]
			s.members = append(s.members, member{k.Name, 1, inferAt(k, k.Name, depth+1)})
		}
	case value.Array:
		if depth >= maxInferDepth {
			return s
		}
		for i := range v.Kids[:min(len(v.Kids), maxInferItems)] {
			s.items = s.items.merge(inferAt(&v.Kids[i], name, depth+1))
		}
	case value.Number:
		_, err := strconv.ParseInt(v.Text, 10, 64)
		s.whole = err == nil
		s.keep(v, name)
	case value.String:
		s.format = formatOf(v.Text)
		s.keep(v, name)
	}
	return s
}

func (s *shape) keep(v *value.Value, name string) {
	if len(v.Text) <= 200 && spec.ClassOf(name, "") == spec.ClassNone && s.format != "email" && !looksSecret(v.Text) {
		s.example = v.Text
	}
}

// looksSecret: a token by its looks (JWT, long random text).
func looksSecret(s string) bool {
	if strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") >= 1 {
		return true
	}
	if len(s) < 24 || strings.ContainsAny(s, " /:@,") {
		return false
	}
	return randomLike.MatchString(s) && !uuidText.MatchString(s)
}

var (
	uuidText   = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	hexText    = regexp.MustCompile(`^[0-9a-fA-F]+$`)
	randomLike = regexp.MustCompile(`^[A-Za-z0-9_+=.-]*[0-9][A-Za-z0-9_+=.-]*$`)
	dateText   = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
)

// mapLike: more than a few members whose names are ids.
func mapLike(v *value.Value) bool {
	if len(v.Kids) < 2 {
		return len(v.Kids) == 1 && uuidText.MatchString(v.Kids[0].Name)
	}
	for i := range v.Kids {
		if !isIDText(v.Kids[i].Name) {
			return false
		}
	}
	return true
}

// formatOf is the format of a text, "" for none known.
func formatOf(s string) string {
	switch {
	case s == "" || len(s) > 2000:
		return ""
	case uuidText.MatchString(s):
		return "uuid"
	case dateText.MatchString(s):
		if _, err := time.Parse("2006-01-02", s); err == nil {
			return "date"
		}
	case len(s) >= 20 && s[4] == '-' && s[10] == 'T':
		if _, err := time.Parse(time.RFC3339, s); err == nil {
			return "date-time"
		}
	case strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://"):
		if u, err := url.Parse(s); err == nil && u.Host != "" {
			return "uri"
		}
	case strings.Contains(s, "@") && !strings.ContainsAny(s, " <>"):
		if a, err := mail.ParseAddress(s); err == nil && a.Address == s && strings.Contains(s[strings.LastIndexByte(s, '@'):], ".") {
			return "email"
		}
	}
	return ""
}

// merge is what both have in common; s may be nil.
func (s *shape) merge(o *shape) *shape {
	switch {
	case s == nil:
		return o
	case o == nil:
		return s
	}
	hadText := s.kinds[value.String]
	hadNumber := s.kinds[value.Number]
	for k := range o.kinds {
		s.kinds[k] = true
	}
	if o.kinds[value.String] {
		if hadText && s.format != o.format {
			s.mixed = true
		}
		if !hadText {
			s.format = o.format
		}
		s.mixed = s.mixed || o.mixed
	}
	if o.kinds[value.Number] {
		s.whole = o.whole && (s.whole || !hadNumber)
	}
	if s.example == "" {
		s.example, s.kind = o.example, o.kind
	}
	s.objects += o.objects
	for _, m := range o.members {
		i := slices.IndexFunc(s.members, func(x member) bool { return x.name == m.name })
		if i < 0 {
			s.members = append(s.members, m)
			continue
		}
		s.members[i].seen += m.seen
		s.members[i].shape = s.members[i].shape.merge(m.shape)
	}
	if o.items != nil {
		s.items = s.items.merge(o.items)
	}
	return s
}

// schema writes the shape as a JSON Schema (OpenAPI 3.1).
func (s *shape) schema() value.Value {
	if s == nil {
		return object()
	}
	var types []value.Value
	add := func(t string) { types = append(types, text(t)) }
	out := object()
	if s.kinds[value.Object] {
		add("object")
	}
	if s.kinds[value.Array] {
		add("array")
	}
	if s.kinds[value.String] {
		add("string")
	}
	if s.kinds[value.Number] {
		if s.whole {
			add("integer")
		} else {
			add("number")
		}
	}
	if s.kinds[value.Bool] {
		add("boolean")
	}
	if len(types) == 0 {
		return out // only null was seen: anything
	}
	if s.kinds[value.Null] && len(types) > 0 {
		add("null")
	}
	if len(types) == 1 {
		put(&out, "type", types[0])
	} else {
		put(&out, "type", list(types...))
	}
	if s.kinds[value.String] && s.format != "" && !s.mixed {
		put(&out, "format", text(s.format))
	}
	if s.kinds[value.Object] {
		props := object()
		var required []value.Value
		for _, m := range s.members {
			put(&props, m.name, m.shape.schema())
			if m.seen == s.objects && !m.shape.kinds[value.Null] {
				required = append(required, text(m.name))
			}
		}
		if len(props.Kids) > 0 {
			put(&out, "properties", props)
		}
		if len(required) > 0 {
			put(&out, "required", list(required...))
		}
		if len(s.members) == 0 && s.items != nil {
			put(&out, "additionalProperties", s.items.schema())
		}
	}
	if s.kinds[value.Array] {
		put(&out, "items", s.items.schema())
	}
	if s.example != "" && len(types) == 1 {
		put(&out, "example", value.Value{Kind: s.kind, Text: s.example})
	}
	return out
}
