package target

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"time"
)

// RawRequest is bytes for a connection of their own. Nothing in them is checked
// or added: this is for what no honest client sends.
type RawRequest struct {
	Chunks [][]byte      // written one after the other
	Pause  time.Duration // between two chunks
	// Wait is how long to wait for more after the last byte came, or for the first; 0: 5 s.
	Wait time.Duration
}

// RawAnswer is what came back.
type RawAnswer struct {
	Seq      int64
	Sent     time.Time
	Duration time.Duration
	Bytes    []byte // up to the Client's bound
	Closed   bool   // the target closed the connection
	Reset    bool   // … and not politely
}

// Responses reads the answers that Bytes hold, as answers to requests of these
// methods (GET when there are more answers than methods). It stops at what is no answer.
func (a *RawAnswer) Responses(methods ...string) []*http.Response {
	br := bufio.NewReader(bytes.NewReader(a.Bytes))
	var out []*http.Response
	for {
		m := http.MethodGet
		if len(out) < len(methods) {
			m = methods[len(out)]
		}
		res, err := http.ReadResponse(br, &http.Request{Method: m})
		if err != nil {
			return out
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(b))
		out = append(out, res) //nolint:bodyclose // its body is in memory
		if err != nil {
			return out
		}
	}
}

// Raw sends bytes as they are to the target, on a connection of their own, and
// collects what comes back. An error means that nothing was sent.
func (c *Client) Raw(ctx context.Context, r *RawRequest) (*RawAnswer, error) {
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if c.allow != nil {
		// What such bytes do cannot be told from their look.
		if err := c.allow(&Request{Method: "RAW", Path: "/", Root: true}); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	if err := c.health.gate(ctx); err != nil {
		return nil, err
	}
	seq, err := c.pace.take(ctx, 1)
	if err != nil {
		return nil, err
	}
	cn, err := c.dialer.dial(ctx, c.home, "http/1.1")
	if err != nil {
		return nil, err
	}
	defer func() { _ = cn.Close() }()
	cut := func() { _ = cn.SetDeadline(time.Unix(1, 0)) }
	defer context.AfterFunc(ctx, cut)()
	defer context.AfterFunc(c.ctx, cut)()

	wait := r.Wait
	if wait <= 0 {
		wait = 5 * time.Second
	}
	cn.left = math.MaxInt64
	a := &RawAnswer{Seq: seq, Sent: time.Now()}
	for i, chunk := range r.Chunks {
		if i > 0 && r.Pause > 0 {
			select {
			case <-time.After(r.Pause):
			case <-ctx.Done():
			case <-c.ctx.Done():
			}
		}
		_ = cn.SetWriteDeadline(time.Now().Add(c.timeout))
		if _, err := cn.Conn.Write(chunk); err != nil {
			break // the target may have answered and closed: what it said counts
		}
		c.bytesOut.Add(int64(len(chunk)))
	}
	buf := make([]byte, 32<<10)
	for int64(len(a.Bytes)) < c.maxBody && ctx.Err() == nil && c.ctx.Err() == nil {
		_ = cn.SetReadDeadline(time.Now().Add(wait))
		n, err := cn.br.Read(buf)
		a.Bytes = append(a.Bytes, buf[:n]...)
		if err != nil {
			a.Closed = !errors.Is(err, os.ErrDeadlineExceeded)
			a.Reset = a.Closed && !errors.Is(err, io.EOF)
			break
		}
	}
	a.Duration = time.Since(a.Sent)
	c.bytesBack.Add(int64(len(a.Bytes)))
	return a, nil
}
