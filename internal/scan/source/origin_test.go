package source

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const twoOrigins = `{"log": {"version": "1.2", "entries": [
  {"request": {"method": "GET", "url": "https://metrics.example.net/ping", "headers": []}, "response": {"status": 200, "content": {"mimeType": "application/json", "text": "{}"}}},
  {"request": {"method": "GET", "url": "https://metrics.example.net/pong", "headers": []}, "response": {"status": 200, "content": {"mimeType": "application/json", "text": "{}"}}},
  {"request": {"method": "GET", "url": "https://api.example.com/v1/books", "headers": []}, "response": {"status": 200, "content": {"mimeType": "application/json", "text": "[]"}}}
]}}`

// TestOneOrigin: of what was recorded, the calls to the target are its API, also where
// there were more to somebody else; and who else was called is told.
func TestOneOrigin(t *testing.T) {
	for _, c := range []struct{ origin, want, told string }{
		{"https://API.example.com", "/v1/books", "metrics.example.net"},
		{"", "/ping", "api.example.com"},
		{"http://127.0.0.1:9000", "/ping", "api.example.com"}, // a copy elsewhere
	} {
		r, err := Read(t.Context(), []byte(twoOrigins), "x.har", Options{Origin: c.origin})
		if err != nil {
			t.Fatal(err)
		}
		if r.API.Operations[0].Path != c.want || !slices.ContainsFunc(r.Repairs, func(rep Repair) bool { return strings.Contains(rep.What, c.told) }) {
			t.Errorf("%q: %s, %v", c.origin, r.API.Operations[0].Path, r.Repairs)
		}
	}
}

// TestPostmanEnvironment: an environment beside a collection fills its variables, but
// for what is secret, and is told; of two, none is taken.
func TestPostmanEnvironment(t *testing.T) {
	const collection = `{"info": {"name": "Books", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
	  "item": [
	    {"name": "books", "request": {"method": "GET", "url": {"raw": "{{host}}/{{stage}}/books?key={{token}}", "query": [{"key": "key", "value": "{{token}}"}]}}},
	    {"name": "metrics", "request": {"method": "GET", "url": "https://metrics.example.net/ping"}}
	  ]}`
	const environment = `{"name": "test", "values": [{"key": "host", "value": "https://api.example.com", "enabled": true}, {"key": "stage", "value": "api/v2"}, {"key": "token", "value": "very-secret-token", "type": "secret"}, {"key": "off", "value": "x", "enabled": false}]}`
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("books.json", collection)
	write("test.postman_environment.json", environment)
	r, err := Open(t.Context(), filepath.Join(dir, "books.json"), Options{Origin: "https://api.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.API.Operations) != 1 || r.API.Operations[0].Path != "/api/v2/books" {
		t.Errorf("%d operations, the first %s", len(r.API.Operations), r.API.Operations[0].Path)
	}
	if strings.Contains(string(r.Document), "very-secret") {
		t.Error("a secret of the environment is in the description")
	}
	if !slices.ContainsFunc(r.Repairs, func(rep Repair) bool {
		return strings.Contains(rep.What, "2 values were taken from test.postman_environment.json")
	}) {
		t.Errorf("%v", r.Repairs)
	}
	write("other.postman_environment.json", environment)
	if r, err = Open(t.Context(), filepath.Join(dir, "books.json"), Options{}); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Repairs, func(rep Repair) bool { return strings.Contains(rep.What, "none was taken") }) {
		t.Errorf("%v", r.Repairs)
	}
}
