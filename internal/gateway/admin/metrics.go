package admin

import (
	"runtime"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
)

// Metrics counts exchanges. It is a gateway.Observer, safe for concurrent use.
// Labels are bounded: names of the config and the document, codes, status classes.
type Metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec
	responses *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	upstream  *prometheus.HistogramVec
	guards    *prometheus.HistogramVec
	verdicts  *prometheus.CounterVec
	reloads   *prometheus.CounterVec
	alarms    *prometheus.CounterVec
	refused   *prometheus.CounterVec
	loaded    prometheus.Gauge

	mu     sync.RWMutex
	byCall map[callKey]*callMetrics
	byStep map[stepKey]*stepMetrics
}

// callKey and stepKey find the series of a label set without hashing strings
// into Prometheus's own tables for each exchange.
type callKey struct {
	api, operation, code string
	class                int
}

type callMetrics struct {
	requests, responses prometheus.Counter
	duration, upstream  prometheus.Observer
}

type stepKey struct {
	api, guard, mode, code string
	action                 exchange.Action
}

type stepMetrics struct {
	verdicts prometheus.Counter
	duration prometheus.Observer
}

var _ gateway.Observer = (*Metrics)(nil)

// NewMetrics returns a registry with Crenel's own and the process's metrics.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), byCall: map[callKey]*callMetrics{}, byStep: map[stepKey]*stepMetrics{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(h)
		return h
	}
	calls := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	m.requests = counter("crenel_requests_total", "Requests by outcome; code is empty for those let through.", "api", "operation", "code")
	m.responses = counter("crenel_responses_total", "Answers to clients by status class.", "api", "class")
	m.duration = histogram("crenel_request_duration_seconds", "Whole exchanges.", calls, "api")
	m.upstream = histogram("crenel_upstream_duration_seconds", "Waiting for the head of the upstream's answer.", calls, "api")
	m.guards = histogram("crenel_guard_duration_seconds", "One step of one guard.",
		[]float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 1e-1}, "api", "guard")
	m.verdicts = counter("crenel_guard_verdicts_total", "Rulings of guards.", "api", "guard", "mode", "action", "code")
	m.reloads = counter("crenel_reloads_total", "Reloads of the config by result.", "result")
	m.alarms = counter("crenel_alarms_total", "Events that need a person.", "kind")
	m.refused = counter("crenel_connections_refused_total", "Requests refused before they became exchanges, since their bytes are not unambiguous HTTP.", "status")
	m.loaded = prometheus.NewGauge(prometheus.GaugeOpts{Name: "crenel_config_loaded_timestamp_seconds", Help: "When the running config was loaded."})
	m.loaded.SetToCurrentTime()
	m.registry.MustRegister(m.loaded)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "crenel_build_info", Help: "1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(info)
	return m
}

// Gauge adds a figure that is read when metrics are collected.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Collector adds a collector of the caller's.
func (m *Metrics) Collector(c prometheus.Collector) { m.registry.MustRegister(c) }

// Done counts one exchange.
func (m *Metrics) Done(x *exchange.Exchange, d *exchange.Decision, c *exchange.Completion) {
	key := callKey{api: x.API, class: c.Status / 100}
	if x.Operation != nil {
		key.operation = x.Operation.ID
	}
	if d != nil {
		key.code = d.Code
	} else {
		key.code = "gateway.overloaded" // the only refusal that has no record
	}
	if c.Refused != "" {
		key.code = c.Refused
	}
	call := m.call(key)
	call.requests.Inc()
	call.responses.Inc()
	call.duration.Observe(float64(c.Micros) / 1e6)
	if c.Called {
		call.upstream.Observe(float64(c.Upstream) / 1e6)
	}
	for i := range x.Rulings {
		r := &x.Rulings[i]
		s := m.step(stepKey{x.API, r.Guard, r.Mode, r.Verdict.Code, r.Verdict.Action})
		s.verdicts.Inc()
		s.duration.Observe(r.Duration.Seconds())
	}
}

func (m *Metrics) call(k callKey) *callMetrics {
	m.mu.RLock()
	c := m.byCall[k]
	m.mu.RUnlock()
	if c != nil {
		return c
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	c = &callMetrics{
		requests:  m.requests.WithLabelValues(k.api, k.operation, k.code),
		responses: m.responses.WithLabelValues(k.api, class(k.class)),
		duration:  m.duration.WithLabelValues(k.api),
		upstream:  m.upstream.WithLabelValues(k.api),
	}
	m.byCall[k] = c
	return c
}

func (m *Metrics) step(k stepKey) *stepMetrics {
	m.mu.RLock()
	s := m.byStep[k]
	m.mu.RUnlock()
	if s != nil {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s = &stepMetrics{
		verdicts: m.verdicts.WithLabelValues(k.api, k.guard, k.mode, k.action.String(), k.code),
		duration: m.guards.WithLabelValues(k.api, k.guard),
	}
	m.byStep[k] = s
	return s
}

func class(n int) string {
	if n < 1 || n > 5 {
		return "none"
	}
	return string(rune('0'+n)) + "xx"
}

// Reloaded counts a reload.
func (m *Metrics) Reloaded(err error) {
	if err != nil {
		m.reloads.WithLabelValues("refused").Inc()
		return
	}
	m.reloads.WithLabelValues("done").Inc()
	m.loaded.SetToCurrentTime()
}

// Refused counts a request that never became an exchange.
func (m *Metrics) Refused(status int) { m.refused.WithLabelValues(class(status / 100)).Inc() }
