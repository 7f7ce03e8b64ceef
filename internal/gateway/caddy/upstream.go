package caddy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	caddycore "github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
)

// upstream calls one API's servers through Caddy's reverse proxy.
type upstream struct {
	proxy *reverseproxy.Handler
}

func newUpstream(ctx caddycore.Context, cfg *config.Config, api *config.API) (*upstream, error) {
	doc, err := proxyDocument(cfg, api)
	if err != nil {
		return nil, err
	}
	mod, err := ctx.LoadModuleByID("http.handlers.reverse_proxy", doc)
	if err != nil {
		return nil, err
	}
	return &upstream{proxy: mod.(*reverseproxy.Handler)}, nil
}

// call is one upstream call. It stands between Caddy's reverse proxy and the
// gateway's ResponseWriter, so that errors come back as errors and not as
// answers that Caddy makes up.
type call struct {
	http.ResponseWriter
	wrote  bool  // a final head was passed on
	failed error // the round trip failed, or the answer's body did
	// client is why reading the client's body failed. The HTTP transport may read
	// that body in another goroutine, which may outlive the call.
	client atomic.Pointer[error]
}

// WriteHeader passes the upstream's head on. Caddy's own 499, which it writes
// when the round trip was cancelled, is no answer of the upstream and stops here.
func (c *call) WriteHeader(status int) {
	if c.failed != nil && !c.wrote {
		return
	}
	if status >= 200 || status == http.StatusSwitchingProtocols {
		c.wrote = true
		delete(c.ResponseWriter.Header(), "Via")
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *call) Write(p []byte) (int, error) {
	c.wrote = true
	return c.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController find what the server's writer can do.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// callVar is the variable of the request's context under which the transport
// finds the call.
const callVar = "crenel.call"

// call sends r upstream and the answer to w (gateway.Upstream).
func (u *upstream) call(w http.ResponseWriter, r *http.Request) (err error) {
	c := &call{ResponseWriter: w}
	if r.Context().Value(caddyhttp.VarsCtxKey) == nil { // the gateway's own question, not a client's call
		r = caddyhttp.PrepareRequest(r, caddycore.NewReplacer(), w, &caddyhttp.Server{})
	}
	ctx := r.Context()
	// Variables are set here only: once the round trip has begun a dialling
	// goroutine may be reading them.
	caddyhttp.SetVar(ctx, callVar, c)
	if info := gateway.CallOf(ctx); info != nil && info.Client.IsValid() {
		caddyhttp.SetVar(ctx, caddyhttp.ClientIPVarKey, info.Client.String()) // what ip_hash goes by
	}
	// An upgrade to anything but WebSocket would open a tunnel that no guard sees
	// into (h2c smuggling). Ignoring the wish is what RFC 9110 section 7.8 allows.
	if up := r.Header["Upgrade"]; up != nil && (len(up) != 1 || !strings.EqualFold(up[0], "websocket")) {
		delete(r.Header, "Upgrade")
		delete(r.Header, "Connection")
	}
	delete(r.Header, "Http2-Settings")
	// The gateway has answered the expectation when it reads the body; passed on, it
	// would cost a wait with every upstream that does not know it.
	delete(r.Header, "Expect")

	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // the answer broke off, or the client went away
			err = c.aborted(ctx)
		default:
			panic(p)
		}
	}()
	proxyErr := u.proxy.ServeHTTP(c, r, nil)
	if proxyErr == nil && c.failed == nil && !c.wrote {
		// An upstream that switches protocols unasked: the proxy gives up without a word,
		// which must not look like an empty success.
		c.failed = errors.New("the upstream gave no answer")
	}
	if proxyErr == nil && c.failed == nil {
		return nil
	}
	return c.explain(ctx, proxyErr)
}

// aborted explains an answer that ended early.
func (c *call) aborted(ctx context.Context) error {
	if ctx.Err() != nil {
		return &gateway.UpstreamError{Code: "gateway.client_gone", Err: context.Cause(ctx)}
	}
	if errors.Is(c.failed, errStalled) {
		return &gateway.UpstreamError{Code: "gateway.upstream_timeout", Err: c.failed}
	}
	return &gateway.UpstreamError{Code: "gateway.upstream_unreachable", Err: errors.New("the answer broke off")}
}

// explain turns a failed round trip into its documented code.
func (c *call) explain(ctx context.Context, proxyErr error) error {
	err := c.failed
	if err == nil {
		err = proxyErr
	}
	code := "gateway.upstream_unreachable"
	var status caddyhttp.HandlerError
	var network net.Error
	var own *gateway.UpstreamError
	switch {
	case c.client.Load() != nil:
		err = *c.client.Load()
		if errors.As(err, &own) { // the gateway's own reader says what is wrong
			return own
		}
		code = clientCode(err)
	case errors.Is(ctx.Err(), context.Canceled):
		code = "gateway.client_gone"
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		code = "gateway.upstream_timeout"
	case errors.As(err, &status) && status.StatusCode == http.StatusServiceUnavailable:
		code = "gateway.upstream_unavailable"
	case errors.As(err, &status) && status.StatusCode == http.StatusGatewayTimeout:
		code = "gateway.upstream_timeout"
	case errors.As(err, &status) && (status.StatusCode == http.StatusInternalServerError || status.StatusCode == http.StatusNotImplemented):
		code = "gateway.internal"
	}
	return &gateway.UpstreamError{Code: code, Err: err}
}

// clientCode is the code for a request body that could not be read to its end.
func clientCode(err error) string {
	var network net.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return "body.too_large"
	case errors.As(err, &network) && network.Timeout():
		return "gateway.timeout"
	}
	return "body.incomplete"
}

