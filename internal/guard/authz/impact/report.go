package impact

import (
	"cmp"
	"slices"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authz/trace"
)

// Kind is how a decision changes.
type Kind string

// The kinds of change.
const (
	NowDenied      Kind = "now denied"
	NowAllowed     Kind = "now allowed"
	DeniedOther    Kind = "denied otherwise" // with another code: a step-up, an error
	NewObligations Kind = "other obligations"
)

// Report is what another policy would change.
type Report struct {
	Decisions int       `json:"decisions"` // looked at
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	// Compared are those that could be made again; Same of them came out the same.
	Compared int          `json:"compared"`
	Same     int          `json:"same"`
	Changed  int          `json:"changed"`
	Share    float64      `json:"share"` // Changed of Compared
	Kinds    map[Kind]int `json:"kinds,omitempty"`
	// Reworded are those of Same that give another reason or detail.
	Reworded int `json:"reworded,omitempty"`
	// Skipped says why decisions could not be compared.
	Skipped map[string]int `json:"skipped,omitempty"`
	// Unfaithful are decisions that the policy that decided does not make again: what
	// they were made on is not known whole. They are compared with what it says now.
	Unfaithful int `json:"unfaithful,omitempty"`
	// Lost are decisions that the log could not keep.
	Lost    uint64   `json:"lost,omitempty"`
	Rules   []Group  `json:"rules,omitempty"`
	Callers []Group  `json:"callers,omitempty"`
	Latency *Latency `json:"latency,omitempty"`
	Faults  []string `json:"faults,omitempty"` // evaluation errors of the candidate, each once
}

// Group are changes that have something in common.
type Group struct {
	// Rule and Place name a rule, Effect says what became of it. Empty for callers.
	Rule   string `json:"rule,omitempty"`
	Place  string `json:"place,omitempty"`
	Effect Effect `json:"effect,omitempty"`
	// Caller names who called. Empty for rules.
	Caller   string       `json:"caller,omitempty"`
	Count    int          `json:"count"`
	Kinds    map[Kind]int `json:"kinds"`
	Callers  int          `json:"callers,omitempty"` // how many, of a rule's group
	Examples []Example    `json:"examples"`

	callers map[string]bool
}

// Effect is what became of a rule.
type Effect string

// The effects.
const (
	NoLongerHolds Effect = "no longer holds"
	HoldsNow      Effect = "holds now"
	SameRules     Effect = "the same rules hold, with another outcome"
	ByDocument    Effect = "the document's own policy"
)

// Example is one change.
type Example struct {
	ID        string    `json:"request_id"`
	Time      time.Time `json:"time"`
	API       string    `json:"api,omitempty"`
	Operation string    `json:"operation,omitempty"`
	Caller    string    `json:"caller"`
	Kind      Kind      `json:"kind"`
	Was       string    `json:"was"`
	Now       string    `json:"now"`
	Reason    string    `json:"reason,omitempty"` // of the candidate
}

// Latency is how long the policies take for the same decisions, each the best of
// several times, in microseconds.
type Latency struct {
	Active    Quantiles `json:"active"`
	Candidate Quantiles `json:"candidate"`
	// Slower is by which share the candidate is: 0.2 is 20 % slower, below 0 faster.
	Slower Rise `json:"slower"`
}

// Quantiles in microseconds.
type Quantiles struct {
	P50 float64 `json:"p50_us"`
	P99 float64 `json:"p99_us"`
}

// Rise compares two Quantiles.
type Rise struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Bounds of a report's details.
const (
	maxGroups  = 1000 // of each kind; what is more is counted in the last
	maxFaults  = 20
	maxSamples = 1 << 16 // durations that are kept
)

// tally makes a report, one case after another.
type tally struct {
	r         Report
	examples  int
	rules     map[string]*Group
	callers   map[string]*Group
	active    []time.Duration
	candidate []time.Duration
	measured  uint64
}

func newTally(examples int) *tally {
	return &tally{r: Report{Kinds: map[Kind]int{}, Skipped: map[string]int{}}, examples: examples, rules: map[string]*Group{}, callers: map[string]*Group{}}
}

func (t *tally) seen(at time.Time) {
	t.r.Decisions++
	if t.r.From.IsZero() || at.Before(t.r.From) {
		t.r.From = at
	}
	if at.After(t.r.To) {
		t.r.To = at
	}
}

func (t *tally) fault(text string) {
	if len(t.r.Faults) < maxFaults && !slices.Contains(t.r.Faults, text) {
		t.r.Faults = append(t.r.Faults, text)
	}
}

func (t *tally) changed(e Example, rule trace.Held, effect Effect) {
	t.r.Changed++
	t.r.Kinds[e.Kind]++
	t.add(t.rules, rule.Rule+"\n"+rule.Place+"\n"+string(effect), Group{Rule: rule.Rule, Place: rule.Place, Effect: effect}, e)
	t.add(t.callers, e.Caller, Group{Caller: e.Caller}, e)
}

func (t *tally) add(to map[string]*Group, key string, g Group, e Example) {
	have := to[key]
	if have == nil {
		if len(to) >= maxGroups {
			key, g = "", Group{Rule: "(others)", Caller: "(others)"}
			have = to[key]
		}
		if have == nil {
			g.Kinds, g.callers = map[Kind]int{}, map[string]bool{}
			have = &g
			to[key] = have
		}
	}
	have.Count++
	have.Kinds[e.Kind]++
	if len(have.callers) < maxGroups {
		have.callers[e.Caller] = true
	}
	if len(have.Examples) < t.examples {
		have.Examples = append(have.Examples, e)
	}
}

// took notes how long both took; beyond maxSamples each takes an old one's place.
func (t *tally) took(active, candidate time.Duration) {
	t.measured++
	if len(t.active) < maxSamples {
		t.active, t.candidate = append(t.active, active), append(t.candidate, candidate)
		return
	}
	i := t.measured % maxSamples
	t.active[i], t.candidate[i] = active, candidate
}

// report is what has been found so far.
func (t *tally) report() *Report {
	r := t.r
	r.Kinds, r.Skipped = clone(t.r.Kinds), clone(t.r.Skipped)
	r.Faults = slices.Clone(t.r.Faults)
	if r.Compared > 0 {
		r.Share = float64(r.Changed) / float64(r.Compared)
	}
	r.Rules, r.Callers = groups(t.rules, true), groups(t.callers, false)
	if len(t.active) > 0 {
		a, c := quantiles(t.active), quantiles(t.candidate)
		r.Latency = &Latency{Active: a, Candidate: c, Slower: Rise{rise(a.P50, c.P50), rise(a.P99, c.P99)}}
	}
	return &r
}

func clone[K comparable](m map[K]int) map[K]int {
	out := make(map[K]int, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

func groups(m map[string]*Group, rules bool) []Group {
	out := make([]Group, 0, len(m))
	for _, g := range m {
		one := *g
		one.Kinds, one.Examples = clone(g.Kinds), slices.Clone(g.Examples)
		if rules {
			one.Callers = len(g.callers)
		}
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Caller, b.Caller))
	})
	return out
}

func quantiles(list []time.Duration) Quantiles {
	s := slices.Clone(list)
	slices.Sort(s)
	at := func(q float64) float64 { return float64(s[int(q*float64(len(s)-1))].Nanoseconds()) / 1000 }
	return Quantiles{at(0.5), at(0.99)}
}

func rise(before, after float64) float64 {
	if before <= 0 {
		return 0
	}
	return after/before - 1
}
