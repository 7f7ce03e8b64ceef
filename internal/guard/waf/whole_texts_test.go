package waf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// corpusTexts is one corpus.
type corpusTexts struct {
	name  string
	texts []string
}

// wholeTexts reads all public data: every value, and of requests all that is in them.
func wholeTexts(t testing.TB) (out []corpusTexts) {
	dir := corpora(t)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no corpora", err)
	}
	for _, f := range files {
		c := corpusTexts{name: filepath.Base(filepath.Dir(f))}
		for _, line := range sampledLines(t, f, 1) {
			var s struct {
				Value, Query, Path, URL, Body string
				Body64                        []byte `json:"body_b64"`
				Headers                       map[string]string
			}
			if err := json.Unmarshal(line, &s); err != nil {
				t.Fatal(f, err)
			}
			c.texts = append(c.texts, s.Value)
			for _, raw := range []string{s.Query, s.Path, s.URL, s.Body, string(s.Body64)} {
				c.texts = append(c.texts, piecesOf(raw)...)
			}
			for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
				c.texts = append(c.texts, name, s.Headers[name])
			}
		}
		out = append(out, c)
	}
	c := corpusTexts{name: "httpparams"}
	for _, row := range rows(t, filepath.Join(dir, "httpparams/payload_train.csv"), filepath.Join(dir, "httpparams/payload_test.csv")) {
		c.texts = append(c.texts, row[0])
	}
	out = append(out, c, corpusTexts{name: "gotestwaf", texts: payloads(t, filepath.Join(dir, "gotestwaf/testcases/*/*.yml"))})
	b, err := os.ReadFile(filepath.Join(dir, "big-list-of-naughty-strings/blns.txt"))
	if err != nil {
		t.Fatal(err)
	}
	c = corpusTexts{name: "big-list-of-naughty-strings"}
	for line := range bytes.Lines(b) {
		if line = bytes.TrimRight(line, "\n"); !bytes.HasPrefix(line, []byte("# ")) {
			c.texts = append(c.texts, string(line))
		}
	}
	out = append(out, c)
	// Small ones first: what is wrong shows early.
	slices.SortStableFunc(out, func(a, b corpusTexts) int { return len(a.texts) - len(b.texts) })
	var parts []corpusTexts
	for _, c := range out {
		if len(c.texts) == 0 {
			t.Errorf("%s: no data", c.name)
		}
		n := 0
		for part := range slices.Chunk(c.texts, partSize) {
			n++
			parts = append(parts, corpusTexts{fmt.Sprint(c.name, partOf, n), part})
		}
	}
	return parts
}

// partSize is how many texts are done and written down at once.
const (
	partSize = 10_000
	partOf   = " part "
)

// piecesOf are a text that is sent as one, and what of it others would read: the names
// and values of its pairs.
func piecesOf(raw string) []string {
	if raw == "" {
		return nil
	}
	out := []string{raw, unescape(raw)}
	path, query, ok := strings.Cut(raw, "?")
	if !ok {
		query = raw
	} else {
		out = append(out, path, unescape(path), query)
	}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			out = append(out, unescape(name), unescape(value))
		}
	}
	return out
}

func writeJSON(t *testing.T, file string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		err = os.WriteFile(file, append(b, '\n'), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// joinParts puts the parts of one corpus together.
func joinParts(list []wholeCorpus, part wholeCorpus) []wholeCorpus {
	part.Tree = ""
	part.Name, _, _ = strings.Cut(part.Name, partOf)
	n := len(list) - 1
	if n < 0 || list[n].Name != part.Name {
		part.Rows = slices.Clone(part.Rows)
		return append(list, part)
	}
	c := &list[n]
	c.Texts, c.TooLong, c.Seconds = c.Texts+part.Texts, c.TooLong+part.TooLong, c.Seconds+part.Seconds
	c.Missed = append(c.Missed, part.Missed...)
	for i := range c.Rows {
		c.Rows[i].add(part.Rows[i])
	}
	return list
}

// add adds the counts of another row.
func (r *wholeRow) add(o wholeRow) {
	r.Inspection, r.Level = o.Inspection, o.Level
	r.Settled, r.Judged, r.Silent = r.Settled+o.Settled, r.Judged+o.Judged, r.Silent+o.Silent
	r.Elsewhere += o.Elsewhere
	r.Named, r.Together, r.Missed = r.Named+o.Named, r.Together+o.Together, r.Missed+o.Missed
}

// writeWhole writes the outcome down, as far as the run has come.
func writeWhole(t *testing.T, file string, of int, all []wholeCorpus) {
	if file == "" {
		return
	}
	type outcome struct {
		Commit  string        `json:"commit"`
		Texts   int           `json:"texts"` // tried so far
		Of      int           `json:"of"`    // of so many
		Missed  int           `json:"missed"`
		Seconds float64       `json:"seconds"`
		Total   []wholeRow    `json:"total"`
		Corpora []wholeCorpus `json:"corpora"`
	}
	o := outcome{Commit: os.Getenv("CRENEL_WAF_COMMIT"), Of: of}
	for _, c := range all {
		o.Corpora = joinParts(o.Corpora, c)
		o.Texts, o.Seconds = o.Texts+c.Texts, o.Seconds+c.Seconds
		if o.Total == nil {
			o.Total = make([]wholeRow, len(c.Rows))
		}
		for n, r := range c.Rows {
			o.Total[n].add(r)
			o.Missed += r.Missed
		}
	}
	writeJSON(t, file, o)
}
