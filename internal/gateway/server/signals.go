package server

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/signals"
)

// newSignals makes the receiver of a config; nil when nobody sends events.
func (s *Server) newSignals(cfg *config.Config) (*signals.Receiver, error) {
	if len(cfg.Signals.Transmitters) == 0 {
		return nil, nil
	}
	return signals.New(signals.Options{
		Config: cfg.Signals, Store: s.state, Keys: s.keys, Log: s.log, Record: s.recordSignal, Raise: s.alarms.Raise,
	})
}

// recordSignal puts a security event into the trail.
func (s *Server) recordSignal(ctx context.Context, r *signals.Record) error {
	if !s.records.Admit() {
		return errors.New("the trail takes no more records")
	}
	now := time.Now()
	d := &exchange.Decision{
		Type: "decision", ID: gateway.NewID(now), Time: now, Endpoint: "signals", Method: "EVENT", Path: r.Transmitter, Action: "allow", Reason: r.String(),
	}
	if r.Refused != "" {
		d.Action = "deny"
	}
	err := s.records.Decide(ctx, d)
	s.records.Complete(&exchange.Completion{Type: "completion", ID: d.ID, Time: now})
	return err
}

// adopt makes a receiver the running one and ends the one before.
func (s *Server) adopt(r *signals.Receiver) {
	if r != nil {
		r.Start()
	}
	s.mu.Lock()
	old := s.signals
	s.signals = r
	s.mu.Unlock()
	if old != nil {
		old.Close()
	}
}

func (s *Server) receiver() *signals.Receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signals
}

// signalChecks are the transmitters' states, for /readyz.
func (s *Server) signalChecks() []gateway.Check {
	r := s.receiver()
	if r == nil {
		return nil
	}
	var out []gateway.Check
	for name, err := range r.Ready() {
		c := gateway.Check{Name: "signals: " + name}
		if err != nil {
			c.Error = err.Error()
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b gateway.Check) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// signalStatuses say how each stream is.
func (s *Server) signalStatuses() []signals.Status {
	if r := s.receiver(); r != nil {
		return r.Statuses()
	}
	return nil
}

// verbSignals is the control verb that tells how each stream is.
const verbSignals = "signals"

func (s *Server) signalStatus(context.Context, string, json.RawMessage) (any, error) {
	r := s.receiver()
	if r == nil {
		return nil, errors.New("no transmitter is configured: see docs/signals.md")
	}
	return r.Statuses(), nil
}
