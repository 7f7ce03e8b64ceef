package scan

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
)

// ledger is an API of a style of its own: camel case, a token in a header that
// is not Authorization, answers in an envelope, text identifiers. With open set
// it has the holes that its fixed twin has not.
type ledger struct {
	open bool

	mu       sync.Mutex
	n        int
	accounts map[string]*ledgerAccount // by login
	tokens   map[string]*ledgerAccount
	entries  map[string]*ledgerEntry
	remarks  map[string]*ledgerRemark
}

type ledgerAccount struct {
	ID, Login, Password, Kind, Nickname string
	Credits, Withdrawn                  int
	redeemed                            map[string]bool
}

type ledgerEntry struct {
	id, owner, title, text string
}

type ledgerRemark struct {
	id, entry, text string
}

const ledgerSpec = `openapi: 3.0.3
info: {title: Ledger, version: "1"}
components:
  securitySchemes:
    token: {type: apiKey, in: header, name: X-Ledger-Token}
  schemas:
    Entry: {type: object, properties: {entryId: {type: string}, ownerAccountId: {type: string}, title: {type: string}, text: {type: string}}}
    Remark: {type: object, properties: {remarkId: {type: string}, text: {type: string}}}
    Account: {type: object, properties: {accountId: {type: string}, login: {type: string}, nickname: {type: string}, kind: {type: string}, credits: {type: integer}}}
security: [{token: []}]
paths:
  /accounts:
    post:
      summary: Sign up for an account
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [login, password], properties: {login: {type: string, minLength: 3, maxLength: 60}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {data: {type: object, properties: {accountId: {type: string}}}}}}}}}
  /sessions:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [login, password], properties: {login: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {data: {type: object, properties: {token: {type: string}}}}}}}}}
  /accounts/current:
    get:
      summary: The account of the caller
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {data: {$ref: "#/components/schemas/Account"}}}}}}}
    patch:
      summary: Change the account of the caller
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {nickname: {type: string, maxLength: 60}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {data: {$ref: "#/components/schemas/Account"}}}}}}}
  /purse:
    get:
      summary: What the caller has
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {data: {type: object, properties: {credits: {type: integer}, withdrawn: {type: integer}}}}}}}}}
  /promotions/redeem:
    post:
      summary: Redeem a promo code, once
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [promoCode], properties: {promoCode: {type: string, example: SPRING}}}}}}
      responses: {"200": {description: done}}
  /withdrawals:
    post:
      summary: Withdraw credits
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [amount], properties: {amount: {type: integer, minimum: 1, example: 1}}}}}}
      responses: {"201": {description: done}}
  /entries:
    get:
      summary: The caller's own entries
      parameters: [{name: ownerAccountId, in: query, schema: {type: string}}, {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 3, default: 3}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {data: {type: array, items: {$ref: "#/components/schemas/Entry"}}}}}}}}
    post:
      summary: Write a private entry
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [title, text], properties: {title: {type: string, maxLength: 80}, text: {type: string, maxLength: 200}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {data: {$ref: "#/components/schemas/Entry"}}}}}}}
  /entries/{entryId}:
    get:
      summary: One of the caller's entries
      parameters: [{name: entryId, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {data: {$ref: "#/components/schemas/Entry"}}}}}}, "403": {description: no}}
    patch:
      summary: Change one of the caller's entries
      parameters: [{name: entryId, in: path, required: true, schema: {type: string}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {title: {type: string, maxLength: 80}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {data: {$ref: "#/components/schemas/Entry"}}}}}}}
  /entries/{entryId}/remarks:
    post:
      summary: Add a private remark to one's own entry
      parameters: [{name: entryId, in: path, required: true, schema: {type: string}}]
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {data: {$ref: "#/components/schemas/Remark"}}}}}}}
  /entries/{entryId}/remarks/{remarkId}:
    get:
      summary: A remark on one's own entry
      parameters: [{name: entryId, in: path, required: true, schema: {type: string}}, {name: remarkId, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {data: {$ref: "#/components/schemas/Remark"}}}}}}, "403": {description: no}}
`

