package world

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ People = (*actor.People)(nil)
var _ Sender = (*target.Client)(nil)

// With the run's own people, accounts that nobody gave, and nothing known but the
// description: most of what a customer may reach is reached.
func TestHarbourWithOwnAccounts(t *testing.T) {
	s, err := harbour.New(harbour.Options{})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	api, err := spec.Load(t.Context(), "../../../demo/harbour/openapi.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := target.New(target.Options{Target: srv.URL, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	g := graph.Build(api)
	people := actor.New(g, client, actor.Config{Run: "w1"})
	report, err := people.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := client.Sent()
	t.Logf("people: %d requests, %+v", before, report.Actors)
	w := New(g, people, client, Options{Run: "w1", Seed: 2})
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	show(t, w)
	reached := 0
	for _, c := range w.Coverage() {
		if c.Reached {
			reached++
		} else if c.Reason == "" {
			t.Errorf("%s %s was not reached, and nobody says why", c.Method, c.Path)
		}
	}
	t.Logf("%d of %d reached with %d requests", reached, len(api.Operations), client.Sent()-before)
	if reached < 45 {
		t.Errorf("%d of %d reached", reached, len(api.Operations))
	}
	if n := client.Sent() - before; n > 600 {
		t.Errorf("%d requests", n)
	}
}
