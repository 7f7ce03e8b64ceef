package server

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/topdown"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/impact"
)

// Verbs of the control socket about policies.
const (
	VerbShadow = "policy-shadow"
	VerbAccept = "policy-accept"
)

// failed is a Decider that cannot.
type failed struct{ err error }

// Decide says why.
func (f failed) Decide(context.Context, *impact.Case, topdown.QueryTracer) (*authz.Outcome, error) {
	return nil, f.err
}

// ShadowOrder is what the gateway is told about shadows.
type ShadowOrder struct {
	Do  string `json:"do"` // "start", "report" or "stop"
	API string `json:"api"`
	config.AuthzShadow
}

// shadowVerb starts, reports on or ends an API's shadow.
func (s *Server) shadowVerb(ctx context.Context, actor string, args json.RawMessage) (any, error) {
	var o ShadowOrder
	if err := json.Unmarshal(args, &o); err != nil {
		return nil, fmt.Errorf("reading what to shadow: %w", err)
	}
	d := s.decisions
	d.mu.Lock()
	defer d.mu.Unlock()
	if guards := *d.guards.Load(); o.API == "" && len(guards) == 1 {
		for name := range guards {
			o.API = name
		}
	}
	if d.guard(o.API) == nil {
		return nil, fmt.Errorf("there is no API %q with authz", o.API)
	}
	at := d.slot(o.API)
	switch o.Do {
	case "start":
		d.mu.Unlock()
		sh, err := d.shadow(o.API, &o.AuthzShadow)
		d.mu.Lock()
		if err != nil {
			return nil, err
		}
		at.set(sh)
		at.ofConfig = nil
		return struct{}{}, s.recordControl(ctx, actor, "policy shadow", "start, api "+o.API)
	case "report", "stop":
		sh := at.shadow.Load()
		if sh == nil {
			return nil, fmt.Errorf("no candidate is beside the policy of API %s: start one, or set guards.authz.shadow", o.API)
		}
		r := sh.Report()
		if o.Do == "stop" {
			at.set(nil)
			at.ofConfig = nil
			return r, s.recordControl(ctx, actor, "policy shadow", "stop, api "+o.API)
		}
		return r, nil
	}
	return nil, fmt.Errorf("%q is none of start, report and stop", o.Do)
}

// acceptFor is how long an operator's word holds.
const acceptFor = 2 * time.Minute

// acceptVerb lets the next activation pass whatever it changes.
func (s *Server) acceptVerb(ctx context.Context, actor string, _ json.RawMessage) (any, error) {
	if err := s.recordControl(ctx, actor, "policy accept", "the next policy is activated whatever it changes"); err != nil {
		return nil, fmt.Errorf("it cannot be recorded, so it is not done: %w", err)
	}
	s.decisions.mu.Lock()
	s.decisions.accepted = time.Now().Add(acceptFor)
	s.decisions.mu.Unlock()
	return struct{}{}, nil
}
