package target

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// checkRequest refuses what would not be one request on the wire: whoever wants
// to send that uses Raw.
func checkRequest(r *Request) error {
	switch {
	case r.Method == "" || strings.ContainsAny(r.Method, " \t\r\n\x00"):
		return fmt.Errorf("%w: the method %q", ErrRequest, r.Method)
	case r.Path == "":
		return fmt.Errorf("%w: the path is empty; the root is \"/\"", ErrRequest)
	case strings.ContainsAny(r.Path, " \t\r\n\x00"):
		return fmt.Errorf("%w: the path holds blanks or line breaks; write them as %%20, %%0d, %%0a", ErrRequest)
	case strings.ContainsAny(r.Query, " \t\r\n\x00"):
		return fmt.Errorf("%w: the query holds blanks or line breaks; write them as %%20, %%0d, %%0a", ErrRequest)
	case strings.ContainsAny(r.Host, " \t\r\n\x00"):
		return fmt.Errorf("%w: the host %q", ErrRequest, r.Host)
	}
	for _, f := range r.Header {
		if f.Name == "" || strings.ContainsAny(f.Name, ": \t\r\n\x00") {
			return fmt.Errorf("%w: the header field's name %q", ErrRequest, f.Name)
		}
		if strings.ContainsAny(f.Value, "\r\n\x00") {
			return fmt.Errorf("%w: the value of the header field %s holds line breaks", ErrRequest, f.Name)
		}
	}
	return nil
}

// framed says whether the request brings its own idea of where its body ends:
// its connection cannot be trusted with another request.
func framed(r *Request) bool {
	for _, f := range r.Header {
		switch strings.ToLower(f.Name) {
		case "content-length", "transfer-encoding", "connection", "upgrade", "expect":
			return true
		}
	}
	return r.Method == http.MethodConnect
}

// wireTarget is what stands between method and version.
func (c *Client) wireTarget(o *origin, r *Request, absolute bool) string {
	t := c.path(r)
	if r.Query != "" {
		t += "?" + r.Query
	}
	if absolute && strings.HasPrefix(t, "/") {
		t = o.String() + t
	}
	return t
}

// path is r's path with the base path that goes before it.
func (c *Client) path(r *Request) string {
	if r.Root || r.Origin != "" || c.base == "" || !strings.HasPrefix(r.Path, "/") {
		return r.Path
	}
	return c.base + r.Path
}

// head writes the request's head, in the order that it was given in.
func (c *Client) head(b *bytes.Buffer, o *origin, r *Request, absolute bool) {
	b.WriteString(r.Method)
	b.WriteByte(' ')
	b.WriteString(c.wireTarget(o, r, absolute))
	b.WriteString(" HTTP/1.1\r\n")
	if r.Get("Host") == "" {
		host := r.Host
		if host == "" {
			host = o.host
		}
		field(b, "Host", host)
	}
	for _, f := range r.Header {
		field(b, f.Name, f.Value)
	}
	for _, f := range c.extra {
		if r.Get(f.Name) == "" {
			field(b, f.Name, f.Value)
		}
	}
	if absolute {
		b.WriteString(c.dialer.proxyAuth())
	}
	if needsLength(r) {
		field(b, "Content-Length", strconv.Itoa(len(r.Body)))
	}
	b.WriteString("\r\n")
}

// needsLength: a body is announced, and so is the lack of one where a body is
// expected (RFC 9110, 8.6), unless the request brings its own framing.
func needsLength(r *Request) bool {
	for _, f := range r.Header {
		if strings.EqualFold(f.Name, "Content-Length") || strings.EqualFold(f.Name, "Transfer-Encoding") {
			return false
		}
	}
	if r.Body != nil {
		return true
	}
	return r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch
}

func field(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	b.WriteString(": ")
	b.WriteString(value)
	b.WriteString("\r\n")
}

