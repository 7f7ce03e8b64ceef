package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/control"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/gateway/admin"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
	"github.com/crenel-project/crenel/internal/gateway/watch"
	"github.com/crenel-project/crenel/internal/gateway/wire"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authz/bundle"
	"github.com/crenel-project/crenel/internal/guard/authz/relation/source"
	"github.com/crenel-project/crenel/internal/guard/limit"
	"github.com/crenel-project/crenel/internal/signals"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/trail"
)

// Options are what a server is made of.
type Options struct {
	Config *config.Config
	// Load reads the config anew, for a reload.
	Load    func() (*config.Config, error)
	Log     *slog.Logger
	Version string
	// Started is called once, when the server accepts requests. May be nil.
	Started func(s *Server)
}

// Server is a running gateway.
type Server struct {
	load    func() (*config.Config, error)
	log     *slog.Logger
	version string
	started time.Time

	records   *trail.Log
	decisions *decisions
	buckets   *limit.Memory
	keys      *authn.KeyStore
	relations *source.Pool // outlives reloads: what was read last decides on
	bundles   *bundle.Pool // likewise
	state     state.Store
	streams   *gateway.Streams
	leanings  *leanings
	metrics   *admin.Metrics
	alarms    *admin.Alarms
	tracer    *admin.Tracer
	plane     *caddy.Plane
	admin     *admin.Listener
	point     decisionPoint // where others ask the policies
	control   *control.Server

	refusals  sampled     // log lines of refused bytes
	draining  atomic.Bool // it stops: load balancers should look elsewhere
	reloading sync.Mutex  // one at a time
	mu        sync.Mutex  // guards what follows
	cfg       *config.Config
	gw        *gateway.Gateway
	signals   *signals.Receiver // nil when nobody sends events
	reloads   int
	lastError string
}

// Run serves until ctx ends, then stops gracefully: it accepts no more, lets
// running exchanges end within timeouts.shutdown, and writes the last records.
func Run(ctx context.Context, o Options) (err error) {
	s := &Server{load: o.Load, log: o.Log, version: o.Version, started: time.Now(), cfg: o.Config}
	// From the first moment to the last: unheard, the signal would end the process.
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	defer func() { err = errors.Join(err, s.stop(context.WithoutCancel(ctx))) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	watched, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { s.onHangup(watched, hup) })
	wg.Go(func() { s.watchDependencies(watched) })
	wg.Go(func() { watch.Files(watched, s.files, func() { s.reload(watched, "a changed file") }) })
	tuneCollector(int64(s.cfg.Server.Limits.Memory))
	if o.Started != nil {
		o.Started(s)
	}
	<-ctx.Done()
	s.draining.Store(true)
	s.log.Info("stopping: running exchanges may end, a second signal ends them at once",
		"in_flight", s.current().Inflight(), "grace", s.config().Server.Timeouts.Shutdown.String())
	return nil
}

// open makes what outlives reloads.
func (s *Server) open(ctx context.Context) error {
	cfg := s.cfg
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	s.metrics = admin.NewMetrics(s.version)
	s.alarms = admin.NewAlarms(cfg.Alarms.Webhook, cfg.Alarms.Every, s.metrics, s.log)
	var err error
	if err = os.MkdirAll(filepath.Dir(cfg.Trail.File), 0o700); err != nil {
		return fmt.Errorf("making the event file's folder: %w", err)
	}
	s.records, err = trail.Open(trail.Options{
		File: cfg.Trail.File, Audit: cfg.Trail.Audit, Queue: cfg.Trail.Queue, Rotate: int64(cfg.Trail.Rotate), Keep: cfg.Trail.Keep,
		Log: s.log, Alarm: s.alarms.Raise,
	})
	if errors.Is(err, trail.ErrLocked) {
		return fmt.Errorf("another gateway runs with the data directory %s: stop it, or give this one its own (--data-dir): %w", cfg.DataDir, err)
	}
	if err != nil {
		return fmt.Errorf("opening the event file: %w", err)
	}
	if s.decisions, err = openDecisions(cfg, s.log, s.alarms.Raise); err != nil {
		return err
	}
	s.tracer, err = admin.NewTracer(ctx, cfg.Tracing, s.version)
	if err != nil {
		return err
	}
	s.buckets = limit.NewMemory(0, time.Now())
	s.keys = authn.NewKeyStore(nil, s.log, time.Now)
	s.keys.KeepIn(filepath.Join(cfg.DataDir, "issuer-keys"))
	s.bundles = bundle.NewPool(filepath.Join(cfg.DataDir, "bundles"), s.log, nil)
	s.relations = source.NewPool(s.log, time.Now)
	if s.state, err = openState(cfg, s.log); err != nil {
		return err
	}
	s.streams = gateway.NewStreams(s.state, s.log, nil)
	s.plane = caddy.New(caddy.Options{Log: s.log, OnRefused: func(r wire.Refusal) {
		s.metrics.Refused(r.Status)
		if more, ok := s.refusals.may(time.Now()); ok {
			s.log.Warn("request refused before it was one", "client", r.Remote.String(), "status", r.Status, "reason", r.Reason, "unlogged", more)
		}
	}, OnTurnedAway: func(remote net.Addr, why string, all wire.TurnedAway) {
		s.log.Warn("connections are turned away", "client", remote.String(), "reason", why,
			"of_one_address", all.Address, "no_place", all.All, "displaced", all.Displaced, "floods", all.Flood)
	}})
	return nil
}

