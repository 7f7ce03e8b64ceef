package scan

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// desk is an API whose memos are had by GraphQL alone.
type desk struct {
	open map[string]bool

	mu     sync.Mutex
	n      int
	people map[string]map[string]string
	tokens map[string]string
	memos  map[string]map[string]string
}

const deskSpec = `openapi: 3.0.3
info: {title: Desk, version: "1"}
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
security: [{bearer: []}]
paths:
  /signup:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string, minLength: 3}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {username: {type: string}}}}}}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /whoami:
    get:
      summary: The account of the caller
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {username: {type: string}, motto: {type: string}}}}}}}
  /gate:
    post:
      summary: All else
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [query], properties: {query: {type: string, example: "{memos{id}}"}, variables: {type: object}}}}}}
      responses: {"200": {description: data, content: {application/json: {schema: {type: object}}}}}
`

const deskSchema = `{"data":{"__schema":{"queryType":{"name":"Query"},"mutationType":{"name":"Mutation"},"types":[
{"kind":"OBJECT","name":"Query","fields":[
 {"name":"memo","args":[{"name":"id","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"SCALAR","name":"ID"}}}],"type":{"kind":"OBJECT","name":"Memo"}},
 {"name":"memos","args":[],"type":{"kind":"LIST","name":null,"ofType":{"kind":"OBJECT","name":"Memo"}}}]},
{"kind":"OBJECT","name":"Mutation","fields":[
 {"name":"createMemo","args":[{"name":"input","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"INPUT_OBJECT","name":"MemoInput"}}}],"type":{"kind":"OBJECT","name":"Memo"}},
 {"name":"updateMemo","args":[{"name":"id","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"SCALAR","name":"ID"}}},{"name":"text","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"SCALAR","name":"String"}}}],"type":{"kind":"OBJECT","name":"Memo"}},
 {"name":"deleteMemo","args":[{"name":"id","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"SCALAR","name":"ID"}}}],"type":{"kind":"SCALAR","name":"Boolean"}}]},
{"kind":"INPUT_OBJECT","name":"MemoInput","inputFields":[{"name":"text","type":{"kind":"NON_NULL","name":null,"ofType":{"kind":"SCALAR","name":"String"}}}]},
{"kind":"OBJECT","name":"Memo","fields":[{"name":"id","args":[],"type":{"kind":"SCALAR","name":"ID"}},{"name":"text","args":[],"type":{"kind":"SCALAR","name":"String"}}]}]}}}`

var reDeskField = regexp.MustCompile(`\{\s*(\w+)`)

func (s *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	var in struct {
		Username, Password, Query string
		Variables                 struct {
			ID    string
			Text  string
			Input struct{ Text string }
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	switch {
	case r.URL.Path == "/signup":
		if len(in.Username) < 3 || len(in.Password) < 8 || s.people[in.Username] != nil {
			answer(422, map[string]any{"error": "username of 3 and password of 8 characters"})
			return
		}
		s.people[in.Username] = map[string]string{"password": in.Password}
		answer(201, map[string]any{"username": in.Username})
		return
	case r.URL.Path == "/login":
		if p := s.people[in.Username]; p == nil || p["password"] != in.Password {
			answer(401, map[string]any{"error": "no"})
			return
		}
		t := rand.Text()
		s.tokens[t] = in.Username
		answer(200, map[string]any{"token": t})
		return
	case me == "":
		answer(401, map[string]any{"error": "no token"})
		return
	case r.URL.Path == "/whoami":
		answer(200, map[string]any{"username": me, "motto": "one thing at a time"})
		return
	case r.URL.Path != "/gate":
		answer(404, map[string]any{"error": "not found"})
		return
	}
	data := func(name string, v any) { answer(200, map[string]any{"data": map[string]any{name: v}}) }
	field := "?"
	if m := reDeskField.FindStringSubmatch(in.Query); m != nil {
		field = m[1]
	}
	show := func(m map[string]string) any {
		if m == nil {
			return nil
		}
		return map[string]any{"id": m["id"], "text": m["text"]}
	}
	own := func(hole string) map[string]string {
		if m := s.memos[in.Variables.ID]; m != nil && (m["by"] == me || s.open[hole]) {
			return m
		}
		return nil
	}
	switch field {
	case "__typename":
		data("__typename", "Query")
	case "__schema":
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(deskSchema))
	case "memos":
		all := []any{}
		for _, id := range slices.Sorted(maps.Keys(s.memos)) {
			if m := s.memos[id]; m["by"] == me || s.open["shared"] {
				all = append(all, show(m))
			}
		}
		data(field, all)
	case "memo":
		data(field, show(own("read")))
	case "createMemo":
		s.n++
		id := fmt.Sprintf("memo-%d", s.n)
		s.memos[id] = map[string]string{"id": id, "text": in.Variables.Input.Text, "by": me}
		data(field, show(s.memos[id]))
	case "updateMemo":
		m := own("write")
		if m != nil {
			m["text"] = in.Variables.Text
		}
		data(field, show(m))
	case "deleteMemo":
		m := own("delete")
		if m != nil {
			delete(s.memos, m["id"])
		}
		data(field, m != nil)
	default:
		answer(400, map[string]any{"errors": []any{map[string]any{"message": "no such field"}}})
	}
}

// TestDesk: what GraphQL opens of others' is found where it is open, and nowhere else.
func TestDesk(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"shared read", nil}, // there for all
		{"read", []string{"graphql-object POST /gate variables.memo.id"}},
		{"write", []string{"graphql-object POST /gate variables.updateMemo.id"}},
		{"delete", []string{"graphql-object POST /gate variables.deleteMemo.id"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			s := &desk{open: map[string]bool{}, people: map[string]map[string]string{}, tokens: map[string]string{}, memos: map[string]map[string]string{}}
			for _, hole := range strings.Fields(c.open) {
				s.open[hole] = true
			}
			if got := rows(t, deskSpec, s, "graphql-object", "bola-read", "bola-variant"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