// answer reads the answer to r from cn into ex, and says whether cn can be used again.
func (c *Client) answer(cn *conn, r *Request, ex *Exchange) (reusable bool) {
	var res *http.Response
	for {
		var err error
		res, err = http.ReadResponse(cn.br, &http.Request{Method: r.Method}) //nolint:bodyclose // the connection is closed or used again by its own rules
		if err != nil {
			ex.Err = fmt.Errorf("reading the answer: %w", err)
			return false
		}
		// Interim answers come before the one that counts (RFC 9110, 15.2).
		if res.StatusCode >= 200 || res.StatusCode == http.StatusSwitchingProtocols {
			break
		}
		cn.left = maxHead
	}
	ex.FirstByte = time.Since(ex.Sent)
	ex.Proto, ex.Status, ex.Header = res.Proto, res.StatusCode, res.Header
	if res.StatusCode == http.StatusSwitchingProtocols {
		return false
	}
	cn.left = math.MaxInt64
	if mt, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); mt == "text/event-stream" {
		// An event stream has no end: what comes in a second is taken for all of it.
		_ = cn.SetReadDeadline(time.Now().Add(time.Second))
	}
	ended := c.body(res, ex)
	return ended && !res.Close && cn.br.Buffered() == 0
}

// body reads up to the bound, and says whether the answer's end was seen.
func (c *Client) body(res *http.Response, ex *Exchange) bool {
	if res.Body == http.NoBody {
		return true
	}
	if res.ContentLength > 0 && res.ContentLength <= c.maxBody {
		b := make([]byte, res.ContentLength)
		n, err := io.ReadFull(res.Body, b)
		ex.Body = b[:n]
		ex.Truncated = err != nil
		if err == nil {
			ex.Truncated = c.decode(ex)
		}
		return err == nil
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, c.maxBody+1))
	if int64(len(b)) > c.maxBody {
		b, ex.Truncated = b[:c.maxBody], true
	}
	ex.Body = b
	if err != nil {
		// The head came, so there is an answer: it only does not end (a stream, or a server that broke off).
		ex.Truncated = true
	}
	if ex.Truncated {
		return false
	}
	ex.Truncated = c.decode(ex)
	return true
}

// decode undoes a content coding that nobody asked for, or that a check asked
// for, so that all who read bodies read the same. It says whether the bound was met.
func (c *Client) decode(ex *Exchange) (truncated bool) {
	if len(ex.Body) == 0 || len(ex.Header["Content-Encoding"]) != 1 {
		return false
	}
	var rd io.Reader
	var err error
	src := bytes.NewReader(ex.Body)
	switch strings.ToLower(strings.TrimSpace(ex.Header.Get("Content-Encoding"))) {
	case "gzip", "x-gzip":
		rd, err = gzip.NewReader(src)
	case "deflate":
		if rd, err = zlib.NewReader(src); err != nil {
			rd, err = flate.NewReader(bytes.NewReader(ex.Body)), nil
		}
	default:
		return false
	}
	if err != nil {
		return false // not what it says: left as it came
	}
	b, err := io.ReadAll(io.LimitReader(rd, c.maxBody+1))
	if err != nil && len(b) == 0 {
		return false
	}
	if int64(len(b)) > c.maxBody {
		b, truncated = b[:c.maxBody], true
	}
	ex.Body = b
	return truncated
}

// failure is what kind of failure an error is.
type failure int

const (
	answered failure = iota
	refused          // nothing listens there, or it cannot be reached
	broken           // the connection ended before an answer
	silent           // no answer in time
	garbled          // an answer that is no HTTP
	cancelled
)

func kindOf(ctxErr, err error) failure {
	var de *dialError
	var ne net.Error
	switch {
	case err == nil:
		return answered
	case ctxErr != nil:
		return cancelled
	case errors.As(err, &ne) && ne.Timeout():
		return silent
	case errors.As(err, &de):
		return refused
	case isBroken(err):
		return broken
	}
	return garbled
}
