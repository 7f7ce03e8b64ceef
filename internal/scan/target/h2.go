package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	h2Window = 1 << 24 // bytes that the target may send without being told to go on
)

// noProtocol: TLS failed because the target does not speak HTTP/1.1. The alert
// (RFC 7301, 3.2) has no exported type in crypto/tls, only a text.
func noProtocol(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "no application protocol")
}

// sendH2 makes one exchange over HTTP/2, for a target that speaks nothing else.
func (c *Client) sendH2(ctx context.Context, o *origin, r *Request, ex *Exchange) {
	if !c.flightH2(ctx, o, []*Request{r}, []*Exchange{ex}) {
		ex.Err = &dialError{errors.New("the target speaks neither HTTP/1.1 nor HTTP/2")}
	}
	ex.Duration = time.Since(ex.Sent)
}

// flightH2 sends rs on one HTTP/2 connection: first all but the end of each,
// then all ends in one write. It says false when the target does not speak
// HTTP/2, and nothing was sent.
func (c *Client) flightH2(ctx context.Context, o *origin, rs []*Request, exs []*Exchange) bool {
	if o.scheme != "https" {
		return false
	}
	cn, err := c.dialer.dial(ctx, o, "h2")
	if err != nil {
		return false
	}
	defer func() { _ = cn.Close() }()
	if cn.proto != "h2" {
		return false
	}
	defer c.deadline(ctx, cn, rs[0])()
	f := newFlight(c, cn, o)
	f.alone = len(rs) == 1
	if err := f.open(); err != nil {
		return false
	}
	for i, r := range rs {
		if err := f.start(r, exs[i]); err != nil {
			f.fail(exs, fmt.Errorf("sending the request: %w", err))
			return true
		}
	}
	if len(rs) > 1 {
		settle(ctx)
	}
	if err := f.release(); err != nil {
		f.fail(exs, fmt.Errorf("sending the request: %w", err))
		return true
	}
	f.read()
	for _, ex := range exs {
		ex.Duration = time.Since(ex.Sent)
	}
	return true
}

// flight is one HTTP/2 connection with several requests that end together.
type flight struct {
	c      *Client
	cn     *conn
	o      *origin
	framer *http2.Framer
	out    bytes.Buffer
	ends   bytes.Buffer
	next   uint32
	alone  bool // one request: its end need not be held back
	live   map[uint32]*Exchange
	all    map[uint32]*Exchange
	window int64 // what may still be sent on the connection
	stream int64 // the same for each new stream
}

func newFlight(c *Client, cn *conn, o *origin) *flight {
	f := &flight{c: c, cn: cn, o: o, next: 1, live: map[uint32]*Exchange{}, all: map[uint32]*Exchange{}, window: 65535, stream: 65535}
	f.framer = http2.NewFramer(&f.out, cn.br)
	f.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	f.framer.MaxHeaderListSize = maxHead
	f.framer.SetMaxReadFrameSize(1 << 20)
	cn.left = 1 << 40
	return f
}

func (f *flight) flush() error {
	_, err := f.cn.Conn.Write(f.out.Bytes())
	f.c.bytesOut.Add(int64(f.out.Len()))
	f.out.Reset()
	return err
}

// open sends the preface and waits for the target's settings (RFC 9113, 3.4).
func (f *flight) open() error {
	f.out.WriteString(http2.ClientPreface)
	if err := f.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: h2Window},
	); err != nil {
		return err
	}
	if err := f.framer.WriteWindowUpdate(0, h2Window); err != nil {
		return err
	}
	if err := f.flush(); err != nil {
		return err
	}
	for {
		fr, err := f.framer.ReadFrame()
		if err != nil {
			return err
		}
		s, ok := fr.(*http2.SettingsFrame)
		if !ok || s.IsAck() {
			continue
		}
		if v, ok := s.Value(http2.SettingInitialWindowSize); ok {
			f.stream = int64(v)
		}
		if err := f.framer.WriteSettingsAck(); err != nil {
			return err
		}
		return f.flush()
	}
}

