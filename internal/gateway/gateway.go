package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/login"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/bundle"
	"github.com/crenel-project/crenel/internal/guard/authz/relation/source"
	"github.com/crenel-project/crenel/internal/guard/limit"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
)

// Trail is where the records of exchanges go.
type Trail interface {
	// Admit reserves room for one exchange's records, or reports that there is none.
	Admit() bool
	// Decide records a decision; in strict mode it returns when it is on disk.
	Decide(ctx context.Context, d *exchange.Decision) error
	// Complete records how the exchange ended.
	Complete(c *exchange.Completion)
}

// Observer is told of each exchange when it has ended. It must not block and
// must not keep the exchange.
type Observer interface {
	Done(x *exchange.Exchange, d *exchange.Decision, c *exchange.Completion)
}

// Tracer follows exchanges. Start may write to the request's header; what it
// returns is called when the exchange has ended.
type Tracer interface {
	Start(r *http.Request, x *exchange.Exchange) (end func(d *exchange.Decision, c *exchange.Completion))
}

// Decisions keeps what policies decide, and holds new ones against it.
type Decisions interface {
	// Recorder keeps the decisions of an API's authz; nil: they are not kept.
	Recorder(ac *config.API) authz.Recorder
	// Gates are asked before a policy's parts are activated while the gateway runs.
	Gates(ac *config.API) []authz.Gate
	// Admit is asked before a guard of a new generation takes the place of the one
	// that decides. Its error keeps the new config out.
	Admit(ctx context.Context, ac *config.API, g *authz.Guard) error
}

// Deps are what outlives a reload and is shared by one generation of the
// gateway with the next.
type Deps struct {
	Log     *slog.Logger
	Now     func() time.Time // default time.Now
	Client  *http.Client     // for documents, key sets and the like; default one with a time-out
	Trail   Trail
	Buckets *limit.Memory   // counters of the limit guard; nil: of its own
	Keys    *authn.KeyStore // issuers' keys; nil: each generation fetches its own
	Bundles *bundle.Pool    // policies from servers; nil: each generation fetches its own
	// Relations reads the data of policies; nil: each generation reads its own.
	Relations *source.Pool
	Observer  Observer // may be nil
	Tracer    Tracer   // may be nil
	// State is what gateways share; nil: memory of this generation's own.
	State state.Store
	// Decisions keeps what policies decide, and holds new ones against it; nil: neither.
	Decisions Decisions
	// Streams are the exchanges that take long, of every generation; nil: of its own.
	// Who shares it says which generation rules on them: Streams.Use.
	Streams *Streams
	// Endpoints of the whole gateway, beside those of its APIs.
	Endpoints []Endpoint
}

// Gateway is one generation: a validated config, compiled. A reload makes a new
// one, swaps it in and closes the old one when its last exchange has ended.
type Gateway struct {
	cfg       *config.Config
	deps      Deps
	log       *slog.Logger
	apis      []*api
	hosts     map[string][]place // by exact host; longest base path first
	suffixes  []suffix           // "*.example.com"
	anyHost   []place
	trusted   []netip.Prefix
	inflight  atomic.Int64
	memory    memory
	endpoints endpoints
	ownState  state.Store // nil when the state outlives the generation
	logins    map[string]*login.Login
	streams   *Streams
	ownStream bool          // the streams do not outlive the generation
	recheck   time.Duration // between two rulings on a stream without an occasion
	// clientCert is nil where no proxy passes certificates on.
	clientCert *forwardedCert
}

type suffix struct {
	dot  string // ".example.com"
	apis []place
}

