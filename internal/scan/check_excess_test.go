package scan

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// salon is an API with members who see one another's profiles and articles, with
// what it tells too much where it is open.
type salon struct {
	open map[string]bool

	mu       sync.Mutex
	n        int
	members  map[int]map[string]any
	tokens   map[string]int
	articles []map[string]any
	letters  map[int]map[string]any
}

const salonSpec = `openapi: 3.0.3
info: {title: Salon, version: "1"}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
security: [{bearer: []}]
paths:
  /members:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, email, phone_number, password], properties: {username: {type: string, minLength: 3}, email: {type: string, format: email}, phone_number: {type: string, minLength: 8}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /me:
    get:
      summary: The account of the caller
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, username: {type: string}, email: {type: string}, phone_number: {type: string}}}}}}}
  /members/{member_id}:
    get:
      summary: What all see of a member
      parameters: [{name: member_id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, username: {type: string}, joined: {type: string}}}}}}}
  /articles:
    get:
      summary: Articles of all
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: object, properties: {id: {type: integer}, headline: {type: string}, author: {type: object, properties: {username: {type: string}}}}}}}}}}
    post:
      summary: Write an article
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [headline], properties: {headline: {type: string, maxLength: 90}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, headline: {type: string}}}}}}}
  /letters:
    post:
      summary: Write a private letter to keep
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [letter_text], properties: {letter_text: {type: string, maxLength: 90}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, letter_text: {type: string}}}}}}}
  /letters/{letter_id}:
    get:
      summary: One of your own letters
      parameters: [{name: letter_id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, letter_text: {type: string}}}}}}, "403": {description: not yours}}
  /integrations:
    get:
      summary: What is connected
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {payments: {type: string}, store: {type: string}}}}}}}
`

func (s *salon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	s.mu.Lock()
	defer s.mu.Unlock()
	in := map[string]string{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	me := s.members[s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]]
	first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	id, _ := strconv.Atoi(rest)
	if me == nil && r.URL.Path != "/login" && r.Method+r.URL.Path != "POST/members" && !(first == "letters" && r.Method == "GET" && s.open["nobody"]) {
		fail(401)
		return
	}
	switch {
	case r.Method == "POST" && r.URL.Path == "/members":
		taken := false
		for _, m := range s.members {
			taken = taken || m["username"] == in["username"]
		}
		if taken || len(in["username"]) < 3 || len(in["password"]) < 8 || len(in["phone_number"]) < 8 || !strings.Contains(in["email"], "@") {
			fail(422)
			return
		}
		s.n++
		s.members[60+s.n] = map[string]any{"id": 60 + s.n, "username": in["username"], "email": in["email"], "phone_number": in["phone_number"], "password": in["password"]}
		answer(201, map[string]any{"id": 60 + s.n})
	case r.URL.Path == "/login":
		for n, m := range s.members {
			if m["username"] == in["username"] && m["password"] == in["password"] {
				t := rand.Text()
				s.tokens[t] = n
				answer(200, map[string]any{"token": t})
				return
			}
		}
		fail(401)
	case r.URL.Path == "/me":
		v := map[string]any{"id": me["id"], "username": me["username"], "email": me["email"], "phone_number": me["phone_number"]}
		if s.open["totp"] {
			v["totp_secret"] = "JBSWY3DPEHPK3PXPQ7LAMZ2K"
		}
		answer(200, v)
	case first == "members" && s.members[id] != nil && r.Method == "GET":
		m := s.members[id]
		v := map[string]any{"id": id, "username": m["username"], "joined": "2026-01-01"}
		if s.open["profile"] {
			v["email"] = m["email"]
		}
		answer(200, v)
	case r.URL.Path == "/articles" && r.Method == "GET":
		out := []any{}
		for _, a := range s.articles {
			by := s.members[a["by"].(int)]
			author := map[string]any{"username": by["username"]}
			if s.open["authors"] {
				author["phone_number"] = by["phone_number"]
			}
			out = append(out, map[string]any{"id": a["id"], "headline": a["headline"], "author": author})
		}
		answer(200, out)
	case r.URL.Path == "/articles" && r.Method == "POST" && in["headline"] != "":
		s.n++
		s.articles = append(s.articles, map[string]any{"id": s.n, "headline": in["headline"], "by": me["id"]})
		answer(201, map[string]any{"id": s.n, "headline": in["headline"]})
	case r.URL.Path == "/letters" && r.Method == "POST" && in["letter_text"] != "":
		s.n++
		s.letters[70000+s.n] = map[string]any{"id": 70000 + s.n, "letter_text": in["letter_text"], "by": me["id"]}
		answer(201, map[string]any{"id": 70000 + s.n, "letter_text": in["letter_text"]})
	case first == "letters" && r.Method == "GET" && s.letters[id] != nil:
		if me != nil && s.letters[id]["by"] != me["id"] {
			fail(403)
			return
		}
		answer(200, map[string]any{"id": id, "letter_text": s.letters[id]["letter_text"]})
	case r.URL.Path == "/integrations":
		v := map[string]any{"payments": "sk_live_****", "store": "postgres://salon@db/salon", "public": "pk_live_4eC39HqLyjWDarjtT1zdp7dc"}
		if s.open["keys"] {
			v["payments"], v["store"] = "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "postgres://salon:Zx81!secret@db/salon"
		}
		answer(200, v)
	default:
		fail(404)
	}
}

func newSalon(open string) *salon {
	s := &salon{open: map[string]bool{}, members: map[int]map[string]any{}, tokens: map[string]int{}, letters: map[int]map[string]any{}}
	for _, hole := range strings.Fields(open) {
		s.open[hole] = true
	}
	return s
}

// TestSalon: what is told too much is found where it is, and nowhere else.
func TestSalon(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"profile", []string{"bola-read GET /members/{member_id} path.member_id", "personal-data GET /members/{member_id} answer./email"}},
		{"authors", []string{"personal-data GET /articles answer./*/author/phone_number"}},
		{"totp", []string{"excessive-data GET /me answer./totp_secret"}},
		{"keys", []string{"excessive-data GET /integrations answer./payments", "excessive-data GET /integrations answer./store"}},
		{"nobody", []string{"auth-missing GET /letters/{letter_id} credentials"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			res := tested(t, salonSpec, newSalon(c.open), "excessive-data", "personal-data", "password-exposed", "auth-missing", "bola-read")
			found := map[string]bool{}
			for _, f := range res.Report.Findings {
				found[fmt.Sprintf("%s %s %s %s", f.Check, f.Method, f.Path, f.Where)] = true
			}
			if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
			if len(c.want) == 0 {
				return
			}
			// The same is proven on another target, which has nothing of this run's.
			dir := filepath.Join(t.TempDir(), "findings")
			if _, err := WriteRegressions(dir, res); err != nil {
				t.Fatal(err)
			}
			list, err := ReadRegressions([]string{dir})
			if err != nil || len(list) != len(c.want) {
				t.Fatalf("%d files: %v", len(list), err)
			}
			for open, want := range map[string]scenario.Verdict{c.open: scenario.Proven, "": scenario.Refuted} {
				again := newSalon(open)
				again.n = 500 // its identifiers are others
				o := served(t, salonSpec, again)
				got, _, err := Verify(t.Context(), o, list, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range got {
					if v.Verdict != want {
						t.Errorf("open=%q: %s is %s (%s: %s), want %s", open, v.Title, v.Verdict, v.Step, v.Why, want)
					}
				}
			}
		})
	}
}
