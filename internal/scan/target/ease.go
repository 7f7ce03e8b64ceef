package target

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"time"
)

const (
	easeMost   = 60 * time.Second // the longest wait for a limit that covers the whole target
	easeFirst  = 300 * time.Millisecond
	easeTries  = 4               // how often one request is sent again
	easeKnown  = 2 * time.Second // how long a limit is taken for an operation's own
	easeSlow   = 10.0            // requests a second; a slower limit protects what it covers
	easeWindow = 10 * time.Second
)

// ease goes slower where the target limits how much it is asked at all.
//
// A 429 may be the operation's own (tries of a password, mails): that is what
// checks look for, and it is handed on. Or it is everything's: then nothing that
// is asked for in the next seconds says anything, and a run that goes on blindly
// finds nothing and calls it clean. The two are told apart by asking for
// something else that was answered a moment ago.
type ease struct {
	c *Client

	judging sync.Mutex // one judges at a time

	mu      sync.Mutex
	witness map[string][]*Request // by actor: reads that were answered with a success, the last two paths
	own     map[string]ownLimit   // by method and path
	held    chan struct{}         // not nil: everybody waits
	opened  time.Time             // when the last hold ended
	holds   int
	waited  time.Duration

	since, before time.Time // beginnings of the current and the previous window
	now, then     int       // what was let through in them
	hits          int       // limits met since the rate was last raised

	doubts int // how many failing reads may still be asked for twice
}

func newEase(c *Client) *ease {
	return &ease{c: c, witness: map[string][]*Request{}, own: map[string]ownLimit{}, doubts: doubtsAtFirst}
}

// limited: an answer that says "not so fast".
func limited(x *Exchange) bool {
	return x.Status == http.StatusTooManyRequests || x.Status == http.StatusServiceUnavailable && x.Header.Get("Retry-After") != ""
}

// reLocked is what databases and their drivers say of a call that they did not carry
// out because others were being carried out: SQLite, MySQL, PostgreSQL, SQL Server, MongoDB.
var reLocked = regexp.MustCompile(`(?i)database (table |schema )?is locked|SQLITE_(BUSY|LOCKED)|deadlock (found|detected)|was deadlocked|lock wait timeout|could not serialize access|too many (connections|clients)|remaining connection slots|WriteConflict`)

const lockedTries = 5

// locked reports whether a call failed because of those beside it: it is to be made
// again, with fewer of them.
func locked(x *Exchange) bool {
	return x.Err == nil && x.Status >= 400 && !x.Request.Measures && len(x.Body) <= 16<<10 && reLocked.Match(x.Body)
}

const doubtsAtFirst = 12

// secondLook asks once more, alone, for a read that failed: it may be that the target
// fails when it is asked much at once. Then the answer is the second one, fewer are sent
// at once, and more failures are worth a second look. Otherwise nil.
func (e *ease) secondLook(ctx context.Context, x *Exchange) *Exchange {
	if x.Err != nil || x.Status != http.StatusInternalServerError && x.Status != http.StatusBadGateway || x.Request.Method != http.MethodGet || x.Request.Measures || e.c.slots.Size() == 1 {
		return nil
	}
	e.judging.Lock()
	defer e.judging.Unlock()
	e.mu.Lock()
	if e.doubts == 0 || e.held != nil {
		e.mu.Unlock()
		return nil
	}
	e.doubts--
	e.held = make(chan struct{})
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		close(e.held)
		e.held = nil
		e.mu.Unlock()
	}()
	if e.sleep(ctx, min(x.Duration+5*time.Millisecond, 100*time.Millisecond)) != nil { // what is under way ends meanwhile
		return nil
	}
	y, err := e.ask(ctx, x.As, x.Request)
	if err != nil || y.Err != nil || y.Status >= 500 {
		return nil
	}
	e.mu.Lock()
	e.doubts += doubtsAtFirst
	e.mu.Unlock()
	e.c.slots.Narrow()
	return y
}

// gate lets a sender pass when nobody is to wait.
func (e *ease) gate(ctx context.Context) error {
	for {
		e.mu.Lock()
		held := e.held
		e.mu.Unlock()
		if held == nil {
			return nil
		}
		select {
		case <-held:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.c.ctx.Done():
			return ErrClosed
		}
	}
}

// note learns from an answer that was no limit.
func (e *ease) note(x *Exchange) {
	if x.Err != nil || x.Status == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	at := time.Now()
	if at.Sub(e.since) > easeWindow {
		e.before, e.then = e.since, e.now
		e.since, e.now = at, 0
		e.faster()
	}
	e.now++
	r := x.Request
	if x.Status/100 != 2 || r.Method != http.MethodGet || len(r.Body) > 0 || r.Origin != "" || len(x.Body) > 64<<10 || x.Duration > 2*time.Second {
		return
	}
	kept := []*Request{r}
	for _, w := range e.witness[x.As] {
		if w.Path != r.Path && len(kept) < 2 {
			kept = append(kept, w)
		}
	}
	e.witness[x.As] = kept
}

