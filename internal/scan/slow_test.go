package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sluggish is a wide API in which each answer takes its time: many collections of
// one shape, one of which shows its things to whoever names them.
type sluggish struct {
	kinds int
	open  string // the collection with the hole
	wait  func(n int64) time.Duration

	asked  atomic.Int64
	under  atomic.Int64
	most   atomic.Int64 // the most requests that were under way at once
	mu     sync.Mutex
	people map[string]string
	things map[string]map[int]*thing
	last   int
}

type thing struct {
	ID    int    `json:"id"`
	Title string `json:"title"`
	Note  string `json:"note,omitempty"`
	owner string
}

func (a *sluggish) kind(i int) string {
	return fmt.Sprintf("%ss", words[i%len(words)]+suffixes[i/len(words)%len(suffixes)])
}

var (
	words    = []string{"folder", "contract", "invoice", "ticket", "project", "asset", "vendor", "budget", "meeting", "report", "shelf", "parcel"}
	suffixes = []string{"", "-draft", "-template", "-label", "-export", "-plan", "-proposal", "-reminder"}
)

func (a *sluggish) spec() string {
	var b strings.Builder
	b.WriteString(`openapi: 3.0.3
info: {title: Archive, version: '1'}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Account: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}
    New: {type: object, required: [title], properties: {title: {type: string, maxLength: 80}, note: {type: string}}}
    Thing: {type: object, properties: {id: {type: integer}, title: {type: string}, note: {type: string}}}
paths:
  /signup: {post: {operationId: signUp, security: [], requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Account'}}}}, responses: {'201': {description: made}}}}
  /login: {post: {operationId: logIn, security: [], requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Account'}}}}, responses: {'200': {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}}
`)
	const body = "requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/New'}}}}"
	const answer = "content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}"
	for i := range a.kinds {
		k := a.kind(i)
		fmt.Fprintf(&b, "  /%s:\n    get: {operationId: list-%s, responses: {'200': {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Thing'}}}}}}}\n", k, k)
		fmt.Fprintf(&b, "    post: {operationId: make-%s, %s, responses: {'201': {description: made, %s}}}\n", k, body, answer)
		fmt.Fprintf(&b, "  /%s/{id}:\n    parameters: [{name: id, in: path, required: true, schema: {type: integer}}]\n", k)
		fmt.Fprintf(&b, "    get: {operationId: read-%s, responses: {'200': {description: ok, %s}}}\n", k, answer)
		fmt.Fprintf(&b, "    put: {operationId: write-%s, %s, responses: {'200': {description: ok, %s}}}\n", k, body, answer)
		fmt.Fprintf(&b, "    delete: {operationId: delete-%s, responses: {'204': {description: gone}}}\n", k)
	}
	return b.String()
}

func (a *sluggish) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	n := a.under.Add(1)
	defer a.under.Add(-1)
	for most := a.most.Load(); n > most && !a.most.CompareAndSwap(most, n); most = a.most.Load() {
	}
	select {
	case <-time.After(a.wait(a.asked.Add(1))):
	case <-q.Context().Done():
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.people == nil {
		a.people, a.things = map[string]string{}, map[string]map[int]*thing{}
		for i := range a.kinds {
			a.things[a.kind(i)] = map[int]*thing{}
		}
	}
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var in struct{ Email, Password, Title, Note string }
	if q.Method == http.MethodPost || q.Method == http.MethodPut {
		if err := json.NewDecoder(q.Body).Decode(&in); err != nil {
			say(400, map[string]string{"error": "no JSON"})
			return
		}
	}
	switch q.Method + q.URL.Path {
	case "POST/signup":
		if !strings.Contains(in.Email, "@") || len(in.Password) < 8 || a.people[in.Email] != "" {
			say(400, map[string]string{"error": "email or password"})
			return
		}
		a.people[in.Email] = in.Password
		say(201, map[string]string{"email": in.Email})
		return
	case "POST/login":
		if in.Password == "" || a.people[in.Email] != in.Password {
			say(401, map[string]string{"error": "no"})
			return
		}
		say(200, map[string]string{"token": "s3cr3t-" + in.Email})
		return
	}
	who, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer s3cr3t-")
	if !ok || a.people[who] == "" {
		say(401, map[string]string{"error": "who are you?"})
		return
	}
	kind, id, one := strings.Cut(strings.TrimPrefix(q.URL.Path, "/"), "/")
	all := a.things[kind]
	switch {
	case all == nil:
		say(404, map[string]string{"error": "no such thing"})
	case !one && q.Method == http.MethodGet:
		mine := []*thing{}
		for _, x := range all {
			if x.owner == who {
				mine = append(mine, x)
			}
		}
		say(200, mine)
	case !one && q.Method == http.MethodPost:
		if in.Title == "" {
			say(422, map[string]string{"error": "title is required"})
			return
		}
		a.last++
		all[a.last] = &thing{a.last, in.Title, in.Note, who}
		say(201, all[a.last])
	case !one:
		say(405, map[string]string{"error": "no such method"})
	default:
		n := 0
		_, _ = fmt.Sscan(id, &n)
		x := all[n]
		switch {
		case x == nil, x.owner != who && (kind != a.open || q.Method != http.MethodGet):
			say(404, map[string]string{"error": "no such thing"})
		case q.Method == http.MethodDelete:
			delete(all, n)
			w.WriteHeader(http.StatusNoContent)
		case q.Method == http.MethodPut:
			x.Title, x.Note = in.Title, in.Note
			say(200, x)
		case q.Method == http.MethodGet:
			say(200, x)
		default:
			say(405, map[string]string{"error": "no such method"})
		}
	}
}

func (a *sluggish) left() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, all := range a.things {
		n += len(all)
	}
	return n
}

// A target that is slow and wide is attacked nevertheless, within the time that it
// is given: what makes the world does not spend what the attack needs, and what
// was made is taken away.
func TestSlowTarget(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED in short mode: it takes as long as the run is given")
	}
	a := &sluggish{kinds: 40, wait: func(n int64) time.Duration { return time.Duration(40+n*37%40) * time.Millisecond }}
	a.open = a.kind(33)
	limit := 20 * time.Second
	if text := os.Getenv("CRENEL_SLOW"); text != "" { // "94 150 3m": a bigger one, to measure
		var ms int64
		var most string
		if _, err := fmt.Sscan(text, &a.kinds, &ms, &most); err != nil {
			t.Fatal(err)
		}
		a.wait = func(n int64) time.Duration { return time.Duration(ms+n*37%(ms*5/3)) * time.Millisecond }
		var err error
		if limit, err = time.ParseDuration(most); err != nil {
			t.Fatal(err)
		}
	}
	api := httptest.NewServer(a)
	t.Cleanup(api.Close)
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(a.spec()), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r := scanned(t, &Options{Spec: spec, Target: api.URL, Seed: 1, Limits: Limits{MaxTime: limit}}).Report
	t.Logf("%d under way at once; left %d, %d told of", a.most.Load(), a.left(), len(r.Left))
	if took := time.Since(began); took > limit+3*time.Second { // what is under way is waited for
		t.Errorf("it took %s of %s", took, limit)
	}
	if f := find(r, "bola-read"); f == nil || f.Path != "/"+a.open+"/{id}" {
		t.Error("the hole was not found")
	}
	if n := a.left(); n > 0 {
		t.Errorf("%d things were left behind", n)
	}
}
