package wire

import (
	"bytes"
	"container/list"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Refusal is a request that was refused for its bytes: before it became an
// exchange, or in the middle of its body.
type Refusal struct {
	Remote net.Addr
	Status int
	Reason string // for the operator
}

// Options say what becomes of refusals.
type Options struct {
	// Problem makes the document of a refusal; code is one of exchange's codes.
	Problem func(status int, code string) []byte
	// OnRefused is told of each refusal; may be nil. It must not block.
	OnRefused func(Refusal)
	// Limits bound connections; nil: nothing does. It is asked for each.
	Limits func() Limits
	// OnTurnedAway is told, at most once a second, of a connection that was not taken
	// and of how many there have been; may be nil. It must not block.
	OnTurnedAway func(remote net.Addr, why string, all TurnedAway)
}

// Connections keeps the connections of its listeners, so that they can be closed.
type Connections struct {
	turned turnedAway

	mu    sync.Mutex
	open  map[*conn]struct{}
	seats admission
}

// Listener wraps a listener so that its connections are inspected.
func (cs *Connections) Listener(ln net.Listener, o Options) net.Listener {
	return &listener{ln, cs, o}
}

// CloseAll closes every connection.
func (cs *Connections) CloseAll() {
	cs.mu.Lock()
	open := make([]*conn, 0, len(cs.open))
	for c := range cs.open {
		open = append(open, c)
	}
	cs.mu.Unlock()
	for _, c := range open {
		_ = c.Conn.Close() // it may be closed already
	}
}

// Len is how many connections are open.
func (cs *Connections) Len() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.open)
}

type listener struct {
	net.Listener
	conns   *Connections
	options Options
}

// Accept returns the next connection that is taken, inspected.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: nc, conns: l.conns, options: l.options}
		if !l.conns.take(c, &l.options) {
			_ = nc.Close()
			continue
		}
		if t, ok := nc.(*tls.Conn); ok {
			c.tls = t
			return &tlsConn{conn: c, tls: t}, nil
		}
		return c, nil
	}
}

// take finds a place for a connection.
func (cs *Connections) take(c *conn, o *Options) bool {
	var l Limits
	if o.Limits != nil {
		l = o.Limits()
	}
	c.headBytes = l.HeadBytes
	remote := c.RemoteAddr()
	cs.mu.Lock()
	victim, why := cs.seats.admit(c, addressOf(remote), &l)
	if why == "" {
		if cs.open == nil {
			cs.open = map[*conn]struct{}{}
		}
		cs.open[c] = struct{}{}
	}
	cs.mu.Unlock()
	switch why {
	case manyOfAddress:
		cs.turned.address.Add(1)
	case manyAtAll:
		cs.turned.all.Add(1)
	case "":
		if victim == nil {
			return true
		}
		cs.turned.displaced.Add(1)
		// Its Close may wait for the client to read a refusal; the socket's does not.
		_ = victim.socket().Close()
		cs.tell(o, victim.RemoteAddr(), "closed for another's, as its address has the most connections")
		return true
	}
	cs.tell(o, remote, string(why))
	return false
}

// socket is the connection below TLS, whose Close sends no word.
func (c *conn) socket() net.Conn {
	if t, ok := c.Conn.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c.Conn
}

// poison is what net/http refuses wherever it stands in a request: in a request
// line, a field, a chunk-size line or a trailer.
var poison = []byte("\x00\r\n\r\n")

// conn is one inspected connection.
type conn struct {
	net.Conn
	conns   *Connections
	options Options

	in      Inspector // the reading goroutine's
	tls     *tls.Conn // whose handshake says whether HTTP/2 is spoken; nil when that is known
	pending []byte    // poison that did not fit
	fault   atomic.Pointer[string]
	tunnel  atomic.Bool // a 101 was written
	closed  sync.Once

	shook     bool     // the handshake of TLS is over, or none is made
	h2        *frames2 // nil until HTTP/2 is spoken
	headBytes int
	peer      *peer         // whose place it has
	place     *list.Element // nil once given up; guarded by Connections.mu
}

