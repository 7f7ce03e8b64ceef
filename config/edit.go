package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// AddWAFExclusion returns a config file with one more WAF exclusion for the named
// API ("" is the only one). Nothing else of the file changes: comments, order and
// style stay. name is the file's path, for messages. The error says what to write by hand
// where the file is written in a way in which nothing can be added.
func AddWAFExclusion(data []byte, name, api string, e WAFExclusion) ([]byte, error) {
	before, err := read(data, name)
	if err != nil {
		return nil, err
	}
	n := -1
	for i := range before.APIs {
		if before.APIs[i].Name == api || api == "" && len(before.APIs) == 1 {
			n = i
		}
	}
	if n < 0 {
		return nil, fmt.Errorf("%s has no API %q", name, api)
	}
	byHand := func(why string) error {
		return fmt.Errorf("%s: %s; add this to apis[%d].guards.waf.exclusions by hand:\n- %s", name, why, n, e.flow())
	}
	out, err := addExclusion(data, n, e)
	if err != nil {
		return nil, byHand(err.Error())
	}
	// Whatever the file looked like: it must now say what it said, and this.
	after, err := read(out, name)
	if err != nil {
		return nil, byHand("it could not be added")
	}
	list := &before.APIs[n].Guards.WAF.Exclusions
	*list = append(*list, e)
	if !reflect.DeepEqual(before.APIs, after.APIs) {
		return nil, byHand("it could not be added without changing something else")
	}
	return out, nil
}

// read decodes a file as far as it can be, without its secrets.
func read(data []byte, name string) (*Config, error) {
	d, c := newDecoder(name), &Config{}
	d.unopened = map[string]bool{}
	prefill(reflect.ValueOf(c).Elem())
	d.parse(data, c)
	if d.unread {
		return nil, Errors(sorted(d.mistakes))
	}
	return c, nil
}

// flow writes the exclusion as a mapping in braces.
func (e *WAFExclusion) flow() string {
	var parts []string
	quoted := func(text string) string {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if enc.Encode(text) != nil {
			return `""` // texts always encode
		}
		// A dollar sign would begin a variable.
		return strings.ReplaceAll(strings.TrimSpace(b.String()), "$", "$$")
	}
	add := func(key, text string) {
		if text != "" {
			parts = append(parts, key+": "+quoted(text))
		}
	}
	addList := func(key string, list []string) {
		out := make([]string, len(list))
		for i, text := range list {
			out[i] = quoted(text)
		}
		if len(list) > 0 {
			parts = append(parts, key+": ["+strings.Join(out, ", ")+"]")
		}
	}
	add("operation", e.Operation)
	add("at", e.At)
	addList("rules", e.Rules)
	addList("tags", e.Tags)
	addList("classes", e.Classes)
	add("reason", e.Reason)
	return "{" + strings.Join(parts, ", ") + "}"
}

// addExclusion puts the exclusion into the text.
func addExclusion(data []byte, api int, e WAFExclusion) ([]byte, error) {
	file, err := parseYAML(data)
	if err != nil || len(file.Docs) == 0 {
		return nil, errors.New("it is not YAML")
	}
	t := &script{lines: strings.SplitAfter(string(data), "\n")}
	at := file.Docs[0].Body
	if at, err = child(at, "apis"); err != nil {
		return nil, err
	}
	list, ok := at.(*ast.SequenceNode)
	if !ok || api >= len(list.Values) {
		return nil, errors.New("apis is not written as a list")
	}
	at = list.Values[api]
	missing := []string{"guards", "waf", "exclusions"}
	for len(missing) > 0 {
		next, err := child(at, missing[0])
		if err != nil {
			return nil, err
		}
		if next == nil {
			break
		}
		at, missing = next, missing[1:]
	}
	return t.insert(at, missing, e.flow())
}

// child is a member of a mapping, nil when there is none.
func child(n ast.Node, key string) (ast.Node, error) {
	list, ok := members(n)
	if !ok {
		if _, null := n.(*ast.NullNode); null {
			return nil, nil
		}
		return nil, errors.New("what holds " + key + " is not written as a mapping")
	}
	for _, m := range list {
		if name, plain := keyText(m.Key); plain && name == key {
			return m.Value, nil
		}
	}
	return nil, nil
}