func (l *ledger) id(kind string) string {
	l.n++
	return fmt.Sprintf("%s-%05dq", kind, 40000+l.n*7)
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, data any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data}) // to a recorder of the test's own
	}
	fail := func(status int, why string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"fault": why})
	}
	raw, _ := io.ReadAll(r.Body)
	in := map[string]any{}
	if len(raw) > 0 && json.Unmarshal(raw, &in) != nil {
		fail(400, "no JSON")
		return
	}
	text := func(name string) string {
		s, _ := in[name].(string)
		return s
	}
	l.mu.Lock()
	locked := true
	unlock := func() {
		if locked {
			locked = false
			l.mu.Unlock()
		}
	}
	defer unlock()
	me := l.tokens[r.Header.Get("X-Ledger-Token")]
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	route := r.Method + " /" + strings.Join(parts, "/")
	if len(parts) > 1 && parts[0] == "entries" {
		parts[1] = "{}"
		if len(parts) > 3 {
			parts[3] = "{}"
		}
		route = r.Method + " /" + strings.Join(parts, "/")
	}
	at := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if me == nil && route != "POST /accounts" && route != "POST /sessions" {
		fail(401, "who are you?")
		return
	}
	view := func(a *ledgerAccount) map[string]any {
		return map[string]any{"accountId": a.ID, "login": a.Login, "nickname": a.Nickname, "kind": a.Kind, "credits": a.Credits}
	}
	entry := func(e *ledgerEntry) map[string]any {
		return map[string]any{"entryId": e.id, "ownerAccountId": e.owner, "title": e.title, "text": e.text}
	}
	set := func(a *ledgerAccount) {
		if k := text("kind"); k != "" && l.open {
			a.Kind = k
		}
		if n, ok := in["credits"].(float64); ok && l.open {
			a.Credits = int(n)
		}
	}
	switch route {
	case "POST /accounts":
		if len(text("login")) < 3 || len(text("password")) < 8 || l.accounts[text("login")] != nil {
			fail(422, "login or password does not do")
			return
		}
		a := &ledgerAccount{ID: l.id("acc"), Login: text("login"), Password: text("password"), Kind: "standard", redeemed: map[string]bool{}}
		set(a)
		l.accounts[a.Login] = a
		answer(201, map[string]any{"accountId": a.ID})
	case "POST /sessions":
		a := l.accounts[text("login")]
		if a == nil || a.Password != text("password") {
			fail(401, "wrong")
			return
		}
		t := l.id("tok") + strconv.FormatInt(time.Now().UnixNano(), 36)
		l.tokens[t] = a
		answer(200, map[string]any{"token": t})
	case "GET /accounts/current":
		answer(200, view(me))
	case "PATCH /accounts/current":
		if s := text("nickname"); s != "" {
			me.Nickname = s
		}
		set(me)
		answer(200, view(me))
	case "GET /purse":
		answer(200, map[string]any{"credits": me.Credits, "withdrawn": me.Withdrawn})
	case "POST /promotions/redeem":
		if text("promoCode") != "SPRING" {
			fail(404, "no such code")
			return
		}
		if me.redeemed["SPRING"] && !l.open {
			fail(409, "used")
			return
		}
		me.redeemed["SPRING"] = true
		me.Credits += 40
		answer(200, map[string]any{"done": true})
	case "POST /withdrawals":
		n, _ := in["amount"].(float64)
		had := me.Credits
		if n < 1 || int(n) > had {
			fail(409, "not enough")
			return
		}
		if l.open {
			unlock()
			time.Sleep(20 * time.Millisecond) // the bank is asked
			l.mu.Lock()
			locked = true
		}
		me.Credits, me.Withdrawn = had-int(n), me.Withdrawn+int(n)
		answer(201, map[string]any{"done": true})
	case "GET /entries":
		owner := me.ID
		if q := r.URL.Query().Get("ownerAccountId"); q != "" {
			if q != me.ID && !l.open {
				fail(403, "not yours")
				return
			}
			owner = q
		}
		limit := 3
		if q := r.URL.Query().Get("limit"); q != "" {
			n, err := strconv.Atoi(q)
			if err != nil || n < 1 {
				fail(422, "limit")
				return
			}
			limit = n
			if !l.open {
				limit = min(n, 3)
			}
		}
		out := []any{}
		var ids []string
		for id := range l.entries {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		for _, id := range ids {
			if e := l.entries[id]; e.owner == owner && len(out) < limit {
				out = append(out, entry(e))
			}
		}
		answer(200, out)
	case "POST /entries":
		if text("title") == "" || text("text") == "" {
			fail(422, "title and text")
			return
		}
		e := &ledgerEntry{l.id("ent"), me.ID, text("title"), text("text")}
		l.entries[e.id] = e
		answer(201, entry(e))
	case "GET /entries/{}", "PATCH /entries/{}", "POST /entries/{}/remarks", "GET /entries/{}/remarks/{}":
		e := l.entries[at[1]]
		if e == nil || e.owner != me.ID {
			fail(404, "no such entry")
			return
		}
		switch route {
		case "PATCH /entries/{}":
			if s := text("title"); s != "" {
				e.title = s
			}
			if s := text("ownerAccountId"); s != "" && l.open {
				e.owner = s
			}
			answer(200, entry(e))
		case "GET /entries/{}":
			answer(200, entry(e))
		case "POST /entries/{}/remarks":
			if text("text") == "" {
				fail(422, "text")
				return
			}
			m := &ledgerRemark{l.id("rem"), e.id, text("text")}
			l.remarks[m.id] = m
			answer(201, map[string]any{"remarkId": m.id, "text": m.text})
		default:
			m := l.remarks[at[3]]
			if m == nil || m.entry != e.id && !l.open {
				fail(404, "no such remark")
				return
			}
			answer(200, map[string]any{"remarkId": m.id, "text": m.text})
		}
	default:
		fail(404, "no such page")
	}
}

