package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/crenel-project/crenel/internal/gateway"
)

// Listener serves /healthz, /readyz and /metrics.
type Listener struct {
	http *http.Server
	addr net.Addr
	done chan struct{}
}

// Listen opens the address and serves on it. ready lists what the gateway
// depends on.
func Listen(addr string, m *Metrics, ready func() []gateway.Check, log *slog.Logger) (*Listener, error) {
	ln, err := net.Listen("tcp", addr) //nolint:noctx // it lives as long as the process
	if err != nil {
		return nil, fmt.Errorf("opening the admin listener: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReady(w, ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	l := &Listener{
		addr: ln.Addr(), done: make(chan struct{}),
		http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute},
	}
	go func() {
		defer close(l.done)
		if err := l.http.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin listener failed", "error", err)
		}
	}()
	return l, nil
}

// writeReady answers 200 when everything is well, else 503 with what is not.
func writeReady(w http.ResponseWriter, checks []gateway.Check) {
	type check struct {
		Name  string `json:"name"`
		Error string `json:"error,omitempty"`
	}
	out := struct {
		Ready  bool    `json:"ready"`
		Checks []check `json:"checks"`
	}{Ready: true, Checks: []check{}}
	for _, c := range checks {
		out.Ready = out.Ready && c.Error == ""
		out.Checks = append(out.Checks, check(c))
	}
	body, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		http.Error(w, "encoding the checks", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !out.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	w.Write(append(body, '\n'))
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.addr }

// Close stops it.
func (l *Listener) Close(ctx context.Context) error {
	err := l.http.Shutdown(ctx)
	<-l.done
	if err != nil {
		return fmt.Errorf("stopping the admin listener: %w", err)
	}
	return nil
}
