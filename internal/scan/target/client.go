package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Client sends requests to one target. It is safe for use by many goroutines.
type Client struct {
	home    *origin
	base    string
	origins map[string]*origin
	pools   map[*origin]*pool
	dialer  *dialer
	pace    *pace
	health  *health
	ease    *ease
	extra   []Field
	allow   func(*Request) error
	timeout time.Duration
	maxBody int64
	slots   *Queue
	one     sync.Mutex // of DoTogether

	hookMu sync.RWMutex
	hooks  []func(*Exchange)

	secrets *Redactor
	digests digests

	ctx    context.Context //nolint:containedctx // the Client's own life: it ends at Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	began  time.Time

	answers, failures   atomic.Int64
	bytesOut, bytesBack atomic.Int64
}

// New makes a Client. It opens no connection.
func New(o Options) (*Client, error) {
	o.defaults()
	home, base, err := parseOrigin(o.Target)
	if err != nil {
		return nil, fmt.Errorf("the target: %w", err)
	}
	d, err := newDialer(&o)
	if err != nil {
		return nil, err
	}
	c := &Client{
		home: home, base: base, dialer: d, allow: o.Allow,
		origins: map[string]*origin{home.String(): home},
		timeout: o.Timeout, maxBody: o.MaxBody,
		slots:   NewQueue(o.Workers),
		began:   o.Began,
		secrets: NewRedactor(),
	}
	for _, also := range o.Also {
		a, path, err := parseOrigin(also)
		if err != nil {
			return nil, fmt.Errorf("an address in scope: %w", err)
		}
		if path != "" {
			return nil, fmt.Errorf("an address in scope: %q must be scheme, host and port, without a path", also)
		}
		if c.origins[a.String()] == nil {
			c.origins[a.String()] = a
		}
	}
	c.pools = make(map[*origin]*pool, len(c.origins))
	for _, a := range c.origins {
		c.pools[a] = &pool{max: o.Workers + 8}
	}
	c.extra = append([]Field{{"User-Agent", o.UserAgent}, {"Accept", "*/*"}}, o.Header...)
	if o.OnExchange != nil {
		c.hooks = append(c.hooks, o.OnExchange)
	}
	c.pace = newPace(&o, c.began)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.health = newHealth(c, o.DownFor)
	c.ease = newEase(c)
	return c, nil
}

// Close ends all connections and stops what watches the target. Requests in flight fail.
func (c *Client) Close() error {
	c.cancel()
	c.wg.Wait()
	for _, p := range c.pools {
		p.drop(true)
	}
	return nil
}

// OnExchange adds a hook that is told of every exchange from now on, by the
// goroutine that made it. A hook must not change the exchange.
func (c *Client) OnExchange(f func(*Exchange)) {
	c.hookMu.Lock()
	defer c.hookMu.Unlock()
	c.hooks = append(c.hooks, f)
}

// Secrets is what keeps credentials out of records: whoever learns one adds it.
func (c *Client) Secrets() *Redactor { return c.secrets }

// Base is the target's base path: "" or "/v1".
func (c *Client) Base() string { return c.base }

// Origin is the target's scheme, host and port.
func (c *Client) Origin() string { return c.home.String() }

// InScope says whether requests may be sent to an address (its path does not matter).
func (c *Client) InScope(address string) bool {
	o, _, err := parseOrigin(address)
	return err == nil && c.origins[o.String()] != nil
}

// URL is the whole address that r is sent to.
func (c *Client) URL(r *Request) string {
	o := c.home
	if r.Origin != "" {
		if a, _, err := parseOrigin(r.Origin); err == nil {
			o = a
		}
	}
	u := o.String()
	p := c.path(r)
	if p != "" && p[0] != '/' {
		u += "/"
	}
	u += p
	if r.Query != "" {
		u += "?" + r.Query
	}
	return u
}

// Began is when the run's time began.
func (c *Client) Began() time.Time { return c.began }

// Sent is how many requests have been sent so far.
func (c *Client) Sent() int64 {
	c.pace.mu.Lock()
	defer c.pace.mu.Unlock()
	return c.pace.sent
}

// Keep holds so many requests and so much time back of what the run may send and
// take, until Extend: taking away what it made needs them.
func (c *Client) Keep(requests int64, d time.Duration) { c.pace.keep(requests, d) }

// Extend gives a run what was kept, and so much time from now on, where its time
// would end before: to take away what it made.
func (c *Client) Extend(d time.Duration) { c.pace.extend(time.Now().Add(d)) }

