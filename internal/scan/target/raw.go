package target

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"
)

// What stands for a method in the record of what is no ordinary request.
const (
	MethodRaw = "RAW" // bytes as they are, on a connection of their own
	MethodTLS = "TLS" // a handshake
)

// RawRequest is bytes for a connection of their own, which is closed after
// them. Nothing in them is checked or added: this is for what no honest client sends.
type RawRequest struct {
	Chunks [][]byte      // written one after the other
	Pause  time.Duration // between two chunks
	// Wait is how long to wait for more after the last byte came, or for the first; 0: 5 s.
	Wait time.Duration
	// Answers is after how many whole answers nothing more is waited for; 0: Wait alone decides.
	Answers int
	// Plain leaves TLS out, though the target's scheme asks for it.
	Plain bool
	// H2 is a request over HTTP/2 in place of Chunks.
	H2 *RawH2
}

// RawAnswer is what came back.
type RawAnswer struct {
	Bytes  []byte // up to the Client's bound; of HTTP/2 none
	Closed bool   // the target closed the connection
	Reset  bool   // … and not politely
	Whole  []*http.Response
}

// Responses reads the answers that Bytes hold, as answers to requests of these
// methods (GET when there are more answers than methods). It stops at what is no answer.
func (a *RawAnswer) Responses(methods ...string) []*http.Response {
	all, _ := a.read(methods) //nolint:bodyclose // their bodies are in memory
	return all
}

// read reads the answers, and says how many of them have come to their end.
func (a *RawAnswer) read(methods []string) (out []*http.Response, whole int) {
	br := bufio.NewReader(bytes.NewReader(a.Bytes))
	for {
		m := http.MethodGet
		if len(out) < len(methods) {
			m = methods[len(out)]
		}
		res, err := http.ReadResponse(br, &http.Request{Method: m})
		if err != nil {
			return out, whole
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(b))
		if res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
			continue // an interim answer (RFC 9110, 15.2)
		}
		out = append(out, res) //nolint:bodyclose // its body is in memory
		unbounded := res.ContentLength < 0 && len(res.TransferEncoding) == 0 && res.StatusCode != http.StatusNoContent && res.StatusCode != http.StatusNotModified && m != http.MethodHead
		if err != nil || unbounded && !a.Closed {
			return out, whole
		}
		whole++
	}
}

// reRequestLine finds what may be read as the beginning of a request.
var reRequestLine = regexp.MustCompile(`(?m)(?:^|\b)([A-Z]+) +(/[^ \r\n]*) +HTTP/1\.[01]\r?$`)

