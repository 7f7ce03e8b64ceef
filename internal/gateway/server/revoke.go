package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/crenel-project/crenel/internal/control"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
)

var _ control.Verbs = (*Server)(nil)

// Verbs are what the gateway can be told beside status and reload.
func (s *Server) Verbs() map[string]control.Verb {
	return map[string]control.Verb{revocation.VerbRevoke: s.revoke, revocation.VerbList: s.revocations, verbSignals: s.signalStatus, VerbShadow: s.shadowVerb, VerbAccept: s.acceptVerb}
}

// revoke takes credentials back, on every gateway that shares the state, or lifts
// what was revoked. Who did it goes to the trail.
func (s *Server) revoke(ctx context.Context, actor string, args json.RawMessage) (any, error) {
	var o revocation.Order
	if err := json.Unmarshal(args, &o); err != nil {
		return nil, fmt.Errorf("reading what to revoke: %w", err)
	}
	if err := o.Do(ctx, s.state); err != nil {
		return nil, err
	}
	if err := s.recordControl(ctx, actor, "revoke", o.String()); err != nil {
		return nil, fmt.Errorf("done, but it could not be recorded: %w", err)
	}
	return struct{}{}, nil
}

// revocations lists what is revoked.
func (s *Server) revocations(ctx context.Context, _ string, args json.RawMessage) (any, error) {
	var q revocation.Query
	if err := json.Unmarshal(args, &q); err != nil {
		return nil, fmt.Errorf("reading which revocations: %w", err)
	}
	return q.Do(ctx, s.state)
}

// recordControl puts what an operator did into the trail.
func (s *Server) recordControl(ctx context.Context, actor, verb, what string) error {
	if !s.records.Admit() {
		return errors.New("the trail takes no more records")
	}
	now := time.Now()
	d := &exchange.Decision{
		Type: "decision", ID: gateway.NewID(now), Time: now, Endpoint: "control", Method: "CONTROL", Path: verb, Action: "allow", Reason: what,
		Identity: &exchange.RecordedIdentity{Subject: actor, Method: "control", Verified: true},
	}
	err := s.records.Decide(ctx, d)
	s.records.Complete(&exchange.Completion{Type: "completion", ID: d.ID, Time: now})
	return err
}
