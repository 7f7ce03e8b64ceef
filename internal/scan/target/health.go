package target

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	failuresInARow = 3 // broken or silent, without an answer between them
	remembered     = 16
	probeTimeout   = 3 * time.Second
)

// Outage is a time in which the target did not answer.
type Outage struct {
	Since time.Time
	Back  time.Time // zero: it is still away
	// Refused: nothing listened for a while, so the process was gone. What it
	// held in memory, sessions too, may be lost.
	Refused bool
	// Suspects are what may have caused it, the likeliest first.
	Suspects []Suspect
}

// Suspect is a request that may have made the target go away.
type Suspect struct {
	Exchange *Exchange
	Why      string
}

// health watches whether the target lives. When it goes away all senders wait
// at the gate, one goroutine probes, and opens the gate again.
type health struct {
	c   *Client
	max time.Duration

	mu       sync.Mutex
	inFlight map[*Exchange]struct{}
	last     []*Exchange // the last that ended, oldest first
	streak   []*Exchange // failures in a row
	away     chan struct{}
	dead     *DownError
	outages  []*Outage
	current  *Outage // while away is not nil; it is among outages once a probe has failed as well
	back     []func(Outage)
}

func newHealth(c *Client, limit time.Duration) *health {
	return &health{c: c, max: limit, inFlight: map[*Exchange]struct{}{}}
}

// gate lets a sender pass when the target is there.
func (h *health) gate(ctx context.Context) error {
	for {
		h.mu.Lock()
		away, dead := h.away, h.dead
		h.mu.Unlock()
		if dead != nil {
			return dead
		}
		if away == nil {
			return nil
		}
		select {
		case <-away:
		case <-ctx.Done():
			return ctx.Err()
		case <-h.c.ctx.Done():
			return ErrClosed
		}
	}
}

func (h *health) begin(ex *Exchange) {
	h.mu.Lock()
	h.inFlight[ex] = struct{}{}
	h.mu.Unlock()
}

// end takes note of how an exchange with the target ended.
func (h *health) end(ex *Exchange, kind failure, home bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.inFlight, ex)
	if !home || kind == cancelled {
		return
	}
	if len(h.last) == remembered {
		h.last = slices.Delete(h.last, 0, 1)
	}
	h.last = append(h.last, ex)
	switch kind {
	case answered, garbled:
		h.streak = h.streak[:0]
		return
	case refused:
	default:
		h.streak = append(h.streak, ex)
		if len(h.streak) < failuresInARow {
			return
		}
	}
	if h.away != nil || h.dead != nil || h.c.ctx.Err() != nil {
		if h.away != nil && kind == broken {
			// It was in flight when the target went: it is as likely as the first.
			h.suspect(h.current, ex, "was in flight when the target went away")
		}
		return
	}
	o := &Outage{Since: time.Now(), Refused: kind == refused}
	for _, e := range h.streak {
		h.suspect(o, e, "got no answer just before the target went away")
	}
	for e := range h.inFlight {
		h.suspect(o, e, "was in flight when the target went away")
	}
	for _, e := range slices.Backward(h.last) {
		if e != ex || kind != refused {
			h.suspect(o, e, "was answered just before the target went away")
		}
	}
	h.away, h.current = make(chan struct{}), o
	h.c.wg.Add(1)
	go h.watch(o)
}

// suspect adds ex to o, once.
func (h *health) suspect(o *Outage, ex *Exchange, why string) {
	for _, s := range o.Suspects {
		if s.Exchange == ex {
			return
		}
	}
	o.Suspects = append(o.Suspects, Suspect{ex, why})
}

