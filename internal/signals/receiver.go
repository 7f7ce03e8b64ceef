package signals

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/state"
)

// Type is the media type of a security event token.
const Type = "application/secevent+jwt"

// maxSET is the largest security event token, in bytes.
const maxSET = 16 << 10

// Options are what a Receiver is made from.
type Options struct {
	Config config.Signals
	Store  state.Store
	Keys   *authn.KeyStore
	Client *http.Client // to poll with; default one of its own
	Log    *slog.Logger
	Now    func() time.Time
	// Record is told of each token: to the trail. An error keeps it from being
	// acknowledged. May be nil.
	Record func(ctx context.Context, r *Record) error
	// Raise raises an alarm. May be nil.
	Raise func(kind, message string)
}

// Record is what is written down of one token.
type Record struct {
	Transmitter string    `json:"transmitter"`
	ID          string    `json:"jti,omitempty"`
	By          string    `json:"by"` // "push" or "poll"
	Refused     string    `json:"refused,omitempty"`
	Repeated    bool      `json:"repeated,omitempty"`
	Outcomes    []Outcome `json:"outcomes,omitempty"`

	issued time.Time
}

// String is the record in a line.
func (r *Record) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", r.By, r.ID)
	if r.Repeated {
		b.WriteString(" again")
	}
	if r.Refused != "" {
		b.WriteString(": refused: " + r.Refused)
	}
	for _, o := range r.Outcomes {
		fmt.Fprintf(&b, "; %s: %s", o.Event, o.Did)
		if len(o.Keys) > 0 {
			b.WriteString(" " + strings.Join(o.Keys, " "))
		}
		if o.Why != "" {
			b.WriteString(" (" + o.Why + ")")
		}
	}
	return b.String()
}