// script is a file's lines, each with its end.
type script struct{ lines []string }

// insert puts item where at is: into the list, or below the missing keys of the
// mapping.
func (t *script) insert(at ast.Node, missing []string, item string) ([]byte, error) {
	switch n := at.(type) {
	case *ast.SequenceNode:
		if n.IsFlowStyle {
			return t.before(n.End.Position.Line, n.End.Position.Column, item, len(n.Values) > 0)
		}
		first := n.Start.Position
		return t.below(first.Line, first.Column-1, "- "+item)
	case *ast.MappingNode:
		if n.IsFlowStyle {
			for i := len(missing) - 1; i >= 0; i-- {
				if missing[i] == "exclusions" {
					item = "[" + item + "]"
				}
				item = missing[i] + ": " + item
				if i > 0 {
					item = "{" + item + "}"
				}
			}
			return t.before(n.End.Position.Line, n.End.Position.Column, item, len(n.Values) > 0)
		}
		first := n.Values[0].Key.GetToken().Position
		return t.below(first.Line, first.Column-1, nested(missing, first.Column-1, item))
	case *ast.MappingValueNode:
		first := n.Key.GetToken().Position
		return t.below(first.Line, first.Column-1, nested(missing, first.Column-1, item))
	case *ast.NullNode:
		return nil, errors.New("a key above it is empty")
	}
	return nil, errors.New("it is written by reference")
}

// nested are the keys that are missing and the item below them, a line each.
func nested(missing []string, indent int, item string) string {
	var b strings.Builder
	for i, key := range missing {
		if i > 0 {
			b.WriteString(strings.Repeat(" ", indent+2*i))
		}
		b.WriteString(key + ":\n")
	}
	b.WriteString(strings.Repeat(" ", indent+2*len(missing)) + "- " + item)
	return b.String()
}

// before puts a text in front of a closing bracket.
func (t *script) before(line, column int, item string, more bool) ([]byte, error) {
	if line < 1 || line > len(t.lines) {
		return nil, errors.New("its place was not found")
	}
	l := t.lines[line-1]
	at := 0
	for i := 1; i < column && at < len(l); i++ {
		_, n := utf8.DecodeRuneInString(l[at:])
		at += n
	}
	if at >= len(l) || l[at] != ']' && l[at] != '}' {
		return nil, errors.New("its place was not found")
	}
	if more {
		item = ", " + item
	}
	t.lines[line-1] = strings.TrimRight(l[:at], " ") + item + l[at:]
	return []byte(strings.Join(t.lines, "")), nil
}

// below puts a text behind the last line of the block that begins at a line with
// so many spaces.
func (t *script) below(line, indent int, item string) ([]byte, error) {
	if line < 1 || line > len(t.lines) {
		return nil, errors.New("its place was not found")
	}
	last := line - 1
	dash := indentOf(t.lines[line-1]) == indent && strings.HasPrefix(strings.TrimLeft(t.lines[line-1], " "), "-") && strings.HasPrefix(item, "- ")
	for i := line; i < len(t.lines); i++ {
		l := strings.TrimSpace(t.lines[i])
		if l == "" || l[0] == '#' {
			continue
		}
		in := indentOf(t.lines[i])
		if in < indent || in == indent && dash && l[0] != '-' || in == indent && !dash && (l[0] == '-' || l == "...") {
			break
		}
		last = i
	}
	end := "\n"
	if strings.HasSuffix(t.lines[line-1], "\r\n") {
		end = "\r\n"
		item = strings.ReplaceAll(item, "\n", end)
	}
	if !strings.HasSuffix(t.lines[last], "\n") {
		t.lines[last] += end
	}
	t.lines[last] += strings.Repeat(" ", indent) + item + end
	return []byte(strings.Join(t.lines, "")), nil
}

func indentOf(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
