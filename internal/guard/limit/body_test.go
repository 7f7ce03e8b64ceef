package limit

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/limit/hashcash"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/state/statetest"
	"github.com/crenel-project/crenel/internal/value"
)

const shop = `
openapi: 3.1.0
info: {title: shop, version: "1"}
paths:
  /login:
    post:
      operationId: signIn
      requestBody: {content: {application/json: {schema: {type: object, properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /register:
    post:
      operationId: register
      requestBody: {content: {application/json: {schema: {type: object, properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /me/code:
    post:
      operationId: checkCode
      requestBody: {content: {application/json: {schema: {type: object, properties: {code: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /basket: {get: {operationId: basket, responses: {"200": {description: ok}}}}
  /orders:
    get:
      operationId: orders
      parameters:
        - {name: limit, in: query, schema: {type: integer}}
        - {name: page_size, in: query, schema: {type: integer, maximum: 100000}}
        - {name: offset, in: query, schema: {type: integer}}
      responses: {"200": {description: ok}}
    post:
      operationId: order
      requestBody: {content: {application/json: {schema: {type: object, properties: {lines: {type: array, items: {type: integer}}, codes: {type: array, maxItems: 5000, items: {type: integer}}}}}}}
      responses: {"200": {description: ok}}
  /session:
    post:
      operationId: enter
      requestBody: {content: {application/json: {schema: {type: object, properties: {email: {}, username: {type: string}, account: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: ok}}
`

func loadShop(t testing.TB) *spec.API {
	t.Helper()
	file := filepath.Join(t.TempDir(), "shop.yaml")
	if err := os.WriteFile(file, []byte(shop), 0o600); err != nil {
		t.Fatal(err)
	}
	api, err := spec.Load(t.Context(), file, spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// store is a shop behind a guard, on a clock of its own.
type store struct {
	t     testing.TB
	g     *Guard
	api   *spec.API
	chain *guard.Chain
	now   time.Time
}

func openShop(t testing.TB, cfg config.Limit, shared func(clock func() time.Time) state.Buckets, overrides ...config.OperationOverride) *store {
	t.Helper()
	s := &store{t: t, api: loadShop(t), now: time.Unix(1_800_000_000, 0)}
	if cfg.Rates == nil {
		cfg.Rates = []config.Rate{}
	}
	cfg.Challenge.Bits = 4
	clock := func() time.Time { return s.now }
	o := Options{Name: "shop", API: s.api, Config: cfg, Overrides: overrides, Store: NewMemory(0, s.now), Now: clock}
	if shared != nil {
		o.Shared = shared(clock)
	}
	var err error
	s.g, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.g.Close)
	s.chain = guard.NewChain(s.api, append([]guard.Step{s.g.AddressStep(), s.g.IdentityStep()}, s.g.BodySteps()...),
		func(string, *spec.Operation) guard.Setting { return guard.Setting{Mode: guard.Enforce} }, slog.New(slog.DiscardHandler))
	return s
}

// visit is one call and what came of it.
type visit struct {
	from, op, body, query string
	id                    exchange.Identity
	header                http.Header
	status                int // the API's answer
}

// send makes the call; set are the cookies that came back.
func (s *store) send(v visit) (verdict exchange.Verdict, set []string) {
	s.t.Helper()
	x := &exchange.Exchange{Client: netip.MustParseAddr(v.from), Identity: v.id}
	x.Request.Header = v.header
	if x.Request.Header == nil {
		x.Request.Header = http.Header{}
	}
	for _, op := range s.api.Operations {
		if op.ID == v.op {
			x.Operation = op
		}
	}
	if v.body != "" {
		root, err := value.JSON([]byte(v.body), value.Limits{}.WithDefaults())
		if err != nil {
			s.t.Fatal(err)
		}
		x.Request.Body = &exchange.Body{Bytes: []byte(v.body), Root: root}
	}
	if name, text, ok := strings.Cut(v.query, "="); ok {
		for _, p := range x.Operation.Parameters {
			if p.Name == name {
				x.Params = append(x.Params, exchange.Param{Spec: p, Raw: text, Value: value.Value{Kind: value.Number, Text: text}})
			}
		}
	}
	verdict = s.chain.Run(context.Background(), x, exchange.RequestHead)
	if verdict.Action == exchange.Allow {
		verdict = s.chain.Run(context.Background(), x, exchange.RequestBody)
	}
	if verdict.Action == exchange.Allow && v.status != 0 {
		x.Response = exchange.Response{Status: v.status, Header: http.Header{}}
		s.chain.Run(context.Background(), x, exchange.ResponseHead)
		set = x.Response.Header["Set-Cookie"]
	}
	for _, e := range x.Ends {
		e.End(x, &exchange.Decision{Code: verdict.Code}, &exchange.Completion{Status: v.status})
	}
	for s.g.settler != nil && s.g.settler.open.Load() > 0 {
		time.Sleep(100 * time.Microsecond) // what is charged afterwards is charged soon
	}
	return verdict, set
}

func (s *store) login(from, account string, status int, cookies ...string) (exchange.Verdict, []string) {
	s.t.Helper()
	return s.send(visit{from: from, op: "signIn", body: fmt.Sprintf(`{"email":%q,"password":"x"}`, account), status: status, header: http.Header{"Cookie": cookies}})
}

// pair is the cookie without its attributes.
func pair(set []string) string {
	if len(set) == 0 {
		return ""
	}
	text, _, _ := strings.Cut(set[0], ";")
	return text
}

// Each test of logins holds in memory and in Redis.
func everywhere(t *testing.T, run func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store)) {
	t.Run("memory", func(t *testing.T) {
		run(t, func(cfg config.Limit, o ...config.OperationOverride) *store { return openShop(t, cfg, nil, o...) })
	})
	t.Run("redis", func(t *testing.T) {
		server := statetest.StartServer(t)
		n := 0
		run(t, func(cfg config.Limit, o ...config.OperationOverride) *store {
			n++
			return openShop(t, cfg, func(clock func() time.Time) state.Buckets { return server.Open(t, fmt.Sprint("login-", n), clock) }, o...)
		})
	})
}

