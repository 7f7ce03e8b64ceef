package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/access"
	"github.com/crenel-project/crenel/internal/guard/authn/clientcert"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/guard/authn/whoami"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
)

// Name is the guard's name in configs, codes and records.
const Name = "authn"

const (
	defaultSkew  = 30 * time.Second
	maxSkew      = 5 * time.Minute
	defaultCache = 10_000
)

// Options are what the guard is made from.
type Options struct {
	API       *spec.API // nil when the API has no document
	Config    config.Authn
	Overrides []config.OperationOverride
	Name      string // the API's, by which a reload knows what it verified before
	Realm     string // named in challenges; default: the document's title
	Log       *slog.Logger
	Now       func() time.Time // default time.Now
	Client    *http.Client     // to fetch keys with, when Keys is nil
	// Keys is shared by all APIs and outlives a reload. Nil: one of its own.
	Keys *KeyStore
	// Ask asks the API itself, by a request whose path is below the API's base path.
	// Needed where a method has who_am_i.
	Ask whoami.Ask
	// State is what gateways share: what was revoked, and what may be used only
	// once. Nil: nothing is ever revoked, and what may be used only once is refused.
	State state.Store
	// StateMaxAge is for how long the state may be out of touch before credentials
	// are refused. Default 30 seconds.
	StateMaxAge time.Duration
	// PublicURL is the API's base as clients see it; "" when the request tells.
	PublicURL string
	// CacheSize is how many verified tokens are kept. Default 10,000.
	CacheSize int
	// Sessions are those of browsers. Needed by a session method.
	Sessions Sessions
}

// Guard is the compiled authn guard of one API. It is safe for concurrent use.
type Guard struct {
	now    func() time.Time
	serial uint64 // among all guards of the process
	closed bool
	digest *digester
	// believed names what tokens are verified by; guards that agree share the cache.
	believed fingerprint
	// maxToken is the largest credential that is read, in bytes.
	maxToken int
	cache    *cache
	places   []*place
	mtls     []*method // for client certificates
	// session takes the sessions of browsers; nil when no method does.
	session  *method
	sessions Sessions
	plans    []plan // by Operation.Index
	// signers are the methods for signed requests; whole says that one of them wants
	// bodies checked before they are passed on.
	signers []*method
	whole   bool
	// unknown is for calls whose operation is not known.
	unknown plan

	state  state.Store // nil: nothing can be used once
	public *publicBase // nil when the request tells
	keys   *KeyStore
	held   []sourceName // acquired of keys
	tokens []*jwtMethod
	askers []*whoami.Asker
	asked  []*introspected
	skew   time.Duration
	// resource is the API's published metadata, nil when it has none.
	resource *Resource
	revoked  *revocation.Checker // nil when nothing is ever revoked
	ends     []string            // by Operation.Index: what its success takes back; nil when none does
}

// method is one compiled way to prove who is calling, at one place.
type method struct {
	kind         string // "jwt", "introspection", "api_key", "own", "mtls", "session"
	cookie       string // of a session
	schemes      []string
	place        *place
	jwt          *jwtMethod
	asks         *introspected // of an introspection method
	dpop         *proofs       // how bound tokens are taken; nil where none can be
	signed       *signers
	keys         *keyRing
	asker        *whoami.Asker // of an own method, nil when the API is not asked
	number       int           // in the config, from 1
	certificates *clientcert.Verifier
}

// token reports whether the method is for access tokens.
func (m *method) token() bool { return m.kind == "jwt" || m.kind == "introspection" }

// plan is what the guard does for one operation.
type plan struct {
	public       bool
	requirements []spec.Requirement // the alternatives
	alternatives [][]string         // their scheme names; empty: any credential
	methods      []*method          // those that the alternatives name
	demands      []config.StepUp
	challenges   []challenge
	dpop         *challenge // for calls by the scheme DPoP, where the challenges do not speak of it
	// takesAccessToken says that the operation declares a query parameter of that name.
	takesAccessToken bool
}

var _ interface {
	Step() guard.Step
	Ready() error
	Close()
} = (*Guard)(nil)

// New compiles the guard. Keys of remote issuers are fetched in the background:
// that they cannot be had is no error here, but Ready says so and calls that
// need them are refused. The error names every mistake.
func New(o Options) (*Guard, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.CacheSize == 0 {
		o.CacheSize = defaultCache
	}
	if o.Config.ClockSkew == 0 {
		o.Config.ClockSkew = defaultSkew
	}
	var errs []error
	if s := o.Config.ClockSkew; s < 0 || s > maxSkew {
		errs = append(errs, fmt.Errorf("clock_skew is %s; it must be from 0 to %s", s, maxSkew))
	}
	g := &Guard{now: o.Now, maxToken: int(o.Config.TokenSize), keys: o.Keys, state: o.State}
	g.serial, g.skew = serials.Add(1), o.Config.ClockSkew
	var err error
	if g.public, err = newPublicBase(o.PublicURL); err != nil {
		errs = append(errs, err)
	}
	if g.maxToken == 0 {
		g.maxToken = maxToken
	}
	if g.keys == nil {
		g.keys = NewKeyStore(o.Client, o.Log, o.Now)
	}
	g.digest = g.keys.digest
	methods, err := g.compile(&o)
	if err != nil {
		errs = append(errs, err)
	}
	if o.Config.Resource != nil && err == nil {
		if g.resource, err = newResource(o.Config.Resource, &o, methods); err != nil {
			errs = append(errs, err)
		}
	}
	table, err := access.New(o.API, o.Overrides, len(o.Config.Methods) > 0)
	if err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		g.Close()
		return nil, fmt.Errorf("authn: %w", err)
	}
	g.plan(&o, table, methods)
	g.ends = endings(o.API, o.Overrides)
	g.believed = g.fingerprint(&o)
	g.cache = g.keys.recall(g.believed, o.CacheSize)
	if o.State != nil {
		g.revoked = revocation.Open(context.Background(), o.State, o.StateMaxAge, o.Log)
	}
	return g, nil
}

