package whoami

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/recent"
	"github.com/crenel-project/crenel/internal/guard/authn/turn"
	"github.com/crenel-project/crenel/internal/value"
)

// MaxAnswer is the largest answer that is read, in bytes.
const MaxAnswer = 64 << 10

// most answers are remembered, and as many refusals.
const most = 50_000

// Answer is what the API said.
type Answer struct {
	Status int
	Body   []byte // at most MaxAnswer bytes
}

// Ask sends a request to the API. An error is that it could not be asked, or
// that its answer was too large.
type Ask func(ctx context.Context, r *http.Request) (*Answer, error)

// Why there is no identity.
var (
	// ErrRefused: the API does not accept the credential, or its answer names nobody.
	ErrRefused = errors.New("the API does not say whose credential it is")
	// ErrUnavailable: the API cannot be asked.
	ErrUnavailable = errors.New("the API cannot be asked whose credential it is")
)

// Asker asks one API, and remembers. It is safe for concurrent use.
type Asker struct {
	cfg config.WhoAmI
	ask Ask
	now func() time.Time
	log *slog.Logger

	turns   *turn.Queue
	trouble atomic.Pointer[string] // why the last question got no answer
	well    atomic.Int64           // when the API last answered well, in nanoseconds since 1970

	mu      sync.Mutex
	known   recent.Map[known]
	refused recent.Map[refusal]
	flights map[string]*flight
}

type known struct {
	identity *exchange.Identity
	at       time.Time // when the API said so
}

type refusal struct {
	until  time.Time
	reason string
}

// wellFor is how long an API that answered well is not thought to be in trouble for
// errors that it answers credentials with which nobody knows: those may be made so.
const wellFor = 30 * time.Second

// flight is one question under way.
type flight struct {
	done     chan struct{}
	forgot   bool // the credential was refused meanwhile: the answer is not kept
	identity *exchange.Identity
	err      error
}

// New makes an Asker. Zero settings take their defaults.
func New(cfg config.WhoAmI, ask Ask, now func() time.Time, log *slog.Logger) *Asker {
	orDefault(&cfg.Subject, "/id")
	orDefault(&cfg.TTL, time.Minute)
	orDefault(&cfg.MaxAge, 5*time.Minute)
	cfg.MaxAge = max(cfg.MaxAge, cfg.TTL)
	orDefault(&cfg.Timeout, 5*time.Second)
	orDefault(&cfg.Concurrent, 32)
	return &Asker{
		cfg: cfg, ask: ask, now: now, log: log, turns: turn.New(cfg.Concurrent),
		known: recent.New[known](most), refused: recent.New[refusal](most), flights: map[string]*flight{},
	}
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Path is the path that is asked, below the API's base path.
func (a *Asker) Path() string { return a.cfg.Path }

// Who returns whose credential it is. key stands for the credential and all else
// that the answer depends on; question makes the request that carries it. The
// error wraps ErrRefused or ErrUnavailable, and holds nothing of the credential.
func (a *Asker) Who(ctx context.Context, key string, question func() *http.Request) (*exchange.Identity, error) {
	now := a.now()
	a.mu.Lock()
	was, remembered := a.known.Get(key)
	if remembered && fresh(now, was.at, a.cfg.TTL) {
		a.mu.Unlock()
		return was.identity, nil
	}
	if no, ok := a.refused.Get(key); ok && now.Before(no.until) {
		a.mu.Unlock()
		return nil, fmt.Errorf("%w: %s", ErrRefused, no.reason)
	}
	f := a.flights[key]
	if f == nil {
		f = &flight{done: make(chan struct{})}
		a.flights[key] = f
		a.mu.Unlock()
		a.fly(ctx, key, f, question, remembered)
	} else {
		a.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
	}
	if errors.Is(f.err, ErrUnavailable) && remembered && fresh(a.now(), was.at, a.cfg.MaxAge) {
		return was.identity, nil
	}
	return f.identity, f.err
}

// fresh reports whether less than life has passed. A clock that was set back
// makes nothing fresh.
func fresh(now, at time.Time, life time.Duration) bool {
	age := now.Sub(at)
	return age >= 0 && age < life
}

// Forget drops what is remembered of a credential: the API has refused it.
func (a *Asker) Forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known.Drop(key)
	if f := a.flights[key]; f != nil {
		f.forgot = true
	}
}

