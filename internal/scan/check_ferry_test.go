package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
)

// ferry is an API that people are given a token for: it shows sailings, may bound how
// often, and may publish descriptions of itself.
type ferry struct {
	docs  map[string]string // by path
	limit int               // calls in a window; 0: none
	per   time.Duration     // the window
	says  bool              // headers say how many are left
	keeps bool              // what is above the limit is refused

	mu    sync.Mutex
	calls int
	since time.Time
}

const ferrySpec = `openapi: 3.0.3
info: {title: Ferry, version: "1"%s}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
security: [{bearer: []}]
paths:
  /sailings:
    get:
      summary: The sailings of today%s
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: object, properties: {id: {type: integer}, to: {type: string}}}}}}}}
  /sailings/export:
    get:
      summary: Export all sailings of a year
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {rows: {type: integer}}}}}}%s}
`

func (s *ferry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if doc, ok := s.docs[r.URL.Path]; ok {
		_, _ = w.Write([]byte(doc)) // to a client of the test's own
		return
	}
	if r.Header.Get("Authorization") != "Bearer ferry-token-of-ann-7" {
		http.Error(w, `{"error":"who is it"}`, http.StatusUnauthorized)
		return
	}
	if s.limit > 0 {
		if time.Since(s.since) > s.per {
			s.calls, s.since = 0, time.Now()
		}
		s.calls++
		if s.says {
			h.Set("X-RateLimit-Limit", fmt.Sprint(s.limit))
			h.Set("X-RateLimit-Remaining", fmt.Sprint(max(0, s.limit-s.calls)))
		}
		if s.calls > s.limit && s.keeps {
			http.Error(w, `{"error":"too many"}`, http.StatusTooManyRequests)
			return
		}
	}
	switch r.URL.Path {
	case "/sailings":
		_ = json.NewEncoder(w).Encode([]any{map[string]any{"id": 1, "to": "Rügen"}, map[string]any{"id": 2, "to": "Usedom"}}) // as above
	case "/sailings/export":
		_ = json.NewEncoder(w).Encode(map[string]any{"rows": 812}) // as above
	default:
		http.Error(w, `{"error":"nothing"}`, http.StatusNotFound)
	}
}

func ferryScan(t *testing.T, s *ferry, spec, check string) *Report {
	t.Helper()
	o := served(t, spec, s, check)
	o.Actors = actor.Config{NoRegister: true, Accounts: map[string]actor.Account{actor.User: {Bearer: actor.Text("ferry-token-of-ann-7")}}}
	return scanned(t, o).Report
}