// Step is the guard's place in the chain.
func (g *Guard) Step() guard.Step {
	return guard.Step{Guard: Name, Phase: exchange.RequestHead, Needs: exchange.None, Rule: g.rule, Again: g.again}
}

// BodyStep is the guard's second place: it rules on the content of signed requests.
func (g *Guard) BodyStep() guard.Step {
	return guard.Step{Guard: Name, Phase: exchange.RequestBody, Needs: exchange.Buffered, Rule: g.ruleBody,
		Applies: func(op *spec.Operation) bool {
			return slices.ContainsFunc(g.planOf(op).methods, func(m *method) bool { return m.signed != nil })
		}}
}

// Ready says which issuers' keys cannot be had and which API does not say who its
// callers are, and that what was revoked cannot be known; nil when all is well.
func (g *Guard) Ready() error {
	var errs []error
	for _, m := range g.tokens {
		if err := m.keys.state(m.maxAge); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.keys.name, err))
		}
	}
	for _, a := range g.asked {
		if err := a.ready(); err != nil {
			errs = append(errs, err)
		}
	}
	for _, m := range g.mtls {
		if err := m.certificates.Ready(g.now()); err != nil {
			errs = append(errs, err)
		}
	}
	for _, m := range g.signers {
		for _, by := range m.signed.remote {
			if err := by.keys.state(defaultMaxAge); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", by.keys.name, err))
			}
		}
	}
	for _, a := range g.askers {
		if err := a.State(); err != nil {
			errs = append(errs, err)
		}
	}
	if g.revoked != nil {
		if err := g.revoked.Ready(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Close stops fetching keys that nobody else needs.
func (g *Guard) Close() {
	if g.cache != nil && !g.closed {
		g.keys.forget(g.believed)
	}
	g.closed = true
	for _, n := range g.held {
		g.keys.release(n)
	}
	g.held = nil
	for _, a := range g.asked {
		a.server.Close()
	}
	if g.revoked != nil {
		g.revoked.Close()
	}
}

// publicBase is where clients see the API.
type publicBase struct{ scheme, authority, base string }

func newPublicBase(text string) (*publicBase, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no mistake
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("public_url %q is not a URL with a host", text)
	}
	return &publicBase{u.Scheme, u.Host, strings.TrimSuffix(u.EscapedPath(), "/")}, nil
}

// plan compiles what is demanded of each operation's callers.
func (g *Guard) plan(o *Options, table *access.Table, methods []*method) {
	realm := o.Realm
	if realm == "" && o.API != nil {
		realm = o.API.Title
	}
	realm = quotable(realm, "api")
	meta := ""
	if g.resource != nil {
		meta = quotable(g.resource.url, "")
	}
	g.unknown = newPlan(table.For(nil), methods, realm, meta)
	if o.API == nil {
		return
	}
	var closed []string
	g.plans = make([]plan, len(o.API.Operations))
	for i, op := range o.API.Operations {
		p := newPlan(table.For(op), methods, realm, meta)
		for _, q := range op.Parameters {
			p.takesAccessToken = p.takesAccessToken || q.In == "query" && q.Name == "access_token"
		}
		if !p.public && !satisfiable(p.alternatives, methods) {
			closed = append(closed, op.ID)
		}
		g.plans[i] = p
	}
	if len(closed) > 0 {
		const most = 10
		o.Log.Warn("no configured method satisfies the security of some operations: every call of them is refused",
			"operations", len(closed), "first", closed[:min(most, len(closed))])
	}
}

func newPlan(d *access.Demand, methods []*method, realm, meta string) plan {
	p := plan{public: d.Public, demands: d.StepUp, requirements: d.Alternatives}
	named := make(map[string]bool)
	for _, r := range d.Alternatives {
		alt := make([]string, len(r))
		for i, use := range r {
			alt[i] = use.Scheme.Name
			named[alt[i]] = true
		}
		p.alternatives = append(p.alternatives, alt)
	}
	for _, m := range methods {
		if len(p.alternatives) == 0 || anyOf(m.schemes, named) {
			p.methods = append(p.methods, m)
		}
	}
	p.challenges, p.dpop = challenges(p.methods, realm)
	p.also(scopeOf(d), meta)
	return p
}

func anyOf(names []string, set map[string]bool) bool {
	for _, n := range names {
		if set[n] {
			return true
		}
	}
	return false
}

// satisfiable reports whether the methods together can meet an alternative.
func satisfiable(alternatives [][]string, methods []*method) bool {
	have := make(map[string]bool)
	for _, m := range methods {
		for _, s := range m.schemes {
			have[s] = true
		}
	}
	for _, alt := range alternatives {
		all := true
		for _, s := range alt {
			all = all && have[s]
		}
		if all {
			return true
		}
	}
	return len(alternatives) == 0 && len(methods) > 0
}

func (g *Guard) planOf(op *spec.Operation) *plan {
	if op != nil && op.Index < len(g.plans) {
		return &g.plans[op.Index]
	}
	return &g.unknown
}
