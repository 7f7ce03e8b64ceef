package call_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/call"
	"github.com/crenel-project/crenel/internal/value"
)

const workshop = "../testdata/good/workshop-3.0.yaml"

func load(t *testing.T, file string) *spec.API {
	t.Helper()
	api, err := spec.Load(context.Background(), file, spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// TestNew makes requests of every operation of the fixtures.
func TestNew(t *testing.T) {
	files, err := filepath.Glob("../testdata/good/*.[yj]*")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		api := load(t, f)
		for _, op := range api.Operations {
			for seed := range uint64(30) {
				r, err := call.New(api, op, random(seed), call.Options{})
				if err != nil {
					t.Fatalf("%s: %v", f, err)
				}
				again, err := call.New(api, op, random(seed), call.Options{})
				if err != nil || again.Target() != r.Target() || !bytes.Equal(again.Body, r.Body) {
					t.Fatalf("%s: %s: the same source made %s %q and %s %q", f, op.ID, r.Target(), r.Body, again.Target(), again.Body)
				}
			}
		}
	}
}

// oracle asks kin-openapi whether a request is what the document allows.
func oracle(t *testing.T, file string) func(r *http.Request) error {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: "http://localhost/api"}} // its router wants a whole address
	var router routers.Router
	router, err = legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request) error {
		route, params, err := router.FindRoute(r)
		if err != nil {
			return err
		}
		return openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
		})
	}
}

// TestOracle: kin-openapi, which shares no code with us, takes the requests that
// are made and refuses the near misses, where it reads the document as we do.
func TestOracle(t *testing.T) {
	api, check := load(t, workshop), oracle(t, workshop)
	// It neither splits a segment nor reads a multipart file as we do, and lets
	// unknown members, parameters, repetitions, unexpected bodies and trailing data pass.
	unsupported := map[string]bool{"putFile": true}
	lenient := map[string]bool{"unknown": true, "duplicate": true, "unknownProperty": true, "style": true, "readOnly": true}
	agreed, passed := 0, map[string]int{}
	for _, op := range api.Operations {
		if unsupported[op.ID] {
			continue
		}
		for seed := range uint64(20) {
			r, err := call.New(api, op, random(seed), call.Options{})
			if err != nil {
				t.Fatal(err)
			}
			req, err := r.HTTP(context.Background(), "http://localhost")
			if err != nil {
				t.Fatal(err)
			}
			if err := check(req); err != nil {
				t.Errorf("%s: the oracle refuses %s %s %v %q: %v", op.ID, r.Method, r.Target(), r.Header, r.Body, err)
			}
		}
		misses, err := call.NearMisses(api, op, random(1), call.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range misses {
			if lenient[m.Fault.Keyword] || m.Fault.Keyword == "syntax" {
				continue
			}
			req, err := m.Request.HTTP(context.Background(), "http://localhost")
			if err != nil {
				t.Fatal(err)
			}
			if check(req) == nil {
				passed[m.Fault.Error()]++
				t.Logf("%s: the oracle takes %s %s %v %q, labelled %v", op.ID, m.Request.Method, m.Request.Target(), m.Request.Header, m.Request.Body, m.Fault.Error())
				continue
			}
			agreed++
		}
	}
	if agreed < 60 {
		t.Errorf("the oracle agrees on only %d near misses", agreed)
	}
	if n := len(passed); n > agreed/10 {
		t.Errorf("the oracle takes %d kinds of near misses", n)
	}
}

// TestNearMisses: the kinds that each operation must have, and that each breaks
// one thing only.
func TestNearMisses(t *testing.T) {
	api := load(t, workshop)
	want := map[string][]string{
		"getTool":    {"path toolId type", "path toolId minimum", "query tag missing", "query tag pattern", "query fields enum", "header X-Api-Version missing", "header X-Api-Version enum", "query undeclared unknown"},
		"changeTool": {"body  required", "body  type", "body  minLength", "body  enum", "body  missing", "body  mediaType", "body  syntax", "path toolId type"},
		"lend":       {"body  required", "body  minimum", "body  maximum", "body  type", "body  mediaType"},
		"note":       {"body  maxLength", "body  missing", "body  mediaType"},
		"clearNotes": {"body  unknown", "query undeclared unknown"},
		"putFile":    {"path name pattern", "path ext enum", "body  required", "body  maxLength"},
	}
	for _, op := range api.Operations {
		got := map[string]int{}
		for seed := range uint64(5) {
			misses, err := call.NearMisses(api, op, random(seed), call.Options{Optional: 1})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range misses {
				got[m.Fault.Where+" "+m.Fault.Name+" "+m.Fault.Keyword]++
				var f *call.Fault
				if !errors.As(call.Check(api, m.Request), &f) || *f != m.Fault {
					t.Errorf("%s: labelled %v, found %v", op.ID, m.Fault, f)
				}
			}
		}
		for _, w := range want[op.ID] {
			if got[w] == 0 {
				t.Errorf("%s: no near miss %q among %v", op.ID, w, got)
			}
		}
	}
}

// TestHTTP sends requests to a server and compares what arrives.
func TestHTTP(t *testing.T) {
	api := load(t, workshop)
	var target, body, contentType string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		target, body, contentType = r.RequestURI, string(b), r.Header.Get("Content-Type")
	}))
	defer srv.Close()
	for _, op := range api.Operations {
		for seed := range uint64(5) {
			r, err := call.New(api, op, random(seed), call.Options{Optional: 1})
			if err != nil {
				t.Fatal(err)
			}
			req, err := r.HTTP(context.Background(), srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if target != r.Target() || body != string(r.Body) || contentType != r.Header.Get("Content-Type") {
				t.Errorf("%s: sent %s %q (%s), arrived %s %q (%s)", op.ID, r.Target(), r.Body, r.Header.Get("Content-Type"), target, body, contentType)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	api := load(t, workshop)
	var get, lend *spec.Operation
	for _, op := range api.Operations {
		switch op.ID {
		case "getTool":
			get = op
		case "lend":
			lend = op
		}
	}
	base := "/elsewhere"
	if _, err := call.New(api, get, random(1), call.Options{BasePath: &base}); !errors.Is(err, call.ErrNoRequest) {
		t.Errorf("a base path that is not routed: got %v", err)
	}
	r, err := call.New(api, get, random(1), call.Options{Optional: -1, Values: map[string]value.Value{"path.toolId": {Kind: value.Number, Text: "42"}}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Target(), "/api/tools/42?tag=") || strings.Contains(r.Query, "verbose") {
		t.Errorf("got %s", r.Target())
	}
	if _, err := call.New(api, lend, random(1), call.Options{MediaType: "application/json"}); !errors.Is(err, call.ErrMediaType) {
		t.Errorf("a media type that is not declared: got %v", err)
	}
}