// What a description that anybody is given says of servers is told by its kinds, and
// nothing is sent to any of them.
func TestServerURL(t *testing.T) {
	const paths = `"paths":{"/sailings":{"get":{"responses":{"200":{"description":"them"}}}}}`
	for _, c := range []struct {
		name, path, doc string
		want            map[string]finding.Severity // by place
	}{
		{"a gateway's own view, with a container's name", "/v3/api-docs", `{"openapi":"3.0.1","servers":[{"url":"http://ferry-backend:8080"}],` + paths + `}`, map[string]finding.Severity{"description.inside": finding.Low}},
		{"a private address, for one operation", "/openapi.json", `{"openapi":"3.0.1","servers":[{"url":"https://api.ferrylines.io"}],"paths":{"/sailings":{"get":{"servers":[{"url":"http://10.20.0.7:9090/v1"}],"responses":{}}}}}`, map[string]finding.Severity{"description.inside": finding.Low}},
		{"a name of the inside in an example, and a staging server", "/openapi.json", `{"openapi":"3.0.1","info":{"description":"See http://wiki.ferry.corp/api for more."},"servers":[{"url":"https://api.ferrylines.io"},{"url":"https://api-staging.ferrylines.io"}],` + paths + `}`, map[string]finding.Severity{"description.inside": finding.Low, "description.test": finding.Info}},
		{"a variable of the server's address", "/openapi.json", `{"openapi":"3.0.1","servers":[{"url":"https://{where}.ferrylines.io","variables":{"where":{"default":"api","enum":["api","uat"]}}}],` + paths + `}`, map[string]finding.Severity{"description.test": finding.Info}},
		{"a password in an address, and plain HTTP beside TLS", "/openapi.json", `{"openapi":"3.0.1","servers":[{"url":"https://svc:Kx9-rT2mQ71@api.ferrylines.io/v1"},{"url":"http:\/\/api.ferrylines.io\/v1"}],` + paths + `}`, map[string]finding.Severity{"description.credentials": finding.Low, "description.plain": finding.Low}},
		{"Swagger 2 with both schemes", "/swagger.json", `{"swagger":"2.0","host":"api.ferrylines.io","schemes":["http","https"],` + paths + `}`, map[string]finding.Severity{"description.plain": finding.Low}},
		{"YAML with a gateway's extension", "/openapi.yaml", "openapi: 3.0.1\nx-google-backend: {address: 'https://192.168.7.4:8443'}\nservers: [{url: 'https://api.ferrylines.io'}]\npaths: {}\n", map[string]finding.Severity{"description.inside": finding.Low}},
		{"where tokens are had, inside", "/openapi.json", `{"openapi":"3.0.1","components":{"securitySchemes":{"o":{"type":"oauth2","flows":{"clientCredentials":{"tokenUrl":"https://sso.ferry.internal/token","scopes":{}}}}}},` + paths + `}`, map[string]finding.Severity{"description.inside": finding.Low}},

		{"an honest description", "/openapi.json", `{"openapi":"3.0.1","servers":[{"url":"https://api.ferrylines.io/v1"},{"url":"/v1"}],` + paths + `}`, nil},
		{"localhost, placeholders and names for examples", "/openapi.json", `{"openapi":"3.0.1","servers":[{"url":"http://localhost:8080"},{"url":"http://127.0.0.1:3000"},{"url":"http://{host}:{port}","variables":{"host":{"default":"localhost"},"port":{"default":"80"}}},{"url":"https://staging.example.com"},{"url":"http://your-server:8080"},{"url":"http://host.docker.internal:8080"}],` + paths + `}`, nil},
		{"what examples of such an API hold", "/openapi.json", `{"openapi":"3.0.1","info":{"description":"Give postgres://user:password@db.ferrylines.io/x or http://10.0.0.5/hook, never http://169.254.169.254/."},"servers":[{"url":"https://api.ferrylines.io"}],"paths":{"/sailings":{"get":{"responses":{"200":{"description":"x","content":{"application/json":{"example":{"hook":"http://192.168.0.9/hook","servers":[{"url":"http://10.1.1.1"}]}}}}}}}}}`, nil},
		{"a page that is no description", "/openapi.json", `{"servers":[{"url":"http://ferry-backend:8080"}]}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := ferryScan(t, &ferry{docs: map[string]string{c.path: c.doc}}, fmt.Sprintf(ferrySpec, "", "", ""), "server-url")
			got := map[string]finding.Severity{}
			for _, f := range r.Findings {
				got[f.Where] = f.Severity
				if strings.Contains(f.Title+f.Description+f.Reproduce, "Kx9-rT2mQ71") {
					t.Errorf("%s says the password", f.Where)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

// What only the user's own file says is nobody else's to read.
func TestServerURLOfOnesOwnFile(t *testing.T) {
	spec := strings.Replace(fmt.Sprintf(ferrySpec, "", "", ""), "components:", "servers: [{url: 'http://ferry-backend:8080'}]\ncomponents:", 1)
	if r := ferryScan(t, &ferry{}, spec, "server-url"); len(r.Findings) > 0 {
		t.Errorf("a false alarm: %s", r.Findings[0].Title)
	}
}

// A burst shows that nothing bounds calls; only a promise that is not kept is more
// than information.
func TestRateUnlimited(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name            string
		f               *ferry
		api, op, export string // what the description adds
		want            finding.Severity
		path            string
	}{
		{"no limit", &ferry{}, "", "", "", finding.Info, "/sailings/export"},
		{"no limit, and a 429 described", &ferry{}, "", "", `, "429": {description: Too many requests}`, finding.Low, "/sailings/export"},
		{"a limit for the API, which is not kept", &ferry{}, ", description: 'Rate limit: at most 30 requests per minute.'", "", "", finding.Medium, "/sailings"},
		{"a limit for an operation, which is not kept", &ferry{}, "", "", `, "429": {description: "More than 20 requests in 30 seconds"}`, finding.Medium, "/sailings/export"},
		{"an extension, which is not kept", &ferry{}, "", "\n      x-rate-limit: {limit: 10, window: 60}", "", finding.Medium, "/sailings"},
		{"a limit that is counted, and not kept", &ferry{limit: 40, per: minute, says: true}, "", "", "", finding.Medium, "/sailings/export"},

		{"a limit that is kept", &ferry{limit: 60, per: 2 * time.Second, keeps: true}, "", "", "", "", ""},
		{"one that is counted, and kept", &ferry{limit: 40, per: 2 * time.Second, says: true, keeps: true}, "", "", "", "", ""},
		{"one that is promised, and kept", &ferry{limit: 30, per: 5 * time.Second, keeps: true}, ", description: 'Rate limit: at most 30 requests in 5 seconds.'", "", "", "", ""},
		{"one beyond reach", &ferry{limit: 5000, per: minute, says: true, keeps: true}, "", "", "", "", ""},
		{"different ones for different callers", &ferry{limit: 900, per: minute, keeps: true}, ", description: 'Rate limit: 10 requests per minute in the free plan, else 900.'", "", "", finding.Info, "/sailings/export"},
		{"several, of which the widest holds", &ferry{limit: 900, per: minute, keeps: true}, ", description: 'Rate limits: 10 calls per minute for logins, 900 requests per minute for all others.'", "", "", finding.Info, "/sailings/export"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := ferryScan(t, c.f, fmt.Sprintf(ferrySpec, c.api, c.op, c.export), "rate-unlimited")
			switch {
			case c.want == "" && len(r.Findings) > 0:
				t.Errorf("a false alarm: %s %s", r.Findings[0].Severity, r.Findings[0].Title)
			case c.want != "" && (len(r.Findings) != 1 || r.Findings[0].Severity != c.want || r.Findings[0].Path != c.path):
				t.Errorf("%+v, want one of %s", r.Findings, c.want)
			}
		})
	}
}

// Bursts are sent where they are allowed alone.
func TestRateUnlimitedIsAsked(t *testing.T) {
	s := &ferry{limit: 1 << 30, per: time.Hour}
	o := served(t, fmt.Sprintf(ferrySpec, "", "", ""), s, "rate-unlimited")
	o.Mode = "default"
	o.Actors = actor.Config{NoRegister: true, Accounts: map[string]actor.Account{actor.User: {Bearer: actor.Text("ferry-token-of-ann-7")}}}
	if r := scanned(t, o).Report; len(r.Findings) > 0 || s.calls > 60 {
		t.Errorf("%d calls and %d findings without --aggressive", s.calls, len(r.Findings))
	}
}
