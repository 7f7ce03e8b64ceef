package source

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// settings are a source's as a config that says nothing of them has them.
func settings(at string) config.Source {
	return config.Source{At: at, Every: 20 * time.Millisecond, Full: time.Hour, MaxAge: time.Minute, Timeout: 5 * time.Second, MaxRows: 1000, MaxMemory: 64 << 20, MaxRead: 10_000}
}

// reader is an engine whose policy gives out all that lies at data.x.
type reader struct {
	t      *testing.T
	engine *authz.Engine
	feeds  []authz.Feed
	now    atomic.Int64 // added to the clock
}

func (r *reader) clock() time.Time { return time.Now().Add(time.Duration(r.now.Load())) }

func start(t *testing.T, p *Pool, s config.Source) *reader {
	t.Helper()
	r := &reader{t: t}
	if p == nil {
		p = NewPool(nil, r.clock)
	}
	r.feeds = p.Feeds([]config.Source{s})
	list := append([]authz.Source{{Name: "files"}}, r.feeds[0].Sources()...)
	var err error
	if r.engine, err = authz.NewEngine("data.test.out", list, p.log, r.clock); err != nil {
		t.Fatal(err)
	}
	m := ast.MustParseModuleWithOpts("package test\nout := data."+strings.ReplaceAll(s.At, "/", "."), ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err := r.engine.Update(t.Context(), map[string]*authz.Part{"files": {Modules: map[string]*ast.Module{"p.rego": m}}}); err != nil {
		t.Fatal(err)
	}
	if err := r.feeds[0].Start(t.Context(), r.engine); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

func (r *reader) close() {
	for _, f := range r.feeds {
		if err := f.Close(); err != nil {
			r.t.Error(err)
		}
	}
}

// data is what the policy reads now, or why it may not.
func (r *reader) data() (string, error) {
	p, err := r.engine.Current(r.clock())
	if err != nil {
		return "", err
	}
	v, err := p.Evaluate(context.Background(), &authz.Evaluation{Input: ast.NewObject(), Now: r.clock(), Limit: time.Second})
	if err != nil {
		return "", err
	}
	return v.String(), nil
}

// becomes waits until the policy reads this.
func (r *reader) becomes(want string) {
	r.t.Helper()
	v := ast.MustParseTerm(want).String()
	var got string
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got, err = r.data(); got == v {
			return
		}
	}
	r.t.Fatalf("the policy reads %s (%v, ready: %v), want %s", got, err, r.engine.Ready(), v)
}

// wrong waits until the source says this of itself; the data must still be there.
func (r *reader) wrong(want, data string) {
	r.t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if err = r.engine.Ready(); err != nil && strings.Contains(err.Error(), want) {
			if data != "" {
				r.becomes(data)
			}
			return
		}
	}
	r.t.Fatalf("the source says %v, want %q", err, want)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		rows    config.Rows
		pointer string
		text    string
		want    string
	}{
		"JSON as it is":   {file: "x.json", text: `{"a":{"b":[1,2.50]}}`, want: `{"a":{"b":[1,2.50]}}`},
		"JSON below":      {file: "x.json", text: `{"n":0,"a":[7,{"b":{"c":true}}],"z":{}}`, pointer: "/a/1/b", want: `{"c":true}`},
		"JSON escaped":    {file: "x.json", text: `{"a/b":{"~":{"c":1}}}`, pointer: "/a~1b/~0", want: `{"c":1}`},
		"JSON rows":       {file: "x.json", rows: config.Rows{Key: []string{"id"}, Value: "owner"}, text: `[{"id":7,"owner":"ann"},{"id":"8","owner":null}]`, want: `{"7":"ann","8":null}`},
		"JSON objects":    {file: "x.json", rows: config.Rows{Key: []string{"id"}}, pointer: "/items", text: `{"items":[{"id":"a","x":1,"y":{"z":[]}}],"next":null}`, want: `{"a":{"x":1,"y":{"z":[]}}}`},
		"NDJSON":          {file: "x.ndjson", rows: config.Rows{Key: []string{"u"}, Value: "r", Many: true}, text: "{\"u\":\"ann\",\"r\":\"a\"}\n{\"u\":\"bob\",\"r\":\"a\"}\n{\"u\":\"ann\",\"r\":\"b\"}\n", want: `{"ann":["a","b"],"bob":["a"]}`},
		"NDJSON as is":    {file: "x.jsonl", text: "1\n\"a\"\n", want: `[1,"a"]`},
		"CSV":             {file: "x.csv", rows: config.Rows{Key: []string{"tenant", "id"}, Value: "owner"}, text: "\ufefftenant,id,owner\nt1,a,ann\nt2,a,bob\nt1,b,\"c, d\"\n", want: `{"t1":{"a":"ann","b":"c, d"},"t2":{"a":"bob"}}`},
		"CSV as it is":    {file: "x.csv", text: "a,b\n1,2\n", want: `[{"a":"1","b":"2"}]`},
		"YAML":            {file: "x.yaml", text: "a:\n  - 1\n  - b: 2.5\n", want: `{"a":[1,{"b":2.5}]}`},
		"YAML rows":       {file: "x.yml", rows: config.Rows{Key: []string{"id"}}, pointer: "/l", text: "l:\n- {id: a, n: 1}\n", want: `{"a":{"n":1}}`},
		"many and nested": {file: "x.ndjson", rows: config.Rows{Key: []string{"t", "u"}, Value: "r", Many: true}, text: `{"t":"1","u":"a","r":1}{"t":"2","u":"a","r":2}{"t":"1","u":"a","r":3}`, want: `{"1":{"a":[1,3]},"2":{"a":[2]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), c.file)
			write(t, path, c.text)
			s := settings("x")
			s.File = &config.FileSource{Rows: c.rows, Path: path, Pointer: c.pointer, MaxBytes: 1 << 20}
			start(t, nil, s).becomes(c.want)
		})
	}
}

func TestFileChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	write(t, path, `{"a":1}`)
	s := settings("rel/x")
	s.File = &config.FileSource{Path: path, MaxBytes: 1000}
	s.MaxRows = 3
	r := start(t, nil, s)
	r.becomes(`{"a":1}`)
	write(t, path, `{"a":2}`) // the same length, within one tick of the clock
	r.becomes(`{"a":2}`)
	for text, want := range map[string]string{
		`{"a":`:                     "reading JSON",
		`{"a":1,"a":2}`:             "stands twice",
		`{"a":"\ud800"}`:            "surrogate",
		`{"a":1,"b":1,"c":1,"d":1}`: "at most 3",
		strings.Repeat(" ", 1001):   "max_bytes",
		strings.Repeat("[", 70):     "nested deeper",
		`{"a":1} {}`:                "more after",
	} {
		write(t, path, text)
		r.wrong(want, `{"a":2}`)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.wrong("no such file", `{"a":2}`)
	r.now.Store(int64(2 * time.Minute))
	if _, err := r.data(); err == nil || !strings.Contains(err.Error(), "relation:rel/x was last heard of") {
		t.Fatalf("data older than max_age decide: %v", err)
	}
	write(t, path, `{"b":3}`)
	r.becomes(`{"b":3}`)
	if err := r.engine.Ready(); err != nil {
		t.Fatal(err)
	}
}

// answers is a server of rows whose behaviour a test changes.
type answers struct {
	body, media, etag string
	status            int
	stall             bool
}

func serve(t *testing.T) (*httptest.Server, *atomic.Pointer[answers]) {
	var now atomic.Pointer[answers]
	now.Store(&answers{status: 200, media: "application/json"})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := *now.Load()
		if a.stall {
			<-r.Context().Done()
			return
		}
		if r.Header.Get("Authorization") != "Bearer sesame" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if a.status/100 == 3 {
			w.Header().Set("Location", "http://192.0.2.1/")
		}
		if since := r.URL.Query().Get("since"); since != "" {
			c := csv.NewWriter(w)
			w.Header().Set("Content-Type", "text/csv")
			_ = c.Write([]string{"id", "owner", "at", "gone"})
			for _, line := range strings.Split(a.body, ";") {
				if row := strings.Split(line, ","); len(row) == 4 && row[2] >= since {
					_ = c.Write(row)
				}
			}
			c.Flush()
			return
		}
		if a.etag != "" {
			w.Header().Set("ETag", a.etag)
			if r.Header.Get("If-None-Match") == a.etag {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
		w.Header().Set("Content-Type", a.media)
		w.WriteHeader(a.status)
		fmt.Fprint(w, a.body)
	}))
	t.Cleanup(s.Close)
	return s, &now
}

func TestHTTP(t *testing.T) {
	srv, now := serve(t)
	set := func(f func(*answers)) {
		a := *now.Load()
		f(&a)
		now.Store(&a)
	}
	set(func(a *answers) { a.body, a.etag = `{"a":"ann"}`, `"1"` })
	s := settings("x")
	s.Timeout = 300 * time.Millisecond
	s.HTTP = &config.HTTPSource{URL: srv.URL + "/owners?key=hunter2", Authorization: config.NewSecret("Bearer sesame"), MaxBytes: 2000}
	r := start(t, nil, s)
	r.becomes(`{"a":"ann"}`)
	set(func(a *answers) { a.body = `{"a":"not read: the ETag is the same"}` })
	time.Sleep(100 * time.Millisecond)
	r.becomes(`{"a":"ann"}`)
	set(func(a *answers) { a.body, a.etag = `{"a":"bob"}`, `"2"` })
	r.becomes(`{"a":"bob"}`)
	for _, c := range []struct {
		f    func(*answers)
		want string
	}{
		{func(a *answers) { a.etag, a.status = "", 500 }, "answers 500"},
		{func(a *answers) { a.status = 302 }, "redirects to another place"},
		{func(a *answers) { a.status, a.media = 200, "text/html" }, "Content-Type"},
		{func(a *answers) { a.media, a.body = "application/json", `<html>` }, "begins no value"},
		{func(a *answers) { a.body = `{"a":"` + strings.Repeat("x", 3000) + `"}` }, "(max_bytes)"},
		{func(a *answers) { a.body = ``; a.stall = true }, "within 300ms"},
	} {
		set(c.f)
		r.wrong(c.want, `{"a":"bob"}`)
		if err := r.engine.Ready(); strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "sesame") {
			t.Fatalf("a secret is in an error: %v", err)
		}
	}
	set(func(a *answers) { *a = answers{status: 200, media: "application/x-ndjson", body: "1 2"} })
	r.becomes(`[1,2]`)
}

func TestHTTPChanges(t *testing.T) {
	srv, now := serve(t)
	now.Store(&answers{status: 200, media: "application/json", body: `[{"id":"a","owner":"ann","at":"2026-01-01","gone":""},{"id":"b","owner":"bob","at":"2026-01-02"}]`})
	s := settings("x")
	s.HTTP = &config.HTTPSource{
		Rows: config.Rows{Key: []string{"id"}, Value: "owner", Cursor: "at", Tombstone: "gone"}, Since: "since",
		URL: srv.URL, Authorization: config.NewSecret("Bearer sesame"), MaxBytes: 1 << 20,
	}
	r := start(t, nil, s)
	r.becomes(`{"a":"ann","b":"bob"}`)
	now.Store(&answers{status: 200, body: "a,,2026-01-03,true;c,cat,2026-01-04,"})
	r.becomes(`{"b":"bob","c":"cat"}`)
	now.Store(&answers{status: 200, body: "b,old,2025-01-01,;c,dog,2026-01-05,"})
	r.becomes(`{"b":"bob","c":"dog"}`)
}

// TestReload: a generation that begins while a source is down decides by what the
// one before had, and one whose source never answered decides nothing.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	write(t, path, `{"a":1}`)
	s := settings("x")
	s.File = &config.FileSource{Path: path, MaxBytes: 1000}
	p := NewPool(nil, nil)
	r := start(t, p, s)
	r.becomes(`{"a":1}`)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r.wrong("no such file", "")
	second := start(t, p, s)
	second.becomes(`{"a":1}`)
	r.close()
	second.wrong("no such file", `{"a":1}`)
	second.close()
	if len(p.keepers) != 0 {
		t.Fatal("a keeper is left that nobody uses")
	}
	r.feeds, second.feeds = nil, nil
	third := start(t, p, s)
	if v, err := third.data(); err == nil || !strings.Contains(err.Error(), "has given nothing yet") {
		t.Fatalf("without any data the policy reads %s (%v)", v, err)
	}
}

// TestIntake: rows that cannot become a document.
func TestIntake(t *testing.T) {
	b := bounds{maxRows: 3}
	for name, c := range map[string]struct {
		rows config.Rows
		min  int
		data [][]any // id, n
		want string
	}{
		"no column": {rows: config.Rows{Key: []string{"nr"}}, data: [][]any{{"a", 1}}, want: "no column nr"},
		"null key":  {rows: config.Rows{Key: []string{"id"}}, data: [][]any{{nil, 1}}, want: "is null"},
		"key twice": {rows: config.Rows{Key: []string{"id"}}, data: [][]any{{"a", 1}, {"a", 2}}, want: "stands twice"},
		"too many":  {rows: config.Rows{Key: []string{"id"}}, data: [][]any{{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}}, want: "max_rows"},
		"too few":   {rows: config.Rows{Key: []string{"id"}}, min: 2, data: [][]any{{"a", 1}}, want: "min_rows"},
		"cursor":    {rows: config.Rows{Key: []string{"id"}, Cursor: "n"}, data: [][]any{{"a", int64(1)}, {"b", "x"}}, want: "another type"},
		"bad text":  {rows: config.Rows{Key: []string{"id"}}, data: [][]any{{"a", "\xff"}}, want: "UTF-8"},
		"bad type":  {rows: config.Rows{Key: []string{"id"}}, data: [][]any{{"a", struct{}{}}}, want: "no form in JSON"},
		"float key": {rows: config.Rows{Key: []string{"id"}}, data: [][]any{{true, 1}}, want: "text or a whole number"},
	} {
		t.Run(name, func(t *testing.T) {
			b := b
			b.minRows = c.min
			in := newIntake(c.rows, b, false)
			var err error
			for _, row := range c.data {
				if err = in.add([]string{"id", "n"}, row); err != nil {
					break
				}
			}
			if err == nil {
				_, err = in.finish()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPause(t *testing.T) {
	for failures, most := range []time.Duration{time.Minute, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if d := pause(time.Minute, failures); d > most || d < most*8/10 {
			t.Errorf("after %s failures the pause is %s", strconv.Itoa(failures), d)
		}
	}
}
