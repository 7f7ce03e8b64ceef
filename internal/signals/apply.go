package signals

import (
	"context"
	"fmt"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn/posture"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/value"
)

// Outcome is what came of one event, for the record.
type Outcome struct {
	Event string   `json:"event"` // its type, the last part
	Did   string   `json:"did"`   // "revoked", "disabled", "enabled", "device", "recorded", "ignored", "verified", "stream"
	Keys  []string `json:"keys,omitempty"`
	Why   string   `json:"why,omitempty"` // of "ignored" and "recorded"
}

// apply carries a token's events out. It may be done again: what comes late or
// twice changes nothing. Nothing is carried out of a token with a malformed event.
func (r *transmitter) apply(ctx context.Context, s *set) ([]Outcome, error) {
	plans := make([]plan, 0, len(s.events))
	for i := range s.events {
		p, err := r.plan(&s.events[i])
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	out := make([]Outcome, 0, len(plans))
	for i := range plans {
		if err := r.carryOut(ctx, &s.events[i], &plans[i]); err != nil {
			return nil, err
		}
		out = append(out, plans[i].Outcome)
	}
	return out, nil
}

// plan is what is to be done for an event.
type plan struct {
	Outcome
	effect effect
	who    *subject
}

func (r *transmitter) plan(e *event) (plan, error) {
	p := plan{Outcome: Outcome{Event: e.name}, effect: e.comesOf(r.events)}
	switch {
	case !e.known():
		p.Event, p.Did, p.Why = shorten(e.kind, 200), "ignored", "the type of event is not known"
		p.effect = record
		return p, nil
	case p.effect == record:
		p.Did = "recorded"
		return p, nil
	case p.effect == verified || p.effect == updated:
		return p, nil
	}
	var err error
	if p.who, err = r.readSubject(e.subject, p.effect == compliant); err != nil {
		return p, err
	}
	switch p.effect {
	case compliant:
		p.Keys = p.who.devices
	case disable, enable:
		p.Keys = p.who.users
	default:
		p.Keys = p.who.narrowest()
	}
	if len(p.Keys) == 0 {
		p.Did = "ignored"
		switch {
		case p.who.foreign:
			p.Why = "the subject is of an issuer for which this transmitter may not speak: see issuers"
		default:
			p.Why = "the subject is of a kind by which no caller is known here"
		}
	}
	return p, nil
}

// narrowest are the keys of what the event is about: a session, else all of a
// user's, else all that was begun on a device. A session that is named only in a
// way that no token says is all of its user's.
func (s *subject) narrowest() []string {
	switch {
	case len(s.sessions) > 0:
		return s.sessions
	case len(s.users) > 0:
		return s.users
	}
	return s.devices
}

func (r *transmitter) carryOut(ctx context.Context, e *event, p *plan) error {
	if p.Did != "" {
		return nil
	}
	switch p.effect {
	case verified:
		p.Did = "verified"
		r.verified(e.payload.Get("state").Str())
		return nil
	case updated:
		p.Did = "stream"
		p.Why = r.streamUpdated(e.payload)
		return nil
	case compliant:
		p.Did = "device"
		status := e.payload.Get("current_status").Str()
		if status == "" {
			return bad("the event lacks current_status")
		}
		for _, key := range p.Keys {
			if err := posture.Put(ctx, r.store, key, posture.Entry{Status: shorten(status, 64), At: e.at.Unix(), Reason: e.reason()}); err != nil {
				return err
			}
		}
		return nil
	}
	devices := len(p.who.devices) > 0 && len(p.who.sessions)+len(p.who.users) == 0
	// Events and tokens tell the time in whole seconds: what was issued in the event's
	// own second may have been before it.
	before := e.at.Unix() + 1
	for _, key := range p.Keys {
		if devices {
			if err := posture.Put(ctx, r.store, key, posture.Entry{Before: before}); err != nil {
				return err
			}
			continue
		}
		entry := revocation.Entry{Before: before, Reason: e.reason()}
		switch p.effect {
		case disable:
			entry.Disabled = before
		case enable:
			entry.Enabled = before
		}
		if err := revocation.Put(ctx, r.store, key, entry, r.now().Add(r.keep)); err != nil {
			return err
		}
	}
	p.Did = map[effect]string{revoke: "revoked", disable: "disabled", enable: "enabled"}[p.effect]
	return nil
}

// verified notes that the stream works.
func (r *transmitter) verified(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status.Verified = r.now()
	r.status.State = shorten(state, 128)
}

// streamUpdated notes what the transmitter did to the stream, and raises an alarm
// when it stopped it.
func (r *transmitter) streamUpdated(payload *value.Value) string {
	status := shorten(payload.Get("status").Str(), 32)
	why := shorten(payload.Get("reason").Str(), 200)
	r.mu.Lock()
	r.status.Stream = status
	r.mu.Unlock()
	if status == "paused" || status == "disabled" {
		r.raise("signals.stream", fmt.Sprintf("%s has %s its stream of security events: %s", r.name, status, why))
	}
	return status
}

// Status is how a transmitter's stream is.
type Status struct {
	Name     string    `json:"name"`
	Issuer   string    `json:"issuer"`
	Delivery []string  `json:"delivery"` // "push /signals/okta", "poll https://…"
	Received uint64    `json:"received"` // tokens that were taken
	Refused  uint64    `json:"refused"`  // tokens that were not
	Repeated uint64    `json:"repeated"` // tokens that had been taken before
	Last     time.Time `json:"last,omitzero"`
	Lag      float64   `json:"lag_seconds,omitempty"`    // from the issue of the last one to when it was carried out
	Verified time.Time `json:"verified,omitzero"`        // when a verification event last came
	State    string    `json:"verified_state,omitempty"` // the state in it
	Stream   string    `json:"stream,omitempty"`         // what the transmitter last said of the stream
	Failing  string    `json:"failing,omitempty"`        // why polling fails
	Since    time.Time `json:"failing_since,omitzero"`
	Keys     string    `json:"keys,omitempty"` // why nothing of it can be verified: its keys cannot be had
	Refusal  string    `json:"last_refusal,omitempty"`
}
