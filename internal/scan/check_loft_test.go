package scan

import (
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite" // the loft's database
)

// loft is an API with what enterprise frameworks bring along: a search whose errors
// hold the statement, documents that are described as texts, classes that are named
// in bodies, states that clients give back, codes that are sent by mail.
type loft struct {
	open bool
	db   *sql.DB

	mu     sync.Mutex
	people map[string]*lodger
	tokens map[string]*lodger
	half   map[string]*lodger
	n      int
}

type lodger struct {
	email, password string
	mails           bool
}

const loftSpec = `openapi: 3.0.1
info: {title: Loft, version: v1}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
security: [{bearer: []}]
paths:
  /join:
    post:
      operationId: register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {"*/*": {schema: {type: object, properties: {email: {type: string}}}}}}}
  /login:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {"*/*": {schema: {type: object, properties: {accessToken: {type: string}, mfaRequired: {type: boolean}, mfaToken: {type: string}}}}}}}
  /login/mfa:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [mfaToken, code], properties: {mfaToken: {type: string}, code: {type: string, pattern: "[0-9]{6}"}}}}}}
      responses: {"200": {description: in, content: {"*/*": {schema: {type: object, properties: {accessToken: {type: string}}}}}}}
  /me:
    get:
      responses: {"200": {description: me, content: {"*/*": {schema: {type: object, properties: {email: {type: string}, home: {type: string}}}}}}}
  /me/mfa:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {enabled: {type: boolean}}}}}}
      responses: {"200": {description: set, content: {"*/*": {schema: {type: object, properties: {mfaEnabled: {type: boolean}}}}}}}
  /crates:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [label], properties: {label: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: it, content: {"*/*": {schema: {type: object, properties: {id: {type: integer}, label: {type: string}}}}}}}
  /crates/search:
    post:
      operationId: searchCrates
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {label: {type: string}}}}}}
      responses: {"200": {description: them, content: {"*/*": {schema: {type: object, properties: {content: {type: array, items: {type: object, properties: {id: {type: integer}, label: {type: string}}}}, totalElements: {type: integer}}}}}}}
  /crates/import:
    post:
      operationId: importCrates
      requestBody: {required: true, content: {application/xml: {schema: {type: string}}}}
      responses: {"200": {description: done, content: {"*/*": {schema: {type: object, properties: {imported: {type: array, items: {type: string}}}}}}}}
  /layout:
    put:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [board], properties: {board: {type: object, required: ["@class"], properties: {"@class": {type: string, example: org.loft.Board}, columns: {type: integer}}}}}}}}
      responses: {"200": {description: set, content: {"*/*": {schema: {type: object, properties: {saved: {type: boolean}}}}}}}
  /views/current:
    get:
      responses: {"200": {description: it, content: {"*/*": {schema: {type: object, properties: {state: {type: string}}}}}}}
  /views/restore:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [state], properties: {state: {type: string}}}}}}
      responses: {"200": {description: it, content: {"*/*": {schema: {type: object, properties: {restored: {type: boolean}}}}}}}
`

// loftState is what the loft's clients give back: an object of Java's serialisation.
var loftState = base64.StdEncoding.EncodeToString([]byte("\xac\xed\x00\x05sr\x00\x0eorg.loft.State\x00\x00\x00\x00\x00\x00\x00\x01\x02\x00\x00xp"))

var (
	reLoftEntity = regexp.MustCompile(`<!ENTITY crenel SYSTEM "file://([^"]+)">`)
	reLoftLabel  = regexp.MustCompile(`<label>([^<]*)</label>`)
)

