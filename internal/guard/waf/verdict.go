package waf

import (
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

// verdict reads what the engine found. Only rule ids, scores and places are
// taken from it: what matched may be a secret.
func (g *Guard) verdict(tx types.Transaction, state plugintypes.TransactionState, fields []field) exchange.Verdict {
	score := g.score(state)
	stopped := tx.Interruption()
	if score == 0 && stopped == nil {
		return exchange.Verdict{}
	}
	var rules []int
	points := map[string]int{}
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		custom := id < firstCRS || id > lastCRS
		// Within each file of CRS, ids below x100 only steer (paranoia levels,
		// targets), and a rule without a message only notes something for another.
		if !custom && (id < firstRule || id >= evaluation || id%1000 < 100 || m.Message() == "") {
			continue
		}
		if !slices.Contains(rules, id) {
			rules = append(rules, id)
		}
		weight := weightOf(m.Rule().Severity())
		for _, d := range m.MatchedDatas() {
			if id == restrictedHeader && d.Variable() != variables.TX {
				continue
			}
			if at, ok := place(d, fields); ok {
				points[at] += weight
			}
		}
	}
	slices.Sort(rules)
	at := highest(points)
	detail := map[string]any{"rules": rules, "score": score}
	if len(points) > 0 {
		detail["at"] = at
	}
	if stopped == nil {
		return exchange.Verdict{Detail: detail}
	}
	v := exchange.Refuse("waf.attack", at, fmt.Sprintf("anomaly score %d, rules %s", score, joined(rules)))
	v.Detail = detail
	return v
}

// score is the anomaly score of the blocking paranoia level.
func (g *Guard) score(state plugintypes.TransactionState) int {
	sum := 0
	for level := 1; level <= g.cfg.Paranoia; level++ {
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
	case variables.RequestURI, variables.RequestURIRaw, variables.RequestFilename, variables.RequestBasename, variables.RequestLine:
		return "path", true
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
