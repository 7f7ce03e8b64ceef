package waf

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/crenel-project/crenel/internal/exchange"
)

// firstRule and evaluation bound the ids of CRS that judge; those below set up,
// those from evaluation on add up. Ids outside of CRS are custom rules.
const (
	firstCRS   = 900_000
	firstRule  = 910_000
	evaluation = 949_000
	lastCRS    = 999_999
)

// restrictedHeader notes every field name in TX and then compares those: only
// what matched in TX is the field that scored.
const (
	restrictedHeader = 920_450
	restrictedNoted  = "header_name_920450_"
)

// Match is one rule and one place at which it matched.
type Match struct {
	Rule int    `json:"rule"`
	At   string `json:"at"`
	// Points are what it adds to the anomaly score, by the rule's severity.
	Points int `json:"points"`
}

// maxMatches are told one by one; of a request with more, the first.
const maxMatches = 64

// findings are what the engine has found in a request.
type findings struct {
	score   int
	stopped bool // a custom rule has denied, or the score has
	rules   []int
	matches []Match
	limit   int // the threshold

	// Of the tuned inspection:
	weights *weights
	loose   int  // points that have no place
	own     bool // a custom rule has scored: the engine's own score counts
}

// add reads what the engine found in a portion. Only rule ids, scores and places
// are taken from it: what matched may be a secret.
func (f *findings) add(g *Guard, tx types.Transaction, state plugintypes.TransactionState, fields []field) {
	score := scoreOf(state, g.cfg.Paranoia)
	f.score, f.limit, f.weights = f.score+score, g.cfg.Threshold, g.weights
	if f.weights == nil {
		// Several portions may reach the threshold only together.
		in := tx.Interruption()
		// The engine knows one threshold, and an operation may have another.
		byScore := in != nil && in.RuleID >= evaluation && in.RuleID <= lastCRS && g.cfg.Threshold != g.engineThreshold
		f.stopped = f.stopped || in != nil && !byScore || f.score >= g.cfg.Threshold
	} else if in := tx.Interruption(); in != nil && (in.RuleID < evaluation || in.RuleID > lastCRS) {
		f.stopped = true // not by the score
	}
	if score == 0 && !tx.IsInterrupted() {
		return
	}
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		custom := id < firstCRS || id > lastCRS
		// Within each file of CRS, ids below x100 only steer (paranoia levels,
		// targets), and a rule without a message only notes something for another.
		if !judges(id) || !custom && m.Message() == "" {
			continue
		}
		f.own = f.own || g.scoring[id]
		if f.rule(m, fields) && !slices.Contains(f.rules, id) {
			f.rules = append(f.rules, id)
		}
	}
}

// rule notes the places at which a rule matched, and reports whether it counts.
func (f *findings) rule(m types.MatchedRule, fields []field) (counts bool) {
	id, points := m.Rule().ID(), weightOf(m.Rule().Severity())
	placed := false
	for _, d := range m.MatchedDatas() {
		if id == restrictedHeader && d.Variable() != variables.TX {
			continue
		}
		at, ok := place(d, fields)
		if !ok {
			continue
		}
		placed = true
		if f.weights == nil {
			f.match(id, at, points)
			continue
		}
		if onFixedName(d, fields) && id >= firstCRS && id <= lastCRS {
			continue
		}
		for _, at := range alike(d, at, fields) {
			if percent := f.weights.of(id, spotOf(at)); percent > 0 {
				counts = true
				f.once(id, at, points*percent/100)
			}
		}
	}
	if f.weights == nil {
		return true
	}
	if !placed {
		f.loose += points
	}
	return counts || !placed
}

// once notes a rule at a place; the same again changes nothing.
func (f *findings) once(id int, at string, points int) {
	if !slices.ContainsFunc(f.matches, func(m Match) bool { return m.Rule == id && m.At == at }) {
		f.matches = append(f.matches, Match{id, at, points})
	}
}

// match notes a rule at a place; the same again adds its points.
func (f *findings) match(id int, at string, points int) {
	for i := range f.matches {
		if m := &f.matches[i]; m.Rule == id && m.At == at {
			m.Points += points
			return
		}
	}
	f.matches = append(f.matches, Match{id, at, points})
}

