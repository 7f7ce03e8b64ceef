package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/pdp"
)

// decisionPoint serves the questions of other services. Its address is fixed at
// start; who may ask, and the certificate, are those of the running config.
type decisionPoint struct {
	current atomic.Pointer[asked]
	http    *http.Server // nil when it shares the admin listener
	done    chan struct{}
}

// asked is what a config makes of it.
type asked struct {
	handler *pdp.Handler
	pair    *tls.Certificate // nil without TLS
}

// newAsked reads keys and certificate; nil when the config turns it off.
func (s *Server) newAsked(cfg *config.Config) (*asked, error) {
	c := cfg.DecisionPoint
	if c.Listen == "off" {
		return nil, nil
	}
	h, err := pdp.New(pdp.Options{Config: c, Policies: func(api string) *authz.Guard { return s.current().Policy(api) }, Trail: s.records, Version: s.version, Log: s.log})
	if err != nil {
		return nil, err
	}
	a := &asked{handler: h}
	if c.TLS != nil {
		pair, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return nil, fmt.Errorf("decision_point.tls: %w", err)
		}
		a.pair = &pair
	}
	return a, nil
}

func (d *decisionPoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a := d.current.Load(); a != nil {
		a.handler.ServeHTTP(w, r)
		return
	}
	http.NotFound(w, r)
}

// listen opens an address of its own.
func (d *decisionPoint) listen(c *config.DecisionPoint, log *slog.Logger) error {
	ln, err := net.Listen("tcp", c.Listen) //nolint:noctx // it lives as long as the process
	if err != nil {
		return fmt.Errorf("opening decision_point.listen: %w", err)
	}
	if c.TLS != nil {
		ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return d.current.Load().pair, nil }})
	}
	d.done = make(chan struct{})
	d.http = &http.Server{Handler: d, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: c.Timeout + 10*time.Second, IdleTimeout: time.Minute}
	go func() {
		defer close(d.done)
		if err := d.http.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			log.Error("decision point failed", "error", err)
		}
	}()
	log.Info("decision point", "address", ln.Addr().String(), "tls", c.TLS != nil)
	return nil
}

func (d *decisionPoint) close(ctx context.Context) error {
	if d.http == nil {
		return nil
	}
	err := d.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, d.http.Close())
	}
	<-d.done
	if err != nil {
		return fmt.Errorf("stopping the decision point: %w", err)
	}
	return nil
}
