package matrix

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// header is what stands at the top of the file.
const header = `# Who may do what, as the policies say: made by crenel policy matrix --write. Read
# it, and confirm it by committing it; crenel policy matrix --check fails on any change.
# The object that a call is about is the caller's own, another's of the caller's
# tenant, another tenant's, or of nobody known (none). One word is for all four.
`

// File is a matrix as git keeps it: cells by operation, actor and relation.
type File struct {
	Version    int                                     `yaml:"version"`
	API        string                                  `yaml:"api"`
	Actors     map[string]string                       `yaml:"actors"`
	Operations map[string]map[string]map[string]string `yaml:"-"`
}

// Bytes writes the matrix: operations by id, an actor a line.
func (m *Matrix) Bytes() []byte {
	var b bytes.Buffer
	b.WriteString(header)
	fmt.Fprintf(&b, "version: 1\napi: %s\nactors:\n", scalar(m.API))
	for _, a := range m.Actors {
		fmt.Fprintf(&b, "  %s: %s\n", scalar(a.Name), scalar(a.Means))
	}
	b.WriteString("operations:\n")
	for i := range m.Operations {
		op := &m.Operations[i]
		note := ""
		if op.ID != op.Method+" "+op.Path {
			note = " # " + op.Method + " " + op.Path
		}
		fmt.Fprintf(&b, "  %s:%s\n", scalar(op.ID), note)
		for _, a := range m.Actors {
			fmt.Fprintf(&b, "    %s: %s\n", scalar(a.Name), cellText(op.Cells[a.Name]))
		}
	}
	return b.Bytes()
}

// cellText is one word when all relations are the same.
func cellText(c map[string]Outcome) string {
	same := true
	for _, r := range Relations {
		same = same && c[r].Says == c[Own].Says
	}
	if same {
		return scalar(c[Own].Says)
	}
	parts := make([]string, len(Relations))
	for i, r := range Relations {
		parts[i] = r + ": " + scalar(c[r].Says)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// scalar writes a text as YAML, quoted where it must be.
func scalar(s string) string {
	plain := s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. /") == "" &&
		s[0] != '-' && s[0] != ' ' && s[0] != '.' && s[len(s)-1] != ' ' && strings.ContainsAny(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if plain && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) && (s[0] < '0' || s[0] > '9') {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// Parse reads a file. A cell of one word is for all relations.
func Parse(data []byte) (*File, error) {
	var raw struct {
		Version    int                       `yaml:"version"`
		API        string                    `yaml:"api"`
		Actors     map[string]string         `yaml:"actors"`
		Operations map[string]map[string]any `yaml:"operations"`
	}
	if err := yaml.UnmarshalWithOptions(data, &raw, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("reading the matrix: %w", err)
	}
	if raw.Version != 1 {
		return nil, fmt.Errorf("reading the matrix: its version is %d; this program knows 1", raw.Version)
	}
	f := &File{Version: raw.Version, API: raw.API, Actors: raw.Actors, Operations: map[string]map[string]map[string]string{}}
	for op, actors := range raw.Operations {
		f.Operations[op] = map[string]map[string]string{}
		for actor, cell := range actors {
			cells := map[string]string{}
			switch cell := cell.(type) {
			case string:
				for _, r := range Relations {
					cells[r] = cell
				}
			case map[string]any:
				for r, v := range cell {
					s, ok := v.(string)
					if !ok || !slices.Contains(Relations, r) {
						return nil, fmt.Errorf("reading the matrix: %s, %s: a cell has the relations %s, each a text", op, actor, strings.Join(Relations, ", "))
					}
					cells[r] = s
				}
			default:
				return nil, fmt.Errorf("reading the matrix: %s, %s is neither a text nor {%s}", op, actor, strings.Join(Relations, ", "))
			}
			f.Operations[op][actor] = cells
		}
	}
	return f, nil
}

// Change is one cell that is not as it was.
type Change struct {
	Operation, Actor, Relation string
	Was, Is                    string   // "" when there is no such cell
	Rules                      []string `json:",omitempty"` // that decide now, the deciding one last
}

// Wider reports whether a call passes now that did not, or with more in its answer.
func (c *Change) Wider() bool {
	return c.Is != "" && Outcome{Says: c.Is}.Allows() && c.Was != c.Is && (!Outcome{Says: c.Was}.Allows() || len(c.Is) < len(c.Was))
}

// Compare lists the cells in which a matrix differs from a file, in order. When
// all relations of a cell change alike it is one change, with the relation "".
func (m *Matrix) Compare(f *File) []Change {
	var out []Change
	seen := map[string]bool{}
	for i := range m.Operations {
		op := &m.Operations[i]
		seen[op.ID] = true
		before := f.Operations[op.ID]
		for _, a := range m.Actors {
			out = append(out, cellChanges(op.ID, a.Name, before[a.Name], texted(op.Cells[a.Name]))...)
		}
		for _, actor := range slices.Sorted(maps.Keys(before)) {
			if op.Cells[actor] == nil {
				out = append(out, cellChanges(op.ID, actor, before[actor], nil)...)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(f.Operations)) {
		if seen[id] {
			continue
		}
		for _, actor := range slices.Sorted(maps.Keys(f.Operations[id])) {
			out = append(out, cellChanges(id, actor, f.Operations[id][actor], nil)...)
		}
	}
	return out
}

func texted(c map[string]Outcome) map[string]string {
	out := map[string]string{}
	for r, o := range c {
		out[r] = o.Says
	}
	return out
}

func cellChanges(op, actor string, was, is map[string]string) []Change {
	var out []Change
	for _, r := range Relations {
		if was[r] != is[r] {
			out = append(out, Change{Operation: op, Actor: actor, Relation: r, Was: was[r], Is: is[r]})
		}
	}
	alike := len(out) == len(Relations)
	for i := range out {
		alike = alike && out[i].Was == out[0].Was && out[i].Is == out[0].Is
	}
	if alike {
		out[0].Relation = ""
		return out[:1]
	}
	return out
}