func TestGuessingOnePassword(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		s := open(config.Limit{})
		guesses := 0
		for range 24 * 60 * 6 { // a guess every ten seconds for a day
			if v, _ := s.login("192.0.2.1", " Alice@example.com ", 401); v.Action == exchange.Allow {
				guesses++
			} else if v.Code != "limit.login" || v.Header["Retry-After"] == "" {
				t.Fatalf("%+v", v)
			}
			s.now = s.now.Add(10 * time.Second)
		}
		t.Logf("%d of 8640 guesses in a day from one address", guesses)
		if guesses < 50 || guesses > 125 {
			t.Errorf("%d guesses were let through", guesses)
		}
		if v, _ := s.login("198.51.100.7", "alice@example.com", 200); v.Action != exchange.Allow {
			t.Errorf("Alice, from elsewhere: %+v", v)
		}
		if v, _ := s.login("192.0.2.1", "bob@example.com", 200); v.Action != exchange.Allow {
			t.Errorf("Bob, from the attacker's address: %+v", v)
		}
	})
}

// Many guesses at once are no more than one by one.
func TestGuessesAtOnce(t *testing.T) {
	s := openShop(t, config.Limit{}, nil)
	var open []*exchange.Exchange
	for range 100 {
		x := &exchange.Exchange{Client: netip.MustParseAddr("192.0.2.1"), Operation: s.api.Operations[0]}
		x.Request.Header = http.Header{}
		root, err := value.JSON([]byte(`{"email":"a@b"}`), value.Limits{}.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		x.Request.Body = &exchange.Body{Root: root}
		if s.chain.Run(t.Context(), x, exchange.RequestBody).Action == exchange.Allow {
			open = append(open, x)
		}
	}
	if len(open) != 5 {
		t.Errorf("%d of 100 guesses at once are let through, want 5", len(open))
	}
}

// Mistyping is human: a success forgets it, and nobody waits for others' mistakes.
func TestHonestLogins(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		s := open(config.Limit{})
		for day := range 20 {
			for range 4 {
				if v, _ := s.login("192.0.2.1", "alice@example.com", 401); v.Action != exchange.Allow {
					t.Fatalf("day %d: a mistyped password is refused: %+v", day, v)
				}
			}
			if v, _ := s.login("192.0.2.1", "alice@example.com", 200); v.Action != exchange.Allow {
				t.Fatalf("day %d: %+v", day, v)
			}
			s.now = s.now.Add(time.Hour)
		}
		// An office behind one address, at nine.
		for i := range 300 {
			who := fmt.Sprintf("worker%d@example.com", i)
			if i%20 == 0 {
				if v, _ := s.login("192.0.2.2", who, 401); v.Action != exchange.Allow {
					t.Fatalf("worker %d mistypes: %+v", i, v)
				}
			}
			if v, _ := s.login("192.0.2.2", who, 200); v.Action != exchange.Allow {
				t.Fatalf("worker %d: %+v", i, v)
			}
			s.now = s.now.Add(2 * time.Second)
		}
		// An API that is down makes nobody a guesser.
		for range 50 {
			if v, _ := s.login("192.0.2.3", "carol@example.com", 503); v.Action != exchange.Allow {
				t.Fatalf("%+v", v)
			}
		}
	})
}

