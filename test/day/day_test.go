package day

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/issuer"
	"github.com/crenel-project/crenel/demo/harbour/traffic"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/trail"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

const (
	issuerURL = "https://login.harbour.example"
	secret    = "a session key of the test, long enough for HS256"
)

// clock is set by the player before each call.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = to
}

// only lets the gateway reach the issuer, in process, and nothing else.
type only struct{ issuer http.Handler }

func (o only) RoundTrip(r *http.Request) (*http.Response, error) {
	if o.issuer == nil || !strings.HasPrefix(r.URL.String(), issuerURL+"/") {
		return nil, errors.New("no network in this test")
	}
	w := httptest.NewRecorder()
	o.issuer.ServeHTTP(w, r)
	return w.Result(), nil
}

// stand is the sample API, without holes, and the demo's gateway in front of it.
func stand(t *testing.T, now *clock) (straight, through http.Handler, tokens *issuer.Issuer) {
	t.Helper()
	tokens, err := issuer.New(issuerURL, now.Now)
	if err != nil {
		t.Fatal(err)
	}
	api := func() http.Handler {
		s, err := harbour.New(harbour.Options{
			Clock: now.Now, Seed: 1, Residents: traffic.Residents, PasswordRounds: 10, JWTSecret: []byte(secret),
			Issuer: issuerURL, JWKS: tokens.Keys, HTTPClient: &http.Client{Transport: only{}},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s
	}
	env := map[string]string{"HARBOUR_URL": "http://127.0.0.1:9", "HARBOUR_ISSUER": issuerURL, "HARBOUR_JWT_SECRET": secret, "HARBOUR_SIGNALS_TOKEN": "a token of this test, long enough"}
	dir := t.TempDir()
	cfg, err := config.LoadWith(filepath.Join("..", "..", "demo", "crenel.yaml"), config.Options{
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Override: func(c *config.Config) {
			c.DataDir = dir
			// Time-outs of the wall's clock, which on a busy machine strike anybody, are not
			// what this shows: it plays a day in a minute.
			c.APIs[0].Guards.Authz.Timeout, c.APIs[0].Guards.WAF.Timeout = 10*time.Second, time.Minute
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := &cfg.APIs[0]
	for name, g := range a.Guards.All() {
		if g.Mode != "" && g.Mode != "enforce" || a.Mode != "enforce" {
			t.Fatalf("guard %s is not in enforce: the test would show nothing", name)
		}
	}
	log, err := trail.Open(trail.Options{File: filepath.Join(dir, "events.jsonl")})
	if err != nil {
		t.Fatal(err)
	}
	gw, err := gateway.New(t.Context(), cfg, gateway.Deps{Trail: log, Now: now.Now, Client: &http.Client{Transport: only{tokens}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(gw.Close(), log.Close()); err != nil {
			t.Error(err)
		}
	})
	upstream := api()
	return api(), gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, r *http.Request) error {
			upstream.ServeHTTP(w, r)
			return nil
		}
	}), tokens
}

// aDay is the whole day, or its first hours where tests should be quick.
func aDay() []traffic.Call {
	calls := traffic.Day(1)
	if testing.Short() {
		return traffic.Head(calls, 7*time.Hour)
	}
	return calls
}

func TestAWholeDayOfHonestCallsPasses(t *testing.T) {
	start := time.Date(2026, 3, 17, 0, 0, 0, 0, time.UTC)
	now := &clock{now: start}
	straight, through, tokens := stand(t, now)
	calls := aDay()
	play := func(h http.Handler, observe func(traffic.Call, *http.Request, traffic.Answer)) traffic.Report {
		now.set(start)
		p := &traffic.Player{
			Base: "https://localhost", Start: start, SetClock: now.set, Observe: observe,
			AccessToken: func(_ context.Context, client string, scopes []string) (string, error) {
				return tokens.Token(client, scopes...)
			},
			Do: traffic.InProcess(h),
		}
		report, err := p.Play(t.Context(), calls)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	type key struct {
		at          time.Duration
		actor, path string
	}
	want := map[key]int{}
	reference := play(straight, func(c traffic.Call, _ *http.Request, a traffic.Answer) { want[key{c.At, c.Actor, c.Path}] = a.Status })
	if reference.Failed > 0 {
		t.Fatalf("the day is not honest even without a gateway: %v", reference.Failures[0])
	}
	began := time.Now()
	false4xx, shown := 0, 0
	codes := map[string]int{}
	report := play(through, func(c traffic.Call, r *http.Request, a traffic.Answer) {
		code := codeOf(a)
		codes[code]++
		if a.Status == want[key{c.At, c.Actor, c.Path}] {
			return
		}
		false4xx++
		if shown++; shown <= 20 {
			t.Errorf("%s %s by %s at %s: %d, straight %d: %.300s", c.Method, r.URL.Path, c.Actor, c.At, a.Status, want[key{c.At, c.Actor, c.Path}], a.Body)
		}
	})
	took := time.Since(began)
	t.Logf("%d calls in %s (%s a call, the API's own work in it), by status %v, by kind %v; refused by the gateway as the API would have: %v",
		report.Calls, took.Round(time.Millisecond), (took / time.Duration(report.Calls)).Round(time.Microsecond), report.ByStatus, report.ByKind, codes)
	if false4xx > 0 || report.Failed > 0 || report.Calls != len(calls) {
		t.Errorf("%d of %d calls were answered otherwise than straight, %d not as they should be", false4xx, report.Calls, report.Failed)
	}
	if !testing.Short() && report.Calls < 20_000 {
		t.Errorf("a day of %d calls", report.Calls)
	}
}

// The same stand refuses an attack: a gateway that lets everything pass would show nothing.
func TestTheStandRefusesAttacks(t *testing.T) {
	now := &clock{now: time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC)}
	_, through, _ := stand(t, now)
	for name, r := range map[string]*http.Request{
		"waf.attack":            httptest.NewRequest(http.MethodPost, "https://localhost/v2/register", strings.NewReader(`{"email":"a@example.com","password":"a long password","name":"x' UNION SELECT password FROM users--"}`)),
		"contract.unknown_path": httptest.NewRequest(http.MethodGet, "https://localhost/v2/nothing", nil),
		"authn.missing":         httptest.NewRequest(http.MethodGet, "https://localhost/v2/parcels", nil),
	} {
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		through.ServeHTTP(w, r)
		if code := codeOf(traffic.Answer{Status: w.Code, Body: w.Body.Bytes()}); code != name {
			t.Errorf("%d %s, want %s", w.Code, w.Body, name)
		}
	}
}

// codeOf is the gateway's code in an answer, "" when the API gave it.
func codeOf(a traffic.Answer) string {
	_, rest, ok := strings.Cut(string(a.Body), `"type":"urn:crenel:code:`)
	if !ok {
		return ""
	}
	code, _, _ := strings.Cut(rest, `"`)
	return code
}
