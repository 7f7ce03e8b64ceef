package gateway

import (
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

// newDecision makes the record of what was ruled on a request.
func newDecision(x *exchange.Exchange, v exchange.Verdict, now time.Time) *exchange.Decision {
	d := &exchange.Decision{
		Type: "decision", ID: x.ID, Time: x.Start, API: x.API,
		Method: x.Request.Method, Host: x.Request.Host, Path: x.Request.Path,
		Action: "allow", Risk: x.Risk, Endpoint: x.Endpoint, Micros: now.Sub(x.Start).Microseconds(),
		Rulings: recordRulings(x.Rulings),
	}
	if x.Client.IsValid() {
		d.Client = x.Client.String()
	}
	if x.Operation != nil {
		// The template below the base path that the client wrote, so that the record
		// reads like the call.
		d.Operation, d.Path = x.Operation.ID, strings.TrimSuffix(x.Request.RawPath, x.Request.Relative)+x.Operation.Path
	}
	if id := &x.Identity; !id.Anonymous() {
		d.Identity = &exchange.RecordedIdentity{
			Subject: id.Subject, Issuer: id.Issuer, Method: id.Method, Verified: id.Verified, ClientID: id.ClientID,
			Tenant: id.Tenant, Roles: id.Roles, Scopes: id.Scopes, Session: id.Session, Credential: id.Credential,
		}
	}
	if v.Action != exchange.Allow {
		code, _ := exchange.LookupCode(v.Code)
		d.Action, d.Status, d.Code, d.At, d.Reason = "deny", code.Status, code.Code, v.At, v.Reason
		d.Guard = "gateway"
		for i := range x.Rulings {
			if x.Rulings[i].Enforced {
				d.Guard = x.Rulings[i].Guard
			}
		}
	}
	return d
}

func recordRulings(rulings []exchange.Ruling) []exchange.RecordedRuling {
	if len(rulings) == 0 {
		return nil
	}
	out := make([]exchange.RecordedRuling, len(rulings))
	for i := range rulings {
		r := &rulings[i]
		out[i] = exchange.RecordedRuling{
			Guard: r.Guard, Phase: r.Phase.String(), Mode: r.Mode, Action: r.Verdict.Action.String(),
			Micros: float64(r.Duration.Nanoseconds()) / 1000,
			Code:   r.Verdict.Code, At: r.Verdict.At, Reason: r.Verdict.Reason, More: r.Verdict.More, Detail: r.Verdict.Detail,
		}
	}
	return out
}

// NewID is the id of a record that is no exchange's, such as of what an operator
// did: unique, and sorted by time as those of exchanges are.
func NewID(now time.Time) string { return newID(now) }
