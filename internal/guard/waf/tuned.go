package waf

import (
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// In the tuned inspection each value is judged by itself: its score is that of the
// rules that match there, and the request's is that of its worst value; only what
// belongs to the message (path, header fields, cookies) is added up. Rules weigh by
// their class and by what they read: CRS wrote many of them for a whole URL or body,
// where what is honest in a text of an API would be out of place.

// spot is what a rule read where it matched.
type spot uint8

const (
	inLeaf     spot = iota // a string or a name of a body
	inArgument             // a parameter of query or path
	inMessage              // path, header fields, cookies, the request line
	spots
)

// spotOf is that of a place, as in Verdict.At.
func spotOf(at string) spot {
	switch {
	case at == "" || at[0] == '/':
		return inLeaf
	case strings.HasPrefix(at, "query:") || strings.HasPrefix(at, "path:"):
		return inArgument
	}
	return inMessage
}

// weight is what a rule's points count in each spot, in percent.
type weight [spots]int

const (
	deafWeight = 0
	// weakWeight is that of rules which honest texts match: a critical one counts 3
	// of 5 points, and all of them together at one place at most mostWeak. So they
	// refuse nothing by themselves, and tip the scales beside any other.
	weakWeight = 60
	fullWeight = 100
	mostWeak   = 4
)

// Weights of rules by their class: CRS's ids without the last three digits.
//
//   - 920 (protocol) and 931 (remote files) are about a URL and what it is made of; the
//     texts of a body are decoded already, and hold URLs by right. Addresses of private
//     networks are refused by the guard's own check.
var classWeights = map[int]weight{
	920: {inLeaf: deafWeight, inArgument: fullWeight, inMessage: fullWeight},
	931: {inLeaf: deafWeight, inArgument: fullWeight, inMessage: fullWeight},
}

// The rules that weigh unlike their class. They were chosen by how many honest
// requests each refuses by itself and how many attacks, on the data of the first half
// of docs/waf-report.md, which reports on the other half.
var (
	// deafInLeaf and deafInArgument count special characters in what they take for a
	// short parameter, or look for the encodings of a URL.
	deafInLeaf     = []int{921151, 942420, 942421, 942430, 942431, 942432, 942460}
	deafInArgument = []int{920230, 931130, 942420, 942421, 942430, 942431, 942432, 942460}
	// deafInMessage allow few parameters of a content type, and few charsets: which there may be
	// is between the document and its clients, and whatever is read is read as UTF-8 or refused.
	deafInMessage = []int{920470, 920480}
	// weakRules match words of shells and SQL, and punctuation, that prose shares.
	weakRules = []int{
		932200, 932220, 932230, 932231, 932235, 932236, 932240, 932250, 932340, 932370, 932371, 941320,
		942120, 942131, 942150, 942151, 942180, 942210, 942220, 942300, 942340, 942370, 942410, 942440, 942470, 942510, 942520,
	}
	weakInLeaf     = []int{921130}
	weakInArgument = []int{931120, 932130, 932270, 933135, 941210}
	// strictClasses are those whose rules of levels 3 and 4 are stricter siblings of
	// such rules, and weigh like them.
	strictClasses = []int{932, 941, 942}
)

// shellExpression finds $(…), $((…)), <(…) and the like.
const shellExpression = 932130

// weights are those of the rules as loaded.
type weights struct {
	rules map[int]weight // those that do not count in full
	deaf  [spots]*deaf
}

func newWeights(rules []loaded) *weights {
	w := &weights{rules: map[int]weight{}}
	for _, r := range rules {
		if !judges(r.id) || r.id < firstCRS || r.id > lastCRS {
			continue
		}
		one, known := classWeights[r.id/1000]
		if !known {
			one = weight{fullWeight, fullWeight, fullWeight}
		}
		strict := slices.Contains(strictClasses, r.id/1000) && (slices.Contains(r.tags, "paranoia-level/3") || slices.Contains(r.tags, "paranoia-level/4"))
		lower := func(c spot, percent int, yes bool) {
			if yes {
				one[c] = min(one[c], percent)
			}
		}
		weak := strict || slices.Contains(weakRules, r.id)
		lower(inLeaf, weakWeight, weak || slices.Contains(weakInLeaf, r.id))
		lower(inArgument, weakWeight, weak || slices.Contains(weakInArgument, r.id))
		lower(inLeaf, deafWeight, slices.Contains(deafInLeaf, r.id))
		lower(inArgument, deafWeight, slices.Contains(deafInArgument, r.id))
		lower(inMessage, deafWeight, slices.Contains(deafInMessage, r.id))
		if one != (weight{fullWeight, fullWeight, fullWeight}) {
			w.rules[r.id] = one
		}
	}
	for c := range spots {
		w.deaf[c] = &deaf{spot: c}
		for id, one := range w.rules {
			if one[c] == deafWeight {
				w.deaf[c].ids = append(w.deaf[c].ids, id)
			}
		}
		slices.Sort(w.deaf[c].ids)
	}
	return w
}

// of is the weight of a rule in a spot. Custom rules count in full.
func (w *weights) of(rule int, c spot) int {
	if one, ok := w.rules[rule]; ok {
		return one[c]
	}
	return fullWeight
}

// worst is the score of the worst value, or of the message.
func (w *weights) worst(matches []Match, loose int) int {
	type sum struct {
		strong, weak      int
		expression, shell bool
	}
	sums := map[string]sum{}
	for _, m := range matches {
		c := spotOf(m.At)
		place := m.At
		if c == inMessage {
			place = "\x00" // no place is called so
		}
		s := sums[place]
		if w.of(m.Rule, c) < fullWeight {
			s.weak += m.Points
			s.expression = s.expression || m.Rule == shellExpression
			s.shell = s.shell || m.Rule != shellExpression && m.Rule/1000 == 932
		} else {
			s.strong += m.Points
		}
		sums[place] = s
	}
	most := loose
	for place, s := range sums {
		total := s.strong + min(s.weak, mostWeak)
		if s.expression && s.shell {
			total = s.strong + s.weak // $(…) with a command in it is no prose
		}
		if place == "\x00" {
			total += loose
		}
		most = max(most, total)
	}
	return most
}

// mute is what rules do not count for a text, told apart by a key.
type muteKey interface {
	triage.Mute
	muteKey() string
}

func (m *muted) muteKey() string { return m.key }

// deaf are the rules that count nothing in a spot: the triage need not fear them.
type deaf struct {
	spot spot
	ids  []int
}

// Mutes implements triage.Mute.
func (d *deaf) Mutes(rule int) bool {
	_, found := slices.BinarySearch(d.ids, rule)
	return found
}

func (d *deaf) muteKey() string { return "spot " + string(rune('0'+d.spot)) }

// fixedName mutes the rule set for a name that the contract has fixed.
type fixedName struct{}

// Mutes implements triage.Mute.
func (fixedName) Mutes(rule int) bool { return rule >= firstCRS && rule <= lastCRS }

func (fixedName) muteKey() string { return "fixed" }

// both mutes what either does.
type both struct{ a, b muteKey }

// Mutes implements triage.Mute.
func (m both) Mutes(rule int) bool { return m.a.Mutes(rule) || m.b.Mutes(rule) }

func (m both) muteKey() string { return m.a.muteKey() + "; " + m.b.muteKey() }

var (
	_ muteKey = (*muted)(nil)
	_ muteKey = (*deaf)(nil)
	_ muteKey = fixedName{}
	_ muteKey = both{}
)

// mutes are what does not count for a field's value and for its name.
func (g *Guard) mutes(f *field) (value, name triage.Mute) {
	if g.weights == nil {
		if f.muted == nil {
			return nil, nil
		}
		return f.muted, f.muted
	}
	var m muteKey = g.weights.deaf[spotOf(f.at)]
	if f.muted != nil {
		m = both{m, f.muted}
	}
	if f.fixed {
		return m, fixedName{}
	}
	return m, m
}

// onFixedName reports whether a match is on a name that the contract has fixed.
func onFixedName(d types.MatchData, fields []field) bool {
	var srcs []source
	switch d.Variable() {
	case variables.ArgsGetNames:
		srcs = []source{fromQuery}
	case variables.ArgsPostNames:
		srcs = []source{fromBody}
	case variables.ArgsNames:
		srcs = []source{fromQuery, fromBody, fromPath}
	default:
		return false
	}
	found := false
	for i := range fields {
		if f := &fields[i]; slices.Contains(srcs, f.src) && strings.EqualFold(f.name, d.Key()) {
			if !f.fixed {
				return false
			}
			found = true
		}
	}
	return found
}

// scoring are the custom rules that add to a score themselves. Where one of them
// matches, the engine's own score counts.
func scoring(rules []triage.Rule, chains map[int][]string) map[int]bool {
	out := map[int]bool{}
	for _, r := range rules {
		if r.ID >= firstCRS && r.ID <= lastCRS {
			continue
		}
		for _, raw := range append([]string{r.Raw}, chains[r.ID]...) {
			if strings.Contains(strings.ToLower(raw), "anomaly_score") {
				out[r.ID] = true
			}
		}
	}
	return out
}
