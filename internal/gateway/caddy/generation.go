package caddy

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	caddycore "github.com/caddyserver/caddy/v2"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
)

// generation is one config at work: its Gateway and the handlers that call its
// upstreams. It counts the exchanges that run in it and is closed when it has
// been retired and the last of them has ended.
type generation struct {
	id        uint64
	gw        Gateway
	handler   http.Handler
	upstreams map[string]*upstream
	log       *slog.Logger

	// adopted is set once the generation runs; until then the Gateway is the caller's to close.
	adopted atomic.Bool
	refs    atomic.Int64 // exchanges, and one while it is current
	cancel  func()       // ends the Caddy modules
	once    sync.Once
	drained chan struct{} // closed when it has been closed
	timer   *time.Timer
}

// provision builds the generation's upstream handlers as Caddy modules of ctx.
func (g *generation) provision(ctx caddycore.Context, cfg *config.Config) error {
	own, cancel := caddycore.NewContext(ctx)
	g.upstreams = make(map[string]*upstream, len(cfg.APIs))
	var errs []error
	for i := range cfg.APIs {
		up, err := newUpstream(own, cfg, &cfg.APIs[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("upstream of api %s: %w", cfg.APIs[i].Name, err))
			continue
		}
		g.upstreams[cfg.APIs[i].Name] = up
	}
	if len(errs) > 0 {
		cancel()
		return errors.Join(errs...)
	}
	g.cancel = cancel
	g.handler = g.gw.Handler(func(api string) gateway.Upstream {
		up := g.upstreams[api]
		if up == nil {
			return func(http.ResponseWriter, *http.Request) error {
				return &gateway.UpstreamError{Code: "gateway.internal", Err: fmt.Errorf("no upstream for api %q", api)}
			}
		}
		return up.call
	})
	g.refs.Store(1)
	g.drained = make(chan struct{})
	return nil
}

// enter counts an exchange in; false when the generation has ended already.
func (g *generation) enter() bool {
	for {
		n := g.refs.Load()
		if n == 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// leave counts an exchange out.
func (g *generation) leave() {
	if g.refs.Add(-1) == 0 {
		g.close()
	}
}

// retire ends the generation's time as the current one. Tunnels such as
// WebSockets may live on for linger; then they are closed.
func (g *generation) retire(linger time.Duration) {
	g.timer = time.AfterFunc(linger, g.end) // even when none runs: one may be about to enter
	g.leave()
}

// end closes tunnels and idle connections to upstreams and stops health checks.
func (g *generation) end() { g.once.Do(g.cancel) }

func (g *generation) close() {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.end()
	if g.adopted.Load() {
		if err := g.gw.Close(); err != nil {
			g.log.Warn("closing an old generation", "generation", g.id, "error", err)
		}
	}
	close(g.drained)
}
