package whoami_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/whoami"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api is an API that can be asked.
type api struct {
	status int
	body   string
	err    error
	asked  atomic.Int64
	hold   chan struct{} // when set, an answer waits for it
}

func (a *api) ask(ctx context.Context, _ *http.Request) (*whoami.Answer, error) {
	a.asked.Add(1)
	if a.hold != nil {
		select {
		case <-a.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	return &whoami.Answer{Status: a.status, Body: []byte(a.body)}, nil
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.t = c.t.Add(d)
	c.mu.Unlock()
}

func asker(a *api, c *clock, change func(*config.WhoAmI)) *whoami.Asker {
	cfg := config.WhoAmI{
		Path: "/me", Subject: "/user/id", Roles: "/user/roles", Scopes: "/scope", Tenant: "/org",
		TTL: time.Minute, RefusedTTL: 10 * time.Second, MaxAge: 5 * time.Minute, Timeout: time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	return whoami.New(cfg, a.ask, c.now, slog.New(slog.DiscardHandler))
}

func who(a *whoami.Asker, key string) (*exchange.Identity, error) {
	return a.Who(context.Background(), key, func() *http.Request { return new(http.Request) })
}

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		body    string
		err     error
		subject string
		want    error
	}{
		{"text", 200, `{"user": {"id": "u1"}}`, nil, "u1", nil},
		{"number", 200, `{"user": {"id": 12345678901234567890}}`, nil, "12345678901234567890", nil},
		{"nobody", 200, `{"user": null}`, nil, "", whoami.ErrRefused},
		{"empty id", 200, `{"user": {"id": ""}}`, nil, "", whoami.ErrRefused},
		{"an object as id", 200, `{"user": {"id": {"$oid": "1"}}}`, nil, "", whoami.ErrRefused},
		{"true as id", 200, `{"user": {"id": true}}`, nil, "", whoami.ErrRefused},
		{"not JSON", 200, `<html>log in</html>`, nil, "", whoami.ErrRefused},
		{"two ids", 200, `{"user": {"id": "u1", "id": "u2"}}`, nil, "", whoami.ErrRefused},
		{"empty", 200, ``, nil, "", whoami.ErrRefused},
		{"401", 401, `{"user": {"id": "u1"}}`, nil, "", whoami.ErrRefused},
		{"403", 403, ``, nil, "", whoami.ErrRefused},
		{"404", 404, ``, nil, "", whoami.ErrRefused},
		{"a redirect", 302, ``, nil, "", whoami.ErrRefused},
		{"204", 204, ``, nil, "", whoami.ErrRefused},
		{"500", 500, `{"user": {"id": "u1"}}`, nil, "", whoami.ErrUnavailable},
		{"429", 429, ``, nil, "", whoami.ErrUnavailable},
		{"down", 0, ``, errors.New("connection refused"), "", whoami.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := asker(&api{status: c.status, body: c.body, err: c.err}, &clock{t: time.Now()}, nil)
			id, err := who(a, "k")
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if err == nil && (id.Subject != c.subject || !id.Verified || id.Method != "own") {
				t.Fatalf("identity %+v", id)
			}
			if down := a.State() != nil; down != errors.Is(c.want, whoami.ErrUnavailable) {
				t.Errorf("state: %v", a.State())
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	up := &api{status: 200, body: `{"user": {"id": 7, "roles": ["admin", 3, null]}, "scope": "read write", "org": "o1"}`}
	id, err := who(asker(up, &clock{t: time.Now()}, nil), "k")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(id.Roles, " ") != "admin 3" || strings.Join(id.Scopes, " ") != "read write" || id.Tenant != "o1" || id.Claims["org"] != "o1" {
		t.Errorf("%+v", id)
	}
	up = &api{status: 200, body: `{"user": {"id": 7, "roles": "ops team"}, "scope": ["a b"]}`}
	if id, err = who(asker(up, &clock{t: time.Now()}, nil), "k"); err != nil || len(id.Roles) != 1 || len(id.Scopes) != 1 {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestTimes(t *testing.T) {
	up, c := &api{status: 200, body: `{"user": {"id": 1}}`}, &clock{t: time.Now()}
	a := asker(up, c, nil)
	ask := func(want error, asked int64) {
		t.Helper()
		_, err := who(a, "k")
		if !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Errorf("error %v, want %v", err, want)
		}
		if n := up.asked.Load(); n != asked {
			t.Errorf("asked %d times, want %d", n, asked)
		}
	}
	ask(nil, 1)
	ask(nil, 1) // remembered
	c.add(61 * time.Second)
	ask(nil, 2)
	up.err = errors.New("down")
	c.add(61 * time.Second)
	ask(nil, 3) // the last good answer is young enough
	c.add(5 * time.Minute)
	ask(whoami.ErrUnavailable, 4)
	up.err, up.status = nil, 401
	ask(whoami.ErrRefused, 5)
	up.status = 200
	ask(whoami.ErrRefused, 5) // remembered
	c.add(11 * time.Second)
	ask(nil, 6)
	a.Forget("k")
	ask(nil, 7)
	c.add(-time.Hour) // the clock is set back
	ask(nil, 8)
}

// A refusal undoes what was known: a stale answer is not used after it.
func TestRefusedIsNotStale(t *testing.T) {
	up, c := &api{status: 200, body: `{"user": {"id": 1}}`}, &clock{t: time.Now()}
	a := asker(up, c, func(w *config.WhoAmI) { w.RefusedTTL = 0 })
	if _, err := who(a, "k"); err != nil {
		t.Fatal(err)
	}
	c.add(61 * time.Second)
	up.status = 401
	if _, err := who(a, "k"); !errors.Is(err, whoami.ErrRefused) {
		t.Fatal(err)
	}
	up.err = errors.New("down")
	if _, err := who(a, "k"); !errors.Is(err, whoami.ErrUnavailable) {
		t.Fatalf("refused, then down: %v", err)
	}
}

func TestManyAskOnce(t *testing.T) {
	up := &api{status: 200, body: `{"user": {"id": 1}}`, hold: make(chan struct{})}
	a := asker(up, &clock{t: time.Now()}, nil)
	ctx, leave := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	first := make(chan error, 1)
	wg.Go(func() {
		_, err := a.Who(ctx, "k", func() *http.Request { return new(http.Request) })
		first <- err
	})
	for up.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 20 {
		wg.Go(func() {
			if _, err := who(a, "k"); err != nil {
				t.Error(err)
			}
		})
	}
	leave() // the first asker's client goes; the question stands
	close(up.hold)
	wg.Wait()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if n := up.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestQuestionsAreBounded(t *testing.T) {
	up := &api{status: 200, body: `{"user": {"id": 1}}`, hold: make(chan struct{})}
	a := asker(up, &clock{t: time.Now()}, func(w *config.WhoAmI) { w.Concurrent, w.Timeout = 1, 50*time.Millisecond })
	var wg sync.WaitGroup
	for _, k := range []string{"a", "b", "c"} {
		wg.Go(func() {
			if _, err := who(a, k); !errors.Is(err, whoami.ErrUnavailable) {
				t.Errorf("%s: %v", k, err)
			}
		})
	}
	wg.Wait()
	if n := up.asked.Load(); n > 3 {
		t.Errorf("asked %d times", n)
	}
}

// An answer that was under way when the API refused the credential is not kept.
func TestForgottenInFlight(t *testing.T) {
	up := &api{status: 200, body: `{"user": {"id": 1}}`, hold: make(chan struct{})}
	a := asker(up, &clock{t: time.Now()}, nil)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = who(a, "k") })
	for up.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	a.Forget("k")
	close(up.hold)
	wg.Wait()
	if _, err := who(a, "k"); err != nil || up.asked.Load() != 2 {
		t.Errorf("asked %d times, %v", up.asked.Load(), err)
	}
}

// Whoever makes credentials up does not keep callers that are known from being
// asked about, however long the API takes.
func TestStrangersLeaveRoomForTheKnown(t *testing.T) {
	up := &api{status: 200, body: `{"user": {"id": 1}}`}
	c := &clock{t: time.Now()}
	var slow atomic.Bool
	a := whoami.New(config.WhoAmI{Path: "/me", Subject: "/user/id", TTL: time.Minute, MaxAge: time.Minute, Timeout: 2 * time.Second, Concurrent: 4},
		func(ctx context.Context, r *http.Request) (*whoami.Answer, error) {
			if slow.Load() && r.Host != "known" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return up.ask(ctx, r)
		}, c.now, slog.New(slog.DiscardHandler))
	known := func() error {
		_, err := a.Who(t.Context(), "known", func() *http.Request { return &http.Request{Host: "known"} })
		return err
	}
	if err := known(); err != nil {
		t.Fatal(err)
	}
	slow.Store(true)
	c.add(2 * time.Minute) // what is remembered is over
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() { _, _ = a.Who(ctx, strconv.Itoa(i), func() *http.Request { return new(http.Request) }) })
	}
	time.Sleep(50 * time.Millisecond)
	begin := time.Now()
	err := known()
	if took := time.Since(begin); err != nil || took > 500*time.Millisecond {
		t.Errorf("a known caller: %v after %s", err, took)
	}
	leave()
	slow.Store(false)
	wg.Wait()
}

// An error that one credential is answered with says nothing of the API, which has
// just answered others well: nobody gets the gateway taken out of service with it.
func TestOneCredentialIsNoTrouble(t *testing.T) {
	up := &api{status: 200, body: `{"user": {"id": 1}}`}
	c := &clock{t: time.Now()}
	a := asker(up, c, nil)
	if _, err := who(a, "known"); err != nil {
		t.Fatal(err)
	}
	up.status = 500
	if _, err := who(a, "' OR 1=1"); !errors.Is(err, whoami.ErrUnavailable) || a.State() != nil {
		t.Errorf("%v, state %v", err, a.State())
	}
	c.add(61 * time.Second)
	if _, err := who(a, "known"); err != nil || a.State() == nil {
		t.Errorf("a known caller's: %v, state %v", err, a.State())
	}
	up.status = 401
	if _, err := who(a, "stranger"); !errors.Is(err, whoami.ErrRefused) || a.State() != nil {
		t.Errorf("it answers again: %v, state %v", err, a.State())
	}
	up.status = 500
	if _, err := who(a, "another"); !errors.Is(err, whoami.ErrUnavailable) || a.State() == nil {
		t.Errorf("it has not answered well for long: %v, state %v", err, a.State())
	}
}
