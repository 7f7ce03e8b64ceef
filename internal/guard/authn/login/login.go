package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/state"
)

// Name is what the login is called in records.
const Name = "login"

// skew is how far the issuer's clock may be from ours.
const skew = 30 * time.Second

// Options are what a Login is made from.
type Options struct {
	API     string // the API's name
	Config  config.Login
	DataDir string // where the key is kept that is made when the config names none
	State   state.Store
	// StateMaxAge is for how long the state may be out of touch. Default 30 seconds.
	StateMaxAge time.Duration
	Keys        *authn.KeyStore
	Client      *http.Client
	Log         *slog.Logger
	Now         func() time.Time
	// Problem answers with a denial.
	Problem func(w http.ResponseWriter, r *http.Request, v exchange.Verdict)
}

// Login is one API's login. It is safe for concurrent use.
type Login struct {
	cfg              config.Login
	api, own         string // own: what sessions are of in revocations
	origin, path     string
	issuer           string
	scopes           string
	idle, absolute   time.Duration
	client           *oauth.Client
	idTokens         *authn.Verifier
	logoutTokens     *authn.Verifier
	accessTokens     *authn.Verifier // nil unless the access token is the identity
	ring             *ring
	jar              jar
	store            state.Store
	sessions         *set // nil unless sessions are kept in the shared state
	seen, known      *set
	handoff, logouts *set
	revoked          *revocation.Checker
	cache            *cache
	log              *slog.Logger
	now              func() time.Time
	problem          func(w http.ResponseWriter, r *http.Request, v exchange.Verdict)
	afterIn, afterBy string

	ctx    context.Context //nolint:containedctx // the life of refreshes, which Close ends
	stop   context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	closed bool
	// flights are the refreshes that are under way, by handoff key.
	flights map[string]*flight
}

// New makes a login. That the issuer cannot be asked is no error here: logging in
// then fails, and Ready says why.
func New(o Options) (l *Login, err error) {
	c := o.Config
	l = &Login{
		cfg: c, api: o.API, own: "login:" + o.API, origin: strings.TrimSuffix(c.Origin, "/"), path: c.Path, issuer: c.Issuer,
		scopes: strings.Join(c.Scopes, " "), idle: c.Session.Idle, absolute: c.Session.Absolute,
		jar: newJar(o.API, c.Session.SameSite), store: o.State, cache: newCache(), log: o.Log, now: o.Now, problem: o.Problem,
		afterIn: c.AfterLogin, afterBy: c.AfterLogout, flights: map[string]*flight{},
	}
	defer func() {
		if err != nil {
			l.Close()
			l, err = nil, fmt.Errorf("login: %w", err)
		}
	}()
	l.ctx, l.stop = context.WithCancel(context.Background())
	if u, err := url.Parse(l.origin); err != nil || !oauth.Trustworthy(u) {
		return l, fmt.Errorf("origin %q must be https, or http on this machine", l.origin)
	}
	if err := l.makeRing(o); err != nil {
		return l, err
	}
	if l.client, err = oauth.New(oauth.Options{Config: c.OAuthClient, Client: o.Client, Now: o.Now}); err != nil {
		return l, err
	}
	if err := l.makeVerifiers(o); err != nil {
		return l, err
	}
	l.revoked = revocation.Open(l.ctx, o.State, o.StateMaxAge, o.Log)
	l.handoff, l.logouts = newSet(o.State, setHandoff+o.API, o.StateMaxAge), newSet(o.State, setLogouts+o.API, o.StateMaxAge)
	if c.Session.Store == "state" {
		l.sessions, l.seen = newSet(o.State, setSessions+o.API, o.StateMaxAge), newSet(o.State, setSeen+o.API, o.StateMaxAge)
	}
	if c.FrontChannel {
		l.known = newSet(o.State, setKnown+o.API, o.StateMaxAge)
	}
	return l, nil
}

