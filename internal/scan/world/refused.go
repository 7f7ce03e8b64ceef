package world

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// ofCaller are the words of a refusal that is about who calls.
var ofCaller = regexp.MustCompile(`(?i)\b(tokens?|log(ged)?[- ]?in|sign(ed)?[- ]?in|session|auth\w*|unauth\w*|credentials?|permissions?|permitted to|privileges?|access|forbidden|denied|roles?|admins?|administrators?|staff|owners?|managers?|not yours|csrf|api.?key|you)\b`)

// ofValue reports whether a refusal, as a reason tells it, is about a value that was
// sent: it names an input, or says what one must be like, and says nothing of the caller.
func ofValue(op *graph.Op, reason string) bool {
	_, text, said := strings.Cut(reason, "(")
	if text = strings.TrimRight(text, ")."); !said || text == "" || ofCaller.MatchString(text) {
		return false
	}
	words := wordsOf(text)
	for _, in := range op.Inputs {
		if name := wordsOf(in.Name); len(name) > 0 && (in.In == "body" || in.In == "query") && len(in.Name) > 2 && !slices.ContainsFunc(name, func(n string) bool { return !slices.Contains(words, n) }) {
			return true
		}
	}
	k := Complaint{Text: text}
	k.classify(text)
	return slices.Contains([]rule{isEnum, isFormat, isShort, isLong, isLow, isHigh, isType, isPast, isFuture}, k.Rule)
}
