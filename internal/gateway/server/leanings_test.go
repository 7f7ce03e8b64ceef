package server

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/signals"
	"github.com/crenel-project/crenel/internal/state"
)

func TestLeanings(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	store := state.NewMemory(func() time.Time { return now })
	defer store.Close()
	l := &leanings{
		keys: func() []authn.KeyStatus {
			return []authn.KeyStatus{
				{Name: "issuer https://a.test", Keys: 2, Fetched: now.Add(-90 * time.Second), Fetches: 7, Failures: 3},
				{Name: "issuer https://never.test", Fetches: 1, Failures: 1, Error: "down"},
			}
		},
		sources: func() []gateway.SourceInfo {
			return []gateway.SourceInfo{
				{API: "shop", SourceState: authz.SourceState{Name: "relation:users", Heard: now.Add(-5 * time.Second), Bytes: 1000, Members: 10}},
				{API: "shop", SourceState: authz.SourceState{Name: "bundle b", Failures: 4, Err: errors.New("404")}},
			}
		},
		streams: func() []signals.Status {
			return []signals.Status{
				{Name: "okta", Received: 5, Refused: 2, Repeated: 1, Last: now.Add(-time.Minute), Lag: 0.25, Verified: now.Add(-time.Hour)},
				{Name: "mdm", Failing: "refused"},
			}
		},
		state: store, now: func() time.Time { return now },
	}
	defer l.close()
	series(t, l) // from now on it hears of changes
	if err := revocation.Put(t.Context(), store, revocation.ForToken("x"), revocation.Entry{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	const want = `
crenel_issuer_fetch_failures_total{issuer="issuer https://a.test"} 3
crenel_issuer_fetch_failures_total{issuer="issuer https://never.test"} 1
crenel_issuer_fetches_total{issuer="issuer https://a.test"} 7
crenel_issuer_fetches_total{issuer="issuer https://never.test"} 1
crenel_issuer_keys_age_seconds{issuer="issuer https://a.test"} 90
crenel_issuer_keys{issuer="issuer https://a.test"} 2
crenel_issuer_keys{issuer="issuer https://never.test"} 0
crenel_signals_events_total{result="refused",transmitter="mdm"} 0
crenel_signals_events_total{result="refused",transmitter="okta"} 2
crenel_signals_events_total{result="repeated",transmitter="mdm"} 0
crenel_signals_events_total{result="repeated",transmitter="okta"} 1
crenel_signals_events_total{result="taken",transmitter="mdm"} 0
crenel_signals_events_total{result="taken",transmitter="okta"} 5
crenel_signals_failing{transmitter="mdm"} 1
crenel_signals_failing{transmitter="okta"} 0
crenel_signals_lag_seconds{transmitter="okta"} 0.25
crenel_signals_last_event_timestamp_seconds{transmitter="okta"} 1.79999994e+09
crenel_signals_verified_timestamp_seconds{transmitter="okta"} 1.7999964e+09
crenel_source_age_seconds{api="shop",source="relation:users"} 5
crenel_source_bytes{api="shop",source="relation:users"} 1000
crenel_source_failing{api="shop",source="bundle b"} 1
crenel_source_failing{api="shop",source="relation:users"} 0
crenel_source_failures_total{api="shop",source="bundle b"} 4
crenel_source_failures_total{api="shop",source="relation:users"} 0
crenel_source_heard_timestamp_seconds{api="shop",source="relation:users"} 1.799999995e+09
crenel_source_members{api="shop",source="relation:users"} 10
crenel_state_entries{set="device"} 0
crenel_state_entries{set="revoked"} 1
crenel_state_lag_seconds{set="device"} 0
crenel_state_lag_seconds{set="revoked"} 0
crenel_state_last_change_timestamp_seconds{set="revoked"} 1.8e+09
`
	wanted := strings.Split(strings.TrimSpace(want), "\n")
	var got []string
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		got = series(t, l) // the change is told a moment later
		if slices.Equal(got, wanted) {
			return
		}
	}
	t.Errorf("collected:\n%s", strings.Join(got, "\n"))
}

// series are the lines that a collector makes, sorted.
func series(t *testing.T, c prometheus.Collector) []string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry() // which refuses what does not fit its description
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	var out []string
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	slices.Sort(out)
	return out
}

// broken is a shared state that cannot be asked.
type broken struct{ state.Store }

func (broken) View(ctx context.Context, _ string) (state.View, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// Metrics do not wait for what is down.
func TestLeaningsWhileStateIsDown(t *testing.T) {
	l := &leanings{
		keys: func() []authn.KeyStatus { return nil }, sources: func() []gateway.SourceInfo { return nil }, streams: func() []signals.Status { return nil },
		state: broken{}, now: time.Now,
	}
	began := time.Now()
	if got := series(t, l); len(got) != 0 || time.Since(began) > time.Second {
		t.Errorf("%q after %s", got, time.Since(began))
	}
}
