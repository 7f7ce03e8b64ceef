package revocation_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const iss = "https://id.test"

// ann is a token of Ann's, issued at a second.
func ann(issued int64) *exchange.Identity {
	id := &exchange.Identity{Method: "jwt", Subject: "ann", Issuer: iss, Revocable: []string{
		revocation.ForToken("the-token"), revocation.ForID(iss, "t1"), revocation.ForSession(iss, "s1"), revocation.ForSubject(iss, "ann"),
	}}
	if issued != 0 {
		id.Issued = time.Unix(issued, 0)
	}
	return id
}

func open(t *testing.T, s state.Store) *revocation.Checker {
	t.Helper()
	c := revocation.Open(t.Context(), s, 0, slog.New(slog.DiscardHandler))
	t.Cleanup(c.Close)
	return c
}

func memory(t *testing.T) state.Store {
	t.Helper()
	s := state.NewMemory(nil)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    string
		before int64
		issued int64
		want   bool
	}{
		{"nothing of hers", revocation.ForSubject(iss, "bob"), 0, 1000, false},
		{"the token", revocation.ForToken("the-token"), 0, 1000, true},
		{"another token", revocation.ForToken("the-token2"), 0, 1000, false},
		{"its id", revocation.ForID(iss, "t1"), 0, 1000, true},
		{"that id of another issuer", revocation.ForID("https://other.test", "t1"), 0, 1000, false},
		{"her session", revocation.ForSession(iss, "s1"), 0, 1000, true},
		{"she", revocation.ForSubject(iss, "ann"), 0, 1000, true},
		{"she, at another issuer", revocation.ForSubject("", "ann"), 0, 1000, false},
		{"she, before it was issued", revocation.ForSubject(iss, "ann"), 999, 1000, false},
		{"she, when it was issued", revocation.ForSubject(iss, "ann"), 1000, 1000, false},
		{"she, after it was issued", revocation.ForSubject(iss, "ann"), 1001, 1000, true},
		{"she, and nobody knows when it was issued", revocation.ForSubject(iss, "ann"), 1001, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := memory(t)
			check := open(t, s)
			if err := revocation.Put(t.Context(), s, c.key, revocation.Entry{Before: c.before, Reason: "test"}, time.Time{}); err != nil {
				t.Fatal(err)
			}
			e, got, err := check.Check(ann(c.issued))
			if err != nil || got != c.want {
				t.Errorf("revoked %v, %v; want %v", got, err, c.want)
			}
			if got && (e.Reason != "test" || e.Before != c.before) {
				t.Errorf("entry %+v", e)
			}
			beside := &exchange.Identity{Method: "api_key", Also: []exchange.Identity{*ann(c.issued)}}
			if _, got, err := check.Check(beside); err != nil || got != c.want {
				t.Errorf("beside another: revoked %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

// A second entry never lets in whom the first refused, nor ends it sooner.
func TestPutDoesNotWeaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := state.NewMemory(nil)
		defer s.Close()
		view, err := s.View(t.Context(), revocation.Set)
		if err != nil {
			t.Fatal(err)
		}
		key := revocation.ForSubject(iss, "ann")
		put := func(before int64, expires time.Time) {
			t.Helper()
			if err := revocation.Put(t.Context(), s, key, revocation.Entry{Before: before}, expires); err != nil {
				t.Fatal(err)
			}
		}
		is := func(issued int64, want bool) {
			t.Helper()
			if _, got := revocation.Look(view, ann(issued)); got != want {
				t.Errorf("issued at %d: revoked %v, want %v", issued, got, want)
			}
		}
		hour := time.Now().Add(time.Hour)
		put(1000, hour)
		put(500, time.Now().Add(time.Minute)) // older news come late
		is(999, true)
		is(1000, false)
		time.Sleep(30 * time.Minute)
		is(999, true)
		put(0, hour)
		is(1000, true)
		put(1000, hour)
		is(5000, true)
		time.Sleep(31 * time.Minute)
		is(5000, false)
	})
}

func TestPutRefuses(t *testing.T) {
	s := memory(t)
	for key, e := range map[string]revocation.Entry{
		"":                                     {},
		"ann":                                  {},
		"user:ann":                             {},
		"token:":                               {},
		"subject:" + strings.Repeat("a", 5000): {},
		revocation.ForSubject(iss, "negative"): {Before: -1},
	} {
		if err := revocation.Put(t.Context(), s, key, e, time.Time{}); err == nil {
			t.Errorf("%.40q %+v was taken", key, e)
		}
	}
}

func TestBefore(t *testing.T) {
	if got := revocation.Before(time.Unix(1000, 0)); got != 1000 {
		t.Errorf("on the second: %d", got)
	}
	if got := revocation.Before(time.Unix(1000, 1)); got != 1001 {
		t.Errorf("within a second: %d; a token issued earlier in it would survive", got)
	}
}

// What cannot be read was meant to revoke.
func TestGarbageRefuses(t *testing.T) {
	s := memory(t)
	check := open(t, s)
	for _, garbage := range []string{"", "{", "null and void", `{"before":-1}`, `{"before":"x"}`, `[]`, "\xff"} {
		if err := s.Put(t.Context(), revocation.Set, revocation.ForSubject(iss, "ann"), []byte(garbage), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, got, err := check.Check(ann(1)); err != nil || !got {
			t.Errorf("%q: revoked %v, %v", garbage, got, err)
		}
	}
}

// away is a store that cannot be asked until it is back, whose view then ages.
type away struct {
	state.Store
	back  atomic.Bool
	stale atomic.Int64
}

func (a *away) View(ctx context.Context, set string) (state.View, error) {
	if !a.back.Load() {
		return nil, errors.New("connection refused")
	}
	v, err := a.Store.View(ctx, set)
	return aging{v, a}, err
}

type aging struct {
	state.View
	of *away
}

func (a aging) Stale() time.Duration { return time.Duration(a.of.stale.Load()) }

func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &away{Store: state.NewMemory(nil)}
		defer s.Store.Close()
		check := revocation.Open(t.Context(), s, 10*time.Second, slog.New(slog.DiscardHandler))
		defer check.Close()
		unknown := func(says string) {
			t.Helper()
			_, _, err := check.Check(ann(1))
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("check says %v, want %q", err, says)
			}
			if err := check.Ready(); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("ready says %v, want %q", err, says)
			}
		}
		known := func() {
			t.Helper()
			if _, got, err := check.Check(ann(1)); err != nil || got {
				t.Errorf("revoked %v, %v", got, err)
			}
			if err := check.Ready(); err != nil {
				t.Errorf("ready says %v", err)
			}
		}
		synctest.Wait()
		unknown("connection refused")
		s.back.Store(true)
		time.Sleep(2 * time.Second)
		known()
		s.stale.Store(int64(10 * time.Second))
		known()
		s.stale.Store(int64(11 * time.Second))
		unknown("out of touch")
		s.stale.Store(0)
		known()
	})
}

