package waf

import (
	"strconv"
	"testing"

	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// What is found in one request's texts must not be remembered as another's, though
// both are worked on in the same memory.
func TestSuspectsOfOneRequestAreNotAnothers(t *testing.T) {
	g := at(t, 1)
	const attack = "' UNION SELECT password FROM users--"
	for n := range 200 {
		var list []triage.Text
		for i := range n % 5 {
			list = append(list, triage.Text{Kind: triage.Arg, Name: "json.a", Text: "plain " + strconv.Itoa(n*10+i)})
		}
		list = append(list, triage.Text{Kind: triage.Arg, Name: "json.b" + strconv.Itoa(n%7), Text: attack},
			triage.Text{Kind: triage.Arg, Name: "json.c", Text: "plain too " + strconv.Itoa(n)})
		suspects, rules, alone := g.silence.triage.Suspects(list)
		if len(suspects) != 1 || suspects[0] != n%5 || len(rules) == 0 || !alone {
			t.Fatalf("request %d of %d texts: suspects %v, rules %v, alone %v", n, len(list), suspects, rules, alone)
		}
	}
}
