package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// Pool holds one keeper for each source in use. It outlives a reload, so that a
// config that is loaded while a source is down decides on by its last good state,
// and a source that two APIs name is read once.
type Pool struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	keepers map[[sha256.Size]byte]*keeper
	users   map[*keeper]int
}

// NewPool makes an empty pool.
func NewPool(log *slog.Logger, now func() time.Time) *Pool {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if now == nil {
		now = time.Now
	}
	return &Pool{log: log, now: now, keepers: map[[sha256.Size]byte]*keeper{}, users: map[*keeper]int{}}
}

// Feeds are what an engine is given for its sources. A source is read from when
// its feed starts until the last feed of it was closed.
func (p *Pool) Feeds(sources []config.Source) []authz.Feed {
	out := make([]authz.Feed, len(sources))
	for i := range sources {
		out[i] = &feed{pool: p, cfg: sources[i]}
	}
	return out
}

// firstWait is how long a start waits for a source's first answer.
const firstWait = 10 * time.Second

// feed is one engine's interest in a source.
type feed struct {
	pool   *Pool
	cfg    config.Source
	keeper *keeper
	engine *authz.Engine
	sent   string // revision of what the engine was last given
}

var _ authz.Feed = (*feed)(nil)

func (f *feed) name() string { return "relation:" + f.cfg.At }

// Sources is the one source.
func (f *feed) Sources() []authz.Source {
	return []authz.Source{{Name: f.name(), MaxAge: f.cfg.MaxAge}}
}

// Start joins the source's keeper, or makes it. A source that cannot be had is
// no error here: the engine decides nothing until it can.
func (f *feed) Start(ctx context.Context, e *authz.Engine) error {
	f.engine = e
	k, err := f.pool.join(f)
	if err != nil {
		return fmt.Errorf("source %s: %w", f.cfg.At, err)
	}
	f.keeper = k
	wait := time.NewTimer(min(firstWait, f.cfg.Timeout))
	defer wait.Stop()
	select {
	case <-k.first:
	case <-wait.C:
	case <-ctx.Done():
	}
	return nil
}

// Close leaves the source.
func (f *feed) Close() error {
	if f.keeper != nil {
		f.pool.leave(f)
		f.keeper = nil
	}
	return nil
}

// tell is called with the keeper's lock held.
func (f *feed) tell(ctx context.Context, n news, _ bool) {
	if n.table == nil {
		if n.fault != nil {
			f.fail(n.fault)
		}
		return
	}
	if f.sent != n.revision {
		part := &authz.Part{Revision: n.revision, Tables: map[string]authz.Table{f.cfg.At: n.table}}
		if err := f.engine.Update(ctx, map[string]*authz.Part{f.name(): part}); err != nil {
			f.pool.log.Warn("policies refuse new data", "at", f.cfg.At, "error", err)
			return
		}
		f.sent = n.revision
	}
	f.engine.Confirm(f.name(), n.heard)
	if n.fault != nil {
		f.fail(n.fault)
	}
}

func (f *feed) fail(err error) { f.engine.Fail(f.name(), err) }

// join makes a feed hear of its source from now on.
func (p *Pool) join(f *feed) (*keeper, error) {
	id := identity(&f.cfg)
	p.mu.Lock()
	k := p.keepers[id]
	if k == nil {
		o, err := open(&f.cfg)
		if err != nil {
			p.mu.Unlock()
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		k = &keeper{cfg: f.cfg, origin: o, log: p.log, now: p.now, cancel: cancel, done: make(chan struct{}), first: make(chan struct{}), feeds: map[*feed]bool{}}
		p.keepers[id] = k
		go k.run(ctx)
	}
	p.users[k]++
	p.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.feeds[f] = true
	f.tell(context.Background(), k.news, true)
	return k, nil
}

// leave ends that, and the keeper when nobody else is there.
func (p *Pool) leave(f *feed) {
	k := f.keeper
	k.mu.Lock()
	delete(k.feeds, f)
	k.mu.Unlock()
	p.mu.Lock()
	p.users[k]--
	last := p.users[k] == 0
	if last {
		delete(p.users, k)
		delete(p.keepers, identity(&k.cfg))
	}
	p.mu.Unlock()
	if last {
		k.cancel()
		<-k.done
	}
}

// identity tells sources apart by all that their config says, secrets too.
func identity(c *config.Source) [sha256.Size]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %d %d %d %d %d %d %d\n", c.At, c.Every, c.Full, c.MaxAge, c.Timeout, c.MinRows, c.MaxRows, c.MaxMemory, c.MaxRead)
	switch {
	case c.SQL != nil:
		fmt.Fprintf(h, "sql %q %+q\n", c.SQL.DSN.Reveal(), fmt.Sprintf("%+v", *c.SQL))
	case c.HTTP != nil:
		fmt.Fprintf(h, "http %q %+q\n", c.HTTP.Authorization.Reveal(), fmt.Sprintf("%+v", *c.HTTP))
	case c.LDAP != nil:
		fmt.Fprintf(h, "ldap %q %+q\n", c.LDAP.Password.Reveal(), fmt.Sprintf("%+v", *c.LDAP))
	case c.File != nil:
		fmt.Fprintf(h, "file %+q\n", fmt.Sprintf("%+v", *c.File))
	}
	var id [sha256.Size]byte
	h.Sum(id[:0])
	return id
}

// open makes the origin of a source; nothing is connected to yet.
func open(c *config.Source) (origin, error) {
	b := boundsOf(c)
	switch {
	case c.SQL != nil:
		return newSQL(c.SQL, b), nil
	case c.HTTP != nil:
		return newHTTP(c.HTTP, b)
	case c.LDAP != nil:
		return newLDAP(c.LDAP, b)
	case c.File != nil:
		return &fileOrigin{cfg: c.File, bounds: b}, nil
	}
	return nil, errors.New("the source is of no kind")
}
