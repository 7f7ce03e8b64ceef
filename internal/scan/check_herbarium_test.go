package scan

import (
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
)

// herbarium is an API whose description was made of recorded calls and by a framework:
// bodies that only an example describes, credentials declared where they may be given,
// a login by OAuth 2.0's password grant that declares the grant by a pattern. Refusals of
// what is wrong with a value come with 403. Things are known by the names that people
// give them, which the answer to making them does not repeat.
type herbarium struct {
	open bool
	db   *sql.DB

	mu        sync.Mutex
	people    map[string]*botanist
	tokens    map[string]*botanist
	wrong     map[string]int
	pressings map[string]*pressing
	plants    []string
}

type botanist struct {
	name, password, motto string
	staff                 bool
}

type pressing struct {
	by   *botanist
	note string
}

const herbariumSpec = `openapi: 3.0.3
info: {title: Herbarium, version: "1"}
components: {securitySchemes: {token: {type: http, scheme: bearer}}}
paths:
  /members:
    post:
      summary: Register a member
      requestBody: {content: {application/json: {schema: {type: object, example: {username: fern, password: moss}}}}}
      responses: {"200": {description: made}}
  /grant:
    post:
      summary: Log in
      requestBody: {required: true, content: {application/x-www-form-urlencoded: {schema: {type: object, required: [username, password], properties: {grant_type: {type: string, pattern: password}, username: {type: string}, password: {type: string}, scope: {type: string, default: ""}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {access_token: {type: string}, token_type: {type: string}}}}}}}
  /whoami:
    get:
      security: [{token: []}]
      responses: {"200": {description: the caller, content: {application/json: {schema: {type: object, properties: {username: {type: string}, motto: {type: string}, is_staff: {type: boolean}}}}}}}
    put:
      security: [{token: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username], properties: {username: {type: string}, motto: {type: string}, is_staff: {type: boolean}}}}}}
      responses: {"200": {description: the caller, content: {application/json: {schema: {type: object, properties: {username: {type: string}, motto: {type: string}, is_staff: {type: boolean}}}}}}}
  /fees/{username}:
    get:
      summary: What a member has still to pay
      security: [{token: []}]
      parameters: [{in: path, name: username, required: true, schema: {type: string}}]
      responses: {"200": {description: it}}
  /secrets/{username}:
    put:
      summary: Set the secret by which a member logs in
      security: [{token: []}]
      parameters: [{in: path, name: username, required: true, schema: {type: string}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {password: {type: string, example: fern}}}}}}
      responses: {"204": {description: set}}
  /pressings:
    get:
      responses: {"200": {description: all, content: {application/json: {schema: {type: array, items: {type: object, properties: {label: {type: string}, by: {type: string}}}}}}}}
    post:
      security: [{token: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [label, secret_note], properties: {label: {type: string}, secret_note: {type: string}}}}}}
      responses: {"200": {description: kept, content: {application/json: {schema: {type: object, properties: {message: {type: string}}}}}}}
  /pressings/{label}:
    get:
      summary: A pressing with its secret note, for whoever made it
      security: [{token: []}]
      parameters: [{in: path, name: label, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {label: {type: string}, secret_note: {type: string}, by: {type: string}}}}}}}
  /print:
    post:
      security: [{token: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [template_file], properties: {template_file: {type: string}}}}}}
      responses: {"200": {description: the text}}
  /finder:
    post:
      security: [{token: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [genus], properties: {genus: {type: string}}}}}}
      responses: {"200": {description: what was found}}
  /plants:
    get:
      security: [{token: []}]
      responses: {"200": {description: all, content: {application/json: {schema: {type: array, items: {type: object, properties: {plant: {type: string}}}}}}}}
    post:
      security: [{token: []}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [plant], properties: {plant: {type: string}}}}}}
      responses: {"201": {description: kept, content: {application/json: {schema: {type: object, properties: {plant: {type: string}}}}}}}
`

func newHerbarium(t *testing.T, open bool) *herbarium {
	t.Helper()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec("CREATE TABLE sheets (genus TEXT, drawer TEXT)"); err != nil {
		t.Fatal(err)
	}
	return &herbarium{open: open, db: db, people: map[string]*botanist{}, tokens: map[string]*botanist{}, wrong: map[string]int{}, pressings: map[string]*pressing{}}
}

var plainWord = regexp.MustCompile(`^[0-9A-Za-z]+$`)

