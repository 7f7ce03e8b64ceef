package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/posture"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/signals"
	"github.com/crenel-project/crenel/internal/state"
)

// leanings is a collector of what the gateway leans on: issuers' keys, sources of
// policies, streams of security events, and what gateways share. All labels are
// names of the config.
type leanings struct {
	keys    func() []authn.KeyStatus
	sources func() []gateway.SourceInfo
	streams func() []signals.Status
	state   state.Store
	now     func() time.Time

	mu      sync.Mutex
	watched map[string]*watchedSet
}

// watchedSet hears of a shared set's changes.
type watchedSet struct {
	stop func()
	last atomic.Int64 // when one last came, in ms since 1970; 0: never
}

var sharedSets = []string{revocation.Set, posture.Set}

type desc struct {
	*prometheus.Desc
	kind prometheus.ValueType
}

func gauge(name, help string, labels ...string) desc {
	return desc{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

func counter(name, help string, labels ...string) desc {
	return desc{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

func (d desc) of(v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d.Desc, d.kind, v, labels...)
}

var (
	keysAge      = gauge("crenel_issuer_keys_age_seconds", "How long ago the issuer's keys were last known to be its own.", "issuer")
	keysCount    = gauge("crenel_issuer_keys", "Usable keys of the issuer.", "issuer")
	keysFetches  = counter("crenel_issuer_fetches_total", "Fetches of the issuer's keys.", "issuer")
	keysFailures = counter("crenel_issuer_fetch_failures_total", "Fetches of the issuer's keys that failed.", "issuer")

	sourceAge      = gauge("crenel_source_age_seconds", "How old what the policies go by may be: how long ago the source was heard of with it.", "api", "source")
	sourceHeard    = gauge("crenel_source_heard_timestamp_seconds", "When the source was last heard of.", "api", "source")
	sourceFailing  = gauge("crenel_source_failing", "1 while the source cannot be heard, or what it brings is refused.", "api", "source")
	sourceFailures = counter("crenel_source_failures_total", "Times that the source could not be heard, or what it brought was refused, since the config was loaded.", "api", "source")
	sourceBytes    = gauge("crenel_source_bytes", "Memory that the source's relation data take.", "api", "source")
	sourceMembers  = gauge("crenel_source_members", "Top-level members of the source's relation data.", "api", "source")

	eventsTaken    = counter("crenel_signals_events_total", "Security event tokens by what came of them: taken, refused, repeated.", "transmitter", "result")
	eventsLast     = gauge("crenel_signals_last_event_timestamp_seconds", "When a security event token was last taken.", "transmitter")
	eventsLag      = gauge("crenel_signals_lag_seconds", "From the last taken token's issue to when it was carried out.", "transmitter")
	eventsVerified = gauge("crenel_signals_verified_timestamp_seconds", "When a verification event last came.", "transmitter")
	eventsFailing  = gauge("crenel_signals_failing", "1 while polling the transmitter fails.", "transmitter")

	setEntries = gauge("crenel_state_entries", "Entries of a set that gateways share: what is revoked, and devices.", "set")
	setLag     = gauge("crenel_state_lag_seconds", "For how long this gateway has been out of touch with the set.", "set")
	setChange  = gauge("crenel_state_last_change_timestamp_seconds", "When a change of the set last came.", "set")
)

var _ prometheus.Collector = (*leanings)(nil)

// Describe implements prometheus.Collector.
func (l *leanings) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []desc{
		keysAge, keysCount, keysFetches, keysFailures, sourceAge, sourceHeard, sourceFailing, sourceFailures, sourceBytes, sourceMembers,
		eventsTaken, eventsLast, eventsLag, eventsVerified, eventsFailing, setEntries, setLag, setChange,
	} {
		ch <- d.Desc
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// Collect implements prometheus.Collector. What was never heard of has no age: a
// missing series is an alarm's absent().
func (l *leanings) Collect(ch chan<- prometheus.Metric) {
	now := l.now()
	for _, k := range l.keys() {
		if !k.Fetched.IsZero() {
			ch <- keysAge.of(now.Sub(k.Fetched).Seconds(), k.Name)
		}
		ch <- keysCount.of(float64(k.Keys), k.Name)
		ch <- keysFetches.of(float64(k.Fetches), k.Name)
		ch <- keysFailures.of(float64(k.Failures), k.Name)
	}
	for _, s := range l.sources() {
		if !s.Heard.IsZero() {
			ch <- sourceAge.of(now.Sub(s.Heard).Seconds(), s.API, s.Name)
			ch <- sourceHeard.of(seconds(s.Heard), s.API, s.Name)
		}
		ch <- sourceFailing.of(one(s.Err != nil), s.API, s.Name)
		ch <- sourceFailures.of(float64(s.Failures), s.API, s.Name)
		if s.Bytes > 0 {
			ch <- sourceBytes.of(float64(s.Bytes), s.API, s.Name)
			ch <- sourceMembers.of(float64(s.Members), s.API, s.Name)
		}
	}
	for _, t := range l.streams() {
		ch <- eventsTaken.of(float64(t.Received), t.Name, "taken")
		ch <- eventsTaken.of(float64(t.Refused), t.Name, "refused")
		ch <- eventsTaken.of(float64(t.Repeated), t.Name, "repeated")
		if !t.Last.IsZero() {
			ch <- eventsLast.of(seconds(t.Last), t.Name)
			ch <- eventsLag.of(t.Lag, t.Name)
		}
		if !t.Verified.IsZero() {
			ch <- eventsVerified.of(seconds(t.Verified), t.Name)
		}
		ch <- eventsFailing.of(one(t.Failing != ""), t.Name)
	}
	for _, set := range sharedSets {
		l.shared(ch, set)
	}
}

// shared collects one set. A view that cannot be had yet has no series.
func (l *leanings) shared(ch chan<- prometheus.Metric, set string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	view, err := l.state.View(ctx, set)
	if err != nil {
		return
	}
	ch <- setEntries.of(float64(view.Len()), set)
	ch <- setLag.of(view.Stale().Seconds(), set)
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.watched[set]
	if w == nil {
		w = &watchedSet{}
		w.stop = view.Watch(func(string, []byte) { w.last.Store(l.now().UnixMilli()) })
		if l.watched == nil {
			l.watched = map[string]*watchedSet{}
		}
		l.watched[set] = w
	}
	if ms := w.last.Load(); ms != 0 {
		ch <- setChange.of(float64(ms)/1000, set)
	}
}

// close stops hearing of changes.
func (l *leanings) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.watched {
		w.stop()
	}
	l.watched = nil
}
