package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/authn/posture"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/guard/contract"
	"github.com/crenel-project/crenel/internal/state"
)

const (
	// longAfter is how long an exchange runs before it is one that is ruled on again.
	longAfter = time.Second
	// lookEvery is how often streams are looked at for what only time brings.
	lookEvery      = time.Second
	defaultRecheck = 30 * time.Second
	// patience is how often in a row it may be impossible to decide on a stream.
	patience = 3
	// againTimeout bounds one ruling.
	againTimeout = 5 * time.Second
)

// Streams are the exchanges that take long, of every generation: WebSockets, event
// streams, long answers and uploads. They are ruled on again when something was
// revoked, when a credential expires, when the config, a policy or a device
// changes, and now and then for all else, by the generation that is in force
// then; and cut when they would not be let in now.
//
// One goroutine does it, and only while there are any.
type Streams struct {
	log   *slog.Logger
	state state.Store
	now   func() time.Time

	mu      sync.Mutex
	current *Gateway
	open    map[*stream]struct{}
	running bool
	closed  bool
	done    sync.WaitGroup
	// What is to be ruled on anew, of all streams.
	identities, everything bool
	wake                   chan struct{}
	stop                   chan struct{}
}

// NewStreams makes an empty Streams. now may be nil.
func NewStreams(store state.Store, log *slog.Logger, now func() time.Time) *Streams {
	if now == nil {
		now = time.Now
	}
	return &Streams{log: log, state: store, now: now, open: map[*stream]struct{}{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
}

// Use makes g the generation that rules, and has it rule on all streams.
func (ss *Streams) Use(g *Gateway) {
	ss.mu.Lock()
	ss.current = g
	ss.mu.Unlock()
	ss.Changed()
}

// Changed has all streams ruled on again.
func (ss *Streams) Changed() { ss.rouse(func() { ss.everything = true }) }

// revoked has the callers of all streams looked at again.
func (ss *Streams) revoked() { ss.rouse(func() { ss.identities = true }) }

func (ss *Streams) rouse(note func()) {
	ss.mu.Lock()
	note()
	ss.mu.Unlock()
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

// Open is how many there are.
func (ss *Streams) Open() int {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return len(ss.open)
}

// Close stops ruling. Streams that are open stay so.
func (ss *Streams) Close() {
	ss.mu.Lock()
	if !ss.closed {
		ss.closed = true
		close(ss.stop)
	}
	ss.mu.Unlock()
	ss.done.Wait()
}

// add takes a stream in. It is ruled on at once: something may have changed since
// it was let in.
func (ss *Streams) add(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.open[st] = struct{}{}
	if !ss.running && !ss.closed {
		ss.running = true
		ss.done.Go(ss.run)
	}
	select {
	case ss.wake <- struct{}{}:
	default:
	}
}

func (ss *Streams) remove(st *stream) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.open, st)
	if len(ss.open) == 0 {
		select {
		case ss.wake <- struct{}{}:
		default:
		}
	}
}

// run rules until there is no stream left.
func (ss *Streams) run() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	revoked := &watched{store: ss.state, set: revocation.Set, f: func(string, []byte) { ss.revoked() }}
	devices := &watched{store: ss.state, set: posture.Set, f: func(string, []byte) { ss.Changed() }}
	defer revoked.close()
	defer devices.close()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if revoked.open(ctx) || devices.open(ctx) {
			ss.Changed() // what came before it was heard of
		}
		if !ss.look(ctx) {
			return
		}
		select {
		case <-ss.stop:
			return
		case <-ss.wake:
		case <-tick.C:
		}
	}
}

// watched hears of a set's changes, once the set can be had.
type watched struct {
	store state.Store
	set   string
	f     func(string, []byte)
	stop  func()
}

// open reports whether it has just begun to hear.
func (w *watched) open(ctx context.Context) bool {
	if w.stop != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	view, err := w.store.View(ctx, w.set)
	if err != nil {
		return false
	}
	w.stop = view.Watch(w.f)
	return true
}

func (w *watched) close() {
	if w.stop != nil {
		w.stop()
	}
}

// look rules on those streams that are due; false when there are none left.
func (ss *Streams) look(ctx context.Context) bool {
	now := ss.now()
	ss.mu.Lock()
	if len(ss.open) == 0 {
		ss.running = false
		ss.mu.Unlock()
		return false
	}
	g := ss.current
	identities, everything := ss.identities || ss.everything, ss.everything
	ss.identities, ss.everything = false, false
	var callers, whole []*stream
	for st := range ss.open {
		due := everything || !st.next.After(now)
		if due {
			whole = append(whole, st)
		}
		if due || identities || st.expired(now) {
			callers = append(callers, st)
		}
	}
	ss.mu.Unlock()
	if g == nil {
		return true
	}
	// Who was revoked is cut first: it is quick to know, and what policies say may take longer.
	for _, st := range callers {
		st.rule(ctx, g, "authn")
	}
	for _, st := range whole {
		st.next = now.Add(g.recheck)
		if !st.rule(ctx, g, "") {
			st.next = now.Add(lookEvery)
		}
	}
	return true
}