// begin compiles the first config and starts to serve.
func (s *Server) begin(ctx context.Context) error {
	gw, events, err := s.compile(ctx, s.cfg)
	if err != nil {
		return err
	}
	s.gw = gw
	s.decisions.commit(s.cfg)
	s.gauges()
	asked, err := s.newAsked(s.cfg)
	if err != nil {
		return errors.Join(err, discard(gw, events))
	}
	s.point.current.Store(asked)
	// The operator's side comes first: exchanges lean on it from the first on.
	if s.cfg.Admin.Listen != "off" {
		var rest http.Handler
		if s.cfg.DecisionPoint.Listen == "admin" {
			rest = &s.point
		}
		if s.admin, err = admin.Listen(s.cfg.Admin.Listen, s.metrics, s.ready, rest, s.log); err != nil {
			return errors.Join(err, discard(gw, events))
		}
	}
	if l := s.cfg.DecisionPoint.Listen; l != "off" && l != "admin" {
		if err := s.point.listen(&s.cfg.DecisionPoint, s.log); err != nil {
			return errors.Join(err, discard(gw, events))
		}
	}
	if s.control, err = control.Listen(s.cfg.ControlSocket(), s, s.log); err != nil {
		return errors.Join(err, discard(gw, events))
	}
	// No request waits for what can be done before there are any.
	gw.Warm()
	if err := s.plane.Load(s.cfg, gw); err != nil {
		return errors.Join(err, discard(gw, events))
	}
	s.streams.Use(gw)
	s.adopt(events)
	return nil
}

func (s *Server) gauges() {
	s.metrics.Gauge("crenel_trail_waiting", "Records queued for the event file.", func() float64 { return float64(s.records.Stats().Waiting) })
	s.metrics.Gauge("crenel_trail_failing", "1 while the event file cannot be written.", func() float64 {
		if s.records.Stats().Failing {
			return 1
		}
		return 0
	})
	if log := s.decisions.log; log != nil {
		s.metrics.Gauge("crenel_decision_log_waiting", "Decisions queued for the decision log.", func() float64 { return float64(log.Stats().Waiting) })
		s.metrics.Gauge("crenel_decision_log_lost", "Decisions that the decision log could not keep.", func() float64 { return float64(log.Stats().Lost) })
	}
	s.metrics.Gauge("crenel_exchanges_in_flight", "Exchanges under way.", func() float64 { return float64(s.current().Inflight()) })
	s.metrics.Gauge("crenel_streams_open", "WebSockets, event streams, long answers and uploads that are ruled on again while they run.", func() float64 { return float64(s.streams.Open()) })
	s.metrics.Gauge("crenel_limit_shared_buckets", "Requests charged to a bucket shared with others, since a rate had more callers than it remembers.",
		func() float64 { return float64(s.buckets.Crowded()) })
	s.metrics.Gauge("crenel_limit_away", "1 while the counters that gateways share cannot be reached and each admits its own share.", func() float64 {
		if _, err := s.buckets.Away(); err != nil {
			return 1
		}
		return 0
	})
	s.metrics.Gauge("crenel_limit_alone", "Requests ruled on by this gateway alone, as the shared counters could not be reached.",
		func() float64 { return float64(s.buckets.Local()) })
	s.metrics.Gauge("crenel_connections_open", "Open connections of clients.", func() float64 { n, _ := s.plane.Connections(); return float64(n) })
	s.metrics.Gauge("crenel_connections_turned_away", "Connections that were not taken, closed for another's, or closed for a flood of HTTP/2 frames.",
		func() float64 {
			_, t := s.plane.Connections()
			return float64(t.Address + t.All + t.Displaced + t.Flood)
		})
	s.metrics.Collector(upstreams{s.plane})
	s.metrics.Collector(upstreamLimits{s.buckets})
	s.leanings = &leanings{
		keys: s.keys.Statuses, sources: func() []gateway.SourceInfo { return s.current().Sources() }, streams: s.signalStatuses,
		state: s.state, now: time.Now,
	}
	s.metrics.Collector(s.leanings)
}