// New compiles a config: loads every document, policy, key set and rule. When
// anything fails nothing is started and the error names every mistake.
func New(ctx context.Context, cfg *config.Config, deps Deps) (*Gateway, error) {
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Client == nil {
		deps.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if deps.Buckets == nil {
		deps.Buckets = limit.NewMemory(0, deps.Now())
	}
	if deps.Relations == nil {
		deps.Relations = source.NewPool(deps.Log, deps.Now)
	}
	if deps.Keys == nil {
		deps.Keys = authn.NewKeyStore(deps.Client, deps.Log, deps.Now)
		deps.Keys.KeepIn(filepath.Join(cfg.DataDir, "issuer-keys"))
	}
	var own state.Store
	if deps.State == nil {
		own = state.NewMemory(deps.Now)
		deps.State = own
	}
	if deps.Bundles == nil {
		deps.Bundles = bundle.NewPool(filepath.Join(cfg.DataDir, "bundles"), deps.Log, deps.Now)
	}
	ownStream := deps.Streams == nil
	if ownStream {
		deps.Streams = NewStreams(deps.State, deps.Log, deps.Now)
	}
	g := &Gateway{
		cfg: cfg, deps: deps, log: deps.Log, hosts: map[string][]place{}, trusted: cfg.Server.TrustedProxies, ownState: own,
		streams: deps.Streams, ownStream: ownStream, recheck: cfg.Server.Recheck,
	}
	if g.recheck == 0 {
		g.recheck = defaultRecheck
	}
	g.memory.left.Store(int64(cfg.Server.Limits.Memory))
	var errs []error
	if err := g.makeLogins(); err != nil {
		errs = append(errs, err)
	}
	var err error
	if g.clientCert, err = newForwardedCert(cfg.Server.ClientCertificate); err != nil {
		errs = append(errs, err)
	}
	for i := range cfg.APIs {
		a, err := g.newAPI(ctx, &cfg.APIs[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("api %s: %w", cfg.APIs[i].Name, err))
			continue
		}
		g.apis = append(g.apis, a)
		if other := g.taken(a); other != "" {
			errs = append(errs, fmt.Errorf("api %s: api %s answers to the same host and base path", a.cfg.Name, other))
		}
		g.place(a)
		if err := g.endpoints.add(a.endpoints); err != nil {
			errs = append(errs, fmt.Errorf("api %s: %w", a.cfg.Name, err))
		}
	}
	if err := g.endpoints.add(deps.Endpoints); err != nil {
		errs = append(errs, err)
	}
	// Of two wildcards the one that says more comes first.
	slices.SortStableFunc(g.suffixes, func(a, b suffix) int { return len(b.dot) - len(a.dot) })
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, g.Close())...)
	}
	if ownStream {
		g.streams.Use(g)
	}
	return g, nil
}

// taken names an API that answers to a host and base path of a's already: of two
// only one would ever be called.
func (g *Gateway) taken(a *api) string {
	same := func(list []place) string {
		for _, p := range list {
			if slices.Contains(a.bases, p.base) {
				return p.api.cfg.Name
			}
		}
		return ""
	}
	if len(a.cfg.Hosts) == 0 {
		return same(g.anyHost)
	}
	for _, host := range a.cfg.Hosts {
		host = normalName(host)
		if other := same(g.hosts[host]); other != "" {
			return other
		}
		for _, s := range g.suffixes {
			if host == "*"+s.dot {
				if other := same(s.apis); other != "" {
					return other
				}
			}
		}
	}
	return ""
}

