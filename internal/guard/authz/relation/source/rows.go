package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz/relation"
)

// A row is columns by name. Rows become members of objects, as config.Rows says.

// maxDepth is how deep a document may be nested.
const maxDepth = 64

// bounds are what a source may give.
type bounds struct {
	minRows, maxRows int
	limits           relation.Limits
}

func boundsOf(c *config.Source) bounds {
	return bounds{c.MinRows, c.MaxRows, relation.Limits{Bytes: int64(c.MaxMemory), Values: math.MaxInt, Depth: maxDepth}}
}

// intake takes rows, and keeps the greatest cursor.
type intake struct {
	config.Rows
	bounds
	sorted bool // rows with the same first keys stand together
	rows   int
	mark   any

	b     *relation.Builder // for sorted rows
	open  []string          // keys of the members that are begun
	tree  map[string]any    // for others that must be put together
	place []int             // of the columns: key…, value, cursor, tombstone
	last  []string          // names for which place was found

	changes []change // when changes are read
	edits   bool
	byPath  map[string]int
}

// change is what became of one member.
type change struct {
	path   []string
	values []any
	gone   bool
}

// newIntake takes the rows of a whole document.
func newIntake(r config.Rows, b bounds, sorted bool) *intake {
	t := &intake{Rows: r, bounds: b, sorted: sorted || !r.Many && len(r.Key) == 1}
	if t.sorted {
		t.b = relation.NewBuilder(b.limits)
		t.b.Object()
	} else {
		t.tree = map[string]any{}
	}
	return t
}

// newChanges takes the rows that changed.
func newChanges(r config.Rows, b bounds) *intake {
	return &intake{Rows: r, bounds: b, edits: true, byPath: map[string]int{}}
}

// find says where the columns are that mean something.
func (t *intake) find(names []string) error {
	if len(t.last) > 0 && len(names) == len(t.last) && (&names[0] == &t.last[0] || slices.Equal(names, t.last)) {
		return nil
	}
	t.place = t.place[:0]
	var missing []string
	look := func(name string, optional bool) {
		i := slices.Index(names, name)
		if i < 0 && name != "" && !optional {
			missing = append(missing, name)
		}
		t.place = append(t.place, i)
	}
	for _, k := range t.Key {
		look(k, false)
	}
	look(t.Value, false)
	look(t.Cursor, false)
	look(t.Tombstone, true)
	if len(missing) > 0 {
		t.last = nil
		return fmt.Errorf("the rows have no column %s: they have %s", strings.Join(missing, ", "), strings.Join(names, ", "))
	}
	t.last = names
	return nil
}

// add takes one row.
func (t *intake) add(names []string, values []any) error {
	if err := t.find(names); err != nil {
		return err
	}
	if t.rows++; t.rows > t.maxRows {
		return fmt.Errorf("%w: more than %d rows (max_rows)", relation.ErrTooLarge, t.maxRows)
	}
	n := len(t.Key)
	path := make([]string, n)
	for i := range n {
		var err error
		if path[i], err = keyText(values[t.place[i]]); err != nil {
			return fmt.Errorf("row %d: key %s %w", t.rows, t.Key[i], err)
		}
	}
	if c := t.place[n+1]; c >= 0 {
		if err := t.see(values[c]); err != nil {
			return fmt.Errorf("row %d: cursor %s %w", t.rows, t.Cursor, err)
		}
	}
	gone := t.place[n+2] >= 0 && marked(values[t.place[n+2]])
	if gone && !t.edits {
		return nil
	}
	var v any
	if !gone {
		var err error
		if v, err = t.valueOf(names, values); err != nil {
			return fmt.Errorf("row %d: %w", t.rows, err)
		}
	}
	switch {
	case t.edits:
		t.note(path, v, gone)
		return nil
	case t.sorted:
		t.write(path, v)
		return t.hint(t.b.Err())
	}
	return t.graft(path, v)
}

