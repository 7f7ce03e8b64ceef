package target

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// RawH2 is one request over HTTP/2 whose fields are sent as they are, those that
// the protocol forbids too (RFC 9113, 8.2.2), and whose end follows its data.
type RawH2 struct {
	Fields []Field // in order, with :method, :scheme, :authority and :path
	Data   []byte
}

func (r *RawH2) get(name string) string {
	for _, f := range r.Fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// String is the request as people read it.
func (r *RawH2) String() string {
	var b strings.Builder
	b.WriteString("HTTP/2\n")
	for _, f := range r.Fields {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	fmt.Fprintf(&b, "\nDATA, END_STREAM: %q\n", r.Data)
	return b.String()
}

// rawH2 sends r on cn, and waits for its answer.
func (c *Client) rawH2(cn *conn, r *RawH2, wait time.Duration, ex *Exchange) {
	if cn.proto != "h2" {
		ex.Err = errors.New("the target does not speak HTTP/2")
		return
	}
	_ = cn.SetDeadline(time.Now().Add(wait))
	f := newFlight(c, cn, c.home)
	if err := f.open(); err != nil {
		ex.Err = fmt.Errorf("beginning HTTP/2: %w", err)
		return
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range r.Fields {
		_ = enc.WriteField(hpack.HeaderField{Name: h.Name, Value: h.Value}) // to memory: cannot fail
	}
	f.live[1], f.all[1] = ex, ex
	ex.Sent = time.Now()
	_ = cn.SetDeadline(ex.Sent.Add(wait))
	err := f.headers(1, block.Bytes(), false)
	if err == nil {
		err = f.framer.WriteData(1, true, r.Data)
	}
	if err == nil {
		err = f.flush()
	}
	if err != nil {
		ex.Err = fmt.Errorf("sending the request: %w", err)
		return
	}
	f.read()
	ex.Raw.Closed = ex.Err != nil && !errors.Is(ex.Err, os.ErrDeadlineExceeded)
	ex.Raw.Reset = ex.Raw.Closed
	if ex.Status != 0 {
		ex.Raw.Whole = []*http.Response{{StatusCode: ex.Status, Header: ex.Header, Proto: ex.Proto, Body: http.NoBody}}
	}
}