// start sends all of r but its end, which it puts aside.
func (f *flight) start(r *Request, ex *Exchange) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	put := func(name, value string) { _ = enc.WriteField(hpack.HeaderField{Name: name, Value: value}) } // to memory: cannot fail
	host := r.Host
	if h := r.Get("Host"); h != "" {
		host = h
	}
	if host == "" {
		host = f.o.host
	}
	put(":method", r.Method)
	put(":scheme", f.o.scheme)
	put(":authority", host)
	put(":path", f.c.wireTarget(f.o, r, false))
	for _, h := range append(r.Header[:len(r.Header):len(r.Header)], f.c.extra...) {
		name := strings.ToLower(h.Name)
		switch name {
		case "host", "connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection", "content-length":
			continue // they do not exist in HTTP/2 (RFC 9113, 8.2.2), or are ours to say
		}
		if r.Get(h.Name) != "" && !has(r, h) {
			continue
		}
		put(name, h.Value)
	}
	if needsLength(r) {
		put("content-length", strconv.Itoa(len(r.Body)))
	}
	body := r.Body
	if int64(len(body)) > min(f.window, f.stream) {
		return fmt.Errorf("a body of %d bytes does not fit into the %d that the target lets go at once", len(body), min(f.window, f.stream))
	}
	f.window -= int64(len(body))
	id := f.next
	f.next += 2
	f.live[id], f.all[id] = ex, ex
	alone := f.alone && body == nil
	if err := f.headers(id, block.Bytes(), alone); err != nil {
		return err
	}
	for len(body) > 1 {
		n := min(len(body)-1, 16<<10)
		if err := f.framer.WriteData(id, false, body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	if err := f.flush(); err != nil {
		return err
	}
	if alone {
		return nil
	}
	end := http2.NewFramer(&f.ends, nil)
	return end.WriteData(id, true, body)
}

func has(r *Request, h Field) bool {
	for _, f := range r.Header {
		if f == h {
			return true
		}
	}
	return false
}

func (f *flight) headers(id uint32, block []byte, end bool) error {
	const most = 16 << 10
	first := block[:min(len(block), most)]
	rest := block[len(first):]
	if err := f.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: first, EndStream: end, EndHeaders: len(rest) == 0}); err != nil {
		return err
	}
	for len(rest) > 0 {
		part := rest[:min(len(rest), most)]
		rest = rest[len(part):]
		if err := f.framer.WriteContinuation(id, len(rest) == 0, part); err != nil {
			return err
		}
	}
	return nil
}

// release sends the ends of all requests in one write.
func (f *flight) release() error {
	now := time.Now()
	for _, ex := range f.all {
		ex.Sent = now
	}
	f.out.Write(f.ends.Bytes())
	return f.flush()
}

// read takes in the answers until the last has ended.
func (f *flight) read() {
	for len(f.live) > 0 {
		fr, err := f.framer.ReadFrame()
		if err != nil {
			var se http2.StreamError
			if errors.As(err, &se) {
				f.end(se.StreamID, fmt.Errorf("reading the answer: %w", err))
				continue
			}
			for id := range f.live {
				f.end(id, fmt.Errorf("reading the answer: %w", err))
			}
			return
		}
		if err := f.frame(fr); err != nil {
			for id := range f.live {
				f.end(id, err)
			}
			return
		}
	}
}

func (f *flight) frame(fr http2.Frame) error {
	id := fr.Header().StreamID
	ex := f.live[id]
	switch fr := fr.(type) {
	case *http2.MetaHeadersFrame:
		if ex != nil {
			f.head(ex, fr)
			if fr.StreamEnded() {
				f.end(id, nil)
			}
		}
	case *http2.DataFrame:
		f.c.bytesBack.Add(int64(len(fr.Data())))
		if n := fr.Header().Length; n > 0 {
			// Keep the connection's window open; the stream's is as large as anything that is kept.
			if err := f.framer.WriteWindowUpdate(0, n); err != nil {
				return err
			}
			if err := f.flush(); err != nil {
				return err
			}
		}
		if ex == nil {
			return nil
		}
		room := f.c.maxBody - int64(len(ex.Body))
		if data := fr.Data(); int64(len(data)) > room {
			ex.Body = append(ex.Body, data[:room]...)
			ex.Truncated = true
			f.end(id, nil)
		} else {
			ex.Body = append(ex.Body, data...)
			if fr.StreamEnded() {
				f.end(id, nil)
			}
		}
	case *http2.RSTStreamFrame:
		f.end(id, fmt.Errorf("the target reset the stream: %s", fr.ErrCode))
	case *http2.GoAwayFrame:
		if fr.ErrCode != http2.ErrCodeNo {
			return fmt.Errorf("the target closed the connection: %s", fr.ErrCode)
		}
	case *http2.PingFrame:
		if !fr.IsAck() {
			if err := f.framer.WritePing(true, fr.Data); err != nil {
				return err
			}
			return f.flush()
		}
	case *http2.SettingsFrame:
		if !fr.IsAck() {
			if err := f.framer.WriteSettingsAck(); err != nil {
				return err
			}
			return f.flush()
		}
	}
	return nil
}

func (f *flight) head(ex *Exchange, fr *http2.MetaHeadersFrame) {
	status, err := strconv.Atoi(fr.PseudoValue("status"))
	if err != nil || status < 200 {
		return // trailers, or an interim answer
	}
	ex.Status, ex.Proto, ex.FirstByte = status, "HTTP/2.0", time.Since(ex.Sent)
	ex.Header = http.Header{}
	for _, h := range fr.RegularFields() {
		ex.Header.Add(h.Name, h.Value)
	}
}

// end closes one request's account.
func (f *flight) end(id uint32, err error) {
	ex := f.live[id]
	if ex == nil {
		return
	}
	delete(f.live, id)
	ex.Duration = time.Since(ex.Sent)
	switch {
	case ex.Status == 0 && err == nil:
		ex.Err = errors.New("the target ended the stream without an answer")
	case ex.Status == 0:
		ex.Err = err
	case err != nil:
		ex.Truncated = true
	case !ex.Truncated:
		ex.Truncated = f.c.decode(ex)
	}
}

func (f *flight) fail(exs []*Exchange, err error) {
	for _, ex := range exs {
		if ex.Status == 0 && ex.Err == nil {
			ex.Err = err
		}
	}
}
