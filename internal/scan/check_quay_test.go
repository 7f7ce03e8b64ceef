package scan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// quay is an API of the home-made kind: accounts and logins by GET, tokens in padded
// base64 that is not for addresses, errors of the program's own classes with status 200,
// files fetched with POST, XML within JSON, and a logout that redirects. With open set it
// has the holes that its fixed twin has not.
type quay struct {
	open bool
	dir  string

	mu      sync.Mutex
	people  map[string]string
	parcels []map[string]any
}

const quaySpec = `openapi: 3.0.3
info: {title: Quay, version: "1"}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
paths:
  /enrol:
    get:
      summary: Register
      parameters: [{name: username, in: query, required: true, schema: {type: string}}, {name: password, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: done, content: {text/plain: {schema: {type: string}}}}}
  /login:
    get:
      parameters: [{name: username, in: query, required: true, schema: {type: string}}, {name: password, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: the token, content: {text/plain: {schema: {type: string}}}}}
  /leave/{next}:
    get:
      summary: Log out and go on
      parameters: [{name: next, in: path, required: true, schema: {type: string}}]
      responses: {default: {description: on}}
  /me:
    get:
      security: [{bearer: []}]
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {username: {type: string}}}}}}}
  /parcels:
    get:
      security: [{bearer: []}]
      responses: {"200": {description: mine, content: {application/json: {schema: {type: array, items: {type: object, properties: {_id: {type: integer}, title: {type: string}, body: {type: string}, kind: {type: string}}}}}}}}
    post:
      security: [{bearer: []}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {title: {}, req: {}}}}}}
      responses: {"200": {description: it}}
  /parcels/{parcelId}:
    get:
      security: [{bearer: []}]
      parameters: [{name: parcelId, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it}}
  /parcelsearch:
    post:
      security: [{bearer: []}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {search: {}}}}}}
      responses: {"200": {description: found}}
  /download:
    post:
      security: [{bearer: []}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {filename: {}}}}}}
      responses: {default: {description: it}}
  /parcels/import:
    post:
      security: [{bearer: []}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {xml: {}}}}}}
      responses: {"200": {description: how many}}
`

func (q *quay) secret() string {
	if q.open {
		return "Very-Secret123"
	}
	return "f1c7e0b6a8d94c55b1d2-97aa41c6e3f0"
}

func (q *quay) token(name string) string {
	enc := base64.StdEncoding
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(fmt.Appendf(nil, `{"sub":%q,"exp":%d}`, name, time.Now().Add(time.Hour).Unix()))
	return text + "." + enc.EncodeToString(q.sign(text))
}

func (q *quay) sign(text string) []byte {
	m := hmac.New(sha256.New, []byte(q.secret()))
	m.Write([]byte(text))
	return m.Sum(nil)
}

func (q *quay) who(r *http.Request) string {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	at := strings.LastIndexByte(token, '.')
	if at < 0 {
		return ""
	}
	sig, err := base64.StdEncoding.DecodeString(token[at+1:])
	if err != nil || !hmac.Equal(sig, q.sign(token[:at])) {
		return ""
	}
	_, middle, _ := strings.Cut(token[:at], ".")
	raw, _ := base64.StdEncoding.DecodeString(middle)
	var c struct {
		Sub string
		Exp int64
	}
	if json.Unmarshal(raw, &c) != nil || c.Exp < time.Now().Unix() {
		return ""
	}
	return c.Sub
}

var (
	reQuayOr     = regexp.MustCompile(`^[^']*' \|\| (.*)$`)
	reQuayEqual  = regexp.MustCompile(`^'([^']*)'=='([^']*)$`)
	reQuayLength = regexp.MustCompile(`^'([^']*)'\.length==(\d)`)
	reQuayEntity = regexp.MustCompile(`<!ENTITY (\w+) SYSTEM "file://([^"]+)">`)
	reQuayRoot   = regexp.MustCompile(`^(?:<\?xml[^>]*>)?(?:<!DOCTYPE[^\]]*\]>)?<(\w+)>([^<]*)</(\w+)>$`)
)

// condition works out this.title=='<text>' as a JavaScript engine would.
func condition(title, text string) bool {
	for _, part := range []string{text} {
		m := reQuayOr.FindStringSubmatch(part)
		if m == nil {
			return title == part
		}
		for term := range strings.SplitSeq(m[1], " || ") {
			if e := reQuayEqual.FindStringSubmatch(term); e != nil && e[1] == e[2] {
				return true
			}
			if e := reQuayLength.FindStringSubmatch(term); e != nil && fmt.Sprint(len(e[1])) == e[2] {
				return true
			}
		}
	}
	return false
}

