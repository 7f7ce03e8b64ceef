package scenario

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/listener"
)

// What a step serves is what the target gets when it calls, with the values that the run has.
func TestServe(t *testing.T) {
	l, err := listener.Start("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, err := http.Get(r.URL.Query().Get("from"))
		if err != nil {
			t.Error(err)
			return
		}
		defer x.Body.Close()
		w.Header().Set("X-Type", x.Header.Get("Content-Type"))
		w.WriteHeader(x.StatusCode)
		_, _ = io.Copy(w, x.Body)
	}))
	defer s.Close()
	sc := &Scenario{Name: "served", Steps: []Step{{
		ID: "attack", Serve: []Serve{{Listener: "a", Status: 203, Type: "text/x-mine", Body: "hello ${canary.c}"}},
		Send:   &Send{Method: "GET", Path: "/", Query: []Pair{{Name: "from", Value: "${listener.a}"}}},
		Expect: []Expect{{Status: "203", Contains: []string{"hello ${canary.c}"}}, {Header: "X-Type", Matches: "^text/x-mine$"}, {Called: "a"}},
	}}}
	stage := &Stage{Sender: plainSender{s.URL}, People: people{}, Listener: l, RunID: "t"}
	out, err := stage.Run(t.Context(), sc, "1")
	if err != nil || out.Verdict != Proven {
		t.Errorf("%+v, %v", out, err)
	}
	stage.Listener = nil
	if out, err := stage.Run(t.Context(), sc, "2"); err != nil || out.Verdict != Inconclusive {
		t.Errorf("without a listener: %+v, %v", out, err)
	}
}
