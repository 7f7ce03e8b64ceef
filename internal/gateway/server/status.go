package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crenel-project/crenel/internal/control"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
)

var (
	_ gateway.Observer = (*Server)(nil)
	_ control.Handler  = (*Server)(nil)
)

// Done counts an exchange and shows its records to those who follow along.
func (s *Server) Done(x *exchange.Exchange, d *exchange.Decision, c *exchange.Completion) {
	s.metrics.Done(x, d, c)
	if d != nil && s.control != nil && s.control.Followed() {
		s.control.Publish(d)
		done := *c
		s.control.Publish(&done)
	}
}

// status is what crenel status prints.
type status struct {
	Version    string           `json:"version"`
	Started    time.Time        `json:"started"`
	Config     string           `json:"config"`
	DataDir    string           `json:"data_dir"`
	Generation uint64           `json:"generation"`
	Reloads    int              `json:"reloads"`
	LastError  string           `json:"last_reload_error,omitempty"`
	Listen     []string         `json:"listen"`
	RootCA     string           `json:"root_certificate,omitempty"`
	InFlight   int64            `json:"in_flight"`
	Trail      trailStatus      `json:"trail"`
	APIs       []apiStatus      `json:"apis"`
	Checks     []checkStatus    `json:"checks"`
	Upstreams  []upstreamStatus `json:"upstreams"`
}

type trailStatus struct {
	File    string `json:"file"`
	Waiting int64  `json:"waiting"`
	Written uint64 `json:"written"`
	Failing bool   `json:"failing"`
}

type apiStatus struct {
	Name       string `json:"name"`
	Spec       string `json:"spec,omitempty"`
	Operations int    `json:"operations"`
	Mode       string `json:"mode"`
}

type checkStatus struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
}

type upstreamStatus struct {
	API     string `json:"api"`
	Address string `json:"address"`
	Healthy bool   `json:"healthy"`
}

// Status says how the gateway is.
func (s *Server) Status() any {
	s.mu.Lock()
	cfg, gw, reloads, lastError := s.cfg, s.gw, s.reloads, s.lastError
	s.mu.Unlock()
	t := s.records.Stats()
	out := status{
		Version: s.version, Started: s.started, Config: cfg.Path(), DataDir: cfg.DataDir,
		Generation: s.plane.Generation(), Reloads: reloads, LastError: lastError,
		Listen: cfg.Server.Listen, RootCA: s.plane.RootCA(), InFlight: gw.Inflight(),
		Trail: trailStatus{cfg.Trail.File, t.Waiting, t.Written, t.Failing},
	}
	for _, a := range gw.APIs() {
		out.APIs = append(out.APIs, apiStatus{a.Name, a.Spec, a.Operations, a.Mode})
	}
	for _, c := range s.ready() {
		out.Checks = append(out.Checks, checkStatus(c))
	}
	for _, u := range s.plane.Upstreams() {
		out.Upstreams = append(out.Upstreams, upstreamStatus{u.API, u.Address, u.Healthy})
	}
	return out
}

// RootCA is the file of the local authority's root certificate, "" when none is used.
func (s *Server) RootCA() string { return s.plane.RootCA() }

// ready lists what the gateway depends on, for /readyz.
func (s *Server) ready() []gateway.Check {
	checks := s.current().Ready()
	t := gateway.Check{Name: "trail"}
	if s.records.Stats().Failing {
		t.Error = "the event file cannot be written: new requests are refused when the queue is full"
	}
	drain := gateway.Check{Name: "serving"}
	if s.draining.Load() {
		drain.Error = "the gateway is stopping: it ends what runs and takes nothing new"
	}
	shared := gateway.Check{Name: "state"}
	if err := s.state.Ready(); err != nil {
		shared.Error = err.Error()
	}
	return append(append(checks, s.signalChecks()...), t, shared, drain)
}

// upstreams is a collector of the upstreams' health.
type upstreams struct{ plane *caddy.Plane }

var upstreamHealthy = prometheus.NewDesc("crenel_upstream_healthy", "1 while the upstream server takes requests.", []string{"api", "address"}, nil)

// Describe implements prometheus.Collector.
func (u upstreams) Describe(ch chan<- *prometheus.Desc) { ch <- upstreamHealthy }

// Collect implements prometheus.Collector.
func (u upstreams) Collect(ch chan<- prometheus.Metric) {
	for _, s := range u.plane.Upstreams() {
		healthy := 0.0
		if s.Healthy {
			healthy = 1
		}
		ch <- prometheus.MustNewConstMetric(upstreamHealthy, prometheus.GaugeValue, healthy, s.API, s.Address)
	}
}
