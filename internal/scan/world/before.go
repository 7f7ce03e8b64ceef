package world

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// fetchable puts the run's own address where an address was refused or could not
// be fetched: the target may have no way to others. It reports whether the next
// call will be another one. w.mu is held.
func (w *World) fetchable(c *Call) bool {
	if w.o.Outside == "" {
		return false
	}
	for _, in := range c.Op.Inputs {
		if in.Meaning != graph.MeansURL && in.Meaning != graph.MeansCallback || in.In == "header" {
			continue
		}
		where, text := in.Where(), quoted(w.o.Outside)
		sent, was := c.Values[where]
		t := w.taughtOf(c.Op).get(where)
		if !was || sent == text || !t.allows(text) || t.text == text || in.Schema != nil && !validText(text, in.Schema) {
			continue
		}
		t.refused = append(t.refused, sent, text) // once is enough
		t.need, t.text, t.fresh = true, text, ""
		return true
	}
	return false
}

// reFirst is what messages say where something must have been done before.
var reFirst = regexp.MustCompile(`(?i)\b(first|before|beforehand|yet|complete your|set up|add (a|an|your)|no .{1,40} (on file|set|configured)|(is|are|has|have) not (been )?(set|given|added|configured|provided)|missing)\b`)

// before is a call that does what an answer says must be done first: it sets, of
// the caller's own account, the field that the message names. nil when there is
// none. w.mu is held.
func (w *World) before(c *Call, x *target.Exchange) *Call {
	if c.As == nil || !c.As.Made || x.Status < 400 || x.Status >= 500 || x.Status == http.StatusUnauthorized || len(x.Body) > maxFeedback || !reFirst.Match(x.Body) {
		return nil
	}
	said := wordsIn(string(x.Body))
	for _, op := range w.g.Ops {
		if op == c.Op || op.Kind != graph.Update || op.About == nil || !op.About.IsPerson || len(op.PathParams) > 0 || op.Has(graph.PasswordChange) || op.Has(graph.PasswordReset) || session(op) || w.skip(op) != "" {
			continue
		}
		for _, in := range op.Inputs {
			if in.In != "body" || in.ReadOnly || in.Meaning == graph.MeansPassword || !strings.Contains(said, " "+strings.Join(wordsOf(in.Name), " ")+" ") {
				continue
			}
			if own := inputOf(c.Op, in.Where()); own != nil {
				continue // the message is about the call itself
			}
			w.taughtOf(op).get(in.Where()).need = true
			first, err := w.compose(op, c.As, plan{})
			if err != nil || first.Values[in.Where()] == "" {
				continue
			}
			return first
		}
	}
	return nil
}

// wordsIn is a text as its words, with one space around each.
func wordsIn(text string) string {
	return " " + strings.Join(wordsOf(text), " ") + " "
}
