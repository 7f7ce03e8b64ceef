package pdp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// records is a trail in memory.
type records struct {
	mu        sync.Mutex
	full      bool
	broken    bool
	decisions []*exchange.Decision
	ended     []*exchange.Completion
}

func (r *records) Admit() bool { return !r.full }

func (r *records) Decide(_ context.Context, d *exchange.Decision) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.broken {
		return errors.New("the disk is full")
	}
	r.decisions = append(r.decisions, d)
	return nil
}

func (r *records) Complete(c *exchange.Completion) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, c)
}

// The policy of the AuthZEN interop's to-do scenario, as our input has it, and
// other documents.
const todo = `package crenel.authz

import data.crenel.lib

default decision := false

user := data.users[input.identity.subject]

decision if input.operation.id in {"can_read_user", "can_read_todos"}
decision if { input.operation.id == "can_create_todo"; some r in user.roles; r in {"admin", "editor"} }
decision if { input.operation.id in {"can_update_todo", "can_delete_todo"}; "evil_genius" in user.roles }
decision if { input.operation.id in {"can_update_todo", "can_delete_todo"}; "editor" in user.roles; lib.is_subject(input.object.properties.ownerID) }
decision if { input.operation.id == "can_delete_todo"; "admin" in user.roles; lib.is_subject(input.object.properties.ownerID) }

decision := {"allow": true, "reason": "masked", "obligations": {"mask": ["/phone"]}} if input.operation.id == "can_look"
decision := {"allow": false, "reason": "too late", "obligations": {"step_up": {"max_age": 60}}} if input.operation.id == "can_pay"
decision if input.operation.id == "slow"; count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i * j == -1]) == 0
`

const search = `package crenel.authz.search

import data.crenel.authz

subject contains id if { some id, _ in data.users; authz.decision with input.identity.subject as id }
action contains name if { some name in ["can_read_todos", "can_create_todo"]; authz.decision with input.operation as {"id": name} }
`

const other = `package shop.orders

allow if input.user == "alice"
level := 3
fails := 1 / input.zero
names := {"a", "b"}
hidden := "shop secret"
`

const usersJSON = `{"users": {
"rick@the-citadel.com": {"roles": ["admin", "evil_genius"]}, "morty@the-citadel.com": {"roles": ["editor"]},
"summer@the-smiths.com": {"roles": ["editor"]}, "beth@the-smiths.com": {"roles": ["viewer"]}, "jerry@the-smiths.com": {"roles": ["viewer"]}}}`

// stand is a decision point with keys.
type stand struct {
	t     testing.TB
	h     *Handler
	trail *records
	keys  map[string]string
}

