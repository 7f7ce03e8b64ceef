package param

import (
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// maxDeep is how deep deepObject nests at most, whatever the limits say.
const maxDeep = 16

// deepObject gathers filter[a]=1&filter[b][c]=2. OpenAPI defines one level; what
// everyone writes beyond it is read as well: names in further brackets nest,
// empty brackets append to a list, and a name that the schema says is a list
// may come again. Digits in brackets are a name, never an index.
func (d *decoder) deepObject(pairs []value.Pair) (value.Value, bool) {
	root := value.Value{Kind: value.Object}
	found := false
	for i := range pairs {
		rest, ok := strings.CutPrefix(pairs[i].Name, d.p.Name)
		if !ok || rest != "" && rest[0] != '[' {
			continue
		}
		found = true
		if rest == "" {
			d.bad(CodeStyle, "a value of style deepObject should be written "+d.p.Name+"[member]=value")
			return root, true
		}
		keys, ok := brackets(rest)
		if !ok || len(keys) > min(maxDeep, d.lim.Depth) {
			d.bad(CodeStyle, "the brackets of a value of style deepObject should be closed, follow one another, and nest no deeper than the limit")
			return root, true
		}
		d.put(&root, d.p.Shape, keys, pairs[i].Value)
		if d.err != nil {
			return root, true
		}
	}
	return root, found
}

// brackets splits "[a][b]" into its names.
func brackets(s string) (keys []string, ok bool) {
	for s != "" {
		end := strings.IndexByte(s, ']')
		if s[0] != '[' || end < 0 {
			return nil, false
		}
		key := s[1:end]
		if strings.IndexByte(key, '[') >= 0 || (key == "" && len(s) > 2) || len(keys) > maxDeep {
			return nil, false
		}
		keys = append(keys, key)
		s = s[end+1:]
	}
	return keys, len(keys) > 0 && keys[0] != ""
}

func (d *decoder) put(object *value.Value, shape *spec.Shape, keys []string, text string) {
	name := keys[0]
	var inner *spec.Shape
	if shape != nil {
		inner = shape.Properties[name]
	}
	var kid *value.Value
	for i := range object.Kids {
		if object.Kids[i].Name == name {
			kid = &object.Kids[i]
		}
	}
	list := len(keys) == 2 && keys[1] == "" || len(keys) == 1 && inner != nil && inner.Array
	switch {
	case kid == nil && list:
		d.add(object, name, value.Value{Kind: value.Array, Kids: []value.Value{d.scalar(text)}})
	case kid == nil && len(keys) == 1:
		d.add(object, name, d.scalar(text))
	case kid == nil:
		fresh := value.Value{Kind: value.Object}
		d.put(&fresh, inner, keys[1:], text)
		d.add(object, name, fresh)
	case list && kid.Kind == value.Array:
		if len(kid.Kids) >= d.lim.Items {
			d.bad(CodeLimit, "the list has too many elements")
			return
		}
		kid.Kids = append(kid.Kids, d.scalar(text))
	case len(keys) > 1 && !list && kid.Kind == value.Object:
		d.put(kid, inner, keys[1:], text)
	case len(keys) == 1 && kid.Kind == value.String:
		d.bad(CodeDuplicate, "a member came more than once")
	default:
		d.bad(CodeStyle, "a member is a value in one place and holds members in another")
	}
}
