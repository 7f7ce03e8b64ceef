// Package admin is the operator's side of a running gateway: health, readiness,
// metrics, traces and alarms.
//
// In: each exchange when it has ended, the state of what the gateway depends on,
// and the events that need a person. Out: /healthz, /readyz and /metrics on a
// listener that is loopback by default, OpenTelemetry spans, and for each alarm a
// metric, a log line and a webhook call.
//
// It must never slow an exchange down by more than a few counters, never hold a
// secret or an unbounded label, and never be reachable by the gateway's clients.
package admin
