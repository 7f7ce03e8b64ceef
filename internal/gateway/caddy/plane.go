package caddy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	caddycore "github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	// The Caddy modules that the configs made here name.
	_ "github.com/caddyserver/caddy/v2/modules/caddyevents"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddypki"
	_ "github.com/caddyserver/caddy/v2/modules/caddytls/standardstek"
	_ "github.com/caddyserver/caddy/v2/modules/filestorage"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/gateway/wire"
)

// Options are what a Plane is given once, for all its configs.
type Options struct {
	Log *slog.Logger
	// OnRefused is told of each request that was refused before it became an
	// exchange: its bytes are not HTTP, or such that parsers disagree on them. May be nil.
	OnRefused func(wire.Refusal)
	// OnTurnedAway is told, at most once a second, of connections that were not taken. May be nil.
	OnTurnedAway func(remote net.Addr, why string, all wire.TurnedAway)
	// Linger is how long WebSockets and other tunnels of a replaced generation may
	// live on. Default 1h.
	Linger time.Duration
}

// Gateway is the chain that the plane drives: *gateway.Gateway.
type Gateway interface {
	Handler(up gateway.Upstreams) http.Handler
	Close() error
}

// Plane is the data plane. Caddy is one per process; so only one Plane may run.
type Plane struct {
	log       *slog.Logger
	onRefused func(wire.Refusal)
	linger    time.Duration
	id        string
	conns     wire.Connections
	// onTurnedAway may be nil.
	onTurnedAway func(remote net.Addr, why string, all wire.TurnedAway)
	bounds       atomic.Pointer[wire.Limits]

	mu          sync.Mutex // one Load or Stop at a time
	cfg         *config.Config
	frame       [sha256.Size]byte
	active      *handler
	generations []*generation
	last        uint64

	// For readers outside mu.
	current atomic.Pointer[generation]
	newest  atomic.Pointer[handler] // active, or that of the Caddy config that is being loaded
}

var (
	planes    sync.Map // id → *Plane
	lastPlane atomic.Uint64
	running   atomic.Pointer[Plane]
	quiet     sync.Once
)

// New makes a Plane. Nothing is started.
func New(o Options) *Plane {
	p := &Plane{log: o.Log, onRefused: o.OnRefused, onTurnedAway: o.OnTurnedAway, linger: or(o.Linger, time.Hour), id: strconv.FormatUint(lastPlane.Add(1), 10)}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p
}

func planeOf(id string) (*Plane, error) {
	v, ok := planes.Load(id)
	if !ok {
		return nil, fmt.Errorf("crenel: no data plane %q", id)
	}
	return v.(*Plane), nil
}

// Load starts the plane with a config and its Gateway, or swaps them in for the
// running ones without dropping a request. It either does so wholly, and then
// owns gw and closes it when it has been replaced and its last exchange has
// ended, or returns an error, changes nothing, and leaves gw to the caller.
func (p *Plane) Load(cfg *config.Config, gw Gateway) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !running.CompareAndSwap(nil, p) && running.Load() != p {
		return errors.New("another data plane runs in this process")
	}
	planes.Store(p.id, p)
	// Before its first config Caddy would log to standard error in its own form;
	// what it buffers goes to our log once that is there.
	quiet.Do(func() { caddycore.BufferedLog() })
	bounds := p.bounds.Swap(boundsOf(cfg))
	p.last++
	gen := &generation{id: p.last, gw: gw, log: p.log}
	before := p.active
	err := p.load(cfg, gen)
	if err != nil {
		p.bounds.Store(bounds)
		if p.active == nil {
			p.forget()
		}
		return err
	}
	gen.adopted.Store(true)
	p.cfg = cfg
	old := p.current.Swap(gen)
	if old != nil && p.active != before {
		// Its handler was replaced with its listeners, not by swap.
		old.retire(p.linger)
	}
	p.generations = slices.DeleteFunc(p.generations, func(g *generation) bool {
		select {
		case <-g.drained:
			return true
		default:
			return false
		}
	})
	p.generations = append(p.generations, gen)
	return nil
}

// boundsOf are the bounds of connections. Header blocks come in frames, with some
// bytes beside the fields' own.
func boundsOf(cfg *config.Config) *wire.Limits {
	l := &cfg.Server.Limits
	return &wire.Limits{
		Most: or(l.Connections, 8192), PerAddress: or(l.ConnectionsPerAddress, 1024), Trusted: cfg.Server.TrustedProxies,
		HeadBytes: or(l.HeaderBytes, 64<<10) + or(l.URI, 8<<10) + 16<<10,
	}
}

func (p *Plane) limits() wire.Limits {
	if l := p.bounds.Load(); l != nil {
		return *l
	}
	return wire.Limits{}
}

// Connections is how many connections are open, and TurnedAway how many were not taken.
func (p *Plane) Connections() (open int, turned wire.TurnedAway) {
	return p.conns.Len(), p.conns.TurnedAway()
}

