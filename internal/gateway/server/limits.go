package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crenel-project/crenel/internal/guard/limit"
)

// upstreamLimits collects what bounds the calls of upstreams.
type upstreamLimits struct{ store *limit.Memory }

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"api"}, nil)
}

var (
	descLimit    = describe("crenel_upstream_limit", "Calls that the upstream may be asked at once, as latency has it.")
	descInflight = describe("crenel_upstream_in_flight", "Calls that it is being asked.")
	descQueued   = describe("crenel_upstream_queued", "Calls that wait for a place.")
	descShed     = describe("crenel_upstream_shed_total", "Calls refused since there was no place.")
	descOpen     = describe("crenel_upstream_breaker_open", "1 while no calls are let through, since most fail.")
	descOpened   = describe("crenel_upstream_breaker_opened_total", "How often that has begun.")
)

// Describe implements prometheus.Collector.
func (u upstreamLimits) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descLimit, descInflight, descQueued, descShed, descOpen, descOpened} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (u upstreamLimits) Collect(c chan<- prometheus.Metric) {
	for _, s := range u.store.Upstreams() {
		open := 0.0
		if s.Open {
			open = 1
		}
		for d, v := range map[*prometheus.Desc]float64{descLimit: float64(s.Limit), descInflight: float64(s.Inflight), descQueued: float64(s.Queued), descOpen: open} {
			c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.API)
		}
		c <- prometheus.MustNewConstMetric(descShed, prometheus.CounterValue, float64(s.Shed), s.API)
		c <- prometheus.MustNewConstMetric(descOpened, prometheus.CounterValue, float64(s.Opened), s.API)
	}
}