func newStand(t testing.TB, change func(*config.DecisionPoint)) *stand {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policies := []string{write("todo.rego", strings.Replace(todo, "decision if input.operation.id == \"slow\"; count", "decision if {\n\tinput.operation.id == \"slow\"\n\tcount", 1)+"}\n"), write("search.rego", search), write("other.rego", other)}
	quiet := slog.New(slog.DiscardHandler)
	g, err := authz.New(authz.Options{Config: config.Authz{Policies: policies, Data: []string{write("users.json", usersJSON)}, Timeout: 50 * time.Millisecond}, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	bare, err := authz.New(authz.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t, trail: &records{}, keys: map[string]string{}}
	file := &apikey.File{Path: filepath.Join(dir, "keys.yaml")}
	for _, subject := range []string{"all", "orders", "todo", "nobody", "gone"} {
		text, k, err := apikey.Generate(apikey.Key{Subject: subject}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if subject == "gone" {
			k.Revoked = time.Now().Add(-time.Hour)
		}
		file.Add(k)
		s.keys[subject] = text
	}
	if err := file.Save(); err != nil {
		t.Fatal(err)
	}
	c := config.DecisionPoint{Keys: file.Path, Body: 64 << 10, Depth: 20, Batch: 10, Concurrent: 8, Timeout: 5 * time.Second, Clients: []config.DecisionClient{
		{Subject: "all", APIs: []string{"shop", "bare"}, Data: []string{"/"}, AuthZEN: true, Explain: true},
		{Subject: "orders", APIs: []string{"shop"}, Data: []string{"shop/orders/allow", "shop/orders/level", "shop/orders/fails"}},
		{Subject: "todo", APIs: []string{"shop"}, AuthZEN: true},
		{Subject: "gone", APIs: []string{"shop"}, AuthZEN: true},
	}}
	if change != nil {
		change(&c)
	}
	s.h, err = New(Options{Config: c, Trail: s.trail, Version: "test", Log: quiet, Policies: func(api string) *authz.Guard {
		return map[string]*authz.Guard{"shop": g, "bare": bare}[api]
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a question and returns status and decoded answer.
func (s *stand) ask(key, method, target, body string) (int, any) {
	s.t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	s.h.ServeHTTP(w, r)
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		s.t.Errorf("content type %q", ct)
	}
	var out any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		s.t.Fatalf("answer %q: %v", w.Body, err)
	}
	return w.Code, out
}

func TestWhoMayAsk(t *testing.T) {
	s := newStand(t, nil)
	const one = `{"subject": {"type": "user", "id": "x"}, "action": {"name": "can_read_todos"}, "resource": {"type": "todo", "id": "1"}}`
	for name, c := range map[string]struct {
		key, method, path string
		status            int
	}{
		"no key":                    {"", "POST", "/access/v1/evaluation", 401},
		"no key for data":           {"", "GET", "/v1/data", 401},
		"no key for nothing":        {"", "GET", "/nothing", 401},
		"a key of rubbish":          {"rubbish", "POST", "/access/v1/evaluation", 401},
		"a secret off by one":       {s.keys["todo"][:len(s.keys["todo"])-1] + "0", "POST", "/access/v1/evaluation", 401},
		"a very long key":           {strings.Repeat("k", 5000), "POST", "/access/v1/evaluation", 401},
		"revoked":                   {s.keys["gone"], "POST", "/access/v1/evaluation", 401},
		"not a client":              {s.keys["nobody"], "POST", "/access/v1/evaluation", 403},
		"a client":                  {s.keys["todo"], "POST", "/access/v1/evaluation", 200},
		"another API":               {s.keys["todo"], "POST", "/apis/bare/access/v1/evaluation", 403},
		"an API that is not":        {s.keys["all"], "POST", "/apis/none/access/v1/evaluation", 403},
		"the API by name":           {s.keys["todo"], "POST", "/apis/shop/access/v1/evaluation", 200},
		"an API without a policy":   {s.keys["all"], "POST", "/apis/bare/access/v1/evaluation", 503},
		"data with authzen alone":   {s.keys["todo"], "POST", "/v1/data/shop/orders/allow", 403},
		"authzen with data alone":   {s.keys["orders"], "POST", "/access/v1/evaluation", 403},
		"search with data alone":    {s.keys["orders"], "POST", "/access/v1/search/subject", 403},
		"a document of its own":     {s.keys["orders"], "POST", "/v1/data/shop/orders/level", 200},
		"another document":          {s.keys["orders"], "POST", "/v1/data/shop/orders/hidden", 403},
		"the package above":         {s.keys["orders"], "POST", "/v1/data/shop/orders", 403},
		"all data":                  {s.keys["orders"], "GET", "/v1/data", 403},
		"a prefix that is no step":  {s.keys["orders"], "GET", "/v1/data/shop/orders/levels", 403},
		"around by an encoded step": {s.keys["orders"], "GET", "/v1/data/shop/orders%2Fallow", 403},
		"around by dots":            {s.keys["orders"], "GET", "/v1/data/shop/orders/level/../hidden", 200},
		"explain without leave":     {s.keys["orders"], "GET", "/v1/data/shop/orders/level?explain=full", 403},
		"explain with leave":        {s.keys["all"], "GET", "/v1/data/shop/orders/level?explain=full", 200},
		"all data, with leave":      {s.keys["all"], "GET", "/v1/data", 200},
		"nothing there":             {s.keys["all"], "POST", "/access/v1/nothing", 404},
		"a path of nobody's":        {s.keys["all"], "POST", "/v2/data", 404},
		"writing":                   {s.keys["all"], "PUT", "/v1/data/shop", 400},
		"deleting":                  {s.keys["all"], "DELETE", "/v1/data/shop", 400},
		"getting a decision":        {s.keys["all"], "GET", "/access/v1/evaluation", 400},
	} {
		body := ""
		if c.method == "POST" {
			body = one
		}
		status, out := s.ask(c.key, c.method, c.path, body)
		if status != c.status {
			t.Errorf("%s: %d %v, want %d", name, status, out, c.status)
		}
		if strings.Contains(fmt.Sprint(out), "shop secret") && !strings.Contains(name, "leave") {
			t.Errorf("%s: the answer holds what is hidden", name)
		}
	}
	// Two keys in one question: which one counts is not for us to guess.
	r := httptest.NewRequest("POST", "/access/v1/evaluation", strings.NewReader(one))
	r.Header["Authorization"] = []string{"Bearer " + s.keys["todo"], "Bearer x"}
	w := httptest.NewRecorder()
	if s.h.ServeHTTP(w, r); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("two keys: %d, %v", w.Code, w.Header())
	}
	// The scheme in any case (RFC 9110 section 11.1); another scheme is none.
	for scheme, want := range map[string]int{"bearer": 200, "BEARER": 200, "Basic": 401, "Bearerx": 401, "": 401} {
		r := httptest.NewRequest("POST", "/access/v1/evaluation", strings.NewReader(one))
		r.Header.Set("Authorization", scheme+" "+s.keys["todo"])
		w := httptest.NewRecorder()
		if s.h.ServeHTTP(w, r); w.Code != want {
			t.Errorf("scheme %q: %d, want %d", scheme, w.Code, want)
		}
	}
}

// What clients of OPA's Data API lean on.
func TestDataAPI(t *testing.T) {
	s := newStand(t, nil)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		want               string // without the decision's id
	}{
		"true":               {"POST", "/v1/data/shop/orders/allow", `{"input": {"user": "alice"}}`, 200, `{"result": true}`},
		"undefined":          {"POST", "/v1/data/shop/orders/allow", `{"input": {"user": "bob"}}`, 200, `{}`},
		"get with input":     {"GET", "/v1/data/shop/orders/allow?input=" + url.QueryEscape(`{"user": "alice"}`), "", 200, `{"result": true}`},
		"get without":        {"GET", "/v1/data/shop/orders/allow", "", 200, `{}`},
		"no body":            {"POST", "/v1/data/shop/orders/level", "", 200, `{"result": 3, "warning": {"code": "api_usage_warning", "message": "'input' key missing from the request"}}`},
		"no input in it":     {"POST", "/v1/data/shop/orders/level", "{}", 200, `{"result": 3, "warning": {"code": "api_usage_warning", "message": "'input' key missing from the request"}}`},
		"a set":              {"POST", "/v1/data/shop/orders/names", `{"input": {}}`, 200, `{"result": ["a", "b"]}`},
		"a package":          {"POST", "/v1/data/shop/orders", `{"input": {"user": "alice", "zero": 1}}`, 200, `{"result": {"allow": true, "fails": 1, "hidden": "shop secret", "level": 3, "names": ["a", "b"]}}`},
		"base data":          {"GET", "/v1/data/users/beth%40the-smiths.com", "", 200, `{"result": {"roles": ["viewer"]}}`},
		"an element":         {"GET", "/v1/data/users/beth%40the-smiths.com/roles/0", "", 200, `{"result": "viewer"}`},
		"nothing there":      {"GET", "/v1/data/no/such/thing", "", 200, `{}`},
		"an error":           {"POST", "/v1/data/shop/orders/fails", `{"input": {"zero": 0}}`, 500, `{"code": "internal_error", "message": "~evaluating query"}`},
		"rubbish":            {"POST", "/v1/data/shop/orders/allow", `{"input": `, 400, `{"code": "invalid_parameter", "message": "~strict JSON"}`},
		"a name twice":       {"POST", "/v1/data/shop/orders/allow", `{"input": {"user": "bob", "user": "alice"}}`, 400, `{"code": "invalid_parameter", "message": "~strict JSON"}`},
		"not an object":      {"POST", "/v1/data/shop/orders/allow", `[]`, 400, `{"code": "invalid_parameter", "message": "~must be an object"}`},
		"too deep":           {"POST", "/v1/data/shop/orders/allow", `{"input": ` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `}`, 400, `{"code": "invalid_parameter", "message": "~strict JSON"}`},
		"too large":          {"POST", "/v1/data/shop/orders/allow", `{"input": "` + strings.Repeat("a", 70<<10) + `"}`, 413, `{"code": "invalid_parameter", "message": "~too large"}`},
		"explain of rubbish": {"GET", "/v1/data/shop/orders/level?explain=everything", "", 400, `{"code": "invalid_parameter", "message": "~one of"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			status, out := s.ask(s.keys["all"], c.method, c.path, c.body)
			got, _ := out.(map[string]any)
			if id, _ := got["decision_id"].(string); status == 200 && len(id) != 36 {
				t.Errorf("decision_id %q", id)
			}
			delete(got, "decision_id")
			var want map[string]any
			if err := json.Unmarshal([]byte(c.want), &want); err != nil {
				t.Fatal(err)
			}
			if m, ok := want["message"].(string); ok && strings.HasPrefix(m, "~") {
				if !strings.Contains(fmt.Sprint(got["message"]), m[1:]) {
					t.Errorf("message %v, want %s", got["message"], m[1:])
				}
				want["message"] = got["message"]
			}
			if d := cmp.Diff(want, got); status != c.status || d != "" {
				t.Errorf("%d, want %d (-want +got):\n%s", status, c.status, d)
			}
		})
	}
	s.t = t
	_, out := s.ask(s.keys["all"], "GET", "/v1/data/shop/orders/level?metrics&provenance&explain=full&pretty", "")
	got := out.(map[string]any)
	if m, _ := got["metrics"].(map[string]any); m["timer_rego_query_eval_ns"] == nil {
		t.Errorf("metrics: %v", got["metrics"])
	}
	if p, _ := got["provenance"].(map[string]any); p["version"] != "test" {
		t.Errorf("provenance: %v", got["provenance"])
	}
	if lines, _ := got["explanation"].([]any); len(lines) < 2 || !strings.Contains(fmt.Sprint(lines), "data.shop.orders.level") {
		t.Errorf("explanation: %v", got["explanation"])
	}
	// An error is told in full only to who may see explanations.
	for key, shown := range map[string]bool{"all": true, "orders": false} {
		_, out := s.ask(s.keys[key], "POST", "/v1/data/shop/orders/fails", `{"input": {"zero": 0}}`)
		if strings.Contains(fmt.Sprint(out), "divide by zero") != shown {
			t.Errorf("%s is told %v", key, out)
		}
	}
}

func evaluate(t testing.TB, s *stand, body string) map[string]any {
	t.Helper()
	status, out := s.ask(s.keys["todo"], "POST", "/access/v1/evaluation", body)
	got, ok := out.(map[string]any)
	if status != 200 || !ok {
		t.Fatalf("%d %v", status, out)
	}
	return got
}

// The decisions of the AuthZEN interop's to-do scenario.
func TestTodoInterop(t *testing.T) {
	s := newStand(t, nil)
	owners := map[string]string{"rick": "rick@the-citadel.com", "morty": "morty@the-citadel.com", "summer": "summer@the-smiths.com", "beth": "beth@the-smiths.com", "jerry": "jerry@the-smiths.com"}
	may := map[string]map[string]string{ // action → who → on whose: "", own, others, all
		"can_read_user":   {"rick": "all", "morty": "all", "summer": "all", "beth": "all", "jerry": "all"},
		"can_read_todos":  {"rick": "all", "morty": "all", "summer": "all", "beth": "all", "jerry": "all"},
		"can_create_todo": {"rick": "all", "morty": "all", "summer": "all"},
		"can_update_todo": {"rick": "all", "morty": "own", "summer": "own"},
		"can_delete_todo": {"rick": "all", "morty": "own", "summer": "own"},
	}
	n := 0
	for action, who := range may {
		for name, subject := range owners {
			for owner, ownerID := range owners {
				want := who[name] == "all" || who[name] == "own" && owner == name
				got := evaluate(t, s, fmt.Sprintf(`{"subject": {"type": "user", "id": %q, "identity": "CiRm"}, "action": {"name": %q},
					"resource": {"type": "todo", "id": "7240d0db", "properties": {"ownerID": %q}}}`, subject, action, ownerID))
				if got["decision"] != want {
					t.Errorf("%s %s of %s: %v, want %v", name, action, owner, got, want)
				}
				n++
			}
		}
	}
	if n != 125 || len(s.trail.decisions) != n || len(s.trail.ended) != n {
		t.Errorf("%d questions, %d decisions and %d completions recorded", n, len(s.trail.decisions), len(s.trail.ended))
	}
}

const (
	rick  = `"subject": {"type": "user", "id": "rick@the-citadel.com"}`
	beth  = `"subject": {"type": "user", "id": "beth@the-smiths.com"}`
	todo1 = `"resource": {"type": "todo", "id": "1", "properties": {"ownerID": "rick@the-citadel.com"}}`
)

// The shapes of the specification's examples.
func TestEvaluations(t *testing.T) {
	s := newStand(t, nil)
	reads, creates := `{"action": {"name": "can_read_todos"}}`, `{"action": {"name": "can_create_todo"}}`
	for name, c := range map[string]struct {
		body string
		want string // one letter an evaluation: t, f, or e for an error in it; or "1t" for a single decision
	}{
		"defaults":                {beth + `,` + todo1 + `,"evaluations": [` + reads + `,` + creates + `,` + reads + `]`, "tft"},
		"an override":             {beth + `,` + todo1 + `,"action": {"name": "can_read_todos"}, "evaluations": [{}, {` + rick + `}, ` + creates + `]`, "ttf"},
		"execute_all":             {beth + `,` + todo1 + `,"options": {"evaluations_semantic": "execute_all", "another_option": 1}, "evaluations": [` + creates + `,` + reads + `]`, "ft"},
		"deny_on_first_deny":      {beth + `,` + todo1 + `,"options": {"evaluations_semantic": "deny_on_first_deny"}, "evaluations": [` + reads + `,` + creates + `,` + reads + `]`, "tf"},
		"permit_on_first_permit":  {beth + `,` + todo1 + `,"options": {"evaluations_semantic": "permit_on_first_permit"}, "evaluations": [` + creates + `,` + reads + `,` + reads + `]`, "ft"},
		"none":                    {beth + `,` + todo1 + `,"action": {"name": "can_read_todos"}`, "1t"},
		"an empty list":           {beth + `,` + todo1 + `,"action": {"name": "can_create_todo"}, "evaluations": []`, "1f"},
		"one without a subject":   {todo1 + `,"action": {"name": "can_read_todos"}, "evaluations": [{}, {` + rick + `}]`, "et"},
		"an error denies":         {todo1 + `,"action": {"name": "can_read_todos"}, "options": {"evaluations_semantic": "deny_on_first_deny"}, "evaluations": [{}, {` + rick + `}]`, "e"},
		"one that is no object":   {beth + `,` + todo1 + `,"evaluations": [7, ` + reads + `]`, "et"},
		"one that takes too long": {beth + `,` + todo1 + `,"evaluations": [{"action": {"name": "slow"}}, ` + reads + `]`, "et"},
	} {
		t.Run(name, func(t *testing.T) {
			s.t = t
			status, out := s.ask(s.keys["todo"], "POST", "/access/v1/evaluations", "{"+c.body+"}")
			got, _ := out.(map[string]any)
			said := ""
			letter := func(e map[string]any) string {
				c, _ := e["context"].(map[string]any)
				switch {
				case c["error"] != nil && e["decision"] == false:
					return "e"
				case e["decision"] == true:
					return "t"
				case e["decision"] == false:
					return "f"
				}
				return "?"
			}
			if list, ok := got["evaluations"].([]any); ok {
				for _, e := range list {
					said += letter(e.(map[string]any))
				}
			} else {
				said = "1" + letter(got)
			}
			if status != 200 || said != c.want {
				t.Errorf("%d %s (%v), want %s", status, said, out, c.want)
			}
		})
	}
	s.t = t
	last := s.trail.decisions[len(s.trail.decisions)-1]
	if len(last.Rulings) == 0 || last.Identity.Subject != "todo" || last.API != "shop" || last.Endpoint != "decision_point" {
		t.Errorf("recorded %+v", last)
	}
}

func TestQuestionsThatAreNotWellFormed(t *testing.T) {
	s := newStand(t, nil)
	act := `"action": {"name": "can_read_todos"}`
	for name, c := range map[string]struct {
		path, body string
		status     int
	}{
		"nothing":             {"evaluation", ``, 400},
		"rubbish":             {"evaluation", `{`, 400},
		"a list":              {"evaluation", `[]`, 400},
		"no subject":          {"evaluation", `{` + act + `,` + todo1 + `}`, 400},
		"no action":           {"evaluation", `{` + rick + `,` + todo1 + `}`, 400},
		"no resource":         {"evaluation", `{` + rick + `,` + act + `}`, 400},
		"a subject as text":   {"evaluation", `{"subject": "rick",` + act + `,` + todo1 + `}`, 400},
		"no subject type":     {"evaluation", `{"subject": {"id": "x"},` + act + `,` + todo1 + `}`, 400},
		"no subject id":       {"evaluation", `{"subject": {"type": "user"},` + act + `,` + todo1 + `}`, 400},
		"an empty id":         {"evaluation", `{"subject": {"type": "user", "id": ""},` + act + `,` + todo1 + `}`, 400},
		"an id as number":     {"evaluation", `{"subject": {"type": "user", "id": 7},` + act + `,` + todo1 + `}`, 400},
		"properties as list":  {"evaluation", `{"subject": {"type": "user", "id": "x", "properties": []},` + act + `,` + todo1 + `}`, 400},
		"context as text":     {"evaluation", `{` + rick + `,` + act + `,` + todo1 + `,"context": "x"}`, 400},
		"a subject twice":     {"evaluation", `{` + rick + `,` + beth + `,` + act + `,` + todo1 + `}`, 400},
		"evaluations as text": {"evaluations", `{"evaluations": "x"}`, 400},
		"too many":            {"evaluations", `{"evaluations": [` + strings.TrimSuffix(strings.Repeat("{},", 11), ",") + `]}`, 413},
		"another semantic":    {"evaluations", `{"evaluations": [{}], "options": {"evaluations_semantic": "any"}}`, 400},
		"options as list":     {"evaluations", `{"evaluations": [{}], "options": []}`, 400},
		"search, no type":     {"search/subject", `{"subject": {},` + act + `,` + todo1 + `}`, 400},
		"search, bad page":    {"search/subject", `{"subject": {"type": "user"},` + act + `,` + todo1 + `,"page": {"token": "eA"}}`, 400},
		"search, bad limit":   {"search/subject", `{"subject": {"type": "user"},` + act + `,` + todo1 + `,"page": {"limit": -1}}`, 400},
		"search for others":   {"search/policy", `{}`, 404},
		"search unsaid":       {"search/resource", `{` + rick + `,` + act + `,"resource": {"type": "todo"}}`, 404},
	} {
		status, out := s.ask(s.keys["todo"], "POST", "/access/v1/"+c.path, c.body)
		if _, text := out.(string); status != c.status || !text {
			t.Errorf("%s: %d %v, want %d with a text", name, status, out, c.status)
		}
	}
}

func TestSearch(t *testing.T) {
	s := newStand(t, nil)
	ask := func(kind, body string) map[string]any {
		t.Helper()
		status, out := s.ask(s.keys["todo"], "POST", "/access/v1/search/"+kind, body)
		if status != 200 {
			t.Fatalf("%d %v", status, out)
		}
		return out.(map[string]any)
	}
	who := `{"subject": {"type": "user", "id": "ignored"}, "action": {"name": "can_create_todo"}, "resource": {"type": "todo", "id": "1"}%s}`
	got := ask("subject", fmt.Sprintf(who, ""))
	want := []any{map[string]any{"type": "user", "id": "morty@the-citadel.com"}, map[string]any{"type": "user", "id": "rick@the-citadel.com"}, map[string]any{"type": "user", "id": "summer@the-smiths.com"}}
	if d := cmp.Diff(want, got["results"]); d != "" {
		t.Error(d)
	}
	var paged []any
	token := ""
	for range 5 {
		got := ask("subject", fmt.Sprintf(who, fmt.Sprintf(`, "page": {"limit": 2, "token": %q}`, token)))
		paged = append(paged, got["results"].([]any)...)
		if token, _ = got["page"].(map[string]any)["next_token"].(string); token == "" {
			break
		}
		if status, _ := s.ask(s.keys["todo"], "POST", "/access/v1/search/action", `{`+rick+`,`+todo1+`, "page": {"token": "`+token+`"}}`); status != 400 {
			t.Errorf("a token of another search: %d", status)
		}
	}
	if d := cmp.Diff(want, paged); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]any{map[string]any{"name": "can_read_todos"}}, ask("action", `{`+beth+`,`+todo1+`}`)["results"]); d != "" {
		t.Error(d)
	}
}

func TestContextOfDecisions(t *testing.T) {
	s := newStand(t, nil)
	body := func(action string) string { return `{` + rick + `,` + todo1 + `,"action": {"name": "` + action + `"}}` }
	got := evaluate(t, s, body("can_look"))
	c, _ := got["context"].(map[string]any)
	if d := cmp.Diff(map[string]any{"mask": []any{"/phone"}}, c["obligations"]); got["decision"] != true || d != "" {
		t.Errorf("%v\n%s", got, d)
	}
	if c["reason_admin"] != nil {
		t.Error("a client that may not see reasons is told one")
	}
	got = evaluate(t, s, body("can_pay"))
	if c, _ := got["context"].(map[string]any); got["decision"] != false || c["obligations"] == nil {
		t.Errorf("step up: %v", got)
	}
	_, out := s.ask(s.keys["all"], "POST", "/access/v1/evaluation", body("can_look"))
	if c, _ := out.(map[string]any)["context"].(map[string]any); !cmp.Equal(c["reason_admin"], map[string]any{"en": "masked"}) {
		t.Errorf("reason: %v", c)
	}
	if got := evaluate(t, s, body("unheard_of")); got["decision"] != false {
		t.Errorf("an action that the policy does not know: %v", got)
	}
	status, out := s.ask(s.keys["todo"], "POST", "/access/v1/evaluation", body("slow"))
	if text, _ := out.(string); status != 500 || !strings.Contains(text, "too long") {
		t.Errorf("too slow: %d %v", status, out)
	}
}

func TestNothingIsDecidedUnrecorded(t *testing.T) {
	const one = `{"subject": {"type": "user", "id": "x"}, "action": {"name": "can_read_todos"}, "resource": {"type": "todo", "id": "1"}}`
	s := newStand(t, nil)
	s.trail.full = true
	if status, out := s.ask(s.keys["todo"], "POST", "/access/v1/evaluation", one); status != 503 {
		t.Errorf("the queue is full: %d %v", status, out)
	}
	s.trail.full, s.trail.broken = false, true
	if status, out := s.ask(s.keys["todo"], "POST", "/access/v1/evaluation", one); status != 503 {
		t.Errorf("the record fails: %d %v", status, out)
	}
}

func TestMetadataAndHealth(t *testing.T) {
	s := newStand(t, func(c *config.DecisionPoint) { c.URL = "https://pdp.example/" })
	for path, base := range map[string]string{"": "https://pdp.example", "/apis/shop": "https://pdp.example/apis/shop"} {
		status, out := s.ask("", "GET", "/.well-known/authzen-configuration"+path, "")
		got, _ := out.(map[string]any)
		if status != 200 || got["policy_decision_point"] != base || got["access_evaluation_endpoint"] != base+"/access/v1/evaluation" || got["search_subject_endpoint"] != base+"/access/v1/search/subject" {
			t.Errorf("%d %v", status, got)
		}
	}
	if status, _ := s.ask("", "GET", "/.well-known/authzen-configuration/apis/none", ""); status != 404 {
		t.Errorf("of an API that is not: %d", status)
	}
	if status, out := s.ask("", "GET", "/health", ""); status != 500 { // "bare" has no policy
		t.Errorf("health: %d %v", status, out)
	}
	well := newStand(t, func(c *config.DecisionPoint) { c.Clients = c.Clients[1:] })
	if status, out := well.ask("", "GET", "/health", ""); status != 200 || len(out.(map[string]any)) != 0 {
		t.Errorf("health: %d %v", status, out)
	}
	r := httptest.NewRequest("GET", "/v1/data", http.NoBody)
	r.Header.Set("X-Request-ID", "bfe9eb29")
	w := httptest.NewRecorder()
	if s.h.ServeHTTP(w, r); w.Header().Get("X-Request-ID") != "bfe9eb29" {
		t.Error("the request's id is not answered")
	}
}

// No question, however odd, is answered with a permit that it should not get.
func FuzzEvaluation(f *testing.F) {
	s := newStand(f, nil)
	f.Add("evaluation", `{`+beth+`,`+todo1+`,"action": {"name": "can_update_todo"}}`)
	f.Add("evaluations", `{`+beth+`,`+todo1+`,"action": {"name": "can_update_todo"}, "evaluations": [{}]}`)
	f.Add("search/subject", `{"subject": {"type": "user"}, "action": {"name": "x"}, "resource": {"type": "todo", "id": "1"}}`)
	f.Fuzz(func(t *testing.T, path, body string) {
		r := httptest.NewRequest("POST", "/access/v1/", strings.NewReader(body))
		r.URL.Path = "/access/v1/" + path
		r.Header.Set("Authorization", "Bearer "+s.keys["todo"])
		w := httptest.NewRecorder()
		s.h.ServeHTTP(w, r)
		text, _ := io.ReadAll(w.Body)
		if strings.Contains(string(text), `"decision":true`) && !strings.Contains(body, "can_") {
			t.Errorf("%s %s: %s", path, body, text)
		}
	})
}