// valueOf is what a row says of its key.
func (t *intake) valueOf(names []string, values []any) (any, error) {
	n := len(t.Key)
	if t.place[n] >= 0 {
		return plain(values[t.place[n]])
	}
	out := make(map[string]any, len(names))
	for i, name := range names {
		if slices.Contains(t.place, i) {
			continue
		}
		v, err := plain(values[i])
		if err != nil {
			return nil, fmt.Errorf("column %s %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

// write puts a member where its path leads; rows of one object stand together.
func (t *intake) write(path []string, v any) {
	same := 0
	for same < len(t.open) && same < len(path) && t.open[same] == path[same] {
		same++
	}
	whole := len(path)
	if !t.Many {
		whole-- // the last key names the value itself, even if it is the one before
		same = min(same, whole)
	}
	for range len(t.open) - same {
		t.b.End()
	}
	t.open = append(t.open[:0], path[:whole]...)
	for i := same; i < len(path); i++ {
		t.b.Key(path[i])
		switch {
		case i < len(path)-1:
			t.b.Object()
		case t.Many:
			t.b.Array()
		}
	}
	t.b.Any(v)
}

// graft puts a member into the tree.
func (t *intake) graft(path []string, v any) error {
	at := t.tree
	for _, k := range path[:len(path)-1] {
		next, ok := at[k].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[k] = next
		}
		at = next
	}
	last := path[len(path)-1]
	if !t.Many {
		if _, twice := at[last]; twice {
			return t.hint(&relation.DuplicateError{Key: last})
		}
		at[last] = v
		return nil
	}
	list, _ := at[last].([]any)
	at[last] = append(list, v)
	return nil
}

func (t *intake) hint(err error) error {
	var dup *relation.DuplicateError
	if errors.As(err, &dup) {
		return fmt.Errorf("%w: add columns to key, or set many to collect the values of one key", err)
	}
	return err
}

func (t *intake) note(path []string, v any, gone bool) {
	id := strings.Join(path, "\x00")
	i, ok := t.byPath[id]
	if !ok {
		i = len(t.changes)
		t.byPath[id] = i
		t.changes = append(t.changes, change{path: path})
	}
	c := &t.changes[i]
	switch {
	case gone && t.Many:
		c.gone = len(c.values) == 0 // other rows of the key may be alive
	case gone:
		c.gone, c.values = true, nil
	case t.Many:
		c.gone, c.values = false, append(c.values, v)
	default:
		c.gone, c.values = false, []any{v}
	}
}

// finish is the document of all rows.
func (t *intake) finish() (*relation.Document, error) {
	if t.rows < t.minRows {
		return nil, fmt.Errorf("only %d rows: min_rows is %d", t.rows, t.minRows)
	}
	if !t.sorted {
		t.b = relation.NewBuilder(t.limits)
		t.b.Any(t.tree)
		t.tree = nil
	} else {
		for range t.open {
			t.b.End()
		}
		t.b.End()
	}
	d, err := t.b.Finish()
	return d, t.hint(err)
}

// apply makes the next version of a document of the changes.
func (t *intake) apply(d *relation.Document) (*relation.Document, error) {
	if len(t.changes) == 0 {
		return d, nil
	}
	e, err := d.Edit(t.limits)
	if err != nil {
		return nil, err
	}
	for _, c := range t.changes {
		if c.gone {
			err = e.Delete(c.path)
		} else {
			err = e.Set(c.path, func(b *relation.Builder) {
				if t.Many {
					b.Any(c.values)
				} else {
					b.Any(c.values[0])
				}
			})
		}
		if err != nil {
			return nil, fmt.Errorf("applying a change: %w", err)
		}
	}
	out, err := e.Commit()
	if err != nil {
		return nil, fmt.Errorf("applying changes: %w", err)
	}
	if size := out.Bytes(); size > t.limits.Bytes {
		return nil, fmt.Errorf("%w: changes make it %d bytes (max_memory is %d)", relation.ErrTooLarge, size, t.limits.Bytes)
	}
	if n := out.Count(); len(t.Key) == 1 && !t.Many && (n < t.minRows || n > t.maxRows) {
		return nil, fmt.Errorf("changes leave %d rows: at least %d and at most %d are taken", n, t.minRows, t.maxRows)
	}
	if out.Worn() {
		return out.Rebuild(t.limits)
	}
	return out, nil
}

// see keeps the greatest cursor.
func (t *intake) see(v any) error {
	if v == nil {
		return nil
	}
	if b, ok := v.([]byte); ok {
		v = string(b)
	}
	if t.mark == nil {
		switch v.(type) {
		case time.Time, string, int64, int32, int16, float64, json.Number:
			t.mark = v
			return nil
		}
		return fmt.Errorf("is of type %T: it must be a time, number or text", v)
	}
	var greater bool
	switch m := t.mark.(type) {
	case time.Time:
		w, ok := v.(time.Time)
		if !ok {
			return changedType(v)
		}
		greater = w.After(m)
	case string:
		w, ok := v.(string)
		if !ok {
			return changedType(v)
		}
		greater = w > m
	default:
		a, ok1 := asFloat(m)
		b, ok2 := asFloat(v)
		if !ok1 || !ok2 {
			return changedType(v)
		}
		greater = b > a
	}
	if greater {
		t.mark = v
	}
	return nil
}

func changedType(v any) error { return fmt.Errorf("is of another type than in other rows: %T", v) }

func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case int32:
		return float64(v), true
	case int16:
		return float64(v), true
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

// marked reports whether a tombstone says that the row was deleted.
func marked(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case int64:
		return v != 0
	case json.Number:
		return v != "0"
	case string:
		return v != "" && v != "0" && !strings.EqualFold(v, "false")
	}
	return true
}

// keyText is a value as the name of a member.
func keyText(v any) (string, error) {
	p, err := plain(v)
	if err != nil {
		return "", err
	}
	switch p := p.(type) {
	case string:
		return p, nil
	case json.Number:
		return string(p), nil
	case nil:
		return "", errors.New("is null")
	}
	return "", fmt.Errorf("is %T: it must be text or a whole number", p)
}

// plain turns what drivers and decoders give into what JSON has.
func plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, json.Number:
		return v, nil
	case string:
		if !utf8.ValidString(v) {
			return nil, errors.New("is not valid UTF-8")
		}
		return v, nil
	case []byte:
		return plain(string(v))
	case int:
		return json.Number(strconv.Itoa(v)), nil
	case int16:
		return json.Number(strconv.Itoa(int(v))), nil
	case int32:
		return json.Number(strconv.Itoa(int(v))), nil
	case int64:
		return json.Number(strconv.FormatInt(v, 10)), nil
	case uint32:
		return json.Number(strconv.FormatUint(uint64(v), 10)), nil
	case uint64:
		return json.Number(strconv.FormatUint(v, 10)), nil
	case float32:
		return plain(float64(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, errors.New("is a number that JSON has not")
		}
		b, err := json.Marshal(v)
		return json.Number(b), err
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case [16]byte: // uuid
		return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:]), nil
	case []any:
		for i := range v {
			var err error
			if v[i], err = plain(v[i]); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[string]any:
		for k := range v {
			var err error
			if v[k], err = plain(v[k]); err != nil {
				return nil, err
			}
		}
		return v, nil
	case fmt.Stringer:
		return v.String(), nil
	}
	return nil, fmt.Errorf("is of type %T, which has no form in JSON: convert it in the query", v)
}