func (h *herbarium) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	say := func(code int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	no := func(code int, why string) { say(code, map[string]any{"state": "REFUSED", "message": why}) }
	me := h.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	var in map[string]any
	if strings.Contains(r.Header.Get("Content-Type"), "json") && json.NewDecoder(r.Body).Decode(&in) != nil {
		no(400, "no JSON")
		return
	}
	text := func(name string) string { s, _ := in[name].(string); return s }
	name, fees := strings.CutPrefix(r.URL.Path, "/fees/")
	whose, secret := strings.CutPrefix(r.URL.Path, "/secrets/")
	label, one := strings.CutPrefix(r.URL.Path, "/pressings/")
	switch route := r.Method + " " + r.URL.Path; {
	case route == "POST /members":
		name, password := text("username"), text("password")
		switch {
		case name == "" || password == "":
			no(403, "missing credentials")
		case !plainWord.MatchString(name) || !plainWord.MatchString(password) || len(password) < 10:
			no(403, "username and password should match the pattern ^[0-9A-Za-z]+$, password at least 10 characters")
		case h.people[name] != nil:
			no(403, "Username already taken!")
		default:
			h.people[name] = &botanist{name: name, password: password}
			say(200, map[string]any{"state": "OK", "member": name})
		}
	case route == "POST /grant":
		name, who := r.PostFormValue("username"), h.people[r.PostFormValue("username")]
		if g := r.PostFormValue("grant_type"); g != "" && g != "password" {
			no(422, "grant_type: no such grant")
			return
		}
		if !h.open && h.wrong[name] >= 5 || who == nil || who.password != r.PostFormValue("password") {
			h.wrong[name]++
			no(401, "wrong name or password")
			return
		}
		h.wrong[name] = 0
		t := rand.Text()
		h.tokens[t] = who
		say(200, map[string]any{"access_token": t, "token_type": "bearer"})
	case route == "GET /plants": // for whoever comes
		out := []any{}
		for _, p := range h.plants {
			out = append(out, map[string]any{"plant": p})
		}
		say(200, out)
	case route == "GET /pressings":
		out := []any{}
		for l, p := range h.pressings {
			out = append(out, map[string]any{"label": l, "by": p.by.name})
		}
		say(200, out)
	case me == nil:
		no(401, "who are you?")
	case fees:
		if h.people[name] == nil || name != me.name && !h.open {
			no(404, "no such member")
			return
		}
		say(200, map[string]any{"member": name, "balance": 0.0})
	case secret:
		if whose != me.name || text("password") == "" {
			no(403, "not yours")
			return
		}
		me.password = text("password")
		w.WriteHeader(204)
	case route == "POST /plants":
		h.plants = append(h.plants, text("plant"))
		say(201, map[string]any{"plant": text("plant")})
	case r.URL.Path == "/whoami":
		if r.Method == http.MethodPut {
			who := h.people[text("username")]
			if who == nil || who != me && !h.open {
				no(403, "not you")
				return
			}
			if m, ok := in["motto"].(string); ok {
				who.motto = m
			}
			if s, ok := in["is_staff"].(bool); ok && h.open {
				me.staff = s
			}
		}
		say(200, map[string]any{"username": me.name, "motto": me.motto, "is_staff": me.staff})
	case route == "POST /pressings":
		if text("label") == "" || h.pressings[text("label")] != nil {
			no(409, "there is one with that label")
			return
		}
		h.pressings[text("label")] = &pressing{me, text("secret_note")}
		say(200, map[string]any{"message": "kept"})
	case one && r.Method == http.MethodGet:
		p := h.pressings[label]
		if p == nil || p.by != me && !h.open {
			no(404, "no such pressing")
			return
		}
		say(200, map[string]any{"label": label, "secret_note": p.note, "by": p.by.name})
	case route == "POST /print":
		out := ""
		if name := text("template_file"); h.open || plainWord.MatchString(name) {
			if b, err := os.ReadFile(name); err == nil {
				out = string(b)
			}
		}
		say(200, map[string]any{"text": "label: " + out})
	case route == "POST /finder":
		h.find(say, text("genus"))
	default:
		no(404, "nothing here")
	}
}

// find looks in a table that is empty, and answers what the database says in any case.
func (h *herbarium) find(say func(int, any), genus string) {
	query, args := "SELECT genus, drawer FROM sheets WHERE genus = ?", []any{genus}
	if h.open {
		query, args = fmt.Sprintf("SELECT genus, drawer FROM sheets WHERE genus = '%s'", genus), nil
	}
	rows, err := h.db.Query(query, args...)
	if err != nil {
		say(200, map[string]any{"found": strings.TrimPrefix(err.Error(), "SQL logic error: ")})
		return
	}
	defer func() { _ = rows.Close() }()
	out := []string{}
	for rows.Next() {
		var a, b string
		if rows.Scan(&a, &b) == nil {
			out = append(out, a+" in "+b)
		}
	}
	if rows.Err() != nil {
		out = append(out, rows.Err().Error())
	}
	say(200, map[string]any{"found": strings.Join(out, ", ")})
}

