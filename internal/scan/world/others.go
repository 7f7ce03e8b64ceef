package world

import (
	"regexp"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

// reOwn is what messages say where the caller's own will not do: money is sent to
// somebody else, a seat is booked in somebody else's car.
var reOwn = regexp.MustCompile(`(?i)\b(some(body|one)|any(body|one)) else\b|\banother (user|member|person|customer|account|player|party)\b|\byourself\b|\byour ?self\b|\b(cannot|can't|can not|may not|must not|not allowed to|unable to|not)\b.{0,40}\byour own\b|\bself[- ](transfer|booking|payment|review|rating|vote|follow|message|invite)`)

// ofOthers reports whether an input is to name what another has.
func (w *World) ofOthers(in *graph.Input, r *graph.Resource) bool {
	if in.Op == nil {
		return false
	}
	if t := w.taughtOf(in.Op).of(in.Where()); t != nil && t.others {
		return true
	}
	if r == nil || !r.IsPerson || in.In == "path" {
		return false
	}
	words := wordsOf(in.Name)
	return len(words) > 0 && (words[0] == "to" || has(words, "recipient", "receiver", "payee", "beneficiary", "invitee", "addressee"))
}

// worthOfOthers is how fit an object is where it must be another's: what the run's
// other people have, before what was there.
func worthOfOthers(o *Object, as *actor.Actor, score float64) float64 {
	switch {
	case o == nil:
	case owns(as, o):
		return score - 6
	case o.owner != nil && owner(o.owner) && (o.Made || o.Resource.IsPerson):
		return max(score, 4.2)
	}
	return score
}

// ownRefused learns from an answer that the caller's own will not do: it reports
// whether the next call will be another one. w.mu is held.
func (w *World) ownRefused(c *Call, body []byte, complaints []Complaint) bool {
	if len(body) > maxFeedback || !reOwn.Match(body) {
		return false
	}
	named := map[string]bool{}
	for i := range complaints {
		if complaints[i].Field != "" {
			named[w.placeOf(c, &complaints[i])] = true
		}
	}
	changed := false
	for _, pass := range []bool{true, false} { // what the message names, else all that is the caller's
		for _, in := range c.Op.Inputs {
			where := in.Where()
			o := c.Uses[where]
			if pass && !named[where] || o == nil || !owns(c.As, o) {
				continue
			}
			if t := w.taughtOf(c.Op).get(where); !t.others {
				t.others, t.text, changed = true, "", true
			}
		}
		if changed {
			break
		}
	}
	return changed
}
