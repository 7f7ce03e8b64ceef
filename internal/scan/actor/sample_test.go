package actor

import (
	"net/http/httptest"
	"testing"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// The sample API, with all its holes open and with none: people are had without a word of configuration.
func TestSampleAPI(t *testing.T) {
	for _, c := range []struct {
		name  string
		holes string
	}{{"closed", "none"}, {"open", "all"}} {
		t.Run(c.name, func(t *testing.T) {
			holes, err := harbour.ParseHoles(c.holes)
			if err != nil {
				t.Fatal(err)
			}
			s, err := harbour.New(harbour.Options{Holes: holes})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			srv := httptest.NewServer(s)
			t.Cleanup(srv.Close)
			api, err := spec.Load(t.Context(), "../../../demo/harbour/openapi.yaml", spec.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			cl, err := target.New(target.Options{Target: srv.URL})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cl.Close() })
			p := New(graph.Build(api), cl, Config{Run: "sample"})
			rep, err := p.Prepare(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d requests; %+v", cl.Sent(), rep)
			for _, name := range []string{User, Peer, Foreign} {
				a := p.Get(name)
				if a == nil {
					t.Fatalf("no %s", name)
				}
				if err := p.Alive(t.Context(), a); err != nil {
					t.Error(err)
				}
				if a.Facts[factID] == "" || a.Facts[factTenant] == "" {
					t.Errorf("%s: %v", name, a.Facts)
				}
			}
			if cl.Sent() > 60 {
				t.Errorf("%d requests", cl.Sent())
			}
		})
	}
}
