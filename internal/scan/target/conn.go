package target

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/proxy"
)

const (
	maxHead    = 1 << 20         // bytes of an answer's head
	idleFor    = 3 * time.Second // servers commonly close idle connections after 5 s
	pooledSize = 4096
)

var errHeadTooLong = fmt.Errorf("the head of the answer is longer than %d bytes", maxHead)

// conn is one connection, used by one request at a time.
type conn struct {
	net.Conn
	raw    syscall.RawConn // of the TCP connection, to see whether it was closed; nil: unknown
	br     *bufio.Reader
	left   int64 // bytes that may still be read
	got    int64 // bytes read since the request began
	reused bool
	free   time.Time     // since when it is idle
	keep   time.Duration // how long it may be idle
	proto  string        // "h2" when TLS agreed on it
	// absolute: the request line must hold the whole address (a proxy without a tunnel).
	absolute bool
}

func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeadTooLong
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	c.got += int64(n)
	return n, err
}

// begin makes c ready for a request.
func (c *conn) begin() { c.left, c.got = maxHead, 0 }

// stale says whether the other side has closed an idle connection, or sent what nobody asked for.
func (c *conn) stale(now time.Time) bool {
	if c.br.Buffered() > 0 || now.Sub(c.free) > c.keep {
		return true
	}
	if c.raw == nil {
		return false
	}
	stale := false
	err := c.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		// Open and silent is the one state in which there is nothing to read yet.
		stale = n > 0 || err == nil || (!errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EWOULDBLOCK))
		return true
	})
	return stale || err != nil
}

// pool keeps idle connections to one origin, the last used on top.
type pool struct {
	mu   sync.Mutex
	idle []*conn
	max  int
	shut bool
}

func (p *pool) get() *conn {
	now := time.Now()
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if !c.stale(now) {
			c.reused = true
			return c
		}
		_ = c.Close()
	}
}

func (p *pool) put(c *conn) {
	c.free = time.Now()
	p.mu.Lock()
	if p.shut || len(p.idle) >= p.max {
		p.mu.Unlock()
		_ = c.Close()
		return
	}
	p.idle = append(p.idle, c)
	p.mu.Unlock()
}

// drop closes all that is idle; with shut, for good.
func (p *pool) drop(shut bool) {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.shut = nil, p.shut || shut
	p.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// dialer opens connections to origins in scope, and to nothing else.
type dialer struct {
	tls     *tls.Config
	timeout time.Duration
	proxy   *url.URL
	socks   proxy.ContextDialer
}

// proxied: what is dialled is a proxy.
func (d *dialer) proxied() bool { return d.proxy != nil || d.socks != nil }

func newDialer(o *Options) (*dialer, error) {
	t, err := o.tls()
	if err != nil {
		return nil, err
	}
	d := &dialer{tls: t, timeout: o.DialTimeout}
	if o.Proxy == "" {
		return d, nil
	}
	u, err := url.Parse(o.Proxy)
	if err != nil || u.Host == "" {
		return nil, errors.New("the proxy's address must look like http://host:port or socks5://host:port")
	}
	switch u.Scheme {
	case "http":
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), "80")
		}
		d.proxy = u
	case "socks5", "socks5h":
		s, err := proxy.FromURL(u, &net.Dialer{Timeout: o.DialTimeout})
		if err != nil {
			return nil, fmt.Errorf("the proxy %s: %w", redactUserinfo(u), err)
		}
		cd, ok := s.(proxy.ContextDialer)
		if !ok {
			return nil, fmt.Errorf("the proxy %s cannot be dialled with a time limit", redactUserinfo(u))
		}
		d.socks = cd
	default:
		return nil, fmt.Errorf("the proxy's scheme is %q; http and socks5 are known", u.Scheme)
	}
	return d, nil
}

// dial opens a connection to o, with TLS that offers protos where its scheme asks for it.
func (d *dialer) dial(ctx context.Context, o *origin, protos ...string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	nc, err := d.tcp(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, left: math.MaxInt64, keep: idleFor, absolute: d.proxy != nil && o.scheme == "http"}
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	if o.scheme == "https" {
		conf := d.tls.Clone()
		if conf.ServerName == "" {
			conf.ServerName = o.name
		}
		conf.NextProtos = protos
		tc := tls.Client(nc, conf)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, &dialError{fmt.Errorf("TLS with %s: %w", o.addr, err)}
		}
		c.Conn = tc
		c.proto = tc.ConnectionState().NegotiatedProtocol
		// TLS may have records of its own waiting (tickets): peeking would take them for an answer.
		c.raw = nil
	}
	c.br = bufio.NewReaderSize(c, pooledSize)
	return c, nil
}

// dialError marks what went wrong before anything was sent.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

func (d *dialer) tcp(ctx context.Context, o *origin) (net.Conn, error) {
	if d.socks != nil {
		nc, err := d.socks.DialContext(ctx, "tcp", o.addr)
		if err != nil {
			return nil, &dialError{fmt.Errorf("connecting to %s through the proxy: %w", o.addr, err)}
		}
		return nc, nil
	}
	addr := o.addr
	if d.proxy != nil {
		addr = d.proxy.Host
	}
	nd := net.Dialer{Timeout: d.timeout}
	nc, err := nd.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &dialError{fmt.Errorf("connecting: %w", err)}
	}
	if d.proxy == nil || o.scheme == "http" {
		return nc, nil
	}
	if err := d.tunnel(ctx, nc, o); err != nil {
		_ = nc.Close()
		return nil, &dialError{err}
	}
	return nc, nil
}

// tunnel asks an HTTP proxy for a way through to o (RFC 9110, 9.3.6).
func (d *dialer) tunnel(ctx context.Context, nc net.Conn, o *origin) error {
	if t, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(t)
	}
	head := "CONNECT " + o.addr + " HTTP/1.1\r\nHost: " + o.addr + "\r\n" + d.proxyAuth() + "\r\n"
	if _, err := nc.Write([]byte(head)); err != nil {
		return fmt.Errorf("asking the proxy for %s: %w", o.addr, err)
	}
	// Read byte by byte: what follows the head belongs to TLS.
	var got []byte
	var one [1]byte
	for !strings.HasSuffix(string(got), "\r\n\r\n") {
		if len(got) > 16<<10 {
			return errors.New("the proxy's answer is too long")
		}
		if _, err := nc.Read(one[:]); err != nil {
			return fmt.Errorf("reading the proxy's answer: %w", err)
		}
		got = append(got, one[0])
	}
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(got))), &http.Request{Method: http.MethodConnect})
	if err != nil {
		return fmt.Errorf("reading the proxy's answer: %w", err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the proxy refused a tunnel to %s with %s", o.addr, res.Status)
	}
	return nc.SetDeadline(time.Time{})
}

func (d *dialer) proxyAuth() string {
	if d.proxy == nil || d.proxy.User == nil {
		return ""
	}
	pw, _ := d.proxy.User.Password()
	return "Proxy-Authorization: " + basic(d.proxy.User.Username(), pw) + "\r\n"
}

// keepAlive reads how long the server promises to keep an idle connection.
func keepAlive(h http.Header) time.Duration {
	for _, part := range strings.Split(h.Get("Keep-Alive"), ",") {
		name, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(name, "timeout") {
			continue
		}
		if n, err := strconv.Atoi(v); err == nil && n >= 0 && n < 4 {
			// Half of it: the clocks of both sides start at different moments.
			return time.Duration(n) * time.Second / 2
		}
	}
	return idleFor
}
