package source

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz/relation"
)

// Formats of texts.
const (
	formatJSON   = "json"
	formatNDJSON = "ndjson"
	formatCSV    = "csv"
	formatYAML   = "yaml"
)

// maxYAML bounds a YAML text, which is decoded in memory, at many times its size.
const maxYAML = 16 << 20

// text is how a text becomes a document.
type text struct {
	config.Rows
	bounds
	format, pointer string
}

// document reads all of r. Without a key the text is the document; else it holds rows.
func (d *text) document(r io.Reader) (*relation.Document, any, int, error) {
	if len(d.Key) > 0 {
		t := newIntake(d.Rows, d.bounds, false)
		if err := d.rows(r, t); err != nil {
			return nil, nil, 0, err
		}
		doc, err := t.finish()
		return doc, t.mark, t.rows, err
	}
	b := relation.NewBuilder(d.limits)
	var err error
	switch d.format {
	case formatJSON:
		err = d.descend(relation.NewJSON(r, b), func(j *relation.JSON) error {
			j.To(b)
			return j.Value()
		})
	case formatYAML:
		var v any
		if v, err = d.yaml(r); err == nil {
			b.Any(v)
		}
	default:
		t := &gather{b: b}
		b.Array()
		err = d.each(r, t.add)
		b.End()
	}
	if err != nil {
		return nil, nil, 0, err
	}
	doc, err := b.Finish()
	if err != nil {
		return nil, nil, 0, err
	}
	if n := doc.Count(); n < d.minRows || n > d.maxRows {
		return nil, nil, 0, fmt.Errorf("%d members: at least %d (min_rows) and at most %d (max_rows) are taken", n, d.minRows, d.maxRows)
	}
	return doc, nil, doc.Count(), nil
}

// gather writes rows as they are into an array.
type gather struct{ b *relation.Builder }

func (g *gather) add(v any) error {
	g.b.Any(v)
	return g.b.Err()
}

// rows reads the rows of a text.
func (d *text) rows(r io.Reader, t *intake) error {
	var names []string
	var values []any
	return d.each(r, func(v any) error {
		row, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("row %d is not an object of columns", t.rows+1)
		}
		names, values = slices.AppendSeq(names[:0:0], maps.Keys(row)), values[:0]
		slices.Sort(names)
		for _, n := range names {
			values = append(values, row[n])
		}
		return t.add(names, values)
	})
}

// each calls f with every element of a text.
func (d *text) each(r io.Reader, f func(any) error) error {
	switch d.format {
	case formatCSV:
		return eachCSV(r, f)
	case formatYAML:
		v, err := d.yaml(r)
		if err != nil {
			return err
		}
		list, ok := v.([]any)
		if !ok {
			return errors.New("the rows are not a list")
		}
		for _, e := range list {
			if err := f(e); err != nil {
				return err
			}
		}
		return nil
	}
	tree := relation.NewTree(maxDepth)
	j := relation.NewJSON(r, tree)
	one := func() error {
		if err := j.Value(); err != nil {
			return err
		}
		return f(tree.Take())
	}
	if d.format == formatNDJSON {
		for {
			more, err := j.More()
			if err != nil || !more {
				return err
			}
			if err := one(); err != nil {
				return err
			}
		}
	}
	return d.descend(j, func(j *relation.JSON) error {
		j.To(tree)
		begun, err := j.Enter()
		if err != nil {
			return err
		}
		if begun != '[' {
			return errors.New("the rows are not an array")
		}
		for first := true; ; first = false {
			_, more, err := j.Next(begun, first)
			if err != nil || !more {
				return err
			}
			if err := one(); err != nil {
				return err
			}
		}
	})
}

// descend goes to the value that the pointer names, and over all others.
func (d *text) descend(j *relation.JSON, f func(*relation.JSON) error) error {
	found := false
	var down func(steps []string) error
	down = func(steps []string) error {
		if len(steps) == 0 {
			found = true
			return f(j)
		}
		begun, err := j.Enter()
		if err != nil {
			return err
		}
		for i := 0; ; i++ {
			key, more, err := j.Next(begun, i == 0)
			if err != nil || !more {
				return err
			}
			if begun == '[' {
				key = strconv.Itoa(i)
			}
			if key == steps[0] && !found {
				err = down(steps[1:])
			} else {
				j.To(nothing{})
				err = j.Value()
			}
			if err != nil {
				return err
			}
		}
	}
	if err := down(d.steps()); err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("there is nothing at %s", d.pointer)
	}
	j.To(nothing{})
	if more, err := j.More(); err != nil || more {
		return errors.Join(err, errors.New("there is more after the document"))
	}
	return nil
}

// steps are the segments of the pointer (RFC 6901).
func (d *text) steps() []string {
	if d.pointer == "" {
		return nil
	}
	steps := strings.Split(d.pointer[1:], "/")
	for i := range steps {
		steps[i] = strings.ReplaceAll(strings.ReplaceAll(steps[i], "~1", "/"), "~0", "~")
	}
	return steps
}

// nothing is a Sink for what is not wanted.
type nothing struct{}

func (nothing) Null()         {}
func (nothing) Bool(bool)     {}
func (nothing) Number(string) {}
func (nothing) String(string) {}
func (nothing) Object()       {}
func (nothing) Key(string)    {}
func (nothing) Array()        {}
func (nothing) End()          {}
func (nothing) Err() error    { return nil }

// eachCSV reads RFC 4180; the first line names the columns.
func eachCSV(r io.Reader, f func(any) error) error {
	c := csv.NewReader(r)
	c.ReuseRecord = true
	head, err := c.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("reading CSV: there is no line of column names")
	}
	if err != nil {
		return fmt.Errorf("reading CSV: %w", err)
	}
	names := slices.Clone(head)
	names[0] = strings.TrimPrefix(names[0], "\ufeff")
	for i, n := range names {
		if n == "" || slices.Contains(names[:i], n) {
			return fmt.Errorf("reading CSV: column %d has no name of its own", i+1)
		}
	}
	for {
		line, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading CSV: %w", err)
		}
		row := make(map[string]any, len(names))
		for i, n := range names {
			row[n] = strings.Clone(line[i])
		}
		if err := f(row); err != nil {
			return err
		}
	}
}

// yaml decodes a text, and goes to what the pointer names.
func (d *text) yaml(r io.Reader) (any, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxYAML+1))
	if err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	if len(data) > maxYAML {
		return nil, fmt.Errorf("reading YAML: it is longer than %d bytes: use JSON for large data", maxYAML)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var v, more any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading YAML: there is more than one document")
	}
	for _, s := range d.steps() {
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[s]
			if !ok {
				return nil, fmt.Errorf("there is nothing at %s", d.pointer)
			}
			v = next
		case []any:
			i, err := strconv.Atoi(s)
			if err != nil || i < 0 || i >= len(at) {
				return nil, fmt.Errorf("there is nothing at %s", d.pointer)
			}
			v = at[i]
		default:
			return nil, fmt.Errorf("there is nothing at %s", d.pointer)
		}
	}
	return plain(v)
}

// limited fails when a text is longer than it may be, and when nobody waits for
// it any more.
type limited struct {
	r    io.Reader
	left int64
	most int64
	done <-chan struct{}
}

func (l *limited) Read(p []byte) (int, error) {
	select {
	case <-l.done:
		return 0, errors.New("it takes too long")
	default:
	}
	if l.left <= 0 {
		var one [1]byte
		if n, err := l.r.Read(one[:]); n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("%w: more than %d bytes (max_bytes)", relation.ErrTooLarge, l.most)
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}
