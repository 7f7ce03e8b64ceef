package caddy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	caddycore "github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
)

func init() { caddycore.RegisterModule(&transport{}) }

// transport is the last thing that touches a request before Caddy's HTTP
// transport sends it: what it sets and signs is what the upstream receives.
type transport struct {
	HTTPRaw    json.RawMessage    `json:"http" caddy:"namespace=http.reverse_proxy.transport inline_key=protocol"`
	Host       string             `json:"host,omitempty"`
	Prefix     string             `json:"prefix,omitempty"`
	Alone      bool               `json:"alone,omitempty"` // the API has one server only
	Stall      caddycore.Duration `json:"stall,omitempty"`
	LongStall  caddycore.Duration `json:"stream_stall,omitempty"`
	SignHeader string             `json:"sign_header,omitempty"`
	SignKey    string             `json:"sign_key,omitempty"` // handle of a kept secret

	http   *reverseproxy.HTTPTransport
	key    []byte
	prefix string // Prefix, decoded
}

var (
	_ caddycore.Provisioner                            = (*transport)(nil)
	_ http.RoundTripper                                = (*transport)(nil)
	_ reverseproxy.TLSTransport                        = (*transport)(nil)
	_ reverseproxy.HealthCheckSchemeOverriderTransport = (*transport)(nil)
)

// CaddyModule names the module.
func (*transport) CaddyModule() caddycore.ModuleInfo {
	return caddycore.ModuleInfo{ID: "http.reverse_proxy.transport.crenel", New: func() caddycore.Module { return new(transport) }}
}

// Provision builds the HTTP transport underneath.
func (t *transport) Provision(ctx caddycore.Context) error {
	mod, err := ctx.LoadModuleByID("http.reverse_proxy.transport.http", t.HTTPRaw)
	if err != nil {
		return err
	}
	t.http = mod.(*reverseproxy.HTTPTransport)
	if t.prefix, err = url.PathUnescape(t.Prefix); err != nil {
		return fmt.Errorf("path of the upstream's url: %w", err)
	}
	if t.SignHeader != "" {
		if t.key = kept(t.SignKey); t.key == nil {
			return errors.New("the signing key is gone")
		}
	}
	return nil
}

// TLSEnabled reports whether the upstream is spoken to over TLS.
func (t *transport) TLSEnabled() bool { return t.http.TLSEnabled() }

// EnableTLS turns TLS on.
func (t *transport) EnableTLS(base *reverseproxy.TLSConfig) error { return t.http.EnableTLS(base) }

// OverrideHealthCheckScheme makes health checks use TLS where calls do.
func (t *transport) OverrideHealthCheckScheme(base *url.URL, port string) {
	t.http.OverrideHealthCheckScheme(base, port)
}

// RoundTrip sends one request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	vars, _ := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	c, _ := vars[callVar].(*call)
	if c == nil { // an active health check
		t.sign(req, "health")
		return t.http.RoundTrip(req)
	}
	info := gateway.CallOf(ctx)
	forward(req, info)
	// Trailers come after every guard has ruled; nobody has looked at them.
	req.Trailer = nil
	if t.Host != "" {
		req.Host = t.Host
	}
	if t.Prefix != "" {
		u := *req.URL
		u.RawPath = t.Prefix + u.EscapedPath()
		u.Path = t.prefix + u.Path
		req.URL = &u
	}
	id := ""
	if info != nil {
		id = info.ID
	}
	t.sign(req, id)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &clientBody{ReadCloser: req.Body, call: c}
	}
	res, err := t.http.RoundTrip(req)
	if err != nil {
		return nil, t.blame(ctx, c, err)
	}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/grpc") {
		// Trailers come after every check and mask of the answer. Those of the original
		// are set when its body ends; nobody looks at them there.
		res = withoutTrailer(res)
	}
	if limit := t.stallLimit(res); limit > 0 {
		res.Body = watchStall(res.Body, limit, c)
	}
	if info != nil && res.StatusCode != http.StatusSwitchingProtocols && (res.ContentLength < 0 || res.ContentLength > longAnswer) {
		info.Opened(res.Body)
	}
	return res, nil
}

// longAnswer is the size from which an answer may take long enough to be cut.
const longAnswer = 256 << 10

func withoutTrailer(res *http.Response) *http.Response {
	out := *res
	out.Trailer = nil
	return &out
}