func (l *Login) makeRing(o Options) error {
	var secrets []string
	for _, k := range l.cfg.Session.Keys {
		secrets = append(secrets, k.Reveal())
	}
	if len(secrets) == 0 {
		key, err := ownKey(o.DataDir)
		if err != nil {
			return err
		}
		secrets = []string{key}
	}
	var err error
	l.ring, err = newRing(o.API+" "+l.origin+" "+l.issuer, secrets)
	return err
}

func (l *Login) makeVerifiers(o Options) error {
	base := authn.VerifierOptions{
		Issuer: l.issuer, CA: l.cfg.CA, Audience: []string{l.cfg.ClientID}, Algorithms: l.cfg.Algorithms, Skew: skew, Keys: o.Keys, Now: o.Now,
	}
	id := base
	id.Types = []string{"", "jwt"}
	var err error
	if l.idTokens, err = authn.NewVerifier(id); err != nil {
		return err
	}
	logout := base
	logout.Types = []string{"logout+jwt", "", "jwt"}
	if l.logoutTokens, err = authn.NewVerifier(logout); err != nil {
		return err
	}
	if l.cfg.Identity == "access_token" {
		access := base
		access.Audience, access.Types = l.cfg.AccessTokenAudience, []string{"at+jwt", "", "jwt"}
		if l.accessTokens, err = authn.NewVerifier(access); err != nil {
			return err
		}
	}
	return nil
}

// Close ends what is under way.
func (l *Login) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	// A refresh that is under way ends within its time-out: cut short, the refresh
	// token would be used up and what it was traded for lost.
	l.wg.Wait()
	if l.stop != nil {
		l.stop()
	}
	if l.revoked != nil {
		l.revoked.Close()
	}
	for _, v := range []*authn.Verifier{l.idTokens, l.logoutTokens, l.accessTokens} {
		if v != nil {
			v.Close()
		}
	}
	if l.client != nil {
		l.client.Close()
	}
}

// Ready says why nobody can log in, or sessions cannot be checked.
func (l *Login) Ready() error {
	return errors.Join(l.client.Ready(), l.idTokens.Ready(), l.revoked.Ready())
}

// Endpoint is one of the login's own pages.
type Endpoint struct {
	Path    string
	Methods []string
	MaxBody int64
	Handler http.HandlerFunc
}

// Host is the host at which the pages are served, with no port.
func (l *Login) Host() string {
	u, err := url.Parse(l.origin)
	if err != nil {
		return "" // New has parsed it
	}
	return strings.ToLower(u.Hostname())
}

// Endpoints are the login's pages.
func (l *Login) Endpoints() []Endpoint {
	out := []Endpoint{
		{l.path + "/login", []string{"GET", "HEAD"}, 0, l.serveLogin},
		{l.path + "/callback", []string{"GET"}, 0, l.serveCallback},
		{l.path + "/logout", []string{"GET", "POST"}, 4 << 10, l.serveLogout},
		{l.path + "/logged-out", []string{"GET", "HEAD"}, 0, l.serveLoggedOut},
		{l.path + "/userinfo", []string{"GET", "HEAD"}, 0, l.serveUserinfo},
	}
	if b := l.cfg.BackChannel; b == nil || *b {
		out = append(out, Endpoint{l.path + "/backchannel-logout", []string{"POST"}, 64 << 10, l.serveBackChannel})
	}
	if l.cfg.FrontChannel {
		out = append(out, Endpoint{l.path + "/frontchannel-logout", []string{"GET"}, 0, l.serveFrontChannel})
	}
	return out
}

// note puts what came of a request to one of the pages into its record.
func (l *Login) note(r *http.Request, v exchange.Verdict) {
	if x := exchange.Of(r.Context()); x != nil {
		x.Rulings = append(x.Rulings, exchange.Ruling{Guard: Name, Phase: exchange.RequestHead, Mode: "enforce", Verdict: v, Enforced: v.Action != exchange.Allow})
	}
}

func addCookies(w http.ResponseWriter, lines []string) {
	for _, line := range lines {
		w.Header().Add("Set-Cookie", line)
	}
}

// redirect sends the browser on with GET.
func redirect(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}