// tested scans an API of a test with some of the checks.
func tested(t *testing.T, spec string, h http.Handler, checks ...string) *Result {
	t.Helper()
	return scanned(t, served(t, spec, h, checks...))
}

// rows are the findings of a scan as "check METHOD path where", sorted, each once.
func rows(t *testing.T, spec string, h http.Handler, checks ...string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, f := range tested(t, spec, h, checks...).Report.Findings {
		found[fmt.Sprintf("%s %s %s %s", f.Check, f.Method, f.Path, f.Where)] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// served is an API on loopback, and the options to scan it.
func served(t *testing.T, spec string, h http.Handler, checks ...string) *Options {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	path := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(path, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Options{Spec: path, Target: s.URL, Mode: "aggressive", Seed: 7, Checks: checks, Limits: Limits{MaxTime: time.Minute}}
	if *verbose {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return o
}

// has reports whether a finding of a check is of an operation and a place.
func has(all []*finding.Finding, check, method, path, where string) bool {
	return slices.ContainsFunc(all, func(f *finding.Finding) bool {
		return f.Check == check && f.Method == method && f.Path == path && (where == "" || f.Where == where)
	})
}

func newLedger(open bool) *ledger {
	return &ledger{open: open, accounts: map[string]*ledgerAccount{}, tokens: map[string]*ledgerAccount{}, entries: map[string]*ledgerEntry{}, remarks: map[string]*ledgerRemark{}}
}

var ledgerHoles = []struct{ check, method, path, where string }{
	{"bola-read", "GET", "/entries", "query.ownerAccountId"},
	{"bola-read", "GET", "/entries/{entryId}/remarks/{remarkId}", "path.remarkId"},
	{"mass-assignment-register", "POST", "/accounts", "body./kind"},
	{"mass-assignment", "PATCH", "/accounts/current", "body./credits"},
	{"mass-assignment", "PATCH", "/entries/{entryId}", "body./ownerAccountId"},
	{"single-use", "POST", "/promotions/redeem", "repeat"},
	{"page-size", "GET", "/entries", "query.limit"},
}

var ledgerChecks = []string{"bola-read", "bola-write", "mass-assignment-register", "mass-assignment", "single-use", "race", "page-size", "expansion", "step-skipped", "header-injection"}

// TestLedgerOpen: each hole of the ledger is found, and nothing else is.
func TestLedgerOpen(t *testing.T) {
	res := tested(t, ledgerSpec, newLedger(true), ledgerChecks...)
	for _, h := range ledgerHoles {
		if !has(res.Report.Findings, h.check, h.method, h.path, h.where) {
			t.Errorf("not found: %s %s %s [%s]", h.check, h.method, h.path, h.where)
		}
	}
	for _, f := range res.Report.Findings {
		if !slices.ContainsFunc(ledgerHoles, func(h struct{ check, method, path, where string }) bool {
			return h.method == f.Method && h.path == f.Path
		}) && f.Check != "race" {
			t.Errorf("what is no hole was found: %s %s [%s]", f.Check, f.Title, f.Where)
		}
	}
}

// TestLedgerFixed: its fixed twin has nothing to find.
func TestLedgerFixed(t *testing.T) {
	res := tested(t, ledgerSpec, newLedger(false), ledgerChecks...)
	for _, f := range res.Report.Findings {
		t.Errorf("a false alarm: %s %s [%s]: %s", f.Check, f.Title, f.Where, f.Description)
	}
}
