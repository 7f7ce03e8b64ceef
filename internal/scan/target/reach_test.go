package target

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A target that leads elsewhere, or wants a client certificate, is told as that.
func TestReachAdvice(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://harbour.example.com/login?from=1", http.StatusFound)
	}))
	defer elsewhere.Close()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login", http.StatusFound)
	}))
	defer home.Close()
	mutual := httptest.NewUnstartedServer(http.NotFoundHandler())
	mutual.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	mutual.StartTLS()
	defer mutual.Close()
	for target, want := range map[string]string{elsewhere.URL: "It leads to https://harbour.example.com, which", home.URL: "", mutual.URL: "wants a client certificate"} {
		c, err := New(Options{Target: target, Insecure: true})
		if err != nil {
			t.Fatal(err)
		}
		stages := c.Reach(t.Context())
		last := stages[len(stages)-1]
		if want == "" && last.Advice != "" || !strings.Contains(last.Advice, want) {
			t.Errorf("%+v, want %q", last, want)
		}
		_ = c.Close()
	}
}
