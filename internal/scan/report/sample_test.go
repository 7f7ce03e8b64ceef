package report

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

const notesSpec = `openapi: 3.0.3
info: {title: Notes <b>& more</b>, version: '1'}
paths:
  /signup:
    post:
      operationId: signup
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}
      responses: {'201': {description: made}}
  /login:
    post:
      operationId: login
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}
      responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /notes:
    get:
      operationId: listNotes
      security: [{bearer: []}]
      responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Note'}}}}}}
    post:
      operationId: createNote
      security: [{bearer: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}}}}}}
      responses: {'201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}}
  /notes/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
    get:
      operationId: getNote
      security: [{bearer: []}]
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}}
    delete:
      operationId: deleteNote
      security: [{bearer: []}]
      responses: {'204': {description: gone}}
  /broken:
    get:
      operationId: broken
      security: [{bearer: []}]
      responses: {'200': {description: ok}}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Person: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, format: password, minLength: 8}}}
    Note: {type: object, properties: {id: {type: integer}, text: {type: string}, owner: {type: string}}}
`

// notes is a small API; open lets everybody who is logged in read every note.
type notes struct {
	mu     sync.Mutex
	open   bool
	people map[string]string // email → password
	tokens map[string]string // token → email
	list   []note
}

type note struct {
	ID    int    `json:"id"`
	Text  string `json:"text"`
	Owner string `json:"owner"`
}

func (n *notes) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var in struct{ Email, Password, Text string }
	if q.Method == "POST" {
		if err := json.NewDecoder(q.Body).Decode(&in); err != nil {
			say(400, map[string]string{"error": "no JSON"})
			return
		}
	}
	switch q.Method + " " + q.URL.Path {
	case "POST /signup":
		if !strings.Contains(in.Email, "@") || len(in.Password) < 8 || n.people[in.Email] != "" {
			say(400, map[string]string{"error": "email or password"})
			return
		}
		n.people[in.Email] = in.Password
		say(201, map[string]string{"email": in.Email})
		return
	case "POST /login":
		if n.people[in.Email] == "" || n.people[in.Email] != in.Password {
			say(401, map[string]string{"error": "no"})
			return
		}
		token := fmt.Sprintf("t%016x-%d", len(n.tokens)*7919+104729, len(n.tokens))
		n.tokens[token] = in.Email
		say(200, map[string]string{"token": token})
		return
	}
	who := n.tokens[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")]
	if who == "" {
		say(401, map[string]string{"error": "who are you?"})
		return
	}
	switch {
	case q.Method+q.URL.Path == "POST/notes":
		n.list = append(n.list, note{len(n.list) + 1, in.Text, who})
		say(201, n.list[len(n.list)-1])
	case q.Method+q.URL.Path == "GET/notes":
		mine := []note{}
		for _, x := range n.list {
			if x.Owner == who {
				mine = append(mine, x)
			}
		}
		say(200, mine)
	case strings.HasPrefix(q.URL.Path, "/notes/"):
		id := 0
		_, _ = fmt.Sscan(strings.TrimPrefix(q.URL.Path, "/notes/"), &id)
		for i, x := range n.list {
			if x.ID != id || x.Owner != who && !(n.open && q.Method == "GET") {
				continue
			}
			if q.Method == "DELETE" {
				n.list[i].Owner, n.list[i].ID = "", -1
				w.WriteHeader(204)
				return
			}
			say(200, x)
			return
		}
		say(404, map[string]string{"error": "no such note"})
	default:
		say(404, map[string]string{"error": "no such thing"})
	}
}

var sample = struct {
	once sync.Once
	res  *scan.Result
	err  error
	dir  string
}{}

// scanned is a real run against the notes, once for all tests.
func scanned(t *testing.T) *scan.Result {
	t.Helper()
	sample.once.Do(func() {
		sample.dir, sample.err = os.MkdirTemp("", "crenel-report-*")
		if sample.err != nil {
			return
		}
		srv := httptest.NewServer(&notes{open: true, people: map[string]string{}, tokens: map[string]string{}})
		defer srv.Close()
		spec := filepath.Join(sample.dir, "api.yaml")
		if sample.err = os.WriteFile(spec, []byte(notesSpec), 0o600); sample.err != nil {
			return
		}
		sample.res, sample.err = scan.Run(t.Context(), &scan.Options{
			Spec: spec, Target: srv.URL, Seed: 1, Version: "1.2.3", Checks: []string{"bola-read", "bola-write", "auth-missing", "cors-any-origin"},
		}, scan.Events{})
	})
	if sample.err != nil {
		t.Fatal(sample.err)
	}
	// Each test has findings of its own to change.
	copied := *sample.res.Report
	copied.Findings = nil
	for _, f := range sample.res.Report.Findings {
		c := *f
		copied.Findings = append(copied.Findings, &c)
	}
	if len(copied.Findings) == 0 {
		t.Fatal("the sample's hole was not found, so there is nothing to write about")
	}
	return &scan.Result{Report: &copied, Graph: sample.res.Graph, Proofs: sample.res.Proofs}
}

func TestMain(m *testing.M) {
	code := m.Run()
	if sample.dir != "" {
		_ = os.RemoveAll(sample.dir)
	}
	os.Exit(code)
}

// hostile is a report each text of which tries to be obeyed by what shows it.
func hostile(t *testing.T) *scan.Report {
	t.Helper()
	r := *scanned(t).Report
	const evil = "</script><script>alert(1)</script>\x1b[2J\u202e](javascript:alert(1)) | `x` @everyone <img src=x onerror=alert(1)> ]]> https://evil.example/x"
	f := *r.Findings[0]
	f.Title, f.Description, f.Fix, f.Where, f.Path, f.Reproduce = evil, evil, evil, evil, "/"+evil, "```\n"+evil
	f.Evidence = []finding.Evidence{{Step: "x", Part: "attack", Note: evil, As: evil,
		Request:  finding.Message{Method: "GET", URL: "http://x/" + evil, Header: [][2]string{{"X", evil}}, Body: evil},
		Response: finding.Message{Status: 200, Header: [][2]string{{"Location", evil}}, Body: evil}}}
	r.Findings = []*finding.Finding{&f}
	r.API, r.Ended, r.Target = evil, evil, evil
	r.Gone = []finding.Known{{Fingerprint: f.Fingerprint, Title: evil, Severity: finding.High, Path: evil}}
	return &r
}
