package harbour_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/issuer"
	"github.com/crenel-project/crenel/demo/harbour/traffic"
)

func document(t *testing.T) (*openapi3.T, routers.Router) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(harbour.Spec())
	if err != nil {
		t.Fatal(err)
	}
	err = doc.Validate(t.Context(), openapi3.EnableExamplesValidation())
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: "http://harbour.example"}}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

func TestSpecIsValid(t *testing.T) { document(t) }

// TestHonestTrafficKeepsTheContract: what honest callers send, and what the
// fixed Harbour answers, is what the document says, to the last property.
func TestHonestTrafficKeepsTheContract(t *testing.T) {
	_, router := document(t)
	start := time.Date(2026, 3, 17, 0, 0, 0, 0, time.UTC)
	now := start
	clock := func() time.Time { return now }
	tokens, err := issuer.New(issuerURL, clock)
	if err != nil {
		t.Fatal(err)
	}
	s, err := harbour.New(harbour.Options{
		Clock: clock, Seed: 1, Residents: traffic.Residents, PasswordRounds: 10, Issuer: issuerURL, JWKS: tokens.Keys,
		HTTPClient: &http.Client{Transport: noNetwork{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	judge := &contract{router: router, seen: map[string]int{}}
	player := &traffic.Player{
		Do: judge.around(s), Start: start, SetClock: func(to time.Time) { now = to },
		AccessToken: func(_ context.Context, client string, scopes []string) (string, error) {
			return tokens.Token(client, scopes...)
		},
	}
	player.Observe = func(c traffic.Call, r *http.Request, a traffic.Answer) { judge.answer(t, c, r, a) }
	calls := traffic.Day(1)
	if testing.Short() {
		calls = traffic.Head(calls, 4*time.Hour)
	}
	_, err = player.Play(t.Context(), calls)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations seen", len(judge.seen))
	if !testing.Short() && len(judge.seen) < 60 {
		t.Errorf("honest people use %d operations only", len(judge.seen))
	}
}

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network in this test")
}

// enough calls of an operation are held against the document; the validator is slow.
const enough = 60

// contract holds calls against the document.
type contract struct {
	router  routers.Router
	seen    map[string]int // calls of an operation
	request error
	input   *openapi3filter.RequestValidationInput
}

// around validates each request before Harbour reads its body.
func (c *contract) around(h http.Handler) func(*http.Request) (*http.Response, error) {
	do := traffic.InProcess(h)
	return func(r *http.Request) (*http.Response, error) {
		var body []byte
		if r.Body != nil {
			body, _ = io.ReadAll(r.Body)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		route, params, err := c.router.FindRoute(r)
		c.request, c.input = err, nil
		if err == nil {
			c.seen[route.Operation.OperationID]++
		}
		if err == nil && c.seen[route.Operation.OperationID] < enough {
			c.input = &openapi3filter.RequestValidationInput{
				Request: r, Route: route, PathParams: params,
				Options: &openapi3filter.Options{
					AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true,
					// kin-openapi reads no XML.
					ExcludeRequestBody: r.Header.Get("Content-Type") == "application/xml",
				},
			}
			c.request = openapi3filter.ValidateRequest(r.Context(), c.input)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		return do(r)
	}
}

func (c *contract) answer(t *testing.T, call traffic.Call, r *http.Request, a traffic.Answer) {
	t.Helper()
	if t.Failed() {
		return // the first broken call says enough
	}
	if a.Status < 300 && c.request != nil {
		t.Errorf("%s %s is answered %d and its request is not in the contract: %v", r.Method, r.URL, a.Status, c.request)
	}
	// A wrong check digit, a coupon, an id: only some mistakes can be seen in the document.
	if a.Status == http.StatusBadRequest || a.Status == http.StatusMethodNotAllowed {
		t.Errorf("%s %s: honest people do not cause %d", r.Method, r.URL, a.Status)
	}
	if c.input == nil {
		return
	}
	options := *c.input.Options
	options.ExcludeResponseBody = a.Header.Get("Content-Type") == "image/png" || a.Header.Get("Content-Type") == "application/pdf"
	err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: c.input, Status: a.Status, Header: a.Header, Options: &options, Body: io.NopCloser(bytes.NewReader(a.Body)),
	})
	if err != nil {
		t.Errorf("%s %s: the answer %d is not in the contract: %v", r.Method, r.URL, a.Status, err)
	}
}

// strict is a gateway of the simplest kind: it refuses what the document does not have.
type strict struct {
	router routers.Router
	next   http.RoundTripper
}

func refusal(r *http.Request, status int, err error) *http.Response {
	return &http.Response{StatusCode: status, Request: r, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(err.Error()))}
}

func (s strict) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	inner := r.Clone(r.Context())
	inner.URL.Scheme, inner.URL.Host, inner.Host = "http", "harbour.example", "harbour.example"
	inner.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := s.router.FindRoute(inner)
	if err != nil {
		return refusal(r, http.StatusNotFound, err), nil
	}
	input := &openapi3filter.RequestValidationInput{
		Request: inner, Route: route, PathParams: params,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true, RejectWhenRequestBodyNotSpecified: true},
	}
	err = openapi3filter.ValidateRequest(r.Context(), input)
	if err != nil {
		return refusal(r, http.StatusUnprocessableEntity, err), nil
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	resp, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	err = openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Options: input.Options, Body: io.NopCloser(bytes.NewReader(answer)),
	})
	if err != nil && !strings.Contains(err.Error(), "unsupported content type") {
		return refusal(r, http.StatusBadGateway, err), nil
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	return resp, nil
}

// TestContractStopsWhatItClaims: where a hole's guards name the contract, the
// published document alone refuses the attack, with every hole open.
func TestContractStopsWhatItClaims(t *testing.T) {
	_, router := document(t)
	base, client, env := start(t, harbour.HoleIDs()...)
	guarded := &http.Client{Transport: strict{router, client.Transport}}
	for _, h := range harbour.Holes() {
		claims := slices.ContainsFunc(h.Guards, func(g string) bool { return strings.HasPrefix(g, "contract-") })
		t.Run(h.ID, func(t *testing.T) {
			result, err := harbour.RunAttack(t.Context(), guarded, base, h, env)
			if err != nil {
				t.Fatal(err)
			}
			if claims && result.Open {
				t.Errorf("the document lets the attack through: %s", result.Evidence)
			}
			if !claims && !result.Open {
				t.Logf("the document stops this one too, at %q: %s", result.RefusedAt, result.Evidence)
			}
		})
	}
}