// Over is nil, or why a request was not sent any more: a budget is used up, the
// time is over, the target is gone for good.
func (c *Client) Over() error {
	c.pace.mu.Lock()
	over := c.pace.over
	c.pace.mu.Unlock()
	if over != nil {
		return over
	}
	return c.Down()
}

// Stats are the figures of the run so far.
type Stats struct {
	Requests int64         `json:"requests"`
	Answers  int64         `json:"answers"`
	Failures int64         `json:"failures"` // requests without an answer
	BytesOut int64         `json:"bytes_out"`
	BytesIn  int64         `json:"bytes_in"`
	Duration time.Duration `json:"duration_ns"`
	Outages  int           `json:"outages"`
}

// Stats gives the figures of the run so far.
func (c *Client) Stats() Stats {
	return Stats{
		Requests: c.Sent(), Answers: c.answers.Load(), Failures: c.failures.Load(),
		BytesOut: c.bytesOut.Load(), BytesIn: c.bytesBack.Load(),
		Duration: time.Since(c.began), Outages: len(c.Outages()),
	}
}

// admit checks that r may be sent at all, and says where to.
func (c *Client) admit(r *Request) (*origin, error) {
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	o := c.home
	if r.Origin != "" {
		a, path, err := parseOrigin(r.Origin)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrScope, err)
		}
		if path != "" {
			return nil, fmt.Errorf("%w: an origin has no path: %q", ErrRequest, r.Origin)
		}
		if o = c.origins[a.String()]; o == nil {
			return nil, fmt.Errorf("%w: %s", ErrScope, a)
		}
	}
	if err := checkRequest(r); err != nil {
		return nil, err
	}
	if c.allow != nil {
		if err := c.allow(r); err != nil {
			if errors.Is(err, ErrRefused) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return o, nil
}

// Do sends r as it is and waits for the answer. as names the actor whose
// credentials r carries, for the record: Do adds none. (What asks for HTTP Digest, with
// DigestPrefix, is computed.)
//
// An error means that nothing was sent (ErrScope, ErrRequest, ErrRefused,
// ErrBudget, ErrTime, *DownError, ErrClosed, or the context's). A request that
// was sent and not answered is an Exchange with Status 0 and Err set.
//
// While the target is away, Do waits (up to Options.DownFor). A request that
// could not be delivered because nothing listened is sent when it is back. One that
// was refused because the target limits how much it is asked at all is sent again
// when that is over (not with Request.Measures, where that limit is slow). So is one
// whose answer says that the database was busy with others, and a few of those reads that
// fail: where the second answer is another one, fewer are sent at once from then on.
func (c *Client) Do(ctx context.Context, as string, r *Request) (*Exchange, error) {
	o, err := c.admit(r)
	if err != nil {
		return nil, err
	}
	if !c.slots.Take(ctx, purposeOf(ctx).urgency) {
		return nil, ctx.Err()
	}
	defer c.slots.Give()
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	for attempt, eased, busy := 0, 0, 0; ; attempt++ {
		if o == c.home {
			if err := c.health.gate(ctx); err != nil {
				return nil, err
			}
			if err := c.ease.gate(ctx); err != nil {
				return nil, err
			}
		}
		seq, err := c.pace.turn(ctx, r)
		if err != nil {
			return nil, err
		}
		ex := &Exchange{Seq: seq, As: as, For: purposeOf(ctx).what, Request: r}
		c.health.begin(ex)
		c.deliver(ctx, o, r, ex)
		kind := kindOf(ctx.Err(), ex.Err)
		c.health.end(ex, kind, o == c.home)
		if kind == cancelled && ex.Err != nil && ctx.Err() != nil {
			c.tell(ex)
			return ex, ctx.Err()
		}
		if kind == refused && attempt == 0 && o == c.home {
			// Nothing was delivered: wait until something listens there.
			continue
		}
		soften(ex)
		c.tell(ex)
		if o != c.home {
			return ex, nil
		}
		if locked(ex) && busy < lockedTries {
			busy++
			c.slots.Narrow()
			if err := c.ease.sleep(ctx, time.Duration(busy)*40*time.Millisecond); err != nil {
				return ex, nil
			}
			continue
		}
		if y := c.ease.secondLook(ctx, ex); y != nil {
			return y, nil
		}
		if !limited(ex) {
			c.ease.note(ex)
			return ex, nil
		}
		if eased++; eased > easeTries {
			return ex, nil
		}
		again, err := c.ease.absorb(ctx, ex)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if !again {
			return ex, nil
		}
	}
}

func (c *Client) tell(ex *Exchange) {
	if ex.Err != nil {
		c.failures.Add(1)
	} else {
		c.answers.Add(1)
	}
	c.hookMu.RLock()
	hooks := c.hooks
	c.hookMu.RUnlock()
	for _, f := range hooks {
		f(ex)
	}
}

// grace is how long a request that changes things is still waited for when its
// context has ended.
const grace = 2 * time.Second

// deadline bounds what is done on cn for r, and by ctx and the Client's end. The
// returned function ends that, and says whether cn was left alone until then.
func (c *Client) deadline(ctx context.Context, cn *conn, r *Request) func() bool {
	limit := r.Timeout
	if limit <= 0 {
		limit = c.timeout
	}
	_ = cn.SetDeadline(time.Now().Add(limit))
	cut := func() { _ = cn.SetDeadline(time.Unix(1, 0)) }
	stop1 := func() bool { return true }
	if ctx.Done() != nil {
		end := cut
		if !repeatable(r.Method) && limit > grace {
			// It may be making something: only the answer says what there is to take away.
			end = func() { _ = cn.SetDeadline(time.Now().Add(grace)) }
		}
		stop1 = context.AfterFunc(ctx, end)
	}
	stop2 := context.AfterFunc(c.ctx, cut)
	return func() bool {
		alone := stop1()
		return stop2() && alone
	}
}

// send makes the exchange over HTTP/1.1, or HTTP/2 where the target speaks nothing else.
func (c *Client) send(ctx context.Context, o *origin, r *Request, ex *Exchange) {
	p := c.pools[o]
	own := framed(r)
	ex.Sent = time.Now()
	for {
		var cn *conn
		if !own {
			cn = p.get()
		}
		if cn == nil {
			var err error
			if cn, err = c.dialer.dial(ctx, o, "http/1.1"); err != nil {
				if noProtocol(err) {
					c.sendH2(ctx, o, r, ex)
					return
				}
				ex.Err = err
				ex.Duration = time.Since(ex.Sent)
				return
			}
			ex.Sent = time.Now() // the time that dialling took is not the request's
		}
		reusable := c.over(ctx, cn, o, r, ex)
		if ex.Err != nil && cn.reused && cn.got == 0 && repeatable(r.Method) && isBroken(ex.Err) && ctx.Err() == nil {
			// The server closed an idle connection at the moment it was used.
			_ = cn.Close()
			ex.Err = nil
			continue
		}
		if reusable && !own {
			cn.keep = keepAlive(ex.Header)
			p.put(cn)
		} else {
			_ = cn.Close()
		}
		return
	}
}

// repeatable: sending it twice does what sending it once does.
func repeatable(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

var heads = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// over makes the exchange over cn.
func (c *Client) over(ctx context.Context, cn *conn, o *origin, r *Request, ex *Exchange) (reusable bool) {
	stop := c.deadline(ctx, cn, r)
	cn.begin()
	b, _ := heads.Get().(*bytes.Buffer)
	b.Reset()
	c.head(b, o, r, cn.absolute)
	n := b.Len() + len(r.Body)
	var wrote chan error
	var err error
	if len(r.Body) <= 64<<10 {
		b.Write(r.Body)
		_, err = cn.Conn.Write(b.Bytes())
	} else if _, err = cn.Conn.Write(b.Bytes()); err == nil {
		// A server may answer and stop reading in the middle of a long body.
		wrote = make(chan error, 1)
		go func() {
			_, err := cn.Conn.Write(r.Body)
			wrote <- err
		}()
	}
	heads.Put(b)
	reusable = c.answer(cn, r, ex)
	if wrote != nil {
		_ = cn.SetWriteDeadline(time.Unix(1, 0)) // whatever is not written yet is not wanted any more
		if werr := <-wrote; werr != nil {
			reusable = false
		}
	}
	if err != nil {
		reusable = false
		if ex.Err != nil {
			ex.Err = fmt.Errorf("sending the request: %w", err)
		}
	}
	ex.Duration = time.Since(ex.Sent)
	c.bytesOut.Add(int64(n))
	c.bytesBack.Add(cn.got)
	return stop() && reusable
}

func isBroken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}

// SetBase changes the target's base path ("" or "/v1"). It is for the beginning
// of a run, before others send.
func (c *Client) SetBase(path string) { c.base = path }

// Origins are all origins in scope, the target's with them, in order.
func (c *Client) Origins() []string { return slices.Sorted(maps.Keys(c.origins)) }
