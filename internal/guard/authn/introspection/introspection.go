package introspection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/recent"
	"github.com/crenel-project/crenel/internal/guard/authn/turn"
	"github.com/crenel-project/crenel/internal/value"
)

// Why there is no answer.
var (
	// ErrInactive: the server says that the token does not hold.
	ErrInactive = errors.New("the authorization server says that the token is not active")
	// ErrUnavailable: the server cannot be asked.
	ErrUnavailable = errors.New("the authorization server cannot be asked about the token")
)

const (
	// failuresToPause in a row make a pause between questions: everyone would wait
	// for a server that is away.
	failuresToPause = 3
	pause           = time.Second
	// wellFor is how long a server that answered well is not thought to be in trouble
	// for errors that it answers tokens with which nobody knows: those may be made so.
	wellFor = 10 * time.Second
)

// answered is what is below ErrUnavailable where the server did answer.
type answered struct{ error }

func (a answered) Unwrap() error { return a.error }

// Options are what an Introspector is made from.
type Options[T any] struct {
	Config config.Introspection
	// Read takes what is needed from the claims of an active token, and says until
	// when that holds; the zero time is as long as it is remembered. An error is why
	// the token is refused all the same; it is remembered too. key and token are Ask's.
	Read func(key, token string, claims *value.Value) (what T, until time.Time, err error)
	// Client sends the questions. It must not follow redirects.
	Client *http.Client
	// Endpoint finds the server's introspection endpoint; nil when Config.URL says it.
	Endpoint func(ctx context.Context) (string, error)
	// Verify returns the claims of a signed answer (RFC 9701) whose signature and
	// issuer it has checked. Nil: answers are not signed.
	Verify func(ctx context.Context, jwt string) (*value.Value, error)
	Now    func() time.Time
	Log    *slog.Logger
}

// Introspector asks one server. It is safe for concurrent use.
type Introspector[T any] struct {
	opt   Options[T]
	cfg   config.Introspection
	prove prover
	turns *turn.Queue

	ctx  context.Context //nolint:containedctx // the life of the questions under way, which Close ends
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	endpoint string
	known    recent.Map[answer[T]]
	refused  recent.Map[refusal]
	flights  map[string]*flight[T]
	well     time.Time // when the server last answered well
	failures int       // in a row
	paused   time.Time // until when nobody is asked
	trouble  error     // why the last question got no answer
}

type answer[T any] struct {
	what      T
	at, until time.Time // when it was given; until is zero when the claims set no end
}

func (a *answer[T]) holds(now time.Time, age time.Duration) bool {
	since := now.Sub(a.at)
	return since >= 0 && since < age && (a.until.IsZero() || now.Before(a.until))
}

type refusal struct {
	until time.Time
	err   error
}

// flight is one question under way.
type flight[T any] struct {
	done chan struct{}
	what T
	err  error
}

// New makes an Introspector, and asks nothing yet. The error names every mistake.
func New[T any](o Options[T]) (*Introspector[T], error) {
	c := &o.Config
	orDefault(&c.TTL, time.Minute)
	orDefault(&c.RefusedTTL, 10*time.Second)
	orDefault(&c.MaxAge, 5*time.Minute)
	orDefault(&c.Timeout, 5*time.Second)
	orDefault(&c.Concurrent, 32)
	orDefault(&c.Remember, 10_000)
	prove, err := newProver(&c.Auth)
	if err != nil {
		return nil, err
	}
	if c.Signed && o.Verify == nil {
		return nil, errors.New("signed answers need an issuer whose keys verify them")
	}
	i := &Introspector[T]{
		opt: o, cfg: *c, prove: prove, turns: turn.New(c.Concurrent), endpoint: c.URL,
		known: recent.New[answer[T]](c.Remember), refused: recent.New[refusal](c.Remember), flights: map[string]*flight[T]{},
	}
	i.ctx, i.stop = context.WithCancel(context.Background()) //nolint:gosec // Close calls it
	return i, nil
}

func orDefault[V comparable](v *V, def V) {
	var zero V
	if *v == zero {
		*v = def
	}
}

// Close ends the questions under way; further ones are not asked.
func (i *Introspector[T]) Close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.stop()
	i.wg.Wait()
}

// Ready says why the server cannot be asked, nil when it could the last time.
func (i *Introspector[T]) Ready() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.trouble
}