// faster tries a little more where a whole window passed without a limit.
func (e *ease) faster() {
	if e.hits > 0 {
		e.hits = 0
		return
	}
	e.c.pace.scale(1.1)
}

// ownLimit is when a limit was found to be an operation's own, and the form of what said
// so: the limit on everything that is met beyond it, by others of the target's programs,
// mostly says it otherwise.
type ownLimit struct {
	at   time.Time
	form string
}

func formOf(x *Exchange) string {
	return fmt.Sprint(x.Status, x.Header.Get("Content-Type"), x.Header.Get("Retry-After") != "", len(x.Body) == 0)
}

// absorb says whether x was refused by a limit on everything, which is over now:
// then the request is to be sent again, for it was not looked at.
func (e *ease) absorb(ctx context.Context, x *Exchange) (bool, error) {
	key := x.Request.Method + " " + x.Request.Path
	e.mu.Lock()
	if o := e.own[key]; time.Since(o.at) < easeKnown && o.form == formOf(x) {
		e.mu.Unlock()
		return false, nil
	}
	e.mu.Unlock()
	e.judging.Lock()
	defer e.judging.Unlock()
	e.mu.Lock()
	over := e.opened.After(x.Sent)
	e.mu.Unlock()
	if !over {
		general, pause, err := e.general(ctx, x)
		if err != nil {
			return false, err
		}
		if !general {
			e.mu.Lock()
			e.own[key] = ownLimit{time.Now(), formOf(x)}
			e.mu.Unlock()
			return false, nil
		}
		if over, err = e.hold(ctx, x, pause); err != nil || !over {
			return false, err
		}
	}
	return !x.Request.Measures || e.c.pace.rate() >= easeSlow, nil
}

// other is a request that has nothing to do with x: a read of the same actor that
// was answered a moment ago, or the root of the target.
func (e *ease) other(x *Exchange) *Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.witness[x.As] {
		if w.Path != x.Request.Path {
			return w
		}
	}
	return &Request{Method: http.MethodGet, Path: "/", Root: true}
}

// general says whether something else is refused as well, and how long to wait.
func (e *ease) general(ctx context.Context, x *Exchange) (bool, time.Duration, error) {
	y, err := e.ask(ctx, x.As, e.other(x))
	if err != nil || y.Err != nil || !limited(y) {
		return false, 0, err
	}
	return true, max(x.RetryAfter(), y.RetryAfter()), nil
}

// ask sends one request past the gate.
func (e *ease) ask(ctx context.Context, as string, r *Request) (*Exchange, error) {
	seq, err := e.c.pace.take(ctx, 1)
	if err != nil {
		return nil, err
	}
	y := &Exchange{Seq: seq, As: as, For: purposeOf(ctx).what, Request: r}
	e.c.health.begin(y)
	e.c.deliver(ctx, e.c.home, r, y)
	e.c.health.end(y, kindOf(ctx.Err(), y.Err), true)
	soften(y)
	e.c.tell(y)
	return y, ctx.Err()
}

// hold makes everybody wait until the limit is over, and goes slower from then on.
// False: it was not over in time.
func (e *ease) hold(ctx context.Context, x *Exchange, pause time.Duration) (bool, error) {
	began := time.Now()
	e.mu.Lock()
	e.held = make(chan struct{})
	e.hits++
	e.holds++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		close(e.held)
		e.held, e.opened = nil, time.Now()
		e.waited += time.Since(began)
		e.before, e.then = time.Time{}, 0
		e.since, e.now = e.opened, 0
		e.mu.Unlock()
	}()
	own := easeFirst
	for {
		wait := pause
		if wait <= 0 {
			wait, own = own, own*2
		}
		if time.Since(began)+wait > easeMost {
			return false, nil
		}
		if err := e.sleep(ctx, wait); err != nil {
			return false, err
		}
		y, err := e.ask(ctx, x.As, e.other(x))
		if err != nil {
			return false, err
		}
		if y.Err != nil {
			return false, nil
		}
		if !limited(y) {
			e.slower()
			return true, nil
		}
		pause = y.RetryAfter()
	}
}

// slower sets the rate to a little less than what got through of late, waiting included.
func (e *ease) slower() {
	e.mu.Lock()
	from, n := e.since, e.now
	if !e.before.IsZero() {
		from, n = e.before, n+e.then
	}
	span := time.Since(from).Seconds()
	e.mu.Unlock()
	if from.IsZero() || span <= 0 {
		return
	}
	e.c.pace.set(max(float64(n)/span*0.95, 0.2))
}

func (e *ease) sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-e.c.ctx.Done():
		return ErrClosed
	}
}

// Eased is how the target held the run back: how often everything was refused,
// how long that was waited for, and the requests a second that it came to (0: no bound).
type Eased struct {
	Holds  int
	Waited time.Duration
	Rate   float64
}

// Eased says how the target held the run back.
func (c *Client) Eased() Eased {
	c.ease.mu.Lock()
	defer c.ease.mu.Unlock()
	return Eased{Holds: c.ease.holds, Waited: c.ease.waited, Rate: c.pace.rate()}
}
