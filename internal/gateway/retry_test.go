package gateway

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What could not be delivered is made again where that is safe, within the
// attempts and the budget, and never once an answer has begun.
func TestRetry(t *testing.T) {
	refused := &UpstreamError{Code: "gateway.upstream_unreachable", Err: errors.New("connection refused")}
	settings := "  guards: {waf: {mode: \"off\"}, limit: {rates: [{rate: 100000/s}], retry: {attempts: 2, budget: 0.5}}}\n"
	get := func() *http.Request { return httptest.NewRequest(http.MethodGet, "/items", nil) }
	for name, c := range map[string]struct {
		settings string
		request  *http.Request
		err      error
		begins   bool // the answer, before it fails
		fails    int  // calls that do
		calls    int
		status   int
	}{
		"a GET that fails once":              {settings, get(), refused, false, 1, 2, 200},
		"a GET that fails for good":          {settings, get(), refused, false, 9, 2, 502}, // the budget of the first call is one
		"a POST is not made twice":           {settings, post(`{"a":1}`), refused, false, 1, 1, 502},
		"what took too long is not":          {settings, get(), &UpstreamError{Code: "gateway.upstream_timeout", Err: errors.New("slow")}, false, 1, 1, 504},
		"nor what is known to be down":       {settings, get(), &UpstreamError{Code: "gateway.upstream_unavailable", Err: errors.New("down")}, false, 1, 1, 503},
		"nor without the setting":            {"", get(), refused, false, 1, 1, 502},
		"nor when the answer has been begun": {settings, get(), refused, true, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newTestGateway(t, c.settings, "")
			calls := 0
			w, aborted := g.do(func(w http.ResponseWriter, _ *http.Request) error {
				calls++
				if calls > c.fails || c.begins {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(http.StatusOK)
					if _, err := io.WriteString(w, `{"id":1}`); err != nil {
						return err
					}
				}
				if calls <= c.fails {
					return c.err
				}
				return nil
			}, c.request)
			if calls != c.calls {
				t.Errorf("%d calls, want %d", calls, c.calls)
			}
			if aborted != c.begins || !aborted && w.Code != c.status {
				t.Errorf("status %d, cut %v, want %d", w.Code, aborted, c.status)
			}
			g.balanced(t)
		})
	}
}