// Credential stuffing: many accounts, one try each, from one address.
func TestCredentialStuffing(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		s := open(config.Limit{})
		tried := 0
		for i := range 2000 {
			// Now and then into an account of its own, which must not buy it further tries.
			if i%10 == 0 {
				s.login("192.0.2.1", "mallory@example.com", 200)
			}
			if v, _ := s.login("192.0.2.1", fmt.Sprintf("victim%d@example.com", i), 401); v.Action == exchange.Allow {
				tried++
			}
			s.now = s.now.Add(time.Second)
		}
		t.Logf("%d of 2000 accounts tried in 33 minutes", tried)
		if tried > 20+12 {
			t.Errorf("%d accounts were tried", tried)
		}
	})
}

// A botnet that guesses at Alice's password costs her nothing where she is known,
// and a challenge elsewhere; it cannot lock her out.
func TestNobodyIsLockedOut(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		s := open(config.Limit{})
		_, set := s.login("198.51.100.7", "alice@example.com", 200)
		device := pair(set)
		if device == "" {
			t.Fatal("no cookie for the device")
		}
		let := 0
		for i := range 500 {
			if v, _ := s.login(fmt.Sprintf("203.0.%d.%d", i/200+1, i%200+1), "alice@example.com", 401); v.Action == exchange.Allow {
				let++
			} else if v.Code != "limit.challenge" {
				t.Fatalf("%+v", v)
			}
		}
		if let > 31 {
			t.Errorf("%d guesses of 500 addresses cost nothing", let)
		}
		if v, _ := s.login("198.51.100.7", "alice@example.com", 200); v.Action != exchange.Allow {
			t.Errorf("Alice at home: %+v", v)
		}
		if v, _ := s.login("198.51.100.99", "alice@example.com", 200, device); v.Action != exchange.Allow {
			t.Errorf("Alice's device elsewhere: %+v", v)
		}
		if v, _ := s.login("198.51.100.99", "bob@example.com", 401, device); v.Action != exchange.Allow {
			t.Errorf("another account on Alice's device: %+v", v)
		}
		// Elsewhere, with nothing: the work of a challenge lets her in.
		v, _ := s.login("192.0.2.200", "alice@example.com", 0)
		if v.Code != "limit.challenge" {
			t.Fatalf("Alice on a new device: %+v", v)
		}
		challenge, _, _ := strings.Cut(v.Header["Crenel-Challenge"], ";")
		answer, err := hashcash.Solve(challenge)
		if err != nil {
			t.Fatal(err)
		}
		body := `{"email":"alice@example.com","password":"x"}`
		if v, _ := s.send(visit{from: "192.0.2.200", op: "signIn", body: body, status: 200, header: http.Header{"Crenel-Proof": {answer}}}); v.Action != exchange.Allow {
			t.Errorf("Alice with the work done: %+v", v)
		}
		if v, _ := s.send(visit{from: "203.0.9.9", op: "signIn", body: body, status: 401, header: http.Header{"Crenel-Proof": {answer}}}); v.Code != "limit.challenge" {
			t.Errorf("her answer used by another: %+v", v)
		}
		// The stolen cookie of a device has its own few tries.
		let = 0
		for range 50 {
			if v, _ := s.login("203.0.9.10", "alice@example.com", 401, device); v.Action == exchange.Allow {
				let++
			}
		}
		if let != 5 {
			t.Errorf("%d guesses with the device's cookie, want 5", let)
		}
	})
}