// normalName is a host name of the config as normalHost has those of requests.
func normalName(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// place puts an API into the look-up by host.
func (g *Gateway) place(a *api) {
	if len(a.cfg.Hosts) == 0 {
		g.anyHost = byBase(g.anyHost, a)
	}
	for _, host := range a.cfg.Hosts {
		host = normalName(host)
		dot, wild := strings.CutPrefix(host, "*")
		if !wild {
			g.hosts[host] = byBase(g.hosts[host], a)
			continue
		}
		found := false
		for i := range g.suffixes {
			if g.suffixes[i].dot == dot {
				g.suffixes[i].apis = byBase(g.suffixes[i].apis, a)
				found = true
			}
		}
		if !found {
			g.suffixes = append(g.suffixes, suffix{dot, byBase(nil, a)})
		}
	}
}

// find returns the API that serves a host and path, and the base path by which
// it does. hostKnown tells an unknown host from a path under which nothing is served.
func (g *Gateway) find(host, path string) (at place, hostKnown bool) {
	if list, ok := g.hosts[host]; ok {
		hostKnown = true
		if at, ok := under(list, path); ok {
			return at, true
		}
	}
	for i := range g.suffixes {
		if strings.HasSuffix(host, g.suffixes[i].dot) {
			hostKnown = true
			if at, ok := under(g.suffixes[i].apis, path); ok {
				return at, true
			}
		}
	}
	at, _ = under(g.anyHost, path)
	return at, hostKnown || len(g.anyHost) > 0
}

// rival reports whether a server that reads paths loosely would find a path under
// the base path of another API than at: to it "/Admin/x" is "/admin/x".
func (g *Gateway) rival(host, path string, at place) bool {
	lists := [][]place{g.hosts[host], g.anyHost}
	for i := range g.suffixes {
		if strings.HasSuffix(host, g.suffixes[i].dot) {
			lists = append(lists, g.suffixes[i].apis)
		}
	}
	for _, list := range lists {
		for _, other := range list {
			if len(other.base) > len(at.base) && other.api != at.api && spec.LooselyUnder(path, other.base) {
				return true
			}
		}
	}
	return false
}

// Check is one dependency's state, for /readyz.
type Check struct {
	Name  string // "petshop: authn"
	Error string // "" when it is well
}

// Ready lists every dependency and its state.
func (g *Gateway) Ready() []Check {
	var out []Check
	for _, a := range g.apis {
		out = append(out, a.ready()...)
	}
	return out
}

// Warm does the work that the first requests would otherwise wait for.
func (g *Gateway) Warm() {
	for _, a := range g.apis {
		if a.warm != nil && a.cfg.Mode != "off" && a.cfg.Guards.WAF.Mode != "off" {
			a.warm()
		}
	}
}

// Inflight is how many exchanges are under way.
func (g *Gateway) Inflight() int64 { return g.inflight.Load() }

// Close releases what the generation holds. It waits for nothing.
func (g *Gateway) Close() error {
	var errs []error
	for _, a := range g.apis {
		errs = append(errs, a.close())
	}
	for _, l := range g.logins {
		l.Close()
	}
	if g.ownStream {
		g.streams.Close()
	}
	if g.ownState != nil {
		errs = append(errs, g.ownState.Close())
	}
	return errors.Join(errs...)
}

// APIInfo is what can be told of an API.
type APIInfo struct {
	Name       string
	Spec       string   // where its document was loaded from
	Documents  []string // every file or address that it consists of
	Operations int
	Mode       string
}

// APIs lists the APIs, in the config's order.
func (g *Gateway) APIs() []APIInfo {
	out := make([]APIInfo, 0, len(g.apis))
	for _, a := range g.apis {
		i := APIInfo{Name: a.cfg.Name, Spec: a.cfg.Spec, Mode: a.cfg.Mode}
		if a.spec != nil {
			i.Documents, i.Operations = a.spec.Documents, len(a.spec.Operations)
		}
		out = append(out, i)
	}
	return out
}

// OddHeaders are the names of header fields with underscores or dots that an
// API's document or config declares, lower case and sorted. Others are dropped
// by the data plane: CGI-like servers take them for their hyphenated twins.
func (g *Gateway) OddHeaders() []string {
	found := map[string]bool{}
	note := func(name string) {
		if strings.ContainsAny(name, "_.") && !isSpoofable(http.CanonicalHeaderKey(name)) {
			found[strings.ToLower(name)] = true
		}
	}
	for _, a := range g.apis {
		for i := range a.cfg.Guards.Authn.Methods {
			m := &a.cfg.Guards.Authn.Methods[i]
			if m.JWT != nil {
				note(m.JWT.Header)
			}
			if m.APIKey != nil {
				note(m.APIKey.Header)
			}
			if m.Own != nil {
				note(m.Own.Header)
			}
		}
		if a.spec == nil {
			continue
		}
		for _, s := range a.spec.SecuritySchemes {
			if s.In == "header" {
				note(s.Key)
			}
		}
		for _, op := range a.spec.Operations {
			for _, p := range op.Parameters {
				if p.In == "header" {
					note(p.Name)
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