// verdict is what the findings come to.
func (f *findings) verdict() exchange.Verdict {
	if f.weights != nil {
		if !f.own {
			f.score = f.weights.worst(f.matches, f.loose)
		}
		f.stopped = f.stopped || f.score >= f.limit
	}
	if f.score == 0 && !f.stopped {
		return exchange.Verdict{}
	}
	slices.Sort(f.rules)
	points := map[string]int{}
	for _, m := range f.matches {
		points[m.At] += m.Points
	}
	slices.SortFunc(f.matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Points, a.Points), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.At, b.At))
	})
	detail := map[string]any{"rules": f.rules, "score": f.score, "threshold": f.limit}
	at := highest(points)
	if len(points) > 0 {
		detail["at"] = at
		detail["matches"] = f.matches[:min(len(f.matches), maxMatches)]
	}
	if !f.stopped {
		return exchange.Verdict{Detail: detail}
	}
	v := exchange.Refuse("waf.attack", at, fmt.Sprintf("anomaly score %d of %d, rules %s", f.score, f.limit, joined(f.rules)))
	v.Detail = detail
	return v
}

// scoreOf is the anomaly score of the blocking paranoia level.
func scoreOf(state plugintypes.TransactionState, paranoia int) int {
	sum := 0
	for level := 1; level <= paranoia; level++ {
		if s := state.Variables().TX().Get("inbound_anomaly_score_pl" + strconv.Itoa(level)); len(s) > 0 {
			n, err := strconv.Atoi(s[0])
			if err == nil {
				sum += n
			}
		}
	}
	return sum
}

// weightOf is CRS's weight of a severity.
func weightOf(s types.RuleSeverity) int {
	switch s {
	case types.RuleSeverityEmergency, types.RuleSeverityAlert, types.RuleSeverityCritical:
		return 5
	case types.RuleSeverityError:
		return 4
	case types.RuleSeverityWarning:
		return 3
	case types.RuleSeverityNotice:
		return 2
	}
	return 0
}

// place says which field a match stood in.
func place(d types.MatchData, fields []field) (string, bool) {
	var src source
	switch d.Variable() {
	case variables.TX:
		name, ok := strings.CutPrefix(d.Key(), restrictedNoted)
		return "header:" + name, ok
	case variables.ArgsGet, variables.ArgsGetNames:
		src = fromQuery
	case variables.ArgsPost, variables.ArgsPostNames:
		src = fromBody
	case variables.ArgsPath:
		src = fromPath
	case variables.Args, variables.ArgsNames:
		return byKey(d, fields, fromQuery, fromBody, fromPath)
	case variables.RequestHeaders, variables.RequestHeadersNames:
		src = fromHeader
	case variables.RequestCookies, variables.RequestCookiesNames:
		src = fromCookie
	case variables.XML, variables.RequestXML:
		return byText(d, fields)
	case variables.RequestURI, variables.RequestURIRaw, variables.RequestFilename, variables.RequestBasename, variables.RequestLine:
		return atPath, true
	case variables.QueryString:
		return "query:", true
	case variables.RequestBody:
		return "", true
	default:
		return "", false
	}
	return byKey(d, fields, src)
}

func byKey(d types.MatchData, fields []field, srcs ...source) (string, bool) {
	key := d.Key()
	if key == "" {
		key = d.Value() // a match on a name
	}
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		for i := range fields {
			if slices.Contains(srcs, fields[i].src) && same(fields[i].name, key) {
				return fields[i].at, true
			}
		}
	}
	return "", false
}

// byText finds a text of an XML document, all of which go by one key. What
// transformations have changed counts for the first.
func byText(d types.MatchData, fields []field) (string, bool) {
	first := -1
	for i := range fields {
		if fields[i].src != fromXML {
			continue
		}
		if fields[i].text == d.Value() {
			return fields[i].at, true
		}
		if first < 0 {
			first = i
		}
	}
	if first < 0 {
		return "", false
	}
	return fields[first].at, true
}

// highest is the place with the most points; among equals the first in order, so
// that the same request is always told the same.
func highest(points map[string]int) string {
	best, most := "", -1
	for at, n := range points {
		if n > most || n == most && at < best {
			best, most = at, n
		}
	}
	return best
}

func joined(ids []int) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = strconv.Itoa(id)
	}
	return strings.Join(s, " ")
}

// alike are all places at which a match among the arguments may have stood: the engine
// tells them apart by name, and not whether the query, the path or the body held them.
// A value of the body must not weigh as a parameter that is called the same would.
func alike(d types.MatchData, at string, fields []field) []string {
	out := []string{at}
	if v := d.Variable(); v != variables.Args && v != variables.ArgsNames {
		return out
	}
	key := d.Key()
	if key == "" {
		key = d.Value() // a match on a name
	}
	for i := range fields {
		f := &fields[i]
		if (f.src == fromQuery || f.src == fromBody || f.src == fromPath) && strings.EqualFold(f.name, key) && !slices.Contains(out, f.at) {
			out = append(out, f.at)
		}
	}
	return out
}