func newLoft(t *testing.T, open bool) http.Handler {
	db, err := sql.Open("sqlite", ":memory:")
	if err == nil {
		db.SetMaxOpenConns(1)
		_, err = db.ExecContext(t.Context(), `CREATE TABLE crates (id INTEGER, label TEXT)`)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &loft{open: open, db: db, people: map[string]*lodger{}, tokens: map[string]*lodger{}, half: map[string]*lodger{}}
}

func (s *loft) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int, text string) { answer(status, map[string]any{"status": status, "message": text}) }
	raw, _ := io.ReadAll(r.Body)
	var in struct {
		Email, Password, Label, State, MFAToken string
		Enabled                                 bool
		Board                                   *struct {
			Class string `json:"@class"`
		}
	}
	if r.Method != http.MethodGet && !strings.Contains(r.Header.Get("Content-Type"), "xml") && json.Unmarshal(raw, &in) != nil {
		fail(400, "JSON parse error")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	give := func(d *lodger) {
		token := fmt.Sprintf("tok-%d-%s", s.n, strings.Repeat("k", 20))
		s.tokens[token] = d
		answer(200, map[string]any{"accessToken": token, "mfaRequired": false})
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	me := s.tokens[bearer]
	if me == nil && s.open {
		me = s.half[bearer]
	}
	key := r.Method + " " + r.URL.Path
	switch key {
	case "POST /join":
		if len(in.Password) < 8 || !strings.Contains(in.Email, "@") || s.people[in.Email] != nil {
			fail(400, "email or password is not valid")
			return
		}
		s.people[in.Email] = &lodger{email: in.Email, password: in.Password}
		answer(201, map[string]any{"email": in.Email})
		return
	case "POST /login":
		d := s.people[in.Email]
		switch {
		case d == nil || d.password != in.Password:
			fail(401, "Bad credentials")
		case d.mails:
			token := fmt.Sprintf("half-%d-%s", s.n, strings.Repeat("h", 20))
			s.half[token] = d
			answer(200, map[string]any{"mfaRequired": true, "mfaToken": token})
		default:
			give(d)
		}
		return
	case "POST /login/mfa":
		fail(401, "Invalid code") // nobody reads the lodgers' mail
		return
	}
	if me == nil {
		fail(401, "Unauthorized")
		return
	}
	switch key {
	case "GET /me":
		answer(200, map[string]any{"email": me.email, "home": "under the roof, behind the chimney"})
	case "POST /me/mfa":
		me.mails = in.Enabled
		answer(200, map[string]any{"mfaEnabled": in.Enabled})
	case "POST /crates":
		if in.Label == "" {
			fail(400, "label must not be blank")
			return
		}
		_, _ = s.db.ExecContext(r.Context(), `INSERT INTO crates VALUES (?, ?)`, s.n, in.Label)
		answer(201, map[string]any{"id": s.n, "label": in.Label})
	case "POST /crates/search":
		statement, args := `SELECT id, label FROM crates WHERE label LIKE ?`, []any{"%" + in.Label + "%"}
		if s.open {
			statement, args = `SELECT id, label FROM crates WHERE label LIKE '%`+in.Label+`%'`, nil
		}
		rows, err := s.db.QueryContext(r.Context(), statement, args...)
		if err == nil {
			defer func() { _ = rows.Close() }()
			for rows.Next() { //nolint:revive // what is found is nothing
			}
			err = rows.Err()
		}
		if err != nil {
			fail(500, "could not prepare statement ["+statement+"]")
			return
		}
		answer(200, map[string]any{"content": []any{}, "totalElements": 0})
	case "POST /crates/import":
		text := string(raw)
		labels := reLoftLabel.FindAllStringSubmatch(text, -1)
		if len(labels) == 0 || !s.open && strings.Contains(text, "<!DOCTYPE") {
			fail(422, "No <crate> with a <label>")
			return
		}
		out := []string{}
		for _, l := range labels {
			if m := reLoftEntity.FindStringSubmatch(text); m != nil {
				file, _ := os.ReadFile(m[1])
				l[1] = strings.ReplaceAll(l[1], "&crenel;", string(file))
			}
			out = append(out, l[1])
		}
		answer(200, map[string]any{"imported": out})
	case "PUT /layout":
		switch {
		case in.Board == nil || in.Board.Class == "":
			fail(400, "board must not be null")
		case in.Board.Class == "org.loft.Board" || s.open && strings.HasPrefix(in.Board.Class, "java.util."):
			answer(200, map[string]any{"saved": true})
		default:
			fail(400, "JSON parse error: Could not resolve type id '"+in.Board.Class+"' as a subtype of java.lang.Object")
		}
	case "GET /views/current":
		answer(200, map[string]any{"state": loftState})
	case "POST /views/restore":
		data, _ := base64.StdEncoding.DecodeString(in.State)
		switch {
		case in.State == loftState:
			answer(200, map[string]any{"restored": true})
		case s.open && strings.Contains(string(data), "java.lang.Integer"):
			fail(500, "class java.lang.Integer cannot be cast to class org.loft.State")
		case s.open && len(data) > 8:
			fail(500, "java.lang.ClassNotFoundException")
		default:
			fail(400, "The state could not be restored")
		}
	default:
		fail(404, "No such page")
	}
}

// TestLoft: what frameworks bring along is found, and not where it is held in check.
func TestLoft(t *testing.T) {
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprint("open=", open), func(t *testing.T) {
			t.Parallel()
			var want []string
			if open {
				want = []string{
					"deserialization POST /views/restore body./state", "deserialization PUT /layout body./board/@class",
					"second-factor-skipped POST /login second-factor", "sqli POST /crates/search body./label", "xxe POST /crates/import body.",
				}
			}
			if got := rows(t, loftSpec, newLoft(t, open), "deserialization", "second-factor-skipped", "second-factor-unlimited", "sqli", "xxe"); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}
