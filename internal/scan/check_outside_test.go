package scan

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// press is a public API without accounts: forms read from files, postage that
// another company says, notices that are kept.
type press struct {
	open bool
	root string // holds forms/, and beside it src/
	n    int
}

const pressSpec = `openapi: 3.0.3
info: {title: Press, version: "1"}
paths:
  /forms:
    get:
      summary: The text of a form
      parameters: [{name: form_name, in: query, required: true, schema: {type: string, example: order.txt}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {form: {type: string}}}}}}, "404": {description: none}}
  /stencils/{stencil}:
    get:
      summary: A stencil, by the name of its file
      parameters: [{name: stencil, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {text/plain: {schema: {type: string}}}}, "404": {description: none}}
  /postage:
    get:
      summary: What it costs to send something
      parameters: [{name: destinationCountry, in: query, required: true, schema: {type: string, minLength: 2, maxLength: 2, example: DE}}, {name: grams, in: query, required: true, schema: {type: integer, minimum: 1, maximum: 2000, example: 20}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {price: {type: number}, discount: {type: number}}}}}}, "502": {description: the carrier does not answer}}
  /notices:
    post:
      summary: Put up a notice
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string, maxLength: 80}, weeks: {type: integer, minimum: 1, maximum: 5}, colour: {type: string}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {text: {type: string}}}}}}}
  /archive:
    get:
      summary: What was printed
      responses: {"200": {description: it}}
`

func newPress(t *testing.T, open bool) http.Handler {
	root := t.TempDir()
	for name, text := range map[string]string{"forms/order.txt": "I order", "src/main.txt": "package main", "forms/stencil-a": "A"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &press{open: open, root: root}
}

// read reads a form: below the root alone, as far as the sample goes.
func (s *press) read(name string) ([]byte, int) {
	path := filepath.Join(s.root, "forms", name)
	if !strings.HasPrefix(path, s.root+"/") {
		return nil, 404
	}
	if !s.open && filepath.Dir(path) != filepath.Join(s.root, "forms") {
		return nil, 404
	}
	text, err := os.ReadFile(path)
	switch {
	case os.IsNotExist(err):
		return nil, 404
	case err != nil && s.open:
		return nil, 500
	case err != nil:
		return nil, 404
	}
	return text, 200
}

func (s *press) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	q := r.URL.Query()
	switch name, isStencil := strings.CutPrefix(r.URL.Path, "/stencils/"); {
	case r.URL.Path == "/forms":
		text, status := s.read(q.Get("form_name"))
		if status != 200 {
			answer(status, map[string]any{"error": "no form " + q.Get("form_name")})
			return
		}
		answer(200, map[string]any{"form": string(text)})
	case isStencil:
		text, status := s.read(name)
		w.WriteHeader(status)
		_, _ = w.Write(text)
	case r.URL.Path == "/postage":
		land := q.Get("destinationCountry")
		if len(land) != 2 || q.Get("grams") == "" {
			answer(422, map[string]any{"error": "country"})
			return
		}
		price := map[string]float64{"DE": 1, "CH": 2.5, "US": 4}[land]
		if land == "AQ" { // the carrier's answer is broken there
			if price = -900; !s.open {
				answer(502, map[string]any{"error": "carrier"})
				return
			}
		}
		answer(200, map[string]any{"price": price, "discount": -0.5})
	case r.URL.Path == "/notices" && r.Method == "POST":
		var in map[string]any
		raw, _ := io.ReadAll(r.Body)
		err := json.Unmarshal(raw, &in)
		text, isText := in["text"].(string)
		weeks, given := in["weeks"]
		_, isNumber := weeks.(float64)
		switch {
		case err != nil || !isText || text == "":
			answer(400, map[string]any{"error": "text"})
		case given && !isNumber && s.open:
			panic("weeks is " + fmt.Sprint(weeks)) // what a program does that looks at nothing
		case given && !isNumber:
			answer(422, map[string]any{"error": "weeks"})
		default:
			answer(201, map[string]any{"text": text})
		}
	case r.URL.Path == "/archive":
		if s.open {
			answer(500, map[string]any{"error": "oops"})
			return
		}
		if s.n++; s.n%2 == 0 {
			answer(503, map[string]any{"error": "come back later"})
			return
		}
		answer(200, map[string]any{"papers": 3})
	default:
		answer(404, map[string]any{"error": "none"})
	}
}

// recovering answers 500 where a handler panics, as frameworks do.
func recovering(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if recover() != nil {
				http.Error(w, "internal server error", http.StatusInternalServerError)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

func TestPress(t *testing.T) {
	twins(t, pressSpec, func(t *testing.T, open bool) http.Handler { return recovering(newPress(t, open)) }, []hole{
		{"path-traversal", "GET", "/forms", "query.form_name"},
		{"path-traversal", "GET", "/stencils/{stencil}", "path.stencil"},
		{"partner-answer", "GET", "/postage", "query.destinationCountry"},
		{"server-error", "POST", "/notices", "robustness"},
		{"server-error", "GET", "/forms", "robustness"},
		{"server-error", "GET", "/stencils/{stencil}", "robustness"},
		{"server-error", "GET", "/archive", "robustness"},
	}, "path-traversal", "partner-answer", "server-error")
}

// vault is an API of keys with abilities: it issues tokens for the abilities
// that a client asks for.
func vault(open bool) http.Handler {
	tokens := map[string][]string{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := func(status int, v any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
		}
		has := tokens[r.Header.Get("X-Vault-Key")]
		switch r.Method + " " + r.URL.Path {
		case "POST /keys":
			var in struct{ Abilities []string }
			if json.NewDecoder(r.Body).Decode(&in) != nil || len(in.Abilities) == 0 {
				answer(422, map[string]any{"error": "abilities"})
				return
			}
			k := fmt.Sprintf("vk-%d-%d", len(tokens)*7919, len(tokens))
			tokens[k] = in.Abilities
			answer(201, map[string]any{"api_key": k, "abilities": in.Abilities})
		case "GET /letters", "GET /ledgers":
			want := strings.TrimPrefix(r.URL.Path, "/") + ":read"
			switch {
			case has == nil:
				answer(401, map[string]any{"error": "who are you"})
			case !slices.Contains(has, want) && !(open && want == "ledgers:read"):
				answer(403, map[string]any{"error": "insufficient"})
			default:
				answer(200, map[string]any{"items": []string{want}})
			}
		default:
			answer(404, map[string]any{"error": "none"})
		}
	})
}

const vaultSpec = `openapi: 3.1.0
info: {title: Vault, version: "1"}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Vault-Key}}
paths:
  /keys:
    post:
      summary: Issue a key
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [abilities], properties: {abilities: {type: array, minItems: 1, items: {type: string, enum: ["letters:read", "ledgers:read"]}}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {api_key: {type: string}, abilities: {type: array, items: {type: string}}}}}}}}
  /letters:
    get:
      summary: The letters
      security: [{key: ["letters:read"]}]
      responses: {"200": {description: them}, "403": {description: no}}
  /ledgers:
    get:
      summary: The ledgers
      security: [{key: ["ledgers:read"]}]
      responses: {"200": {description: them}, "403": {description: no}}
`

func TestVault(t *testing.T) {
	twins(t, vaultSpec, func(_ *testing.T, open bool) http.Handler { return vault(open) }, []hole{{"scope-ignored", "GET", "/ledgers", "scope"}}, "scope-ignored")
}
