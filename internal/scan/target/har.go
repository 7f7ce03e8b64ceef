package target

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// HAR writes exchanges as they happen into an HTTP Archive (HAR 1.2). It is
// safe for use by many goroutines; Add can be a Client's hook.
type HAR struct {
	c       *Client
	secrets bool

	mu   sync.Mutex
	w    io.Writer
	n    int
	err  error
	shut bool
}

// NewHAR begins an archive of c's exchanges on w. Credentials are left out
// unless secrets says otherwise. Close ends the document; it does not close w.
func NewHAR(c *Client, w io.Writer, secrets bool) *HAR {
	h := &HAR{c: c, w: w, secrets: secrets}
	_, h.err = io.WriteString(w, `{"log":{"version":"1.2","creator":{"name":"crenel","version":"scan"},"entries":[`)
	return h
}

// Add writes one exchange. What goes wrong is told by Close.
func (h *HAR) Add(ex *Exchange) {
	b, err := json.Marshal(h.entry(ex))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil || h.shut {
		return
	}
	if err != nil {
		h.err = err
		return
	}
	if h.n > 0 {
		b = append([]byte(",\n"), b...)
	}
	h.n++
	_, h.err = h.w.Write(b)
}

// Close ends the document.
func (h *HAR) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut {
		return errors.New("the HTTP archive is closed already")
	}
	h.shut = true
	if h.err == nil {
		_, h.err = io.WriteString(h.w, "\n]}}\n")
	}
	if h.err != nil {
		return fmt.Errorf("writing the HTTP archive: %w", h.err)
	}
	return nil
}

type harPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type harEntry struct {
	Started  string      `json:"startedDateTime"`
	Time     float64     `json:"time"` // ms
	Request  harRequest  `json:"request"`
	Response harResponse `json:"response"`
	Cache    struct{}    `json:"cache"`
	Timings  harTimings  `json:"timings"`
	Comment  string      `json:"comment,omitempty"`
	Seq      int64       `json:"_seq"`
	As       string      `json:"_as,omitempty"`
	Err      string      `json:"_error,omitempty"`
}

type harRequest struct {
	Method      string    `json:"method"`
	URL         string    `json:"url"`
	HTTPVersion string    `json:"httpVersion"`
	Cookies     []harPair `json:"cookies"`
	Headers     []harPair `json:"headers"`
	Query       []harPair `json:"queryString"`
	PostData    *harPost  `json:"postData,omitempty"`
	HeadersSize int       `json:"headersSize"`
	BodySize    int       `json:"bodySize"`
}

type harPost struct {
	MimeType string    `json:"mimeType"`
	Text     string    `json:"text"`
	Params   []harPair `json:"params"`
	Encoding string    `json:"_encoding,omitempty"` // the format has no field for it in requests
}

type harResponse struct {
	Status      int        `json:"status"`
	StatusText  string     `json:"statusText"`
	HTTPVersion string     `json:"httpVersion"`
	Cookies     []harPair  `json:"cookies"`
	Headers     []harPair  `json:"headers"`
	Content     harContent `json:"content"`
	RedirectURL string     `json:"redirectURL"`
	HeadersSize int        `json:"headersSize"`
	BodySize    int        `json:"bodySize"`
}

type harContent struct {
	Size     int    `json:"size"`
	MimeType string `json:"mimeType"`
	Text     string `json:"text,omitempty"`
	Encoding string `json:"encoding,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

type harTimings struct {
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (h *HAR) text(s string) string {
	if h.secrets {
		return s
	}
	return h.c.secrets.Message(s)
}

func (h *HAR) header(name, value string) string {
	if h.secrets {
		return value
	}
	return h.c.secrets.Header(name, value)
}

func (h *HAR) entry(ex *Exchange) harEntry {
	proto := ex.Proto
	if proto == "" {
		proto = "HTTP/1.1"
	}
	r := ex.Request
	e := harEntry{
		Started: ex.Sent.Format("2006-01-02T15:04:05.000Z07:00"), Time: ms(ex.Duration), Seq: ex.Seq, As: ex.As,
		Timings: harTimings{Wait: ms(ex.FirstByte), Receive: ms(max(0, ex.Duration-ex.FirstByte))},
		Request: harRequest{
			Method: r.Method, URL: h.url(r), HTTPVersion: proto, HeadersSize: -1, BodySize: len(r.Body),
			Cookies: []harPair{}, Headers: []harPair{}, Query: h.query(r.Query),
		},
		Response: harResponse{
			Status: cmp.Or(ex.Wire, ex.Status), HTTPVersion: proto, HeadersSize: -1, BodySize: -1, Cookies: []harPair{}, Headers: []harPair{},
		},
	}
	if ex.Err != nil {
		e.Err = h.text(ex.Err.Error())
	}
	for _, f := range r.Header {
		e.Request.Headers = append(e.Request.Headers, harPair{f.Name, h.header(f.Name, f.Value)})
	}
	if r.Body != nil {
		text, enc := h.body(r.Body)
		e.Request.PostData = &harPost{MimeType: r.Get("Content-Type"), Text: text, Encoding: enc, Params: []harPair{}}
	}
	names := make([]string, 0, len(ex.Header))
	for name := range ex.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range ex.Header[name] {
			e.Response.Headers = append(e.Response.Headers, harPair{name, h.header(name, v)})
		}
	}
	e.Response.RedirectURL = h.text(ex.Header.Get("Location"))
	e.Response.Content.Size = len(ex.Body)
	e.Response.Content.MimeType = ex.Header.Get("Content-Type")
	e.Response.Content.Text, e.Response.Content.Encoding = h.body(ex.Body)
	if ex.Truncated {
		e.Response.Content.Comment = "cut"
	}
	switch r.Method {
	case MethodRaw:
		e.Comment = "Bytes as they were sent, on a connection of their own, and all that came back."
	case MethodTLS:
		e.Comment = "A TLS handshake: what was offered, and what it showed."
	}
	return e
}

// url is the whole address, its parameters as query has them.
func (h *HAR) url(r *Request) string {
	u := h.c.URL(r)
	if at := strings.IndexByte(u, '?'); at >= 0 && !h.secrets {
		pairs := strings.Split(u[at+1:], "&")
		for i, pair := range pairs {
			if name, v, _ := strings.Cut(pair, "="); v != "" && secretName(unescaped(name)) {
				pairs[i] = name + "=" + Redacted
			}
		}
		u = u[:at+1] + strings.Join(pairs, "&")
	}
	return h.text(u)
}

// unescaped is a part of a query as it is meant; as it is where it is not well formed.
func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

func (h *HAR) query(raw string) []harPair {
	out := []harPair{}
	if raw == "" {
		return out
	}
	for _, pair := range strings.Split(raw, "&") {
		name, v, _ := strings.Cut(pair, "=")
		name, v = unescaped(name), unescaped(v)
		if !h.secrets && secretName(name) {
			v = Redacted
		}
		out = append(out, harPair{name, h.text(v)})
	}
	return out
}

func (h *HAR) body(b []byte) (text, encoding string) {
	if utf8.Valid(b) {
		return h.text(string(b)), ""
	}
	if !h.secrets {
		if clean := h.text(string(b)); clean != string(b) {
			b = []byte(clean)
		}
	}
	return base64.StdEncoding.EncodeToString(b), "base64"
}