// allowRaw asks Allow for every request that bytes may be taken for.
func (c *Client) allowRaw(r *RawRequest) error {
	if c.allow == nil {
		return nil
	}
	all := []Request{{Method: MethodRaw, Path: "/"}}
	for _, m := range reRequestLine.FindAllSubmatch(bytes.Join(r.Chunks, nil), -1) {
		all = append(all, Request{Method: string(m[1]), Path: string(m[2])})
	}
	if r.H2 != nil {
		all = append(all, Request{Method: r.H2.get(":method"), Path: r.H2.get(":path")})
	}
	for i := range all {
		all[i].Root = true
		if err := c.allow(&all[i]); err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return nil
}

// Raw sends bytes as they are to the target, on a connection of their own, and
// collects what comes back. as names the actor whose credentials they hold, for
// the record. An error means that nothing was sent.
//
// The exchange's Body is all that came, with the heads; its Status and Header are
// the first answer's. Its Duration ends with the last byte, or, where none came,
// when the wait was over. It says nothing of whether the target lives.
func (c *Client) Raw(ctx context.Context, as string, r *RawRequest) (*Exchange, error) {
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if c.dialer.proxy != nil && c.home.scheme == "http" {
		return nil, fmt.Errorf("%w: a proxy without a tunnel reads what passes, so bytes cannot be sent as they are", ErrRequest)
	}
	if err := c.allowRaw(r); err != nil {
		return nil, err
	}
	ex := &Exchange{As: as, For: purposeOf(ctx).what, Request: &Request{Method: MethodRaw, Path: "/", Root: true, Body: bytes.Join(r.Chunks, nil)}, Raw: &RawAnswer{}}
	if r.H2 != nil {
		ex.Request.Body = []byte(r.H2.String())
	}
	if r.H2 != nil && c.home.scheme != "https" {
		return nil, fmt.Errorf("%w: HTTP/2 is spoken over TLS alone here", ErrRequest)
	}
	cn, err := c.lone(ctx, ex, func(ctx context.Context) (*conn, error) {
		switch {
		case r.H2 != nil:
			return c.dialer.dial(ctx, c.home, "h2")
		case r.Plain:
			nc, err := c.dialer.tcp(ctx, c.home)
			if err != nil {
				return nil, err
			}
			cn := &conn{Conn: nc}
			cn.br = bufio.NewReaderSize(cn, pooledSize)
			return cn, nil
		}
		return c.dialer.dial(ctx, c.home, "http/1.1")
	})
	if err != nil {
		return nil, err
	}
	if cn == nil {
		c.tell(ex)
		return ex, nil
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
	ex.Sent = time.Now()
	if r.H2 != nil {
		c.rawH2(cn, r.H2, wait, ex)
	} else {
		c.rawH1(ctx, cn, r, wait, ex)
	}
	c.bytesBack.Add(int64(len(ex.Raw.Bytes)))
	c.tell(ex)
	return ex, ctx.Err()
}

// lone takes its turn for one connection of its own, and opens it. A target at
// which nothing listens is waited for once, as with Do. nil: there is none, and
// ex says why.
func (c *Client) lone(ctx context.Context, ex *Exchange, dial func(context.Context) (*conn, error)) (*conn, error) {
	for attempt := 0; ; attempt++ {
		if err := c.health.gate(ctx); err != nil {
			return nil, err
		}
		seq, err := c.pace.take(ctx, 1)
		if err != nil {
			return nil, err
		}
		ex.Seq, ex.Sent = seq, time.Now()
		cn, err := dial(ctx)
		if err == nil {
			return cn, nil
		}
		ex.Duration = time.Since(ex.Sent)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var op *net.OpError
		if attempt == 0 && errors.As(err, &op) && op.Op == "dial" {
			// Whether something listens there, an ordinary request finds out, and waits.
			if _, err := c.Do(ctx, "", &Request{Method: http.MethodGet, Path: "/", Root: true}); err != nil {
				return nil, err
			}
			continue
		}
		ex.Err = err
		return nil, nil
	}
}

func (c *Client) rawH1(ctx context.Context, cn *conn, r *RawRequest, wait time.Duration, ex *Exchange) {
	a := ex.Raw
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
		if n > 0 {
			if ex.FirstByte == 0 {
				ex.FirstByte = time.Since(ex.Sent)
			}
			ex.Duration = time.Since(ex.Sent)
		}
		a.Bytes = append(a.Bytes, buf[:n]...)
		if err != nil {
			a.Closed = !errors.Is(err, os.ErrDeadlineExceeded)
			a.Reset = a.Closed && !errors.Is(err, io.EOF)
			break
		}
		if r.Answers > 0 {
			if _, whole := a.read(nil); whole >= r.Answers { //nolint:bodyclose // the same
				break
			}
		}
	}
	if ex.Duration == 0 {
		ex.Duration = time.Since(ex.Sent)
	}
	ex.Body = a.Bytes
	a.Whole = a.Responses() //nolint:bodyclose // the same
	if len(a.Whole) > 0 {
		first := a.Whole[0]
		ex.Status, ex.Header, ex.Proto = first.StatusCode, first.Header, first.Proto
	} else {
		ex.Err = noAnswer(a)
	}
}

func noAnswer(a *RawAnswer) error {
	switch {
	case len(a.Bytes) > 0:
		return errors.New("what came is no answer of HTTP/1.1")
	case a.Closed:
		return errors.New("the target closed the connection without an answer")
	}
	return errors.New("no answer came in the time that was waited")
}

// Answer is one of the answers that came, 1 the first, as an exchange of its
// own; nil when there are not so many.
func (ex *Exchange) Answer(n int) *Exchange {
	if ex.Raw == nil || n < 1 || n > len(ex.Raw.Whole) {
		return nil
	}
	res := ex.Raw.Whole[n-1]
	out := *ex
	out.Raw, out.Status, out.Header, out.Proto = nil, res.StatusCode, res.Header, res.Proto
	b, _ := io.ReadAll(res.Body) // from memory
	res.Body = io.NopCloser(bytes.NewReader(b))
	out.Body = b
	return &out
}
