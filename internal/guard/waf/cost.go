package waf

import (
	"fmt"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// What the engine takes on one core of a server, as BenchmarkEstimate measures it:
// constants, so that every gateway refuses the same. A rule takes 40 ns to 2 µs a
// byte by its pattern and the text; the 130 rules that look at arguments at level
// 1 take 6 to 17 µs together, the 242 of level 4 20 to 45. So few rules are counted
// as if they were slow ones, and many as the average.
const (
	costBegin   = 400 * time.Microsecond // of each transaction
	costValue   = 3 * time.Microsecond   // of each value
	costRule    = 4 * time.Microsecond   // of each rule on each value
	costByte    = 1000 * time.Nanosecond // of each byte
	costRuleRun = 90 * time.Nanosecond   // of each rule on each byte
	cheap       = 5 * time.Millisecond   // what an inspection may cost without waiting for a slot
	windowSize  = 2 << 10                // bytes of a value that are sampled at once
	windowOver  = 256                    // of which so many are in the next one too
	maxSampled  = 1 << 14                // values of a request that is sampled
)

// estimate is about what the engine takes for so many values and bytes, each of
// which so many rules try.
func estimate(transactions, values, bytes, rules int) time.Duration {
	return time.Duration(transactions)*costBegin + time.Duration(values)*(costValue+time.Duration(rules)*costRule) +
		time.Duration(bytes)*(costByte+time.Duration(rules)*costRuleRun)
}

// load is what an inspection is estimated by.
type load struct{ transactions, values, bytes, rules int }

func (l load) cost() time.Duration { return estimate(l.transactions, l.values, l.bytes, l.rules) }

func (l load) String() string {
	return fmt.Sprintf("inspecting %d values of %d bytes by %d rules would take about %s", l.values, l.bytes, l.rules, l.cost().Round(time.Millisecond/10))
}

// load is that of a ruling.
func (g *Guard) load(x *exchange.Exchange, r *ruling) load {
	l := load{transactions: len(portions(r.fields, g.exclude.of(x))), values: len(r.fields), rules: g.silence.triage.OnTexts() + len(g.silence.triage.Always())}
	if r.alone {
		l.rules = len(r.rules)
	}
	for i := range r.fields {
		l.bytes += len(r.fields[i].text) + len(r.fields[i].name)
	}
	return l
}

// afford makes sure that the engine is asked for no more than the budget. What is
// more is refused, or sampled where the config says so.
func (g *Guard) afford(x *exchange.Exchange, r *ruling) (cost time.Duration, v exchange.Verdict) {
	l := g.load(x, r)
	cost = l.cost()
	over := cost > g.cfg.Budget || len(r.fields) > g.cfg.Values
	for i := range r.fields {
		over = over || len(r.fields[i].text) > int(g.cfg.Value)
	}
	if !over {
		return cost, exchange.Verdict{}
	}
	if g.cfg.Over == config.OverSample && g.sample(x, r) {
		return g.load(x, r).cost(), exchange.Verdict{}
	}
	longest := field{}
	for i := range r.fields {
		if len(r.fields[i].text) > len(longest.text) {
			longest = r.fields[i]
		}
	}
	return cost, exchange.Refuse("waf.too_many", longest.at, fmt.Sprintf("%s, the budget is %s", l, g.cfg.Budget))
}

// share says how much of what should have been inspected was.
type share struct {
	Values int `json:"values"`
	Bytes  int `json:"bytes"`
	Of     int `json:"of_bytes"`
}

// sample replaces what is to be inspected by as much of it as the budget allows:
// values, and windows of long ones, in an order that nobody can foresee; those
// that a rule may match come first. It reports whether anything fits.
func (g *Guard) sample(x *exchange.Exchange, r *ruling) bool {
	var kept, first, second []field
	of := 0
	for _, f := range r.fields {
		if f.src != fromHeader {
			of += len(f.text)
		}
		switch windows := windowsOf(f); {
		case f.src == fromHeader:
			kept = append(kept, f) // it is part of how the request travels
		case len(windows) == 1:
			first = append(first, f)
		default:
			suspects := g.suspectWindows(windows)
			for i, w := range windows {
				if suspects[i] {
					first = append(first, w)
				} else {
					second = append(second, w)
				}
			}
		}
	}
	shuffle := func(list []field) { rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] }) } //nolint:gosec // unseeded it is ChaCha8 with a key of the system
	shuffle(first)
	shuffle(second)
	out := *r
	out.fields, out.keys = kept, nil
	l := g.load(x, &out)
	// Each kind of exclusion is a transaction of its own: counted as soon as it may be.
	keys := map[string]bool{}
	s := share{Of: of}
	for _, f := range append(first, second...) {
		more := l
		if m := keyOf(f.muted); !keys[m] {
			keys[m] = true
			more.transactions++
		}
		more.values, more.bytes = more.values+1, more.bytes+len(f.text)+len(f.name)
		if len(out.fields) >= g.cfg.Values || more.cost() > g.cfg.Budget {
			break
		}
		l, out.fields = more, append(out.fields, f)
		s.Values, s.Bytes = s.Values+1, s.Bytes+len(f.text)
	}
	out.sampled = &s
	*r = out
	return s.Values > 0
}

// windowsOf cuts a long value into pieces that overlap, between characters.
func windowsOf(f field) []field {
	if len(f.text) <= windowSize {
		return []field{f}
	}
	var out []field
	for from := 0; ; {
		end := min(from+windowSize, len(f.text))
		for end < len(f.text) && end > from+windowSize/2 && !utf8.RuneStart(f.text[end]) {
			end--
		}
		w := f
		w.text = f.text[from:end]
		out = append(out, w)
		if end == len(f.text) {
			return out
		}
		from = end - windowOver
		for from < end && !utf8.RuneStart(f.text[from]) {
			from++
		}
	}
}

// suspectWindows says which of a value's windows a rule may match.
func (g *Guard) suspectWindows(list []field) []bool {
	texts := make([]triage.Text, len(list))
	for i := range list {
		kind := triage.Arg
		if list[i].src == fromCookie {
			kind = triage.Cookie
		}
		texts[i] = triage.Text{Kind: kind, Name: list[i].name, Text: list[i].text}
		if list[i].muted != nil {
			texts[i].Mute = list[i].muted
		}
	}
	out := make([]bool, len(list))
	suspects, _, _ := g.silence.triage.Suspects(texts)
	for _, i := range suspects {
		out[i] = true
	}
	return out
}
