package world

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// tally is what is counted of one operation.
type tally struct {
	requests int
	statuses []int
	as       []string          // actors that got a 2xx
	by       map[string][]int  // statuses by actor
	reasons  map[string]string // why an actor did not reach it
	last     map[string]string // outlook after an actor's last try
	left     string            // why it was not tried
}

func (w *World) tallyOf(op *graph.Op) *tally {
	t := w.cover[op]
	if t == nil {
		t = &tally{by: map[string][]int{}, reasons: map[string]string{}, last: map[string]string{}}
		w.cover[op] = t
	}
	return t
}

// count counts an answer. w.mu is held.
func (w *World) count(c *Call, x *target.Exchange) {
	t := w.tallyOf(c.Op)
	t.requests++
	w.spent++
	name := nameOf(c.As)
	if !slices.Contains(t.statuses, x.Status) {
		t.statuses = append(t.statuses, x.Status)
	}
	if !slices.Contains(t.by[name], x.Status) {
		t.by[name] = append(t.by[name], x.Status)
	}
	if c.reached(x) && !slices.Contains(t.as, name) {
		if len(t.as) == 0 && t.left == "" {
			w.settled++
		}
		t.as = append(t.as, name)
	}
}

// leave notes why an operation is not tried. w.mu is held.
func (w *World) leave(op *graph.Op, why string) {
	t := w.tallyOf(op)
	if len(t.as) == 0 && t.left == "" {
		w.settled++
	}
	t.left = why
}

// Coverage is what became of each operation, in the description's order.
func (w *World) Coverage() []Coverage {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Coverage, 0, len(w.g.Ops))
	for _, op := range w.g.Ops {
		t := w.tallyOf(op)
		c := Coverage{Op: op, Method: op.Method, Path: op.Path, Requests: t.requests, Reached: len(t.as) > 0, As: slices.Clone(t.as), Statuses: slices.Clone(t.statuses)}
		slices.Sort(c.Statuses)
		if !c.Reached {
			c.Reason = w.explain(op, t)
		}
		out = append(out, c)
	}
	return out
}

// explain says why an operation was not reached, and what would help.
func (w *World) explain(op *graph.Op, t *tally) string {
	if t.left != "" {
		return t.left
	}
	if t.requests == 0 {
		for _, name := range w.ranked(t.reasons) {
			switch r := t.reasons[name]; r {
			case "":
			case ReasonBudget, ReasonTime:
				return "not sent: " + r
			default:
				return "not sent: " + r + w.missing(op)
			}
		}
		if op.Unroutable != "" {
			return "not sent: " + op.Unroutable
		}
		return "not sent" + w.missing(op)
	}
	var denied, parts []string
	value := false
	for _, name := range w.ranked(t.by) {
		if slices.Contains(t.by[name], http.StatusForbidden) || slices.Contains(t.by[name], http.StatusUnauthorized) {
			denied = append(denied, cmp.Or(name, "nobody"))
		}
		if r := t.reasons[name]; r != "" {
			value = value || name != "" && slices.Contains(t.by[name], http.StatusForbidden) && ofValue(op, r)
			text := fmt.Sprintf("as %s: %s", cmp.Or(name, "nobody"), r)
			if !slices.ContainsFunc(parts, func(p string) bool { return strings.HasSuffix(p, r) }) {
				parts = append(parts, text)
			}
		}
	}
	out := strings.Join(parts, ". ")
	if out == "" {
		out = fmt.Sprintf("answered %v", t.statuses)
	}
	all := len(denied) > 0 && len(denied) == len(t.by)
	switch {
	case all && value:
		out += ". It refuses a value, not the caller: an example in the description of what it takes would help"
	case all && slices.Contains(t.statuses, http.StatusForbidden):
		out += ". " + w.role(op, denied)
	case all:
		out += ". The credentials of the run are not those that it wants: give others in scan.yaml"
	case slices.Contains(t.statuses, http.StatusNotFound) && len(t.statuses) == 1:
		out += ". No object was found that it knows" + w.missing(op)
	case slices.ContainsFunc(t.statuses, func(s int) bool { return s >= 500 }) && len(t.statuses) == 1:
		out += ". The target fails at honest calls too"
	case slices.Contains(t.statuses, http.StatusBadRequest) || slices.Contains(t.statuses, http.StatusUnprocessableEntity):
		out += ". An example in the description of what it takes would help"
	}
	return out
}

// role says what an operation wants of a caller that those who were refused are not.
func (w *World) role(op *graph.Op, denied []string) string {
	who := make([]string, 0, len(denied))
	for _, name := range denied {
		if a := w.named(name); a != nil && a.Role != "" {
			name += " (" + a.Role + ")"
		}
		who = append(who, name)
	}
	wants := "another role than that of " + strings.Join(who, ", ")
	if op.Has(graph.Admin) && !slices.Contains(denied, actor.Admin) {
		wants = "the role admin"
	}
	out := "It probably needs " + wants
	if said := demand(op.Operation); said != "" {
		out += " (the description: " + said + ")"
	}
	name := actor.Admin
	if w.named(actor.Admin) != nil {
		name = "another name"
	}
	return out + ": give an account that has it in scan.yaml, under actors.accounts as " + name
}

