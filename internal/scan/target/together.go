package target

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// maxTogether bounds what is sent at one moment.
const maxTogether = 100

// DoTogether sends all requests at the same moment. Each gets a connection of
// its own, on which everything but the last byte is sent first; then the last
// bytes leave together, so that the network's delays do not spread them ("last
// byte sync"). Where the target speaks HTTP/2, the ends of all requests travel
// in one write on one connection ("single packet").
//
// An error means that none was sent, as with Do. Otherwise there is one Exchange a
// request, in their order. At most 100 go together, and only one such flight is under
// way at a time.
func (c *Client) DoTogether(ctx context.Context, as string, rs []*Request) ([]*Exchange, error) {
	if len(rs) == 0 {
		return nil, nil
	}
	if len(rs) > maxTogether {
		return nil, fmt.Errorf("%w: %d together; at most %d", ErrRequest, len(rs), maxTogether)
	}
	var o *origin
	for i, r := range rs {
		a, err := c.admit(r)
		if err != nil {
			return nil, err
		}
		if i > 0 && a != o {
			return nil, fmt.Errorf("%w: requests that go together must go to one origin", ErrRequest)
		}
		o = a
	}
	c.one.Lock()
	defer c.one.Unlock()
	if o == c.home {
		if err := c.health.gate(ctx); err != nil {
			return nil, err
		}
		if err := c.ease.gate(ctx); err != nil {
			return nil, err
		}
	}
	seq, err := c.pace.take(ctx, int64(len(rs)))
	if err != nil {
		return nil, err
	}
	if rate := c.pace.rate(); rate > 0 && c.Eased().Holds > 0 {
		// Leaving when the last one's turn has come, they are not refused in the middle of the flight.
		if err := c.ease.sleep(ctx, min(time.Duration(float64(len(rs))/rate*float64(time.Second)), easeMost)); err != nil {
			return nil, err
		}
	}
	exs := make([]*Exchange, len(rs))
	for i, r := range rs {
		exs[i] = &Exchange{Seq: seq + int64(i), As: as, For: purposeOf(ctx).what, Request: r, Sent: time.Now()}
		c.health.begin(exs[i])
	}
	wire := c.computedAll(o, rs)
	if !c.flightH2(ctx, o, wire, exs) {
		c.flightH1(ctx, o, wire, exs)
	}
	for _, ex := range exs {
		c.health.end(ex, kindOf(ctx.Err(), ex.Err), o == c.home)
		soften(ex)
		c.tell(ex)
		if o == c.home && !limited(ex) {
			c.ease.note(ex)
		}
	}
	return exs, nil
}

// flightH1 is last byte sync over HTTP/1.1.
func (c *Client) flightH1(ctx context.Context, o *origin, rs []*Request, exs []*Exchange) {
	cns := make([]*conn, len(rs))
	last := make([][]byte, len(rs))
	stops := make([]func() bool, len(rs))
	var wg sync.WaitGroup
	for i, r := range rs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			cn, err := c.dialer.dial(ctx, o, "http/1.1")
			if err != nil {
				exs[i].Err = err
				return
			}
			cns[i], stops[i] = cn, c.deadline(ctx, cn, r)
			cn.begin()
			var b bytes.Buffer
			c.head(&b, o, r, cn.absolute)
			b.Write(r.Body)
			all := b.Bytes()
			c.bytesOut.Add(int64(len(all)))
			last[i] = all[len(all)-1:]
			if _, err := cn.Conn.Write(all[:len(all)-1]); err != nil {
				exs[i].Err = fmt.Errorf("sending the request: %w", err)
			}
		}()
	}
	wg.Wait()
	settle(ctx)
	now := time.Now()
	for i, cn := range cns {
		exs[i].Sent = now
		if cn == nil || exs[i].Err != nil {
			continue
		}
		if _, err := cn.Conn.Write(last[i]); err != nil {
			exs[i].Err = fmt.Errorf("sending the request: %w", err)
		}
	}
	for i, cn := range cns {
		if cn == nil {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if exs[i].Err == nil {
				c.answer(cn, rs[i], exs[i])
			}
			exs[i].Duration = time.Since(exs[i].Sent)
			stops[i]()
			c.bytesBack.Add(cn.got)
			_ = cn.Close()
		}()
	}
	wg.Wait()
}

// settle waits until the beginnings have most likely arrived and are being waited on.
func settle(ctx context.Context) {
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
