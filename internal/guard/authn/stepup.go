package authn

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

// stepUp reports what a caller's sign-in lacks of what an operation demands, nil
// when nothing. Of several credentials by which the call is let in one must have all
// of it; another that is merely there may be somebody else's.
func (p *plan) stepUp(found []candidate, now time.Time, skew time.Duration) *failure {
	for i := range p.demands {
		d := &p.demands[i]
		why, met := "", false
		for j := range found {
			if !found[j].counts {
				continue
			}
			lacks := lacking(d, found[j].identity, now, skew)
			met = met || lacks == ""
			if why == "" {
				why = lacks
			}
		}
		if met {
			continue
		}
		f := fail("authn.step_up", why)
		f.parameters = demandParameters(d)
		return f
	}
	return nil
}

// lacking says which demand claims do not meet, "" when they meet all. What a
// credential does not say (an API key says nothing) it does not have.
func lacking(d *config.StepUp, id *exchange.Identity, now time.Time, skew time.Duration) string {
	if len(d.ACR) > 0 {
		acr, _ := id.Claims["acr"].(string)
		if !slices.Contains(d.ACR, acr) {
			return "acr is " + sent(acr) + ", which is not demanded"
		}
	}
	if len(d.AMR) > 0 && !slices.ContainsFunc(d.AMR, func(want string) bool { return holds(id.Claims["amr"], want) }) {
		return "amr holds none of " + strings.Join(d.AMR, ", ")
	}
	if d.MaxAge > 0 {
		at, ok := id.Claims["auth_time"].(float64)
		if !ok || at < 0 || at > maxDate {
			return "auth_time is missing"
		}
		since := now.Sub(time.Unix(int64(at), 0))
		if since > d.MaxAge+skew || since < -skew {
			return "the sign-in was " + since.Round(time.Second).String() + " ago, at most " + d.MaxAge.String() + " is allowed"
		}
	}
	return ""
}

// holds reports whether a claim is the text or a list with it.
func holds(claim any, want string) bool {
	switch c := claim.(type) {
	case string:
		return c == want
	case []any:
		return slices.Contains(c, any(want))
	}
	return false
}

// demandParameters are the challenge's (RFC 9470 section 3). amr has none there.
func demandParameters(d *config.StepUp) string {
	out := ""
	if len(d.ACR) > 0 {
		out += `, acr_values="` + quotable(strings.Join(d.ACR, " "), "") + `"`
	}
	if d.MaxAge > 0 {
		out += `, max_age="` + strconv.FormatInt(int64(d.MaxAge/time.Second), 10) + `"`
	}
	return out
}