// clientBody notes errors that come from the client's side of a streamed body:
// they are not the upstream's fault and must not count against its health.
type clientBody struct {
	io.ReadCloser
	call *call
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.call.client.CompareAndSwap(nil, &err)
	}
	return n, err
}

// proxyDocument is the reverse proxy's JSON config for one API.
func proxyDocument(cfg *config.Config, api *config.API) (json.RawMessage, error) {
	up := &api.Upstream
	for _, v := range []string{up.TLS.Name, up.TLS.CA, up.TLS.Cert, up.TLS.Key, up.Health.Path} {
		if strings.ContainsAny(v, "{}") { // Caddy would take it for a placeholder
			return nil, fmt.Errorf("%q: braces cannot stand here", v)
		}
	}
	servers, err := parseServers(up.URLs)
	if err != nil {
		return nil, err
	}
	response := or(up.Response, 30*time.Second)
	httpTransport := object{
		"dial_timeout":             nanoseconds(or(up.Dial, 5*time.Second)),
		"response_header_timeout":  nanoseconds(response),
		"expect_continue_timeout":  nanoseconds(time.Second),
		"write_timeout":            nanoseconds(response), // an upstream that stops reading
		"max_response_header_size": int64(1 << 20),
		"compression":              false, // what the client accepts is for guards to say
		"keep_alive":               object{"max_idle_conns_per_host": 256, "idle_timeout": nanoseconds(90 * time.Second)},
		"network_proxy":            object{"from": "none"}, // not what HTTP_PROXY says
		"versions":                 []string{"1.1", "2"},
	}
	switch servers.scheme {
	case "h2c":
		httpTransport["versions"] = []string{"h2c", "2"}
	case "https":
		t := object{"handshake_timeout": nanoseconds(or(up.Dial, 5*time.Second))}
		if up.TLS.CA != "" {
			t["ca"] = object{"provider": "file", "pem_files": []string{resolve(cfg, up.TLS.CA)}}
		}
		if up.TLS.Cert != "" || up.TLS.Key != "" {
			t["client_certificate_file"] = resolve(cfg, up.TLS.Cert)
			t["client_certificate_key_file"] = resolve(cfg, up.TLS.Key)
		}
		if up.TLS.Name != "" {
			t["server_name"] = up.TLS.Name
		}
		if up.TLS.InsecureSkipVerify {
			t["insecure_skip_verify"] = true
		}
		httpTransport["tls"] = t
	}
	tr := object{
		"protocol": "crenel", "http": httpTransport, "host": up.Host, "prefix": servers.prefix,
		"alone": len(servers.dial) == 1, "stall": nanoseconds(response), "stream_stall": nanoseconds(or(cfg.Server.Timeouts.Idle, 2*time.Minute)),
	}
	if up.Sign != nil {
		if len(up.Sign.Key.Reveal()) < 32 {
			return nil, errors.New("sign.key must hold at least 32 bytes")
		}
		// The key goes by a side door: a Caddy config is printed in logs and errors.
		tr["sign_header"] = or(up.Sign.Header, SignatureHeader)
		tr["sign_key"] = keep(up.Sign.Key)
	}
	policy, ok := map[string]string{"": "round_robin", "round_robin": "round_robin", "least_conn": "least_conn",
		"random": "random", "first": "first", "ip_hash": "client_ip_hash"}[up.Balance]
	if !ok {
		return nil, fmt.Errorf("balance %q is none of round_robin, least_conn, random, first, ip_hash", up.Balance)
	}
	balancing := object{"selection_policy": object{"policy": policy}}
	if n := len(servers.dial); n > 1 {
		// Another server is tried when one could not be dialled, or broke off on a
		// GET; never longer than one answer may take.
		balancing["retries"] = min(n-1, 3)
		balancing["try_duration"] = nanoseconds(response)
		balancing["try_interval"] = nanoseconds(time.Millisecond)
	}
	checks := object{"passive": object{
		"fail_duration": nanoseconds(or(up.Health.FailFor, 10*time.Second)),
		"max_fails":     or(up.Health.Fails, 3),
	}}
	if up.Health.Path != "" {
		checks["active"] = object{
			"uri": up.Health.Path, "expect_status": 2,
			"interval": nanoseconds(or(up.Health.Interval, 10*time.Second)),
			"timeout":  nanoseconds(or(up.Health.Timeout, 2*time.Second)),
		}
	}
	var ups []object
	for _, d := range servers.dial {
		ups = append(ups, object{"dial": d})
	}
	return json.Marshal(object{"transport": tr, "load_balancing": balancing, "health_checks": checks, "upstreams": ups})
}

// servers is a parsed list of upstream URLs.
type servers struct {
	scheme string   // one for all
	prefix string   // path before every request's, without a slash at the end
	dial   []string // addresses
}

func parseServers(urls []string) (servers, error) {
	var s servers
	if len(urls) == 0 {
		return s, errors.New("no urls")
	}
	for i, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil {
			return s, fmt.Errorf("url %d: %w", i+1, err)
		}
		port := u.Port()
		switch {
		case u.Scheme == "http" || u.Scheme == "h2c":
			port = or(port, "80")
		case u.Scheme == "https":
			port = or(port, "443")
		default:
			return s, fmt.Errorf("url %q: the scheme must be http, https or h2c", raw)
		}
		if u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(raw, "{}") {
			return s, fmt.Errorf("url %q: must be scheme://host[:port][/path]", raw)
		}
		prefix := strings.TrimSuffix(u.EscapedPath(), "/")
		if i > 0 && (u.Scheme != s.scheme || prefix != s.prefix) {
			return s, fmt.Errorf("url %q: all urls must have one scheme and one path", raw)
		}
		s.scheme, s.prefix = u.Scheme, prefix
		s.dial = append(s.dial, net.JoinHostPort(u.Hostname(), port))
	}
	return s, nil
}
