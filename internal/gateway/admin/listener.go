package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
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
// depends on; rest, when set, answers all other paths.
func Listen(addr string, m *Metrics, ready func() []gateway.Check, rest http.Handler, log *slog.Logger) (*Listener, error) {
	ln, err := net.Listen("tcp", addr) //nolint:noctx // it lives as long as the process
	if err != nil {
		return nil, fmt.Errorf("opening admin.listen (health and metrics; another address, or off, when a second gateway runs here): %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeReady(w, ready()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 20 * time.Second}))
	if rest != nil {
		mux.Handle("/", rest)
	}
	loopback := false
	if ap, err := netip.ParseAddrPort(ln.Addr().String()); err == nil {
		loopback = ap.Addr().Unmap().IsLoopback()
	}
	if !loopback {
		log.Warn("the admin listener can be reached from other machines and asks for no credentials", "address", ln.Addr().String())
	}
	l := &Listener{
		addr: ln.Addr(), done: make(chan struct{}),
		http: &http.Server{Handler: guard(mux, loopback), MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute},
	}
	go func() {
		defer close(l.done)
		if err := l.http.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("admin listener failed", "error", err)
		}
	}()
	return l, nil
}

// guard refuses, on loopback, requests by any name but an address or localhost: a
// page in the operator's browser must not read this by a name of its own that
// resolves to loopback (DNS rebinding, CWE-350).
func guard(next http.Handler, loopback bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if loopback && !isLocalName(r.Host) {
			http.Error(w, "the Host must be an address or localhost", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocalName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	_, err := netip.ParseAddr(host)
	return err == nil || strings.EqualFold(host, "localhost")
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
	if err != nil {
		err = errors.Join(err, l.http.Close())
	}
	<-l.done
	if err != nil {
		return fmt.Errorf("stopping the admin listener: %w", err)
	}
	return nil
}
