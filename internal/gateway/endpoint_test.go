package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestOwnEndpoints(t *testing.T) {
	g := newTestGateway(t, "", "")
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(body)
	})
	list := []Endpoint{
		{Name: "signals", Path: "/signals", Methods: []string{"POST"}, MaxBody: 8, Handler: echo, Hosts: []string{"*.example.com"}},
	}
	if err := g.endpoints.add(list); err != nil {
		t.Fatal(err)
	}
	if err := g.endpoints.add([]Endpoint{{Name: "login", Path: "/signals", Hosts: []string{"a.example.com"}}}); err == nil {
		t.Error("two endpoints at one place are accepted")
	}
	if err := g.endpoints.add([]Endpoint{{Name: "login", Path: "/a/../b"}}); err == nil {
		t.Error("a path that no request can have is accepted")
	}
	for _, c := range []struct {
		method, host, body string
		unknown            bool // in length
		status             int
		endpoint           string
	}{
		{"POST", "a.example.com", "12345678", false, 202, "signals"},
		{"POST", "a.example.com", "123456789", false, 413, "signals"},
		{"POST", "a.example.com", "123456789", true, 400, "signals"},
		{"GET", "a.example.com", "", false, 405, "signals"},
		{"POST", "example.org", "1", false, 404, ""}, // the API's, which has no such path
	} {
		r := httptest.NewRequest(c.method, "http://"+c.host+"/signals?code=secret", strings.NewReader(c.body))
		if c.unknown {
			r.ContentLength = -1
		}
		w, _ := g.do(answering(200, "text/plain", "upstream"), r)
		if w.Code != c.status {
			t.Errorf("%+v: status %d: %s", c, w.Code, w.Body)
		}
		d := g.trail.decisions[len(g.trail.decisions)-1]
		done := g.trail.completions[len(g.trail.completions)-1]
		if d.Endpoint != c.endpoint || done.Status != c.status || d.ID != done.ID || strings.Contains(d.Path, "secret") {
			t.Errorf("%+v: recorded %+v, %+v", c, d, done)
		}
	}
}
