package crenel_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel"
	"github.com/crenel-project/crenel/config"
)

const document = `openapi: 3.1.0
info: {title: notes, version: "1"}
paths:
  /notes:
    post:
      operationId: addNote
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {text: {type: string}}}}}}
      responses: {"200": {description: ok}}
`

func load(t *testing.T, guards string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"api.yaml":    document,
		"crenel.yaml": "version: 1\napis:\n- {name: notes, spec: api.yaml, upstream: {urls: [\"http://unused.test\"]}, guards: {" + guards + "}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "crenel.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestHandler(t *testing.T) {
	cfg := load(t, `waf: {mode: "off"}`)
	guard, err := crenel.New(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	var reached []string
	srv := httptest.NewServer(guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		reached = append(reached, r.RequestURI+" "+string(body))
	})))
	for _, tt := range []struct {
		path, body, code string
		status           int
	}{
		{"/notes", `{"text":"hello"}`, "", 200},
		{"/notes", `{"text":"hello","owner":"mallory"}`, "contract.unknown_property", 422},
		{"/other", `{}`, "contract.unknown_path", 404},
	} {
		res, err := srv.Client().Post(srv.URL+tt.path, "application/json", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		var problem struct{ Code string }
		if tt.code != "" {
			if err := json.NewDecoder(res.Body).Decode(&problem); err != nil {
				t.Error(err)
			}
		}
		res.Body.Close()
		if res.StatusCode != tt.status || problem.Code != tt.code {
			t.Errorf("%s %s: %d %s, want %d %s", tt.path, tt.body, res.StatusCode, problem.Code, tt.status, tt.code)
		}
	}
	srv.Close()
	if len(reached) != 1 || reached[0] != `/notes {"text":"hello"}` {
		t.Errorf("the service was reached with %q", reached)
	}
	if err := guard.Close(); err != nil {
		t.Error(err)
	}
	events, err := os.ReadFile(cfg.Trail.File)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(events, []byte("\n")); n != 6 {
		t.Errorf("%d records, want a decision and a completion for each of three calls", n)
	}
}

// A config that does not compile leaves nothing open: the next one can have the event file.
func TestNewCleansUp(t *testing.T) {
	cfg := load(t, `waf: {mode: "off"}`)
	bad := *cfg
	bad.APIs = append(bad.APIs[:1:1], bad.APIs[0])
	if _, err := crenel.New(t.Context(), &bad, nil); err == nil || !strings.Contains(err.Error(), "same host and base path") {
		t.Fatalf("two APIs in one place: %v", err)
	}
	guard, err := crenel.New(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := guard.Close(); err != nil {
		t.Error(err)
	}
}