func TestAnswersHoldOnce(t *testing.T) {
	s := openShop(t, config.Limit{Flows: []config.Flow{{Name: "checkout", Steps: []string{"order"}, Challenge: "anonymous"}}}, nil)
	v, _ := s.send(visit{from: "192.0.2.1", op: "order"})
	if v.Code != "limit.challenge" {
		t.Fatalf("%+v", v)
	}
	challenge, _, _ := strings.Cut(v.Header["Crenel-Challenge"], ";")
	answer, err := hashcash.Solve(challenge)
	if err != nil {
		t.Fatal(err)
	}
	proof := func() http.Header { return http.Header{"Crenel-Proof": {answer}} }
	if v, _ := s.send(visit{from: "192.0.2.1", op: "order", header: proof(), status: 200}); v.Action != exchange.Allow {
		t.Fatalf("%+v", v)
	}
	if v, _ := s.send(visit{from: "192.0.2.1", op: "order", header: proof()}); v.Code != "limit.challenge" || !strings.Contains(v.Reason, "before") {
		t.Errorf("the second time: %+v", v)
	}
	if v, _ := s.send(visit{from: "192.0.2.1", op: "order", id: user("alice"), status: 200}); v.Action != exchange.Allow {
		t.Errorf("who is identified is asked for work: %+v", v)
	}
}

func TestDetection(t *testing.T) {
	s := openShop(t, config.Limit{}, nil, config.OperationOverride{Operation: "checkCode", Login: &config.LoginOperation{Account: "identity"}})
	for i, op := range s.api.Operations {
		want := op.ID == "signIn" || op.ID == "enter" || op.ID == "checkCode"
		if got := s.g.logins.places[i] != nil; got != want {
			t.Errorf("%s is a login: %v", op.ID, got)
		}
	}
	for range 5 {
		s.send(visit{from: "192.0.2.1", op: "checkCode", id: user("alice"), body: `{"code":"1"}`, status: 422})
	}
	if v, _ := s.send(visit{from: "192.0.2.1", op: "checkCode", id: user("alice"), body: `{"code":"1"}`}); v.Code != "limit.login" {
		t.Errorf("codes are guessed: %+v", v)
	}
	off := openShop(t, config.Limit{}, nil, config.OperationOverride{Operation: "POST /*", Login: &config.LoginOperation{Off: true}})
	if off.g.logins != nil {
		t.Error("an operation that is left alone is protected")
	}
	if _, err := New(Options{Name: "x", API: s.api, Store: NewMemory(0, epoch), Overrides: []config.OperationOverride{{Operation: "orders", Login: &config.LoginOperation{}}}}); err == nil {
		t.Error("a login without an account is taken")
	}
}