// Receiver takes the events of every transmitter of a config. It is safe for
// concurrent use.
type Receiver struct {
	list []*transmitter
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// transmitter is one who sends events.
type transmitter struct {
	name     string
	cfg      *config.Transmitter
	issuers  []string
	subjects map[string]string
	events   map[string]string
	keep     time.Duration

	verifier *authn.Verifier
	store    state.Store
	client   *http.Client
	log      *slog.Logger
	now      func() time.Time
	note     func(ctx context.Context, r *Record) error
	raise    func(kind, message string)

	mu     sync.Mutex
	status Status
}

// New makes a receiver. Start begins to poll; the endpoints of those who push are
// for the gateway to serve.
func New(o Options) (*Receiver, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Record == nil {
		o.Record = func(context.Context, *Record) error { return nil }
	}
	if o.Raise == nil {
		o.Raise = func(string, string) {}
	}
	if o.Client == nil {
		o.Client = newClient()
	}
	r := &Receiver{stop: func() {}}
	var errs []error
	for i := range o.Config.Transmitters {
		c := &o.Config.Transmitters[i]
		v, err := authn.NewVerifier(authn.VerifierOptions{
			Issuer: c.Issuer, JWKS: c.JWKS, Signals: true, Audience: c.Audience, Types: []string{"secevent+jwt"}, Algorithms: c.Algorithms,
			Timeless: true, Keys: o.Keys, Now: o.Now,
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("signals: %s: %w", c.Name, err))
			continue
		}
		t := &transmitter{
			name: c.Name, cfg: c, issuers: c.Issuers, subjects: c.Subjects, events: c.Events, keep: o.Config.Keep,
			verifier: v, store: o.Store, client: o.Client, log: o.Log, now: o.Now, note: o.Record, raise: o.Raise,
			status: Status{Name: c.Name, Issuer: c.Issuer},
		}
		if len(t.issuers) == 0 {
			t.issuers = []string{c.Issuer}
		}
		if c.Push != nil {
			t.status.Delivery = append(t.status.Delivery, "push "+c.Push.Path)
		}
		if c.Poll != nil {
			t.status.Delivery = append(t.status.Delivery, "poll "+c.Poll.URL)
		}
		r.list = append(r.list, t)
	}
	if err := errors.Join(errs...); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// newClient is a client that follows no redirect: a token must not go where the
// config does not say.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Start begins to poll.
func (r *Receiver) Start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	for _, t := range r.list {
		if t.cfg.Poll != nil {
			r.wg.Go(func() { t.poll(ctx) })
		}
	}
}

// Close stops polling and waits for what is under way.
func (r *Receiver) Close() {
	r.stop()
	r.wg.Wait()
	for _, t := range r.list {
		t.verifier.Close()
		t.client.CloseIdleConnections()
	}
}

// Statuses say how each stream is.
func (r *Receiver) Statuses() []Status {
	out := make([]Status, 0, len(r.list))
	for _, t := range r.list {
		t.mu.Lock()
		status := t.status
		t.mu.Unlock()
		if err := t.verifier.Ready(); err != nil {
			status.Keys = err.Error()
		}
		out = append(out, status)
	}
	return out
}

// Ready says, by the transmitter's name, why events cannot be taken.
func (r *Receiver) Ready() map[string]error {
	out := map[string]error{}
	for _, t := range r.list {
		err := t.verifier.Ready()
		t.mu.Lock()
		if t.status.Failing != "" && t.now().Sub(t.status.Since) > failingGrace {
			err = errors.Join(err, errors.New("polling: "+t.status.Failing))
		}
		t.mu.Unlock()
		out[t.name] = err
	}
	return out
}

// failingGrace is for how long polling may fail before the gateway is not ready.
const failingGrace = 30 * time.Second

// Codes of errors (RFC 8935 section 2.4).
const (
	errInvalidRequest  = "invalid_request"
	errInvalidKey      = "invalid_key"
	errInvalidIssuer   = "invalid_issuer"
	errInvalidAudience = "invalid_audience"
	errAuthentication  = "authentication_failed"
)

// refusal is why a token was not taken.
type refusal struct {
	code   string // of RFC 8935; "" when it is our side that failed
	reason string // for the transmitter and the record
}

func (f *refusal) Error() string { return f.code + ": " + f.reason }

// take verifies a token and carries it out. A refusal without a code is our own
// failure: the transmitter should send the token again.
func (t *transmitter) take(ctx context.Context, by, text string) *refusal {
	rec := &Record{Transmitter: t.name, By: by}
	f := t.receive(ctx, text, rec)
	if f != nil {
		rec.Refused = f.Error()
	}
	err := t.note(ctx, rec)
	if err != nil && f == nil {
		f = &refusal{"", "it could not be recorded"}
	}
	t.mu.Lock()
	switch {
	case f != nil:
		t.status.Refused++
		t.status.Refusal = f.Error()
	case rec.Repeated:
		t.status.Repeated++
	default:
		t.status.Received++
		t.status.Last = t.now()
		t.status.Lag = max(0, t.status.Last.Sub(rec.issued).Seconds())
	}
	t.mu.Unlock()
	switch {
	case err != nil:
		t.log.Error("a security event could not be recorded", "transmitter", t.name, "jti", rec.ID, "error", err)
	case f != nil:
		t.log.Warn("a security event was refused", "transmitter", t.name, "by", by, "jti", rec.ID, "error", f.Error())
	case !rec.Repeated:
		t.log.Info("a security event was taken", "transmitter", t.name, "what", rec.String())
	}
	return f
}

func (t *transmitter) receive(ctx context.Context, text string, rec *Record) *refusal {
	if len(text) > maxSET {
		return &refusal{errInvalidRequest, "the token is larger than 16 KiB"}
	}
	now := t.now()
	claims, err := t.verifier.Verify(ctx, text)
	if err != nil {
		return refusalOf(err)
	}
	s, err := readSet(claims.Tree(), now)
	if err != nil {
		return &refusal{errInvalidRequest, err.Error()}
	}
	rec.ID, rec.issued = shorten(s.id, 128), s.at
	// The mark of what it says is older than the mark of its id only for a copy.
	sum := sha256.Sum256([]byte(text))
	id := "set:" + t.cfg.Issuer + "|" + s.id
	copied, err := t.mark(ctx, id+"|"+base64.RawURLEncoding.EncodeToString(sum[:]))
	if err != nil {
		return &refusal{"", "the shared state cannot be asked"}
	}
	used, err := t.mark(ctx, id)
	if err != nil {
		return &refusal{"", "the shared state cannot be asked"}
	}
	if used && !copied {
		return &refusal{errInvalidRequest, "another token has had this jti"}
	}
	rec.Repeated = copied
	// A copy is carried out once more: the first time it may have failed half way.
	rec.Outcomes, err = t.apply(ctx, s)
	var m *malformed
	switch {
	case errors.As(err, &m):
		return &refusal{errInvalidRequest, err.Error()}
	case err != nil:
		t.log.Error("a security event could not be carried out", "transmitter", t.name, "jti", rec.ID, "error", err)
		return &refusal{"", "it could not be carried out"}
	}
	return nil
}

// mark reports whether a mark had been made before.
func (t *transmitter) mark(ctx context.Context, key string) (before bool, err error) {
	first, err := t.store.First(ctx, key, maxAge+24*time.Hour)
	if err != nil {
		t.log.Error("shared state cannot be asked", "error", err)
		return false, err
	}
	return !first, nil
}

// refusalOf says by RFC 8935 why a token does not verify.
func refusalOf(err error) *refusal {
	var r *authn.TokenError
	if !errors.As(err, &r) {
		return &refusal{errInvalidRequest, "the token cannot be read"}
	}
	if r.Unable {
		return &refusal{"", "the issuer's keys cannot be had"}
	}
	switch r.Code {
	case "authn.signature", "authn.unknown_key", "authn.algorithm":
		return &refusal{errInvalidKey, r.Reason}
	case "authn.issuer":
		return &refusal{errInvalidIssuer, r.Reason}
	case "authn.audience":
		return &refusal{errInvalidAudience, "the token is not for this receiver"}
	}
	return &refusal{errInvalidRequest, r.Reason}
}