func (q *quay) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var in map[string]any
	_ = json.NewDecoder(r.Body).Decode(&in)
	text := func(name string) string { s, _ := in[name].(string); return s }
	name, password := r.URL.Query().Get("username"), r.URL.Query().Get("password")
	switch {
	case r.URL.Path == "/enrol" && r.Method == http.MethodGet:
		if _, taken := q.people[name]; taken || name == "" || len(password) < 8 {
			http.Error(w, "no", http.StatusConflict)
			return
		}
		q.people[name] = password
		fmt.Fprint(w, "welcome")
		return
	case r.URL.Path == "/login" && r.Method == http.MethodGet:
		if p, there := q.people[name]; !there || p != password {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, q.token(name))
		return
	case strings.HasPrefix(r.URL.Path, "/leave/"):
		next := strings.TrimPrefix(r.URL.Path, "/leave/")
		if q.open {
			w.Header().Set("Location", "http://"+next)
		} else {
			w.Header().Set("Location", "/goodbye?from="+filepath.Base(next))
		}
		w.WriteHeader(http.StatusFound)
		return
	}
	who := q.who(r)
	if who == "" {
		answer(http.StatusUnauthorized, map[string]any{"error": "log in"})
		return
	}
	switch path := r.Method + " " + r.URL.Path; {
	case path == "GET /me":
		answer(http.StatusOK, map[string]any{"username": who})
	case path == "GET /parcels":
		mine := []map[string]any{}
		for _, p := range q.parcels {
			if p["owner"] == who {
				mine = append(mine, p)
			}
		}
		answer(http.StatusOK, mine)
	case path == "POST /parcels":
		for _, need := range []string{"title", "body"} {
			if text(need) == "" {
				answer(http.StatusOK, map[string]any{
					"errors":   map[string]any{need: map[string]any{"name": "ValidatorError", "message": "Please fill this in", "kind": "required", "path": need}},
					"_message": "Parcel validation failed", "name": "ValidationError", "message": "Parcel validation failed",
				})
				return
			}
		}
		p := map[string]any{"_id": len(q.parcels), "title": text("title"), "body": text("body"), "owner": who}
		q.parcels = append(q.parcels, p)
		answer(http.StatusOK, p)
	case strings.HasPrefix(path, "GET /parcels/"):
		i := slices.IndexFunc(q.parcels, func(p map[string]any) bool {
			return fmt.Sprint(p["_id"]) == strings.TrimPrefix(r.URL.Path, "/parcels/")
		})
		if i < 0 || !q.open && q.parcels[i]["owner"] != who {
			answer(http.StatusNotFound, map[string]any{"error": "none"})
			return
		}
		answer(http.StatusOK, q.parcels[i])
	case path == "POST /parcelsearch":
		found := []map[string]any{}
		for _, p := range append([]map[string]any{{"title": "opening hours", "body": "eight to six"}}, q.parcels...) {
			if title, _ := p["title"].(string); p["owner"] == nil && (title == text("search") || q.open && condition(title, text("search"))) {
				found = append(found, p)
			}
		}
		answer(http.StatusOK, found)
	case path == "POST /download":
		name := text("filename")
		if !q.open {
			name = filepath.Base(name)
		}
		data, err := os.ReadFile(filepath.Join(q.dir, name))
		if err != nil {
			answer(http.StatusNotFound, map[string]any{"error": "none"})
			return
		}
		_, _ = w.Write(data)
	case path == "POST /parcels/import":
		doc := text("xml")
		m := reQuayRoot.FindStringSubmatch(doc)
		switch {
		case m == nil || m[1] != m[3]:
			http.Error(w, "XML error: Start tag expected, '<' not found", http.StatusInternalServerError)
			return
		case m[1] != "parcels":
			http.Error(w, "Invalid XML. Root must be <parcels>", http.StatusBadRequest)
			return
		}
		if e := reQuayEntity.FindStringSubmatch(doc); e != nil {
			if !q.open {
				http.Error(w, "XML error: entities are not read", http.StatusBadRequest)
				return
			}
			if _, err := os.Stat(e[2]); err != nil {
				http.Error(w, "XML error: failed to load external entity", http.StatusInternalServerError)
				return
			}
		}
		answer(http.StatusOK, map[string]any{"imported": 0})
	default:
		answer(http.StatusNotFound, map[string]any{"error": "no such place"})
	}
}

func TestQuay(t *testing.T) {
	t.Parallel()
	twins(t, quaySpec, func(t *testing.T, open bool) http.Handler {
		return &quay{open: open, dir: t.TempDir(), people: map[string]string{}}
	}, []hole{
		{"jwt-weak-secret", "", "", "credential"},
		{"open-redirect", "GET", "/leave/{next}", "path.next"},
		{"bola-read", "GET", "/parcels/{parcelId}", ""},
		{"nosql-operator", "POST", "/parcelsearch", "body./search"},
		{"path-traversal", "POST", "/download", "body./filename"},
		{"xxe", "POST", "/parcels/import", "body./xml"},
	}, "jwt-weak-secret", "open-redirect", "bola-read", "nosql-operator", "path-traversal", "xxe")
}