// stream is one exchange that takes long.
type stream struct {
	of   *Streams
	s    *session
	next time.Time // when it is ruled on without an occasion; Streams' goroutine only
	ends time.Time // when its credential expires; zero: never

	ruling  sync.Mutex
	x       exchange.Exchange // as it was let in
	unable  int
	gen     *Gateway // for which what follows was found
	api     *api
	verdict exchange.Verdict // of finding it

	mu     sync.Mutex
	ended  bool // the handler is leaving: nothing of it may be touched any more
	code   string
	tunnel *tunnel
}

// watch makes the exchange one that is ruled on again. t is its tunnel, or nil.
func (s *session) watch(t *tunnel) {
	if s.stream != nil {
		return
	}
	st := &stream{of: s.g.streams, s: s, x: s.x, tunnel: t}
	st.x.Rulings, st.x.Obligations, st.x.AnswerHeader, st.x.Allowances, st.x.Ends = nil, exchange.Obligations{}, nil, nil, nil
	st.x.Request.Header = s.x.Request.Header.Clone() // the upstream's side may change it
	st.x.Response = exchange.Response{}
	st.ends = s.x.Identity.Expires
	for i := range s.x.Identity.Also {
		if e := s.x.Identity.Also[i].Expires; !e.IsZero() && (st.ends.IsZero() || e.Before(st.ends)) {
			st.ends = e
		}
	}
	s.stream = st
	st.of.add(st)
}

// admit rules on the exchange at once, before more of it passes.
func (s *session) admit() exchange.Verdict {
	s.watch(nil)
	st := s.stream
	st.of.mu.Lock()
	g := st.of.current
	st.of.mu.Unlock()
	if g == nil {
		g = s.g
	}
	ctx, cancel := context.WithTimeout(s.r.Context(), againTimeout)
	defer cancel()
	return st.decide(ctx, g, "")
}

func (st *stream) expired(now time.Time) bool { return !st.ends.IsZero() && !now.Before(st.ends) }

// rule rules on the stream and cuts it when it is denied; false when it could not
// be decided.
func (st *stream) rule(ctx context.Context, g *Gateway, only string) (decided bool) {
	if st.cutCode() != "" {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, againTimeout)
	defer cancel()
	v := st.decide(ctx, g, only)
	switch v.Action {
	case exchange.Deny:
		st.cut(v)
	case exchange.Unable:
		st.unable++
		if st.unable >= patience {
			st.cut(v)
		}
		return false
	default:
		if only == "" {
			st.unable = 0
		}
	}
	return true
}

// decide asks the generation that is in force.
func (st *stream) decide(ctx context.Context, g *Gateway, only string) exchange.Verdict {
	st.ruling.Lock()
	defer st.ruling.Unlock()
	if st.gen != g {
		st.find(g)
	}
	if st.verdict.Action != exchange.Allow {
		return st.verdict
	}
	x := st.x
	return st.api.chain.Again(ctx, &x, only)
}

// find finds what the exchange is to a generation that may have another config
// and other documents.
func (st *stream) find(g *Gateway) {
	st.gen, st.verdict = g, exchange.Verdict{}
	if g == st.s.g {
		st.api = st.s.api
		return
	}
	at, _ := g.find(st.x.Request.Host, st.x.Request.RawPath)
	if at.api == nil || at.api.cfg.Name != st.x.API {
		st.verdict = exchange.Refuse("contract.unknown_path", "path", "the API is no longer served here")
		return
	}
	st.api = at.api
	st.x.Spec = at.api.spec
	if st.x.Request.Relative = st.x.Request.RawPath[len(at.base):]; st.x.Request.Relative == "" {
		st.x.Request.Relative = "/"
	}
	had := st.x.Operation != nil
	st.x.Operation = at.api.match(st.x.Request.Method, &st.x).Operation
	if had && st.x.Operation == nil && at.api.chain.Mode(&st.x, contract.Name) == guard.Enforce {
		st.verdict = exchange.Refuse("contract.unknown_path", "path", "the operation is no longer in the document")
	}
}

// cutCode is why the stream was cut, "" when it was not.
func (st *stream) cutCode() string {
	if st == nil {
		return ""
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.code
}

// cut ends the stream. What the handler waits for (the upstream's answer, the
// client's reading or writing) fails at once.
func (st *stream) cut(v exchange.Verdict) {
	st.mu.Lock()
	if st.ended || st.code != "" {
		st.mu.Unlock()
		return
	}
	st.code = v.Code
	tunnel := st.tunnel
	if tunnel == nil {
		st.s.sever(v)
		time.AfterFunc(severAgain, func() { st.severed(v) })
	}
	st.mu.Unlock()
	st.of.log.Info("open exchange cut", "request_id", st.x.ID, "api", st.x.API, "code", v.Code, "reason", v.Reason)
	if tunnel != nil {
		tunnel.cut(v.Code)
	}
}

// severAgain is when a cut is made again that has not ended the exchange yet.
const severAgain = 50 * time.Millisecond

// severed cuts again, until the handler leaves: who reads a body sets deadlines of
// their own before each read, and may have set one just after the cut.
func (st *stream) severed(v exchange.Verdict) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ended {
		return
	}
	st.s.sever(v)
	time.AfterFunc(severAgain, func() { st.severed(v) })
}

// end says that the handler is leaving. It waits for a cut that is under way.
func (st *stream) end() {
	st.of.remove(st)
	st.mu.Lock()
	st.ended = true
	st.mu.Unlock()
}