// Ask returns what is known of a token. key stands for it and must tell nothing
// of it. The error wraps ErrInactive or ErrUnavailable, or is Read's.
func (i *Introspector[T]) Ask(ctx context.Context, key, token string) (T, error) {
	var none T
	now := i.opt.Now()
	i.mu.Lock()
	was, remembered := i.known.Get(key)
	if remembered && was.holds(now, i.cfg.TTL) {
		i.mu.Unlock()
		return was.what, nil
	}
	if no, ok := i.refused.Get(key); ok && now.Before(no.until) {
		i.mu.Unlock()
		return none, no.err
	}
	f := i.flights[key]
	var err error
	switch {
	case f != nil:
	case i.closed:
		err = fmt.Errorf("%w: the gateway asks no more", ErrUnavailable)
	case now.Before(i.paused) && i.paused.Sub(now) <= pause:
		err = i.trouble
	default:
		f = &flight[T]{done: make(chan struct{})}
		i.flights[key] = f
		i.wg.Add(1)
		go i.fly(key, token, f, remembered)
	}
	i.mu.Unlock()
	if f != nil {
		select {
		case <-f.done:
			if err = f.err; err == nil {
				return f.what, nil
			}
		case <-ctx.Done():
			err = fmt.Errorf("%w: the caller went away", ErrUnavailable)
		}
	}
	if errors.Is(err, ErrUnavailable) && remembered && was.holds(i.opt.Now(), i.cfg.MaxAge) {
		return was.what, nil
	}
	return none, err
}

// fly asks, and remembers. remembered says that the server has vouched for the token
// before.
func (i *Introspector[T]) fly(key, token string, f *flight[T], remembered bool) {
	defer i.wg.Done()
	ctx, cancel := context.WithTimeout(i.ctx, i.cfg.Timeout)
	defer cancel()
	at := i.opt.Now()
	claims, err := i.question(ctx, token, remembered)
	a := answer[T]{at: at}
	if err == nil {
		a.what, a.until, err = i.opt.Read(key, token, claims)
	}
	f.what, f.err = a.what, err
	i.mu.Lock()
	delete(i.flights, key)
	switch {
	case errors.As(err, new(answered)) && !remembered && i.vouchedLately():
		// It may be the token's own doing.
	case errors.Is(err, ErrUnavailable):
		i.failed(err)
	case err != nil:
		i.recovered()
		i.well = i.opt.Now()
		i.known.Drop(key)
		i.refused.Put(key, refusal{at.Add(i.cfg.RefusedTTL), err})
	default:
		i.recovered()
		i.well = i.opt.Now()
		i.known.Put(key, a)
	}
	i.mu.Unlock()
	close(f.done)
}

// vouchedLately reports whether the server has just answered well; i.mu is held.
func (i *Introspector[T]) vouchedLately() bool {
	age := i.opt.Now().Sub(i.well)
	return age >= 0 && age < wellFor
}

// failed notes a question without an answer; i.mu is held.
func (i *Introspector[T]) failed(err error) {
	if i.ctx.Err() != nil {
		return
	}
	if i.trouble == nil {
		i.opt.Log.Warn("introspection fails: tokens that are not remembered are refused", "error", err)
	}
	i.trouble = err
	if i.failures++; i.failures >= failuresToPause {
		i.paused = i.opt.Now().Add(pause)
	}
}

// recovered notes an answer; i.mu is held.
func (i *Introspector[T]) recovered() {
	if i.trouble != nil {
		i.opt.Log.Info("introspection works again")
	}
	i.trouble, i.failures, i.paused = nil, 0, time.Time{}
}

// question waits for its turn and asks the server.
func (i *Introspector[T]) question(ctx context.Context, token string, remembered bool) (*value.Value, error) {
	done, ok := i.turns.Take(ctx, remembered)
	if !ok {
		return nil, fmt.Errorf("%w: %d questions are under way already", ErrUnavailable, i.turns.Most())
	}
	defer done()
	to, err := i.where(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	res, err := i.send(ctx, to, token)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return i.read(ctx, res)
}

// where is the server's endpoint, found once.
func (i *Introspector[T]) where(ctx context.Context) (string, error) {
	i.mu.Lock()
	to := i.endpoint
	i.mu.Unlock()
	if to != "" {
		return to, nil
	}
	if i.opt.Endpoint == nil {
		return "", errors.New("no endpoint is configured")
	}
	to, err := i.opt.Endpoint(ctx)
	if err != nil {
		return "", fmt.Errorf("finding the introspection endpoint: %w", err)
	}
	i.mu.Lock()
	i.endpoint = to
	i.mu.Unlock()
	return to, nil
}
