package target

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// limiter lets n requests through in each window; further ones are refused.
type limiter struct {
	mu     sync.Mutex
	n      int
	window time.Duration
	at     []time.Time
	header string
}

func (l *limiter) refuses(w http.ResponseWriter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for len(l.at) > 0 && now.Sub(l.at[0]) > l.window {
		l.at = l.at[1:]
	}
	if len(l.at) < l.n {
		l.at = append(l.at, now)
		return false
	}
	if l.header != "" {
		w.Header().Set("Retry-After", l.header)
	}
	w.WriteHeader(http.StatusTooManyRequests)
	return true
}

func eased(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(Options{Target: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A limit on everything: every request is answered in the end, and the run has
// learned how fast it may be.
func TestALimitOnEverythingIsWaitedFor(t *testing.T) {
	for name, header := range map[string]string{"retry-after": "1", "nothing said": ""} {
		t.Run(name, func(t *testing.T) {
			l := &limiter{n: 60, window: 600 * time.Millisecond, header: header}
			var refused atomic.Int64
			c := eased(t, func(w http.ResponseWriter, _ *http.Request) {
				if l.refuses(w) {
					refused.Add(1)
				}
			})
			var wg sync.WaitGroup
			var bad atomic.Int64
			for range 8 {
				wg.Go(func() {
					for i := range 25 {
						x, err := c.Do(t.Context(), "user", &Request{Method: "GET", Path: "/things/" + string(rune('a'+i%20))})
						if err != nil || x.Status != 200 {
							bad.Add(1)
						}
					}
				})
			}
			wg.Wait()
			e := c.Eased()
			t.Logf("%+v, %d of %d refused", e, refused.Load(), c.Sent())
			if bad.Load() != 0 {
				t.Errorf("%d requests were not answered", bad.Load())
			}
			if e.Holds == 0 || e.Rate <= 0 || e.Rate > 140 {
				t.Errorf("%+v: want holds, and a rate of about 100", e)
			}
			if refused.Load() > 100 {
				t.Errorf("%d requests were refused: the run did not slow down", refused.Load())
			}
		})
	}
}

// A limit of one operation is what checks look for: it is handed on at once.
func TestAnOperationsOwnLimitIsHandedOn(t *testing.T) {
	l := &limiter{n: 5, window: time.Minute, header: "30"}
	c := eased(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			l.refuses(w)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := c.Do(ctx, "", &Request{Method: "GET", Path: "/health"}); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 30 {
		x, err := c.Do(ctx, "", &Request{Method: "POST", Path: "/login", Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		if x.Status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 25 {
		t.Errorf("%d of 30 were refused, want 25", refused)
	}
	if e := c.Eased(); e.Holds != 0 || e.Rate != 0 {
		t.Errorf("the run was slowed down: %+v", e)
	}
	if c.Sent() > 40 {
		t.Errorf("%d requests for 31", c.Sent())
	}
}

// A limit on everything that is slow enough protects a password as well as one of
// the login's own: a request that measures sees it.
func TestASlowLimitIsSeenByWhatMeasures(t *testing.T) {
	l := &limiter{n: 6, window: 1500 * time.Millisecond, header: "1"}
	c := eased(t, func(w http.ResponseWriter, _ *http.Request) { l.refuses(w) })
	for range 8 {
		if x, err := c.Do(t.Context(), "", &Request{Method: "GET", Path: "/a"}); err != nil || x.Status != 200 {
			t.Fatalf("%v %v", x, err)
		}
	}
	refused := 0
	for range 10 {
		x, err := c.Do(t.Context(), "", &Request{Method: "POST", Path: "/login", Measures: true})
		if err != nil {
			t.Fatal(err)
		}
		if x.Status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused == 0 {
		t.Error("ten tries at once passed a limit of four a second")
	}
}

// Somebody else's 503 is no limit.
func TestAFailureIsNoLimit(t *testing.T) {
	c := eased(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	x, err := c.Do(t.Context(), "", &Request{Method: "GET", Path: "/a"})
	if err != nil || x.Status != http.StatusServiceUnavailable || c.Sent() != 1 {
		t.Errorf("%v %v, %d sent", x, err, c.Sent())
	}
}

// What a target asks to wait is its own word: a number too large for a Duration is no
// negative wait.
func TestRetryAfter(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		text        string
		least, most time.Duration
	}{
		{"", 0, 0}, {"soon", 0, 0}, {"-5", 0, 0}, {"0", 0, 0}, {"7", 7 * time.Second, 7 * time.Second},
		{"9223372037", 24 * time.Hour, 24 * time.Hour}, {"9223372036854775807", 24 * time.Hour, 24 * time.Hour}, {"92233720368547758070", 0, 0},
		{now.Add(time.Minute).UTC().Format(http.TimeFormat), 50 * time.Second, time.Minute},
		{now.Add(-time.Minute).UTC().Format(http.TimeFormat), 0, 0},
		{now.AddDate(5, 0, 0).UTC().Format(http.TimeFormat), 24 * time.Hour, 24 * time.Hour},
	} {
		x := &Exchange{Header: http.Header{"Retry-After": {c.text}}}
		if got := x.RetryAfter(); got < c.least || got > c.most {
			t.Errorf("Retry-After: %s: %s, want from %s to %s", c.text, got, c.least, c.most)
		}
	}
}
