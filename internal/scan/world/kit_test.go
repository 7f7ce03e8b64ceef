package world

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// wire sends requests to a test server, as target.Client does.
type wire struct {
	base   string
	seq    atomic.Int64
	client *http.Client
	mu     sync.Mutex
	sent   []*target.Exchange
}

func (c *wire) Do(ctx context.Context, as string, r *target.Request) (*target.Exchange, error) {
	url := c.base + r.Path
	if r.Query != "" {
		url += "?" + r.Query
	}
	if r.Timeout > 0 {
		var stop func()
		ctx, stop = context.WithTimeout(ctx, r.Timeout)
		defer stop()
	}
	q, err := http.NewRequestWithContext(ctx, r.Method, url, bytes.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for _, f := range r.Header {
		q.Header.Add(f.Name, f.Value)
	}
	x := &target.Exchange{Seq: c.seq.Add(1), As: as, Request: r, Sent: time.Now()}
	resp, err := c.client.Do(q)
	if err != nil {
		x.Err = err
		return x, nil
	}
	defer resp.Body.Close()
	x.Status, x.Header = resp.StatusCode, resp.Header
	x.Body, x.Err = io.ReadAll(resp.Body)
	c.mu.Lock()
	c.sent = append(c.sent, x)
	c.mu.Unlock()
	return x, nil
}

// crowd are actors with bearer tokens.
type crowd struct {
	wire   *wire
	actors []*actor.Actor
	fresh  func(n int) *actor.Actor
	n      int
}

func (p *crowd) All() []*actor.Actor { return p.actors }

func (p *crowd) Send(ctx context.Context, as *actor.Actor, r *target.Request) (*target.Exchange, error) {
	r = r.Clone()
	as.Session.Apply(r)
	return p.wire.Do(ctx, as.Name, r)
}

func (p *crowd) Fresh(context.Context) (*actor.Actor, error) {
	if p.fresh == nil {
		return nil, fmt.Errorf("there is no registration here")
	}
	p.n++
	return p.fresh(p.n), nil
}

func bearer(name, token string, facts map[string]string) *actor.Actor {
	return &actor.Actor{Name: name, Made: true, Facts: facts, Session: &actor.Session{Parts: []actor.Part{{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: token}}}}
}

// stage starts a server and makes a world of it.
func stage(t *testing.T, handler http.Handler, document string, o Options, actors ...*actor.Actor) (*World, *wire, *graph.Graph) {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	api, err := spec.Parse([]byte(document), "api.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return stageAt(t, srv.URL, api, o, actors...)
}

func stageAt(t *testing.T, url string, api *spec.API, o Options, actors ...*actor.Actor) (*World, *wire, *graph.Graph) {
	t.Helper()
	g := graph.Build(api)
	c := &wire{base: url, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 20 * time.Second}}
	p := &crowd{wire: c, actors: actors}
	if o.Run == "" {
		o.Run = "t3st"
	}
	return New(g, p, c, o), c, g
}

// print writes the coverage, for a person.
func show(t *testing.T, w *World) {
	t.Helper()
	if !testing.Verbose() {
		return
	}
	for _, c := range w.Coverage() {
		mark := "  "
		if c.Reached {
			mark = "ok"
		}
		t.Logf("%s %-6s %-45s %3d %v %v %s", mark, c.Method, c.Path, c.Requests, c.Statuses, c.As, c.Reason)
	}
}
