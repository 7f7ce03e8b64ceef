package limit

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
)

// crowded is a shop that remembers few callers, and has had many: each logs in, or fails
// to, at an account and from a network of its own.
func crowded(t *testing.T, status int) *store {
	t.Helper()
	s := &store{t: t, api: loadShop(t), now: time.Unix(1_800_000_000, 0)}
	cfg := config.Limit{Rates: []config.Rate{}, Login: config.LoginLimit{Account: "30/h", All: "100000/h"}}
	cfg.Challenge.Bits = 4
	var err error
	if s.g, err = New(Options{Name: "shop", API: s.api, Config: cfg, Store: NewMemory(1024, s.now), Now: func() time.Time { return s.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.g.Close)
	s.chain = guard.NewChain(s.api, s.g.BodySteps(), func(string, *spec.Operation) guard.Setting { return guard.Setting{Mode: guard.Enforce} }, slog.New(slog.DiscardHandler))
	for i := range 8192 {
		s.login(fmt.Sprintf("2001:db8:%x:%x::1", i>>8, i&255), fmt.Sprintf("own%d@example.com", i), status)
		s.now = s.now.Add(time.Millisecond)
	}
	return s
}

// However many have logged in, an address is known to those only who have logged in from it.
func TestManyKnownMakeNobodyKnown(t *testing.T) {
	s := crowded(t, 200)
	guesses := 0
	for i := range 300 { // a botnet
		if v, _ := s.login(fmt.Sprintf("198.51.%d.%d", 100+i/200, i%200), "alice@example.com", 401); v.Action == exchange.Allow {
			guesses++
		} else if v.Code != "limit.challenge" {
			t.Fatalf("%+v", v)
		}
	}
	if guesses > 30 {
		t.Errorf("%d guesses at one account without any work, want 30 at most", guesses)
	}
}

// However many have failed, nobody waits for others.
func TestManyFailuresMakeNobodyWait(t *testing.T) {
	s := crowded(t, 401)
	refused := 0
	for i := range 300 {
		for _, status := range []int{401, 401, 200} {
			if v, _ := s.login(fmt.Sprintf("198.51.%d.%d", 100+i/200, i%200), fmt.Sprintf("honest%d@example.com", i), status); v.Action != exchange.Allow {
				refused++
			}
		}
	}
	if refused > 0 {
		t.Errorf("%d of 900 honest tries are refused", refused)
	}
	if s.g.store.Crowded() == 0 {
		t.Error("it was never crowded")
	}
}
