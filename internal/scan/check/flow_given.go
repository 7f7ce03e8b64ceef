package check

import (
	"context"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// given is what an account was given and reads of itself, such as the code of its
// voucher: another account has another one.
type given struct {
	where  string      // the input of the call that takes it
	reader *world.Call // the plain read that shows it
	at     string      // where in the answer
	number bool
}

// givenTo finds what a call takes of what its caller reads by a plain read; nil
// when it takes nothing of the kind.
func (p *Probe) givenTo(ctx context.Context, c *world.Call, user *actor.Actor) (*given, error) {
	for _, in := range c.Op.Inputs {
		text := c.Values[in.Where()]
		want := scenario.Plain(decoded(text))
		if in.In == "header" || len(want) < 4 || text == "" || in.Meaning != graph.MeansCoupon && in.Meaning != graph.MeansToken && in.Type != "string" {
			continue
		}
		for _, op := range p.Graph.Ops {
			if op.Method != http.MethodGet || len(op.PathParams) > 0 || !op.Secured || !p.reads(op) || op.Has(graph.Search) {
				continue
			}
			reader, err := p.World.Call(ctx, op, user, nil)
			if err != nil {
				continue
			}
			x, err := p.send(ctx, reader)
			if err != nil {
				return nil, err
			}
			body, ok := scenario.Decode(x.Body)
			if x.Status/100 != 2 || !ok {
				continue
			}
			at := ""
			scenario.Walk(body, func(pointer string, v any) {
				if at == "" && scenario.Plain(v) == want {
					at = reIndex.ReplaceAllString(pointer, "/0$1") // the first of its own: each account may have others
				}
			})
			if at != "" {
				return &given{in.Where(), reader, at, !strings.HasPrefix(text, `"`)}, nil
			}
		}
	}
	return nil, nil
}