func FuzzEntry(f *testing.F) {
	for _, s := range []string{`{"before":0}`, `{"before":5,"reason":"x","until":9}`, "", "{", `{"before":1e99}`} {
		f.Add([]byte(s), int64(7))
	}
	s := state.NewMemory(nil)
	f.Cleanup(func() { _ = s.Close() })
	view, err := s.View(f.Context(), revocation.Set)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, value []byte, issued int64) {
		key := revocation.ForSubject(iss, "ann")
		if err := s.Put(t.Context(), revocation.Set, key, value, time.Time{}); err != nil {
			t.Fatal(err)
		}
		e, got := revocation.Look(view, ann(issued))
		var strict revocation.Entry
		if json.Unmarshal(value, &strict) != nil && !got {
			t.Fatalf("%q let pass", value)
		}
		if got && e.Before != 0 && issued != 0 && issued >= e.Before {
			t.Fatalf("%q revokes what was issued at %d", value, issued)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	s := state.NewMemory(nil)
	defer s.Close()
	c := revocation.Open(b.Context(), s, 0, slog.New(slog.DiscardHandler))
	defer c.Close()
	id := ann(1000)
	run := func(name string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, got, err := c.Check(id); got || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
	run("none")
	if err := revocation.Put(b.Context(), s, revocation.ForSubject(iss, "bob"), revocation.Entry{}, time.Time{}); err != nil {
		b.Fatal(err)
	}
	run("of others")
	if err := revocation.Put(b.Context(), s, revocation.ForSubject(iss, "ann"), revocation.Entry{Before: 999}, time.Time{}); err != nil {
		b.Fatal(err)
	}
	run("before it was issued")
}
