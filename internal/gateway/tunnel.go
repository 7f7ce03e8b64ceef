package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
)

// sever makes everything fail that the exchange's handler waits for. It is called
// from another goroutine, while the handler is known to be there.
func (s *session) sever(v exchange.Verdict) {
	if l, ok := s.r.Body.(*limitedBody); ok {
		l.fault.CompareAndSwap(nil, &bodyFault{v.Code, v.Reason})
	}
	s.call.end()
	past := time.Unix(1, 0)
	rc := http.NewResponseController(innermost(s.w))
	// A writer without deadlines is none that a client could hold up.
	_ = rc.SetReadDeadline(past)
	if s.headSent.Load() {
		_ = rc.SetWriteDeadline(past)
	}
}

// innermost is the server's own writer. What is wrapped around it may keep
// deadlines of its own, which are the handler's alone to set.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

const (
	closeGrace = 250 * time.Millisecond // for writing a close frame
	drainGrace = 500 * time.Millisecond // for the client to read it
	drainMost  = 256 << 10

	policyViolation = 1008 // RFC 6455 section 7.4.1
)

// tunnel is the client's connection of a WebSocket. It follows the frames that go
// to the client, so that a close frame can be put between two of them.
type tunnel struct {
	net.Conn
	broken atomic.Bool

	mu     sync.Mutex // one writer at a time
	frames frames
}

var errCut = errors.New("the connection was cut")

// Read reads from the client, until the tunnel is cut.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if t.broken.Load() {
		return 0, errCut
	}
	return n, err
}

// Write writes to the client.
func (t *tunnel) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken.Load() {
		return 0, errCut
	}
	n, err := t.Conn.Write(p)
	t.frames.pass(p[:n])
	return n, err
}

// CloseWrite ends the sending side.
func (t *tunnel) CloseWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return t.Conn.Close()
}

// cut ends the tunnel: nothing more passes in either direction. The client is told
// why where the frames allow it.
func (t *tunnel) cut(code string) {
	t.broken.Store(true)
	// Whoever holds the lock writes to a client that may not read.
	_ = t.Conn.SetWriteDeadline(time.Now().Add(closeGrace))
	t.mu.Lock()
	if t.frames.between() {
		_, _ = t.Conn.Write(closeFrame(code))
	}
	if c, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	t.mu.Unlock()
	_ = t.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader, which then ends the tunnel
}

// Close closes the connection. After a cut what the client still sends is read for
// a moment: closed with data unread, the connection would be reset, and the close
// frame lost with it.
func (t *tunnel) Close() error {
	if t.broken.Load() && t.Conn.SetReadDeadline(time.Now().Add(drainGrace)) == nil {
		_, _ = io.CopyN(io.Discard, t.Conn, drainMost)
	}
	return t.Conn.Close()
}

// closeFrame is a server's close frame (RFC 6455 section 5.5.1).
func closeFrame(reason string) []byte {
	reason = reason[:min(len(reason), 123)]
	f := []byte{0x88, byte(2 + len(reason))}
	f = binary.BigEndian.AppendUint16(f, policyViolation)
	return append(f, reason...)
}

// frames knows where in a WebSocket's frames a stream of bytes is.
type frames struct {
	head   [14]byte
	n      int    // bytes of the head so far
	left   uint64 // bytes of the payload to come
	closed bool   // a close frame has passed
	// before says that the head of the HTTP answer comes first, and ended how much of
	// its end has been seen.
	before bool
	ended  int
}

// between reports whether a frame can be begun here.
func (f *frames) between() bool { return f.n == 0 && f.left == 0 && !f.closed && !f.before }

// pass follows bytes.
func (f *frames) pass(p []byte) {
	for f.before && len(p) > 0 {
		const end = "\r\n\r\n"
		switch p[0] {
		case end[f.ended]:
			f.ended++
		case '\r':
			f.ended = 1
		default:
			f.ended = 0
		}
		f.before = f.ended < len(end)
		p = p[1:]
	}
	for len(p) > 0 {
		if f.left > 0 {
			n := min(uint64(len(p)), f.left)
			f.left -= n
			p = p[n:]
			continue
		}
		f.head[f.n] = p[0]
		f.n++
		p = p[1:]
		if f.n < 2 {
			continue
		}
		need, length := 2, uint64(f.head[1]&0x7f)
		switch length {
		case 126:
			need = 4
		case 127:
			need = 10
		}
		extended := need
		if f.head[1]&0x80 != 0 { // masked
			need += 4
		}
		if f.n < need {
			continue
		}
		switch extended {
		case 4:
			length = uint64(binary.BigEndian.Uint16(f.head[2:]))
		case 10:
			length = binary.BigEndian.Uint64(f.head[2:])
		}
		f.closed = f.closed || f.head[0]&0x0f == 8
		f.n, f.left = 0, length
	}
}