func TestFlow(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		s := open(config.Limit{Flows: []config.Flow{{
			Name: "checkout", Steps: []string{"basket", "order"}, HumanTime: 3 * time.Second, Within: time.Hour, Challenge: "off",
			Rates: []config.Rate{{By: "address", Rate: "3/h"}},
		}}})
		for _, who := range []exchange.Identity{user("alice"), {}} {
			cookies := func() http.Header { return http.Header{} }
			if v, _ := s.send(visit{from: "192.0.2.1", op: "order", id: who}); v.Code != "limit.flow" {
				t.Fatalf("an order without a basket: %+v", v)
			}
			_, set := s.send(visit{from: "192.0.2.1", op: "basket", id: who, status: 200})
			if who.Anonymous() {
				cookie := pair(set)
				if cookie == "" {
					t.Fatal("no cookie for an anonymous caller")
				}
				cookies = func() http.Header { return http.Header{"Cookie": {cookie}} }
			}
			if v, _ := s.send(visit{from: "192.0.2.1", op: "order", id: who, header: cookies()}); v.Code != "limit.too_fast" || v.Header["Retry-After"] != "3" {
				t.Fatalf("at once: %+v", v)
			}
			s.now = s.now.Add(3 * time.Second)
			if v, _ := s.send(visit{from: "192.0.2.1", op: "order", id: who, header: cookies(), status: 200}); v.Action != exchange.Allow {
				t.Fatalf("in human time: %+v", v)
			}
			s.now = s.now.Add(2 * time.Hour)
			if v, _ := s.send(visit{from: "192.0.2.1", op: "order", id: who, header: cookies()}); v.Code != "limit.flow" {
				t.Fatalf("long after: %+v", v)
			}
		}
		s.now = s.now.Add(24 * time.Hour)
		s.send(visit{from: "192.0.2.9", op: "basket", id: user("bob"), status: 200})
		s.now = s.now.Add(3 * time.Second)
		let := 0
		for range 10 {
			if v, _ := s.send(visit{from: "192.0.2.9", op: "order", id: user("bob"), status: 200}); v.Action == exchange.Allow {
				let++
			}
			s.now = s.now.Add(3 * time.Second)
		}
		if let != 3 {
			t.Errorf("%d orders of the flow's budget of 3", let)
		}
	})
}

func TestPagesAndBatches(t *testing.T) {
	s := openShop(t, config.Limit{PageSize: 1000, Batch: 3}, nil)
	for _, c := range []struct{ op, query, body, code string }{
		{"orders", "limit=1000", "", ""},
		{"orders", "limit=1001", "", "limit.page_size"},
		{"orders", "limit=1e9", "", "limit.page_size"},
		{"orders", "page_size=50000", "", ""}, // the document gives a maximum
		{"orders", "offset=50000", "", ""},
		{"order", "", `{"lines":[1,2,3]}`, ""},
		{"order", "", `{"lines":[1,2,3,4]}`, "limit.batch"},
		{"order", "", `{"codes":[1,2,3,4]}`, "limit.batch"},
	} {
		if v, _ := s.send(visit{from: "192.0.2.1", op: c.op, query: c.query, body: c.body}); v.Code != c.code {
			t.Errorf("%s %s%s: %q, want %q", c.op, c.query, c.body, v.Code, c.code)
		}
	}
	if s := openShop(t, config.Limit{}, nil); s.g.sizes != nil {
		t.Error("sizes are bounded that no config bounds")
	}
}

func FuzzToken(f *testing.F) {
	s, err := newSigner(&config.Challenge{}, nil, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	good := s.token("visitor", time.Hour)
	f.Add(good)
	f.Fuzz(func(t *testing.T, text string) {
		if _, ok := s.read(text, "visitor"); ok && text != good {
			t.Fatalf("%q is taken for ours", text)
		}
		if _, ok := s.read(text, "device"); ok {
			t.Fatalf("%q is taken for another purpose", text)
		}
	})
}