// watch probes until the target answers again or the wait is over.
func (h *health) watch(o *Outage) {
	defer h.c.wg.Done()
	pause := 100 * time.Millisecond
	first := true
	limit := h.max
	if h.c.answers.Load() == 0 {
		// It was never there: it may be starting, but more likely the address is wrong.
		limit = min(limit, 10*time.Second)
	}
	var last error
	for {
		kind, err := h.probe()
		if err == nil {
			h.open(o, first)
			return
		}
		last, first = err, false
		h.mu.Lock()
		o.Refused = o.Refused || kind == refused
		if len(h.outages) == 0 || h.outages[len(h.outages)-1] != o {
			h.outages = append(h.outages, o)
		}
		if waited := time.Since(o.Since); waited > limit || h.c.ctx.Err() != nil || h.c.answers.Load() == 0 && hopeless(err) {
			h.dead = &DownError{Origin: h.c.home.String(), Since: o.Since, Waited: waited, Last: last}
			close(h.away)
			h.away = nil
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		select {
		case <-time.After(pause):
		case <-h.c.ctx.Done():
		}
		pause = min(pause*3/2, time.Second)
	}
}

// open lets the senders go on. When the first probe was answered there was no
// outage, unless a connection had been refused.
func (h *health) open(o *Outage, first bool) {
	h.c.pools[h.c.home].drop(false)
	h.mu.Lock()
	if first && o.Refused {
		h.outages = append(h.outages, o)
	}
	outage := !first || o.Refused
	o.Back = time.Now()
	h.streak = h.streak[:0]
	close(h.away)
	h.away = nil
	hooks := h.back
	told := copyOutage(o)
	h.mu.Unlock()
	if !outage {
		return
	}
	for _, f := range hooks {
		f(told)
	}
}

// probe asks for the root once, on a connection of its own. Any answer is a sign of life.
func (h *health) probe() (failure, error) {
	ctx, cancel := context.WithTimeout(h.c.ctx, probeTimeout)
	defer cancel()
	r := &Request{Method: "GET", Path: "/", Timeout: probeTimeout}
	ex := &Exchange{Request: r, Sent: time.Now()}
	cn, err := h.c.dialer.dial(ctx, h.c.home, "http/1.1")
	if err != nil {
		if noProtocol(err) {
			return answered, nil
		}
		return refused, err
	}
	defer func() { _ = cn.Close() }()
	h.c.over(ctx, cn, h.c.home, r, ex)
	kind := kindOf(nil, ex.Err)
	if kind == answered || kind == garbled {
		return kind, nil
	}
	return kind, ex.Err
}

// hopeless: waiting will not help, because the name or the certificate is wrong.
func hopeless(err error) bool {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var rec tls.RecordHeaderError
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert) || errors.As(err, &rec)
}

func copyOutage(o *Outage) Outage {
	c := *o
	c.Suspects = slices.Clone(o.Suspects)
	return c
}

// Outages lists the times in which the target was away, oldest first.
func (c *Client) Outages() []Outage {
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Outage, 0, len(h.outages))
	for _, o := range h.outages {
		out = append(out, copyOutage(o))
	}
	return out
}

// Suspects lists the requests that may have made the target go away, over all
// outages, the likeliest first within each.
func (c *Client) Suspects() []Suspect {
	var out []Suspect
	for _, o := range c.Outages() {
		out = append(out, o.Suspects...)
	}
	return out
}

// Epoch counts the times that the target came back after its process had been
// gone. What was learned in an earlier epoch (sessions, objects) may not hold any more.
func (c *Client) Epoch() int {
	n := 0
	for _, o := range c.Outages() {
		if o.Refused && !o.Back.IsZero() {
			n++
		}
	}
	return n
}

// OnBack adds a hook that is told when the target is back after an outage. It
// must not send requests itself.
func (c *Client) OnBack(f func(Outage)) {
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	h.back = append(h.back, f)
}

// Down is nil, or why nothing is sent any more.
func (c *Client) Down() error {
	c.health.mu.Lock()
	defer c.health.mu.Unlock()
	if c.health.dead != nil {
		return c.health.dead
	}
	return nil
}

// IsDown says whether err means that the target is gone for good.
func IsDown(err error) bool {
	var d *DownError
	return errors.As(err, &d)
}
