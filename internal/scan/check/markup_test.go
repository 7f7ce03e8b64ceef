package check

import (
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
)

// A page that a browser opens by itself weighs more than one that takes a header which
// no link brings.
func TestPageVector(t *testing.T) {
	with := func(p actor.Part) *actor.Actor {
		return &actor.Actor{Session: &actor.Session{Parts: []actor.Part{p}}}
	}
	for name, c := range map[string]struct {
		secured bool
		as      *actor.Actor
		want    string
	}{
		"anybody":                          {false, nil, vectorBrowser},
		"nobody at what is secured":        {true, nil, vectorBrowser},
		"a token at what is open":          {false, with(actor.Part{In: "header", Name: "Authorization", Prefix: "Bearer "}), vectorBrowser},
		"a token":                          {true, with(actor.Part{In: "header", Name: "Authorization", Prefix: "Bearer "}), vectorLow},
		"a key in the query":               {true, with(actor.Part{In: "query", Name: "key"}), vectorLow},
		"a cookie":                         {true, with(actor.Part{In: "cookie", Name: "sid"}), vectorBrowser},
		"a password that browsers ask for": {true, with(actor.Part{In: "header", Name: "Authorization", Prefix: "Basic "}), vectorBrowser},
	} {
		op := &graph.Op{}
		op.Secured = c.secured
		if got := (&Probe{}).pageVector(op, c.as); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