// compile makes a generation of a config.
func (s *Server) compile(ctx context.Context, cfg *config.Config) (*gateway.Gateway, *signals.Receiver, error) {
	events, err := s.newSignals(cfg)
	if err != nil {
		return nil, nil, err
	}
	d := gateway.Deps{
		Log: s.log, Trail: s.records, Buckets: s.buckets, Keys: s.keys, Relations: s.relations, Bundles: s.bundles, State: s.state, Streams: s.streams, Observer: s, Decisions: s.decisions,
		Client: &http.Client{Timeout: 10 * time.Second},
	}
	if s.tracer != nil {
		d.Tracer = s.tracer
	}
	if events != nil {
		d.Endpoints = append(d.Endpoints, events.Endpoints()...)
	}
	gw, err := gateway.New(ctx, cfg, d)
	if err != nil {
		if events != nil {
			events.Close()
		}
		return nil, nil, err
	}
	return gw, events, nil
}

// discard lets go of a generation that did not come to run.
func discard(gw *gateway.Gateway, events *signals.Receiver) error {
	if events != nil {
		events.Close()
	}
	return gw.Close()
}

func (s *Server) current() *gateway.Gateway {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gw
}

// config returns the config that runs.
func (s *Server) config() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// onHangup reloads on SIGHUP.
func (s *Server) onHangup(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			s.reload(ctx, "SIGHUP")
		}
	}
}

// reload is Reload for those whom nobody waits for.
func (s *Server) reload(ctx context.Context, why string) {
	if err := s.Reload(ctx, why); err != nil {
		s.log.Error("reload refused, the running config stays", "asked_by", why, "error", err)
		return
	}
	s.log.Info("reloaded", "asked_by", why)
}

// Reload loads the config anew, checks it whole, and swaps it in without
// dropping a request. When anything fails the running one stays.
func (s *Server) Reload(ctx context.Context, actor string) error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	err := s.swap(ctx)
	s.metrics.Reloaded(err)
	s.mu.Lock()
	if err == nil {
		s.reloads++
		s.lastError = ""
	} else {
		s.lastError = err.Error()
	}
	s.mu.Unlock()
	if err != nil {
		s.alarms.Raise("config.refused", "a new config was refused, asked for by "+actor+": "+err.Error())
	}
	return err
}

func (s *Server) swap(ctx context.Context) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	old := s.config()
	if fixed := restartOnly(old, cfg); len(fixed) > 0 {
		return fmt.Errorf("%v cannot change while the gateway runs: restart it for that", fixed)
	}
	asked, err := s.newAsked(cfg)
	if err != nil {
		return err
	}
	gw, events, err := s.compile(ctx, cfg)
	if err != nil {
		s.decisions.drop()
		return err
	}
	gw.Warm()
	if err := s.plane.Load(cfg, gw); err != nil {
		s.decisions.drop()
		return errors.Join(err, discard(gw, events))
	}
	s.point.current.Store(asked)
	s.mu.Lock()
	s.cfg, s.gw = cfg, gw
	s.mu.Unlock()
	s.streams.Use(gw)
	s.adopt(events)
	s.decisions.commit(cfg)
	tuneCollector(int64(s.cfg.Server.Limits.Memory))
	return nil
}