func (p *Plane) load(cfg *config.Config, gen *generation) error {
	odd := oddHeaders(gen.gw)
	key, err := p.frameKey(cfg, odd)
	if err != nil {
		return err
	}
	if p.active != nil && key == p.frame {
		if err := gen.provision(p.active.ctx, cfg); err != nil {
			return err
		}
		p.active.swap(gen)
		return nil
	}
	for _, a := range listen(cfg) {
		if p.cfg != nil && slices.Contains(listen(p.cfg), a) {
			continue // ours already
		}
		if _, _, err := net.SplitHostPort(a); err != nil {
			return fmt.Errorf("server.listen %q: %w", a, err)
		}
		if err := free(a); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dataDir(cfg), 0o700); err != nil {
		return fmt.Errorf("making the data directory: %w", err)
	}
	id := p.id + "-" + strconv.FormatUint(gen.id, 10)
	doc, err := document(cfg, p.log, p.id, id, odd)
	if err != nil {
		return err
	}
	pending.Store(id, &birth{gen: gen, cfg: cfg, plane: p})
	defer pending.Delete(id)
	err = caddycore.Load(doc, true)
	// Caddy sets and resets it with every config.
	stdlog.SetFlags(0)
	stdlog.SetOutput(stdLog{p.log})
	if err != nil {
		p.newest.Store(p.active)
		return err
	}
	p.active, p.frame = p.newest.Load(), key
	if serving(cfg) {
		p.awaitCertificates(cfg)
	}
	return nil
}

// frameKey identifies a frame: its Caddy config and what the files it names hold.
func (p *Plane) frameKey(cfg *config.Config, odd []string) (key [sha256.Size]byte, err error) {
	doc, err := document(cfg, p.log, p.id, "", odd)
	if err != nil {
		return key, err
	}
	var b bytes.Buffer
	b.Write(doc)
	set := &cfg.Server.TLS
	files := []string{set.ClientCA}
	for _, c := range set.Certificates {
		files = append(files, c.Cert, c.Key)
	}
	for _, f := range files {
		if f == "" {
			continue
		}
		content, err := os.ReadFile(resolve(cfg, f))
		if err != nil {
			return key, fmt.Errorf("tls: %w", err)
		}
		sum := sha256.Sum256(content)
		b.Write(sum[:])
	}
	return sha256.Sum256(b.Bytes()), nil
}

// awaitCertificates waits until the local authority's certificates are there:
// Caddy makes them in the background, and the first client should not be refused.
func (p *Plane) awaitCertificates(cfg *config.Config) {
	t, err := planTLS(cfg)
	if err != nil || !t.local {
		return
	}
	deadline := time.Now().Add(10 * time.Second)
	for _, name := range t.names {
		for len(caddytls.AllMatchingCertificates(name)) == 0 {
			if time.Now().After(deadline) {
				p.log.Warn("the local authority has not made a certificate yet", "host", name)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	p.log.Info("clients must trust the local authority", "root_certificate", rootCA(cfg), "hosts", t.names)
}

// RootCA is the file of the local authority's root certificate, for clients to
// trust; "" when no certificate is the local authority's.
func (p *Plane) RootCA() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cfg == nil || !serving(p.cfg) {
		return ""
	}
	if t, err := planTLS(p.cfg); err != nil || !t.local {
		return ""
	}
	return rootCA(p.cfg)
}

// Generation is the number of the current generation, counted from 1.
func (p *Plane) Generation() uint64 {
	if g := p.current.Load(); g != nil {
		return g.id
	}
	return 0
}

// UpstreamState is one upstream server as load balancing sees it.
type UpstreamState struct {
	API      string
	Address  string
	Healthy  bool
	Fails    int // within the passive check's window
	Requests int // under way
}

// Upstreams lists the state of every upstream server.
func (p *Plane) Upstreams() []UpstreamState {
	g := p.current.Load()
	if g == nil {
		return nil
	}
	var out []UpstreamState
	for api, up := range g.upstreams {
		for _, s := range up.proxy.Upstreams {
			out = append(out, UpstreamState{api, s.Dial, s.Healthy(), s.Fails(), s.NumRequests()})
		}
	}
	slices.SortFunc(out, func(a, b UpstreamState) int {
		return bytes.Compare([]byte(a.API+" "+a.Address), []byte(b.API+" "+b.Address))
	})
	return out
}

// flushGrace is how long what has ended may take to be sent: longer than a server waits
// behind the GOAWAY of HTTP/2.
const flushGrace = 2 * time.Second

// cutOffGrace is how long exchanges whose connections were closed may take to end.
const cutOffGrace = 2 * time.Second

// Stop ends the plane: it accepts no more, closes tunnels, waits for running
// exchanges until ctx ends or timeouts.shutdown has passed, and then closes
// what is left.
func (p *Plane) Stop(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.active == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, or(p.cfg.Server.Timeouts.Shutdown, 30*time.Second))
	defer cancel()
	if app, err := p.active.ctx.AppIfConfigured("http"); err == nil {
		app.(*caddyhttp.App).ShutdownDelay = 0 // there is nothing to hand over to
	}
	err := caddycore.Stop()
	if g := p.current.Swap(nil); g != nil {
		g.retire(p.linger)
	}
	for _, g := range p.generations {
		g.end()
	}
	for _, g := range p.generations {
		select {
		case <-g.drained:
		case <-ctx.Done():
			err = errors.Join(err, fmt.Errorf("exchanges still ran at the end of the grace period: %w", context.Cause(ctx)))
		}
		if ctx.Err() != nil {
			break
		}
	}
	p.flushed(ctx)
	p.conns.CloseAll()
	// Those that were cut off still write how they ended; the trail closes after us.
	last := time.After(cutOffGrace)
	for _, g := range p.generations {
		select {
		case <-g.drained:
		case <-last:
		}
	}
	p.active, p.cfg, p.generations = nil, nil, nil
	p.newest.Store(nil)
	p.forget()
	return err
}

// flushed waits until the servers, which are shutting down, have closed their
// connections. An exchange that has ended may have its answer still in the server's
// buffer: closing the connection under it would lose the answer.
func (p *Plane) flushed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushGrace)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for p.conns.Len() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Plane) forget() {
	planes.Delete(p.id)
	running.CompareAndSwap(p, nil)
}