// Read returns bytes of well-formed requests; from the first fault on, poison
// and then the end.
func (c *conn) Read(p []byte) (int, error) {
	if c.fault.Load() != nil {
		if len(c.pending) == 0 {
			return 0, io.EOF
		}
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	if !c.shook {
		if err := c.handshake(); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	if c.h2 != nil {
		return c.readFrames(p[:n], err)
	}
	if n == 0 || c.in.state == opaque {
		return n, err
	}
	if c.tls != nil {
		if c.tls.ConnectionState().NegotiatedProtocol == "h2" {
			c.in.Tunnel()
			c.h2 = &frames2{most: c.headBytes}
			return c.readFrames(p[:n], err)
		}
		c.tls = nil
	}
	if c.tunnel.Load() {
		c.in.Tunnel()
		return n, err
	}
	ok, fault := c.in.Feed(p[:n])
	if fault == "" {
		return n, err
	}
	c.fault.Store(&fault)
	c.pending = poison
	c.report(http.StatusBadRequest, fault)
	if ok == 0 {
		return c.Read(p)
	}
	return ok, nil
}

// handshakeTime is how long a connection waits for others of its address that make
// theirs. What it may take itself is bounded by the server's deadline for reading.
const handshakeTime = 10 * time.Second

// handshake makes the handshake of TLS, when few enough of its address do.
func (c *conn) handshake() error {
	c.shook = true
	if c.tls == nil {
		return nil
	}
	if turn := c.peer.shaking; turn != nil {
		wait := time.NewTimer(handshakeTime)
		defer wait.Stop()
		select {
		case turn <- struct{}{}:
		case <-wait.C:
			return os.ErrDeadlineExceeded
		}
		defer func() { <-turn }()
	}
	return c.tls.HandshakeContext(context.Background()) // the connection's deadline bounds it
}

// readFrames passes on what an HTTP/2 client sends, until it is too much.
func (c *conn) readFrames(p []byte, err error) (int, error) {
	if len(p) == 0 {
		return 0, err
	}
	fault := c.h2.feed(p, time.Now())
	if fault == "" {
		return len(p), err
	}
	c.conns.turned.flood.Add(1)
	c.conns.tell(&c.options, c.RemoteAddr(), fault)
	_ = c.socket().Close()
	return 0, io.EOF
}

func (c *conn) report(status int, reason string) {
	if c.options.OnRefused != nil {
		c.options.OnRefused(Refusal{Remote: c.RemoteAddr(), Status: status, Reason: reason})
	}
}

const (
	switching = "HTTP/1.1 101 "
	version   = "HTTP/1.1 "
)

// plainRefusal stands in every answer that net/http writes on its own, and in
// none that a handler writes: those have a Date.
var plainRefusal = []byte("\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// Write passes answers on. It sees two kinds: a change of protocol, and
// net/http's own refusals, which become problem documents.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) < len(switching) || p[0] != 'H' || c.tunnel.Load() {
		return c.Conn.Write(p)
	}
	if string(p[:len(switching)]) == switching {
		c.tunnel.Store(true)
		return c.Conn.Write(p)
	}
	if len(p) > 512 || string(p[:len(version)]) != version {
		return c.Conn.Write(p)
	}
	line := bytes.IndexByte(p, '\r')
	if line < 0 || !bytes.HasPrefix(p[line:], plainRefusal) {
		return c.Conn.Write(p)
	}
	status, err := strconv.Atoi(string(p[len(version) : len(version)+3]))
	if err != nil {
		return c.Conn.Write(p)
	}
	if c.fault.Load() == nil { // else it has been told already
		c.report(status, string(p[line+len(plainRefusal):]))
	}
	code := "gateway.bad_request"
	if status == http.StatusRequestHeaderFieldsTooLarge {
		code = "gateway.headers_too_large"
	} else {
		status = http.StatusBadRequest // also what net/http calls 501 or 505
	}
	doc := c.options.Problem(status, code)
	answer := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
		status, http.StatusText(status), len(doc))
	if _, err := c.Conn.Write(append(answer, doc...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// drainTime is how long a refused client may still be listened to, so that what
// it has sent does not reset the connection before it has read the refusal.
const drainTime = 250 * time.Millisecond

// Close closes the connection, after a refusal in a way that lets it arrive.
func (c *conn) Close() error {
	c.closed.Do(func() {
		c.conns.mu.Lock()
		delete(c.conns.open, c)
		c.conns.seats.leave(c)
		c.conns.mu.Unlock()
		if c.fault.Load() == nil {
			return
		}
		if err := c.CloseWrite(); err != nil {
			return
		}
		if err := c.Conn.SetReadDeadline(time.Now().Add(drainTime)); err != nil {
			return
		}
		_, _ = io.CopyN(io.Discard, c.Conn, 256<<10) // what matters is that it was read
	})
	return c.Conn.Close()
}

// CloseWrite closes the sending side.
func (c *conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

// tlsConn is a conn over TLS. The HTTP server asks it for the state of TLS.
type tlsConn struct {
	*conn
	tls *tls.Conn
}

// ConnectionState returns the state of TLS.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }
