package world

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// local answers requests without a network.
type local struct {
	h     http.Handler
	n     atomic.Int64
	fails int64 // from this request on, the client fails
	err   error
}

func (l *local) Do(_ context.Context, as string, r *target.Request) (*target.Exchange, error) {
	n := l.n.Add(1)
	if l.fails > 0 && n >= l.fails {
		return nil, l.err
	}
	q := httptest.NewRequest(r.Method, r.Path+"?"+r.Query, strings.NewReader(string(r.Body)))
	for _, f := range r.Header {
		q.Header.Add(f.Name, f.Value)
	}
	w := httptest.NewRecorder()
	l.h.ServeHTTP(w, q)
	return &target.Exchange{Seq: n, As: as, Request: r, Status: w.Code, Header: w.Header(), Body: w.Body.Bytes()}, nil
}

type locals struct {
	*local
	actors []*actor.Actor
}

func (p locals) All() []*actor.Actor { return p.actors }

func (p locals) Send(ctx context.Context, as *actor.Actor, r *target.Request) (*target.Exchange, error) {
	r = r.Clone()
	as.Session.Apply(r)
	return p.Do(ctx, as.Name, r)
}

func (p locals) Fresh(context.Context) (*actor.Actor, error) {
	return nil, errors.New("no registration")
}

func localWorld(t *testing.T, s int, o Options, l *local, actors ...*actor.Actor) *World {
	t.Helper()
	api, err := spec.Parse([]byte(styles[s].spec), "api.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if l.h == nil {
		l.h = styles[s].server(&memo{rows: map[string][]row{}})
	}
	return New(graph.Build(api), locals{l, actors}, l, o)
}

func TestBuildLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := localWorld(t, 0, Options{}, &local{}, pair()...)
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A client that fails ends Build with its error, wherever that is, and what was
// learnt is still there.
func TestBuildEndsWithTheClientsError(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	gone := errors.New("the target is down")
	for _, at := range []int64{1, 2, 5, 9, 14, 20} {
		w := localWorld(t, 0, Options{}, &local{fails: at, err: gone}, pair()...)
		if err := w.Build(t.Context()); !errors.Is(err, gone) {
			t.Errorf("from request %d: %v", at, err)
		}
		if got := len(w.Coverage()); got != len(w.g.Ops) {
			t.Errorf("from request %d: coverage of %d operations", at, got)
		}
	}
}

// A request that the client refuses by itself ends nothing.
func TestBuildGoesOnWhereOneRequestIsRefused(t *testing.T) {
	w := localWorld(t, 0, Options{}, &local{fails: 1, err: target.ErrRefused}, pair()...)
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.Coverage() {
		if c.Reached || c.Reason == "" {
			t.Errorf("%+v", c)
		}
	}
}

func TestBuildKeepsItsBudget(t *testing.T) {
	for _, most := range []int{1, 7, 15} {
		l := &local{}
		w := localWorld(t, 0, Options{MaxRequests: most}, l, pair()...)
		if err := w.Build(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Reading back what was just made is let through.
		if n := l.n.Load(); n > int64(most)+2 {
			t.Errorf("%d requests of %d", n, most)
		}
		said := false
		for _, c := range w.Coverage() {
			said = said || strings.Contains(c.Reason, "budget")
		}
		if !said {
			t.Errorf("budget %d: no reason speaks of it", most)
		}
	}
}

func TestBuildStopsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	l := &local{}
	l.h = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	w := localWorld(t, 0, Options{}, l, pair()...)
	stop()
	l.fails, l.err = 3, ctx.Err()
	if err := w.Build(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// With nobody logged in, what is open is reached all the same.
func TestBuildAsNobody(t *testing.T) {
	l := &local{h: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			answer(w, 200, []map[string]any{{"uuid": "3f1c2b4a-5d6e-4f70-8a9b-000000000001", "body": "x"}})
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	})}
	w := localWorld(t, 1, Options{}, l)
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.Coverage() {
		if !c.Reached && !strings.Contains(c.Reason, "credentials") && !strings.Contains(c.Reason, "note") {
			t.Errorf("%s %s: %s", c.Method, c.Path, c.Reason)
		}
	}
}

// What would be reset or destroyed for others is left out, and the reason says so.
func TestBuildLeavesHazardsOut(t *testing.T) {
	l := &local{}
	w := localWorld(t, 1, Options{Skip: func(op *graph.Op) string {
		if op.Method == http.MethodPost {
			return "left out by the test"
		}
		return ""
	}}, l, pair()...)
	for _, op := range w.g.Ops {
		if op.Method == http.MethodGet {
			op.Purposes[graph.Hazard] = graph.Guess{Score: 1, Why: "its name"}
		}
	}
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := l.n.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
	for _, c := range w.Coverage() {
		want := map[string]string{"POST": "left out by the test", "GET": "destroy what others share", "DELETE": "needs a note"}[c.Method]
		if !strings.Contains(c.Reason, want) {
			t.Errorf("%s: %q lacks %q", c.Method, c.Reason, want)
		}
	}
}

func TestRefusedSoftly(t *testing.T) {
	for body, want := range map[string]bool{
		`{"success":false,"message":"no"}`:                                     true,
		`{"status":"fail","message":"no"}`:                                     true,
		`{"error":"title is required"}`:                                        true,
		`{"errors":[{"message":"x"}]}`:                                         true,
		`{"statusCode":404,"message":"not found"}`:                             true,
		`{"success":true,"data":{}}`:                                           false,
		`{"error":null,"data":{"id":1}}`:                                       false,
		`{"status":"failed","id":1,"order":1,"amount":2,"total":3,"lines":[]}`: false,
		`{"errors":[],"items":[]}`:                                             false,
		`[]`:                                                                   false,
		`ok`:                                                                   false,
	} {
		if got := refusedSoftly(&target.Exchange{Status: 200, Body: []byte(body)}); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// What breaks the scanner itself over an answer ends neither the run nor the process:
// the operation is told, and the others go on.
func TestBuildSurvivesItself(t *testing.T) {
	const doc = `openapi: 3.0.3
info: {title: Slots, version: "1"}
paths:
  /slots: {post: {requestBody: {required: true, content: {application/json: {schema: {type: object, required: [day], properties: {day: {type: string, format: date}}}}}}, responses: {"201": {description: ok}}}}
  /notes: {get: {responses: {"200": {description: ok}}}}
`
	var asked atomic.Bool
	h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/notes" {
			_, _ = io.WriteString(rw, `[]`)
			return
		}
		asked.Store(true)
		rw.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(rw, `{"errors":[{"field":"day","message":"must be in the future"}]}`)
	})
	now := func() time.Time {
		if asked.Load() {
			panic("no time")
		}
		return time.Now()
	}
	w, _, _ := stage(t, h, doc, Options{Now: now}, pair()...)
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := w.Broken(); len(got) != 1 || got[0] != "POST /slots (no time)" {
		t.Errorf("broke down at %q", got)
	}
	for _, c := range w.Coverage() {
		if c.Reached != (c.Path == "/notes") {
			t.Errorf("%+v", c)
		}
	}
}
