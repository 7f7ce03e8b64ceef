package world

import (
	"regexp"
	"slices"

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
	if r == nil || in.In == "path" {
		return false
	}
	words := wordsOf(in.Name)
	if r.IsPerson {
		return len(words) > 0 && (words[0] == "to" || has(words, "recipient", "receiver", "payee", "beneficiary", "invitee", "addressee"))
	}
	// Between two of a kind: what it comes from is the caller's, what it goes to is another's.
	if in.Op.Reads() || !has(words, "to", "target", "destination", "dest", "recipient", "receiver", "beneficiary", "payee", "credit") {
		return false
	}
	return slices.ContainsFunc(in.Op.Inputs, func(o *graph.Input) bool {
		return o != in && o.In == in.In && has(wordsOf(o.Name), "from", "source", "src", "sender", "payer", "debit", "origin") && w.resourceOf(o) == r
	})
}

// worthOfOthers is how fit an object is where it must be another's: what the run's
// other people have, before what was there.
func worthOfOthers(o *Object, as *actor.Actor, score float64) float64 {
	switch {
	case o == nil:
	case owns(as, o):
		return score - 6
	case o.owner != nil && owner(o.owner):
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
			if pass && named[where] && o == nil && w.anotherBy(c, in, string(body)) {
				changed = true
				continue
			}
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

var (
	reByEmail    = regexp.MustCompile(`(?i)\be-?mail`)
	reByUsername = regexp.MustCompile(`(?i)\b(user[ _-]?names?|login|handle|name)\b`)
)

// anotherBy learns that an input names another person, though its name does not
// say so, and by which of their facts. The same message again means that it was
// not that fact. It reports whether there is one to try. w.mu is held.
func (w *World) anotherBy(c *Call, in *graph.Input, message string) bool {
	if in.In == "header" || in.In == "path" || w.resourceOf(in) != nil || in.Type != "" && in.Type != "string" && in.Type != "integer" {
		return false
	}
	t := w.taughtOf(c.Op).get(in.Where())
	if t.by != nil {
		if len(t.by) == 1 {
			return false
		}
		t.by = t.by[1:]
		return true
	}
	switch {
	case in.Type == "integer":
		t.by = []string{"id"}
	case reByEmail.MatchString(message):
		t.by = []string{"email", "username", "id"}
	case reByUsername.MatchString(message):
		t.by = []string{"username", "email", "id"}
	default:
		t.by = []string{"id", "username", "email"}
	}
	t.others, t.text, t.fresh = true, "", ""
	return true
}

// another is a fact of another person of the run, as a spot takes it; "" for none.
func (m *maker) another(s *spot, by []string) string {
	for _, fact := range by {
		for _, a := range m.w.actors() {
			if a == m.as || a.Name == actor.Admin || a.Facts[fact] == "" || m.as != nil && a.Facts[fact] == m.as.Facts[fact] {
				continue
			}
			if in := s.in; in != nil {
				return jsonOf(in, a.Facts[fact])
			}
			return quoted(a.Facts[fact])
		}
	}
	return ""
}