// State says why the last question got no answer, nil when it got one.
func (a *Asker) State() error {
	if why := a.trouble.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// fly asks, remembers, and tells all that wait. remembered says that the API has named
// the credential's holder before.
func (a *Asker) fly(ctx context.Context, key string, f *flight, question func() *http.Request, remembered bool) {
	defer close(f.done)
	f.err = ErrUnavailable // should the question panic
	defer func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.flights, key)
		now := a.now()
		switch {
		case f.err == nil && !f.forgot:
			a.known.Put(key, known{f.identity, now})
			a.refused.Drop(key)
		case errors.Is(f.err, ErrRefused):
			a.known.Drop(key)
			if a.cfg.RefusedTTL > 0 {
				a.refused.Put(key, refusal{now.Add(a.cfg.RefusedTTL), strings.TrimPrefix(f.err.Error(), ErrRefused.Error()+": ")})
			}
		}
	}()
	// Whoever asked first may leave: others wait for the answer too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Timeout)
	defer cancel()
	done, ok := a.turns.Take(ctx, remembered)
	if !ok {
		f.err = fmt.Errorf("%w: %d questions are under way already", ErrUnavailable, a.turns.Most())
		return
	}
	defer done()
	res, err := a.ask(ctx, question())
	if err != nil {
		f.err = a.down(err.Error(), false)
		return
	}
	if failed(res.Status) {
		f.err = a.down(fmt.Sprintf("status %d", res.Status), res.Status != http.StatusTooManyRequests && !remembered && fresh(a.now(), time.Unix(0, a.well.Load()), wellFor))
		return
	}
	f.identity, f.err = a.read(res)
	if f.err == nil {
		a.well.Store(a.now().UnixNano())
	}
	if a.trouble.Swap(nil) != nil {
		a.log.Info("the API answers again who its callers are", "path", a.cfg.Path)
	}
}

// down is the error of a question without an answer. quietly: it may be the
// credential's own doing, and is no sign that the API is in trouble.
func (a *Asker) down(why string, quietly bool) error {
	why = "who_am_i " + a.cfg.Path + ": " + why
	if !quietly && a.trouble.Swap(&why) == nil {
		a.log.Warn("the API does not answer who its callers are: those that are not remembered are refused", "reason", why)
	}
	return fmt.Errorf("%w: %s", ErrUnavailable, why)
}

// failed reports whether an answer is no word on the credential.
func failed(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= http.StatusInternalServerError
}

// read takes the identity from an answer.
func (a *Asker) read(res *Answer) (*exchange.Identity, error) {
	if res.Status != http.StatusOK {
		// 401 and 403, a redirect to a page for logging in, 404 for sessions that are not known.
		return nil, fmt.Errorf("%w: %s answered with status %d", ErrRefused, a.cfg.Path, res.Status)
	}
	doc, err := value.JSON(res.Body, value.Limits{Depth: 32, Nodes: 5000})
	if err != nil {
		return nil, fmt.Errorf("%w: %s answered with what is not JSON", ErrRefused, a.cfg.Path)
	}
	id := &exchange.Identity{Method: "own", Verified: true, Memo: new(exchange.Memo)}
	id.Subject = text(doc.At(a.cfg.Subject))
	if id.Subject == "" {
		return nil, fmt.Errorf("%w: the answer of %s has no text or number at %s", ErrRefused, a.cfg.Path, a.cfg.Subject)
	}
	if a.cfg.Roles != "" {
		id.Roles = texts(doc.At(a.cfg.Roles), false)
	}
	if a.cfg.Scopes != "" {
		id.Scopes = texts(doc.At(a.cfg.Scopes), true)
	}
	if a.cfg.Tenant != "" {
		id.Tenant = text(doc.At(a.cfg.Tenant))
	}
	if doc.Kind == value.Object {
		// It was read strictly already.
		if err := json.Unmarshal(res.Body, &id.Claims); err != nil {
			return nil, fmt.Errorf("%w: %s answered with what is not JSON", ErrRefused, a.cfg.Path)
		}
	}
	return id, nil
}

// text is what names somebody: a text, or a number as it is written.
func text(v *value.Value) string {
	if v == nil || v.Kind != value.String && v.Kind != value.Number {
		return ""
	}
	return strings.Clone(v.Text)
}

// texts is a list of names, or one of them alone.
func texts(v *value.Value, spaces bool) []string {
	if v == nil {
		return nil
	}
	if v.Kind == value.Array {
		var out []string
		for i := range v.Kids {
			if s := text(&v.Kids[i]); s != "" {
				out = append(out, s)
			}
		}
		return out
	}
	s := text(v)
	if spaces {
		return strings.Fields(s)
	}
	if s == "" {
		return nil
	}
	return []string{s}
}