// blame decides whether a failed round trip counts against the upstream's
// health. Caddy counts every error but a cancellation, which lets a client that
// breaks off its uploads, or calls what is slow or makes the upstream hang up,
// take the upstream from everyone else. Where there is no other server to go to,
// only one that cannot be reached at all is left alone for a while.
func (t *transport) blame(ctx context.Context, c *call, err error) error {
	reached := !errors.As(err, new(reverseproxy.DialError))
	if c.client.Load() != nil || ctx.Err() != nil || reached && t.Alone {
		c.failed = err
		return fmt.Errorf("%w (%w)", context.Canceled, err)
	}
	return err
}

// sign sets the signed header over the request as it now stands.
func (t *transport) sign(req *http.Request, id string) {
	if t.key == nil {
		return
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	req.Header[http.CanonicalHeaderKey(t.SignHeader)] = []string{Sign(t.key, time.Now(), id, req.Method, host, req.URL.RequestURI())}
}

// forward sets the fields by which the upstream learns who calls, anew: nothing
// of what the client sent is in them.
func forward(req *http.Request, info *gateway.Call) {
	h := req.Header
	delete(h, "Forwarded")
	h["Via"] = []string{"1.1 crenel"}
	if info == nil {
		return // Caddy has set X-Forwarded-* from the connection
	}
	chain := ""
	if info.Client.IsValid() {
		chain = info.Client.String()
	}
	if peer, err := netip.ParseAddrPort(req.RemoteAddr); err == nil {
		if a := peer.Addr().Unmap().WithZone(""); chain == "" {
			chain = a.String()
		} else if a != info.Client {
			chain += ", " + a.String()
		}
	}
	h["X-Forwarded-For"] = []string{chain}
	if info.Scheme != "" {
		h["X-Forwarded-Proto"] = []string{info.Scheme}
	}
	if info.Host != "" {
		h["X-Forwarded-Host"] = []string{info.Host}
	}
}

// stallLimit is how long the answer's body may stand still, 0 for ever: streams
// of events may be silent, documents may not.
func (t *transport) stallLimit(res *http.Response) time.Duration {
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols || res.ContentLength == 0 || res.Body == nil || res.Body == http.NoBody:
		return 0
	case res.ContentLength > 0:
		return time.Duration(t.Stall)
	}
	media, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err == nil && (media == "text/event-stream" || media == "multipart/x-mixed-replace" || strings.HasPrefix(media, "application/grpc")) {
		return 0
	}
	return time.Duration(t.LongStall)
}

// errStalled is why a body that stood still was given up.
var errStalled = errors.New("the upstream's answer stood still")

// stallBody closes a body from which nothing came for too long, so that whoever
// waits for it goes on.
type stallBody struct {
	io.ReadCloser
	limit   time.Duration
	timer   *time.Timer
	waiting atomic.Bool
	stalled atomic.Bool
	ended   atomic.Bool // nothing is waited for any more
	call    *call
	once    sync.Once
}

func watchStall(body io.ReadCloser, limit time.Duration, c *call) io.ReadCloser {
	b := &stallBody{ReadCloser: body, limit: limit, call: c}
	b.timer = time.AfterFunc(limit, b.expire)
	return b
}

// expire runs when the timer ends. Only waiting for the upstream counts: while a
// slow client is written to, the time-out for writing rules.
func (b *stallBody) expire() {
	if !b.waiting.Load() {
		b.timer.Reset(b.limit)
		if b.ended.Load() { // meanwhile, so that nobody else will stop it
			b.timer.Stop()
		}
		return
	}
	b.stalled.Store(true)
	_ = b.close()
}

func (b *stallBody) close() (err error) {
	b.once.Do(func() { err = b.ReadCloser.Close() })
	return err
}

func (b *stallBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.limit)
	b.waiting.Store(true)
	n, err := b.ReadCloser.Read(p)
	b.waiting.Store(false)
	if err == io.EOF {
		b.end()
	}
	if err != nil && b.stalled.Load() {
		b.call.failed = errStalled
		return n, errStalled
	}
	return n, err
}

func (b *stallBody) Close() error {
	b.end()
	return b.close()
}

// end stops the timer, also one that is about to be set anew.
func (b *stallBody) end() {
	b.ended.Store(true)
	b.timer.Stop()
}

// secrets holds keys between the making of a Caddy config and its loading, under
// handles that may be printed.
var secrets sync.Map

func keep(s config.Secret) string {
	key := []byte(s.Reveal())
	handle := fmt.Sprintf("key-%d", lastHandle.Add(1))
	secrets.Store(handle, key)
	return handle
}

var lastHandle atomic.Uint64

// kept takes the key of a handle.
func kept(handle string) []byte {
	v, ok := secrets.LoadAndDelete(handle)
	if !ok {
		return nil
	}
	return v.([]byte)
}
