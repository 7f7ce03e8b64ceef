package signals

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// metric reads one series, -1 when there is none.
func (g *gateway) metric(series string) float64 {
	g.t.Helper()
	res, err := http.Get(g.admin + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

// What an operator watches: the issuer's keys, the stream of events and what is revoked.
func TestMetrics(t *testing.T) {
	p := newIDP(t)
	g := start(t, p, newUpstream(t).URL, "")
	if status, code := g.do("/me", p.token(t, "ann", time.Hour)); status != http.StatusOK {
		t.Fatal(status, code)
	}
	keys := `issuer="key set ` + p.URL + `/jwks"`
	if n := g.metric("crenel_issuer_keys{" + keys + "}"); n != 1 {
		t.Errorf("%v keys", n)
	}
	if age := g.metric("crenel_issuer_keys_age_seconds{" + keys + "}"); age < 0 || age > 60 {
		t.Errorf("the keys are %v seconds old", age)
	}
	if n := g.metric(`crenel_state_entries{set="revoked"}`); n != 0 {
		t.Errorf("%v are revoked", n)
	}
	if at := g.metric(`crenel_signals_last_event_timestamp_seconds{transmitter="idp"}`); at != -1 {
		t.Errorf("an event came at %v", at)
	}
	before := float64(time.Now().UnixMilli()) / 1000
	g.signal(p.sessionRevoked(t, "ann"))
	for series, want := range map[string]float64{
		`crenel_signals_events_total{result="taken",transmitter="idp"}`: 1, `crenel_signals_events_total{result="refused",transmitter="idp"}`: 0,
		`crenel_state_entries{set="revoked"}`: 1, `crenel_state_lag_seconds{set="revoked"}`: 0, `crenel_signals_failing{transmitter="idp"}`: 0,
	} {
		if got := g.metric(series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	for _, series := range []string{`crenel_signals_last_event_timestamp_seconds{transmitter="idp"}`, `crenel_state_last_change_timestamp_seconds{set="revoked"}`} {
		if at := g.metric(series); at < before-1 {
			t.Errorf("%s is %v, before the event at %v", series, at, before)
		}
	}
	if lag := g.metric(`crenel_signals_lag_seconds{transmitter="idp"}`); lag < 0 || lag > 10 {
		t.Errorf("the event took %v seconds", lag)
	}
	if n := g.metric(`crenel_source_failing{api="shop",source="files"}`); n != 0 {
		t.Errorf("the policy's files: %v", n)
	}
}