// restartOnly names the settings that differ and are read only at start.
func restartOnly(was, is *config.Config) []string {
	var out []string
	for name, pair := range map[string][2]any{
		"data_dir":     {was.DataDir, is.DataDir},
		"trail":        {was.Trail, is.Trail},
		"decision_log": {was.DecisionLog, is.DecisionLog},
		"admin":        {was.Admin, is.Admin},
		"tracing":      {was.Tracing, is.Tracing},
		"alarms":       {was.Alarms, is.Alarms},
		"log":          {was.Log, is.Log},
		"state":        {was.State, is.State},

		"decision_point.listen": {was.DecisionPoint.Listen, is.DecisionPoint.Listen},
		"decision_point.tls":    {was.DecisionPoint.TLS != nil, is.DecisionPoint.TLS != nil},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			out = append(out, name)
		}
	}
	return out
}

// files are those that the running config was made of.
func (s *Server) files() []string {
	cfg := s.config()
	out := []string{cfg.Path()}
	for i := range cfg.Server.TLS.Certificates {
		c := &cfg.Server.TLS.Certificates[i]
		out = append(out, c.Cert, c.Key)
	}
	out = append(out, cfg.Server.TLS.ClientCA)
	out = append(out, cfg.SecretFiles()...)
	out = append(out, cfg.DecisionPoint.Keys)
	if t := cfg.DecisionPoint.TLS; t != nil {
		out = append(out, t.Cert, t.Key)
	}
	for _, a := range s.current().APIs() {
		out = append(out, a.Documents...)
	}
	for i := range cfg.APIs {
		a := &cfg.APIs[i]
		out = append(out, a.Spec, a.Upstream.TLS.CA, a.Upstream.TLS.Cert, a.Upstream.TLS.Key)
		out = append(out, a.Guards.Authz.Policies...)
		out = append(out, a.Guards.Authz.Data...)
		out = append(out, bundleFiles(a.Guards.Authz.Bundles)...)
		out = append(out, a.Guards.Authz.Shadow.Policies...)
		out = append(out, a.Guards.Authz.Shadow.Data...)
		out = append(out, a.Guards.Authz.Shadow.Bundle)
		out = append(out, a.Guards.WAF.Rules...)
		out = append(out, a.ClientFiles()...)
		for j := range a.Guards.Authn.Methods {
			m := &a.Guards.Authn.Methods[j]
			if m.APIKey != nil {
				out = append(out, m.APIKey.File)
			}
			if m.JWT != nil {
				out = append(out, m.JWT.JWKS, m.JWT.CA)
			}
			if i := m.Introspection; i != nil {
				out = append(out, i.CA, i.Auth.Key, i.Auth.Cert)
			}
		}
	}
	return out
}

// bundleFiles are those that bundles are fetched and verified with. A bundle that
// is a file itself is looked at by its fetcher.
func bundleFiles(list []config.Bundle) []string {
	var out []string
	for i := range list {
		if s := list[i].Signing; s != nil {
			for _, k := range s.Keys {
				out = append(out, k.File)
			}
		}
		if t := list[i].TLS; t != nil {
			out = append(out, t.CA, t.Cert, t.Key)
		}
	}
	return out
}

// stop ends everything that was started, in the reverse order.
func (s *Server) stop(ctx context.Context) error {
	grace := s.config().Server.Timeouts.Shutdown
	ctx, cancel := context.WithTimeout(ctx, grace+10*time.Second)
	defer cancel()
	var errs []error
	if s.control != nil {
		errs = append(errs, s.control.Close(ctx))
	}
	if s.plane != nil {
		errs = append(errs, s.plane.Stop(ctx))
	}
	s.adopt(nil)
	errs = append(errs, s.point.close(ctx))
	if s.admin != nil {
		errs = append(errs, s.admin.Close(ctx))
	}
	errs = append(errs, s.decisions.close(ctx))
	errs = append(errs, s.tracer.Close(ctx))
	if s.records != nil {
		errs = append(errs, s.records.Close())
	}
	if s.streams != nil {
		s.streams.Close()
	}
	if s.leanings != nil {
		s.leanings.close()
	}
	if s.state != nil {
		errs = append(errs, s.state.Close())
	}
	if s.alarms != nil {
		s.alarms.Close()
	}
	return errors.Join(errs...)
}
