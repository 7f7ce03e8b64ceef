// Package crenel is the guard chain as ordinary net/http middleware, for Go
// services that want to be guarded in their own process instead of behind the
// gateway.
//
//	cfg, err := config.Load("crenel.yaml")
//	…
//	guard, err := crenel.New(ctx, cfg, nil)
//	…
//	defer guard.Close()
//	http.ListenAndServe("127.0.0.1:8080", guard.Handler(mux))
//
// It is the same chain that "crenel gateway" runs: the same config, guards and
// event file. What belongs to the data plane (listeners, TLS, upstream servers,
// reload) and to the operator (metrics, traces, alarms) is the service's own: of
// the config's server section only limits, trusted proxies and the time-out for
// bodies are used, of upstream credentials and strip_base_path, and admin, tracing
// and alarms not at all. What would be an alarm is an error in the log.
package crenel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/limit"
	"github.com/crenel-project/crenel/internal/trail"
)

// Guard is a running chain.
type Guard struct {
	gw  *gateway.Gateway
	log *trail.Log
}

// New compiles a config and opens its event file. log may be nil: then nothing
// is logged. The error names every mistake.
func New(ctx context.Context, cfg *config.Config, log *slog.Logger) (*Guard, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	records, err := trail.Open(trail.Options{
		File: cfg.Trail.File, Audit: cfg.Trail.Audit, Queue: cfg.Trail.Queue,
		Rotate: int64(cfg.Trail.Rotate), Keep: cfg.Trail.Keep, Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("opening the event file: %w", err)
	}
	gw, err := gateway.New(ctx, cfg, gateway.Deps{Log: log, Trail: records, Buckets: limit.NewMemory(0, time.Now())})
	if err != nil {
		return nil, errors.Join(err, records.Close())
	}
	return &Guard{gw: gw, log: records}, nil
}

// Handler guards next: a request that the chain refuses is answered with a
// problem document (RFC 9457) and never reaches it.
func (g *Guard) Handler(next http.Handler) http.Handler {
	return g.gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, r *http.Request) error {
			next.ServeHTTP(w, r)
			return nil
		}
	})
}

// Close releases what the chain holds and writes the last records. Call it when
// the server has stopped.
func (g *Guard) Close() error {
	return errors.Join(g.gw.Close(), g.log.Close())
}
