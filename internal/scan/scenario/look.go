package scenario

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Decode reads an answer's body as JSON, whatever its media type says; ok is
// false when it is none. Numbers are json.Number. A duplicate key keeps its last value.
func Decode(body []byte) (v any, ok bool) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(trimmed))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	return v, true
}

// Find lists the values at a JSON pointer, in which "*" is any element of a
// list or any member of an object. "" is the whole.
func Find(v any, pointer string) []any {
	if pointer == "" {
		return []any{v}
	}
	head, rest, more := strings.Cut(strings.TrimPrefix(pointer, "/"), "/")
	if more {
		rest = "/" + rest
	}
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(head)
	var out []any
	switch v := v.(type) {
	case map[string]any:
		if m, ok := v[name]; ok {
			return Find(m, rest)
		}
		if head == "*" {
			for _, k := range sortedKeys(v) {
				out = append(out, Find(v[k], rest)...)
			}
		}
	case []any:
		if head == "*" {
			for _, e := range v {
				out = append(out, Find(e, rest)...)
			}
			return out
		}
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
			return Find(v[i], rest)
		}
	}
	return out
}

// Walk calls see for every scalar of a tree, with its pointer.
func Walk(v any, see func(pointer string, scalar any)) { walk(v, "", 0, see) }

const maxWalk = 200 // levels

func walk(v any, at string, depth int, see func(string, any)) {
	if depth > maxWalk {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			walk(v[k], at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(k), depth+1, see)
		}
	case []any:
		for i, e := range v {
			walk(e, at+"/"+strconv.Itoa(i), depth+1, see)
		}
	default:
		see(at, v)
	}
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// Holds reports whether an answer holds a text: in its raw body, or inside a
// string or number of the JSON that the body is.
func Holds(x *target.Exchange, text string) bool {
	if x == nil || text == "" {
		return false
	}
	if bytes.Contains(x.Body, []byte(text)) {
		return true
	}
	v, ok := Decode(x.Body)
	if !ok {
		return false
	}
	found := false
	Walk(v, func(_ string, s any) {
		if str, ok := s.(string); ok && strings.Contains(str, text) {
			found = true
		}
	})
	return found
}