func TestHerbarium(t *testing.T) {
	twins(t, herbariumSpec, func(t *testing.T, open bool) http.Handler { return newHerbarium(t, open) }, []hole{
		{"login-unlimited", "POST", "/grant", ""},
		{"bola-read", "GET", "/pressings/{label}", "path.label"},
		{"path-traversal", "POST", "/print", "body./template_file"},
		{"bola-read", "GET", "/fees/{username}", "path.username"},
		{"bola-account", "PUT", "/whoami", "body./username"},
		{"mass-assignment", "PUT", "/whoami", "body./is_staff"},
		{"sqli", "POST", "/finder", "body./genus"},
	}, "login-unlimited", "bola-read", "bola-account", "path-traversal", "mass-assignment", "sqli")
}

// TestOpenToWhoeverJoins: what all accounts see of each other, in an API where anybody
// may have one, is worth a word when nobody sees it as well, and no more.
func TestOpenToWhoeverJoins(t *testing.T) {
	for _, open := range []bool{true, false} {
		found := false
		for _, f := range tested(t, herbariumSpec, newHerbarium(t, open), "auth-missing").Report.Findings {
			if f.Path != "/plants" || f.Severity != finding.Info {
				t.Errorf("open=%v: %s %s, which is open on purpose", open, f.Severity, f.Title)
			}
			found = true
		}
		if !found {
			t.Errorf("open=%v: that the description says otherwise was not told", open)
		}
	}
}

// orchard is an API where accounts are told nothing of themselves.
const orchardSpec = `openapi: 3.0.3
info: {title: Orchard, version: "1"}
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
paths:
  /keepers:
    get:
      summary: Who keeps the trees
      responses: {"200": {description: they, content: {application/json: {schema: {type: object, properties: {keepers: {type: array, items: {type: object, properties: {login: {type: string}, admin: {type: boolean}}}}}}}}}}
    post:
      summary: Register
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [login, password], properties: {login: {type: string}, password: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {message: {type: string}}}}}}}
  /keepers/login:
    post:
      summary: Log in
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [login, password], properties: {login: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {key: {type: string}}}}}}}
  /baskets:
    get:
      security: [{key: []}]
      responses: {"200": {description: mine, content: {application/json: {schema: {type: array, items: {type: string}}}}}}
`

func orchard(_ *testing.T, open bool) http.Handler {
	type keeper struct {
		Login    string `json:"login"`
		password string
		Admin    bool `json:"admin"`
	}
	var mu sync.Mutex
	var all []*keeper
	keys := map[string]*keeper{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		say := func(code int, v any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(v)
		}
		var in struct {
			Login, Password string
			Admin           any
		}
		if r.Method == http.MethodPost && (json.NewDecoder(r.Body).Decode(&in) != nil || in.Login == "" || in.Password == "") {
			say(400, map[string]any{"error": "login and password are required"})
			return
		}
		var who *keeper
		for _, k := range all {
			if k.Login == in.Login {
				who = k
			}
		}
		switch r.Method + " " + r.URL.Path {
		case "GET /keepers":
			say(200, map[string]any{"keepers": all})
		case "POST /keepers":
			if who != nil {
				say(409, map[string]any{"error": "login already taken"})
				return
			}
			all = append(all, &keeper{in.Login, in.Password, open && in.Admin == true})
			say(201, map[string]any{"message": "welcome"})
		case "POST /keepers/login":
			if who == nil || who.password != in.Password {
				say(401, map[string]any{"error": "wrong"})
				return
			}
			k := rand.Text()
			keys[k] = who
			say(200, map[string]any{"key": k})
		case "GET /baskets":
			if keys[r.Header.Get("X-Key")] == nil {
				say(401, map[string]any{"error": "no key"})
				return
			}
			say(200, []string{})
		default:
			say(404, map[string]any{"error": "nothing here"})
		}
	})
}

func TestOrchard(t *testing.T) {
	twins(t, orchardSpec, orchard, []hole{{"mass-assignment-register", "POST", "/keepers", "body./admin"}}, "mass-assignment-register")
}
