package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// A check that takes a request which the budget did not allow for an answer that
// shows nothing has refuted nothing: the table says so, whatever the check noted.
func TestSwallowedBudget(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	for _, c := range []struct {
		name   string
		budget int64
		want   map[State]int
		ended  bool
	}{
		{"enough", 10, map[State]int{Clean: 5}, false},
		{"to the last", 5, map[State]int{Clean: 5}, false},
		{"too little", 3, map[State]int{Clean: 3, Unfinished: 2}, true},
	} {
		for _, each := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, each=%v", c.name, each), func(t *testing.T) {
				client, err := target.New(target.Options{Target: api.URL, MaxRequests: c.budget})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = client.Close() }()
				g := &graph.Graph{}
				for i := range 5 {
					g.Ops = append(g.Ops, &graph.Op{Operation: &spec.Operation{Method: "GET", Path: fmt.Sprintf("/%d", i)}})
				}
				one := func(ctx context.Context, p *Probe, op *graph.Op) {
					p.Note(op, Clean)
					_, _ = p.Do(ctx, nil, &target.Request{Method: "GET", Path: op.Path}) // as such a check does
				}
				swallows := &Check{ID: All()[0].ID, Run: func(ctx context.Context, p *Probe) error {
					if each {
						return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
							one(ctx, p, op)
							return nil
						})
					}
					for _, op := range p.Ops() {
						one(ctx, p, op)
					}
					return nil
				}}
				l := &Lab{Graph: g, Client: client, Mode: Default, Workers: 1, Stage: &scenario.Stage{Sender: client}}
				err = l.Run(t.Context(), []*Check{swallows}, nil)
				if c.ended != errors.Is(err, target.ErrBudget) {
					t.Errorf("ended with %v", err)
				}
				if got := len(l.Unfinished()) > 0; got != c.ended {
					t.Errorf("unfinished: %v", l.Unfinished())
				}
				got := map[State]int{}
				for _, cell := range l.Table() {
					got[cell.State]++
				}
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("the table has %v, want %v", got, c.want)
				}
			})
		}
	}
}