// named is an actor of that name, nil when there is none.
func (w *World) named(name string) *actor.Actor {
	for _, a := range w.people.All() {
		if a.Name == name {
			return a
		}
	}
	return nil
}

var (
	sentenceOf = regexp.MustCompile(`[^.!?\n]+[.!?]?`)
	demands    = regexp.MustCompile(`(?i)\b(?:roles?|permissions?|privileges?|scopes?|admins?|administrators?|superusers?|owners?|staff|managers?|moderators?|operators?|maintainers?|entitlements?)\b`)
	demanding  = regexp.MustCompile(`(?i)\b(?:requires?|required|needs?|needed|must|only|restricted|reserved|limited to|for|authori[sz]ed|allowed|may|can)\b`)
)

// demand is what the description says of who may call an operation: the scopes of
// its security, an extension such as x-required-roles, a sentence of its texts.
func demand(op *spec.Operation) string {
	var scopes []string
	for _, alternative := range op.Security {
		for _, use := range alternative {
			for _, s := range use.Scopes {
				if !slices.Contains(scopes, s) {
					scopes = append(scopes, s)
				}
			}
		}
	}
	if len(scopes) > 0 {
		return "scope " + strings.Join(scopes[:min(len(scopes), 4)], ", ")
	}
	for _, name := range slices.Sorted(maps.Keys(op.Extensions)) {
		if !demands.MatchString(strings.ReplaceAll(name, "-", " ")) {
			continue
		}
		switch v := op.Extensions[name].(type) {
		case string:
			return name + " " + cut(v, 60)
		case []any:
			var list []string
			for _, item := range v {
				if t, ok := item.(string); ok {
					list = append(list, t)
				}
			}
			if len(list) > 0 {
				return name + " " + cut(strings.Join(list, ", "), 60)
			}
		}
	}
	for _, text := range []string{op.Description, op.Summary} {
		for _, s := range sentenceOf.FindAllString(cut(text, 4000), 40) {
			if s = strings.TrimSpace(s); demands.MatchString(s) && demanding.MatchString(s) && len(s) < 160 {
				return `"` + strings.TrimRight(s, ".") + `"`
			}
		}
	}
	return ""
}

// ranked are the names of actors, the owner of things first.
func (w *World) ranked(by any) []string {
	var out []string
	switch m := by.(type) {
	case map[string]string:
		out = sortedKeys(m)
	case map[string][]int:
		out = sortedKeys(m)
	}
	rank := func(name string) int {
		if i := slices.Index([]string{actor.User, actor.Peer, actor.Foreign, actor.Admin}, name); i >= 0 {
			return i
		}
		return 9
	}
	slices.SortStableFunc(out, func(a, b string) int { return rank(a) - rank(b) })
	return out
}

// missing names the objects that an operation wants and the run has none of.
func (w *World) missing(op *graph.Op) string {
	var names []string
	for _, in := range op.Inputs {
		if in.In != "path" && !in.Required {
			continue
		}
		r := w.resourceOf(in)
		if r == nil || r.IsPerson {
			continue
		}
		if !slices.ContainsFunc(w.objects, func(o *Object) bool { return o.Resource == r && !o.deleted }) && !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	for i, n := range names {
		names[i] = "a " + n
		if strings.ContainsRune("aeiou", rune(n[0])) {
			names[i] = "an " + n
		}
	}
	return ": it needs " + strings.Join(names, " and ") + ", and none could be made or found"
}

// skip says why an operation is left alone, "" when it is not.
func (w *World) skip(op *graph.Op) string {
	if w.o.Skip != nil {
		if why := w.o.Skip(op); why != "" {
			return why
		}
	}
	switch {
	case op.Unroutable != "":
		return "no request can reach it: " + op.Unroutable
	case op.Has(graph.Hazard):
		return "left out: it would reset or destroy what others share (" + op.Purposes[graph.Hazard].Why + ")"
	case w.o.Safe && op.Method != http.MethodGet && (op.Has(graph.Payment) || op.Has(graph.Transfer) || op.Has(graph.Webhook) || op.Has(graph.Admin)):
		return "left out by --safe: it moves money, calls others, or changes what the run did not make"
	}
	return ""
}

// streams reports whether an operation's answer does not end by itself.
func streams(op *graph.Op) bool {
	for _, r := range op.Responses {
		for _, m := range r.Content {
			if m.Type == "text/event-stream" || m.Type == "application/x-ndjson" || m.Type == "multipart/x-mixed-replace" {
				return true
			}
		}
	}
	return false
}

// session reports whether an operation ends or changes the session it is called with.
func session(op *graph.Op) bool {
	return op.Has(graph.Logout) || op.Has(graph.PasswordChange) || op.Has(graph.Refresh) || ownAccountEnd(op)
}

// ownAccountEnd: it deletes the account that calls it.
func ownAccountEnd(op *graph.Op) bool {
	return op.Kind == graph.Delete && op.About != nil && op.About.IsPerson
}

func (w *World) actors() []*actor.Actor {
	rank := func(a *actor.Actor) int {
		switch a.Name {
		case actor.User:
			return 0
		case actor.Peer:
			return 1
		case actor.Foreign:
			return 2
		case actor.Admin:
			return 4
		}
		return 3
	}
	out := slices.Clone(w.people.All())
	slices.SortStableFunc(out, func(a, b *actor.Actor) int { return rank(a) - rank(b) })
	return out
}
