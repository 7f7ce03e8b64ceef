package authn

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/spec"
)

// endedFor is for how long what an operation ended is kept in mind where the
// credential does not say when it expires.
const endedFor = 30 * 24 * time.Hour

// endings says, by Operation.Index, what a success of the operation takes back:
// "credential", "session", "subject", or "" for nothing.
func endings(api *spec.API, overrides []config.OperationOverride) []string {
	if api == nil {
		return nil
	}
	var out []string
	for i := range overrides {
		o := &overrides[i]
		if o.Ends == "" {
			continue
		}
		for _, op := range api.Operations {
			if o.Matches(op.ID, op.Method, op.Path) {
				if out == nil {
					out = make([]string, len(api.Operations))
				}
				out[op.Index] = o.Ends
			}
		}
	}
	return out
}

// endStep takes back the caller's credentials where the API has just ended what
// they stand for: a logout that ends a session only in the browser (CWE-613) ends
// it here. When that cannot be kept the client is not told that it was done.
func (g *Guard) endStep() guard.Step {
	return guard.Step{
		Guard: Name, Phase: exchange.ResponseHead, Needs: exchange.None,
		Applies: func(op *spec.Operation) bool { return op != nil && g.ends[op.Index] != "" },
		Rule: func(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
			if x.Response.Status < http.StatusOK || x.Response.Status >= http.StatusMultipleChoices {
				return exchange.Verdict{}
			}
			what := g.ends[x.Operation.Index]
			err := g.end(ctx, &x.Identity, what, x.Operation.ID)
			for i := range x.Identity.Also {
				if err == nil {
					err = g.end(ctx, &x.Identity.Also[i], what, x.Operation.ID)
				}
			}
			if err != nil {
				return unavailable("what the operation ended cannot be taken back: "+err.Error()).verdict("", "")
			}
			return exchange.Verdict{}
		},
	}
}

// end takes one credential back: itself, all of its session where it says of which
// it is, or all that its subject was given until now.
func (g *Guard) end(ctx context.Context, id *exchange.Identity, what, operation string) error {
	now := g.now()
	expires := now.Add(endedFor)
	if what == "credential" && !id.Expires.IsZero() {
		expires = id.Expires.Add(g.skew)
	}
	wanted, entry := []string{"token:", "jti:"}, revocation.Entry{Reason: "ended by " + operation}
	// Of its own issuer: another may have a session or a subject of the same name.
	if all := what + ":" + id.Issuer + "|"; what != "credential" && has(id.Revocable, all) {
		wanted = []string{all}
		if what == "subject" {
			entry.Before = now.Unix() + 1 // tokens tell the time in whole seconds
		}
	}
	for _, key := range id.Revocable {
		for _, kind := range wanted {
			if !strings.HasPrefix(key, kind) {
				continue
			}
			if err := revocation.Put(ctx, g.state, key, entry, expires); err != nil {
				return err
			}
		}
	}
	return nil
}

func has(keys []string, kind string) bool {
	for _, key := range keys {
		if strings.HasPrefix(key, kind) {
			return true
		}
	}
	return false
}
