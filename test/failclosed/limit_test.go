package failclosed

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/limit/hashcash"
	"github.com/crenel-project/crenel/internal/state"
)

// uncounted is shared state whose counters cannot be reached.
func uncounted(*stand) state.Store { return noBuckets{state.NewMemory(nil)} }

type noBuckets struct{ *state.Memory }

func (noBuckets) Take(context.Context, string, []state.Charge, []state.Balance) (bool, error) {
	return false, errors.New("connection refused")
}

func (noBuckets) Add(context.Context, string, []state.Charge, []state.Balance) error {
	return errors.New("connection refused")
}

// calls makes n good calls first.
func calls(n int) func(*stand) {
	return func(s *stand) {
		for range n {
			s.serve(httptest.NewRecorder(), s.get("/things"))
		}
	}
}

const signIn = `
openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /login:
    post:
      operationId: login
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: ok}, "401": {description: no}}
  /basket: {get: {operationId: basket, responses: {"200": {description: ok}}}}
  /orders:
    get: {operationId: orders, parameters: [{name: limit, in: query, schema: {type: integer}}], responses: {"200": {description: ok}}}
    post:
      operationId: order
      requestBody: {content: {application/json: {schema: {type: array, items: {type: integer}}}}}
      responses: {"200": {description: ok}}
`

var shopFiles = map[string]string{"api.yaml": signIn}

func anonymous(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func guessing(*stand) *http.Request {
	return anonymous(http.MethodPost, "/login", `{"email":"ann@example.com","password":"guess"}`)
}

func ordering(*stand) *http.Request { return anonymous(http.MethodPost, "/orders", `[1,2,3]`) }

// answered brings the work that a first try was asked for.
func answered(s *stand) *http.Request {
	w := httptest.NewRecorder()
	s.serve(w, ordering(s))
	challenge, _, _ := strings.Cut(w.Header().Get("Crenel-Challenge"), ";")
	answer, err := hashcash.Solve(challenge)
	if err != nil {
		s.t.Fatal(err)
	}
	r := ordering(s)
	r.Header.Set("Crenel-Proof", answer)
	return r
}

// hold keeps one connection open to a row's gateway.
func hold(s *stand, listen string) {
	c, err := net.Dial("tcp", listen)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	time.Sleep(100 * time.Millisecond) // until it has been accepted
}

func unreachable(http.ResponseWriter, *http.Request) error {
	return &gateway.UpstreamError{Code: "gateway.upstream_unreachable", Err: errors.New("connection refused")}
}

// busyRow is a row whose upstream is busy with a first call.
func busyRow(what, setting, guards string, status int, code string) *row {
	inside, leave := make(chan bool), make(chan bool)
	var first atomic.Bool
	return &row{
		what: what, setting: setting, guards: guards, status: status, code: code,
		upstream: func(w http.ResponseWriter, _ *http.Request) error {
			if first.CompareAndSwap(false, true) {
				close(inside)
				<-leave
			}
			w.Header().Set("Content-Type", "application/json")
			_, err := io.WriteString(w, `{"a":"b"}`)
			return err
		},
		before: func(s *stand) {
			handler := s.handler
			var wg sync.WaitGroup
			wg.Go(func() { handler.ServeHTTP(httptest.NewRecorder(), s.get("/things")) })
			<-inside
			s.t.Cleanup(func() { close(leave); wg.Wait() })
		},
	}
}

const oneAtOnce = "    limit: {concurrency: {most: 1, least: 1, adaptive: false, queue: 0}}\n"

var limitRows = []*row{
	{what: "a quota of the calendar is used up", setting: "guards.limit.rates.window", guards: "    limit: {rates: [{by: identity, rate: 1/d, window: calendar}]}\n", before: calls(1), status: 429, code: "limit.quota"},
	{what: "the counters that gateways share cannot be reached, and this one's share is used up", setting: "guards.limit.away_share", state: uncounted,
		guards: "    limit: {rates: [{by: identity, rate: 20/h}], away_share: 0.1}\n", before: calls(2), status: 429, code: "limit.rate"},
	busyRow("a caller has as many calls under way as it may", "guards.limit.concurrent", "    limit: {concurrent: [{by: identity, most: 1}]}\n", 429, "limit.concurrent"),
	busyRow("the upstream is asked for as much as it may be", "guards.limit.concurrency", oneAtOnce, 503, "limit.overloaded"),
	{what: "most calls of the upstream fail", setting: "guards.limit.breaker", guards: "    limit: {breaker: {calls: 3, failures: 0.5}}\n", upstream: unreachable, before: calls(3), status: 503, code: "limit.breaker"},
	{what: "too many passwords are guessed", setting: "guards.limit.login", guards: "    authn: {mode: \"off\"}\n    limit: {login: {tries: 2}}\n", files: shopFiles, upstream: answering(401, nil, `{}`),
		before: func(s *stand) {
			for range 2 {
				s.serve(httptest.NewRecorder(), guessing(s))
			}
		}, request: guessing, status: 429, code: "limit.login"},
	{what: "a sensitive step without the work that it costs", setting: "guards.limit.flows.challenge", guards: "    authn: {mode: \"off\"}\n    limit: {flows: [{name: buy, steps: [order], challenge: always}]}\n", files: shopFiles, request: ordering, status: 429, code: "limit.challenge"},
	{what: "whether a challenge's answer was used before cannot be known", setting: "guards.limit.flows.challenge", state: forgetful, guards: "    authn: {mode: \"off\"}\n    limit: {challenge: {bits: 1}, flows: [{name: buy, steps: [order], challenge: always}]}\n", files: shopFiles, request: answered, status: 503, code: "limit.unavailable"},
	{what: "a step of a flow without the one before", setting: "guards.limit.flows.steps", guards: "    authn: {mode: \"off\"}\n    limit: {flows: [{name: buy, steps: [basket, order]}]}\n", files: shopFiles, request: ordering, status: 403, code: "limit.flow"},
	{what: "a page larger than allowed, which the document does not bound", setting: "guards.limit.page_size", guards: "    authn: {mode: \"off\"}\n    limit: {page_size: 100}\n", files: shopFiles,
		request: func(*stand) *http.Request { return anonymous(http.MethodGet, "/orders?limit=101", "") }, status: 422, code: "limit.page_size"},
	{what: "a batch larger than allowed, which the document does not bound", setting: "guards.limit.batch", guards: "    authn: {mode: \"off\"}\n    limit: {batch: 2}\n", files: shopFiles, request: ordering, status: 413, code: "limit.batch"},
	{what: "more connections than there are places", setting: "server.limits.connections", note: "the connection is closed; a newcomer from an address with fewer gets the place of one of the busiest", server: "limits: {connections: 1}", real: idle, hold: hold, closed: true},
	{what: "more connections of one address than it may have", setting: "server.limits.connections_per_address", note: "the connection is closed", server: "limits: {connections_per_address: 1}", real: idle, hold: hold, closed: true},
}

// idle is an upstream that nobody comes to.
func idle(s *stand) string { return "http://" + freeport.Address(s.t) }
