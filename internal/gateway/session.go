package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/contract"
	"github.com/crenel-project/crenel/internal/value"
)

// session drives one exchange through the chain.
type session struct {
	g   *Gateway
	w   http.ResponseWriter
	r   *http.Request
	api *api      // nil until found
	own *Endpoint // where the gateway itself answers
	up  Upstreams
	x   exchange.Exchange
	// rulings is the first room for x.Rulings, so that it needs no allocation.
	rulings [12]exchange.Ruling
	// allowances and ends are the first room for those of x.
	allowances [4]exchange.Allowance
	ends       [2]exchange.Ender

	decision   *exchange.Decision
	completion exchange.Completion
	held       int64 // taken from the memory budget
	requested  int   // rulings made before the upstream was called
	traced     func(*exchange.Decision, *exchange.Completion)
	answered   bool // a head has been sent to the client
	// preflighted: a CORS preflight goes upstream, so nobody has authenticated.
	preflighted bool
	answer      answer
	call        Call
	token       string       // for the upstream; "" when it gets none
	stream      *stream      // nil until the exchange has taken long
	headSent    atomic.Bool  // like answered, for another goroutine that cuts it
	checked     *checkedBody // nil when no guard has asked for it
	prefix      string       // of the path, which a trusted proxy took off
	texts       [12]string   // room for the values of header fields that are set here
	used        int          // of texts
}

// Handler returns the whole chain as ordinary HTTP middleware.
func (g *Gateway) Handler(up Upstreams) http.Handler {
	for _, a := range g.apis {
		a.upstreams.Store(&up)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(w, r, up) })
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request, up Upstreams) {
	s := &session{g: g, w: w, r: r, up: up}
	s.x.Start = g.deps.Now()
	s.x.ID = newID(time.Now())
	s.x.Rulings, s.x.Allowances, s.x.Ends = s.rulings[:0], s.allowances[:0], s.ends[:0]
	s.x.Request.Method = r.Method
	busy := g.inflight.Add(1) > int64(g.cfg.Server.Limits.Concurrent)
	defer g.inflight.Add(-1)
	if !g.deps.Trail.Admit() {
		// There is no room to record it, so it may not happen.
		v := exchange.Refuse("gateway.overloaded", "", "the audit queue is full")
		s.decision = newDecision(&s.x, v, g.deps.Now())
		s.completion.Status, s.completion.BytesOut = writeProblem(w, &s.x, v)
		s.observe()
		return
	}
	if g.deps.Tracer != nil {
		s.traced = g.deps.Tracer.Start(r, &s.x)
	}
	defer s.finish()
	defer s.rescue()
	if busy {
		s.deny(exchange.Refuse("gateway.overloaded", "", "too many requests at once"))
		return
	}
	if v := s.receive(); v.Action != exchange.Allow {
		s.deny(v)
		return
	}
	if s.own != nil {
		s.serveOwn()
		return
	}
	if s.preflight() {
		return
	}
	v := s.api.chain.Run(r.Context(), &s.x, exchange.RequestHead)
	if v.Action == exchange.Allow {
		v = s.ruleOrigin()
	}
	if v.Action == exchange.Allow {
		v = s.receiveBody()
	}
	if v.Action == exchange.Allow {
		v = s.api.chain.Run(r.Context(), &s.x, exchange.RequestBody)
	}
	if v.Action != exchange.Allow {
		s.deny(v)
		return
	}
	if s.checked != nil {
		// From here on it is the upstream that reads.
		s.checked.strict = s.api.chain.Mode(&s.x, authn.Name) == guard.Enforce
	}
	if s.api.chain.Mode(&s.x, authz.Name) != guard.Enforce {
		// A policy that is only watched changes nothing, neither the answer.
		s.x.Obligations = exchange.Obligations{}
	}
	if v := s.obtainToken(); v.Action != exchange.Allow {
		s.deny(v)
		return
	}
	s.forward()
}

// rescue turns a panic of the gateway's own into a denial and one log line, or,
// when an answer is on its way already, into a cut connection.
func (s *session) rescue() {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		if s.completion.Aborted == "" {
			s.completion.Aborted = "gateway.internal"
		}
		panic(p)
	}
	s.g.log.Error("gateway panicked", "request_id", s.x.ID, "api", s.x.API, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if s.answered {
		s.completion.Aborted = "gateway.internal"
		s.abort()
	}
	clearHeader(s.w.Header())
	s.deny(exchange.Refuse("gateway.internal", "", "the gateway panicked"))
}

// setHeader sets a field of which the canonical name is given. It is
// http.Header.Set without its allocation.
func (s *session) setHeader(h http.Header, name, text string) {
	if s.used == len(s.texts) {
		h[name] = []string{text}
		return
	}
	s.texts[s.used] = text
	h[name] = s.texts[s.used : s.used+1 : s.used+1]
	s.used++
}

// newID returns a request id: a UUID version 7 (RFC 9562), sortable by time to
// about a quarter of a microsecond. Ids are unique, not secret.
func newID(now time.Time) string {
	ms := uint64(now.UnixMilli())
	fraction := uint64(now.Nanosecond()%int(time.Millisecond)) << 12 / uint64(time.Millisecond)
	high := ms<<16 | 7<<12 | fraction
	low := rand.Uint64()>>2 | 2<<62 //nolint:gosec // the runtime's ChaCha8: see above
	var b [36]byte
	at := 0
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b[at] = '-'
			at++
		}
		word, shift := high, 60-4*(i%16)
		if i >= 16 {
			word = low
		}
		b[at] = "0123456789abcdef"[word>>shift&15]
		at++
	}
	return string(b[:])
}

// receive normalises the request's head onto the exchange and finds its API.
func (s *session) receive() exchange.Verdict {
	r, x := s.r, &s.x
	x.Peer = peerAddr(r.RemoteAddr)
	x.Client = clientAddr(x.Peer, r.Header["X-Forwarded-For"], s.g.trusted)
	req := &x.Request
	req.Proto, req.Length, req.Query, req.Header = r.Proto, r.ContentLength, r.URL.RawQuery, r.Header
	if r.Body == nil || r.Body == http.NoBody {
		req.Length, r.ContentLength = 0, 0
	}
	req.Scheme = "http"
	if r.TLS != nil {
		req.Scheme = "https"
	} else if p := r.Header.Get("X-Forwarded-Proto"); (p == "https" || p == "http") && within(x.Peer, s.g.trusted) {
		req.Scheme = p
	}
	req.Authority, req.Target = r.Host, r.RequestURI
	trusted := len(s.g.trusted) > 0 && within(x.Peer, s.g.trusted)
	if trusted {
		s.forwarded()
	}
	if r.TLS != nil || trusted {
		s.certificate(trusted)
	}
	if c := s.g.clientCert; c != nil {
		delete(r.Header, c.field) // a name of the config's may be unknown to the list below
	}
	lim := &s.g.cfg.Server.Limits
	if len(r.RequestURI) > lim.URI {
		return exchange.Refuse("gateway.uri_too_long", "", "the request target is "+strconv.Itoa(len(r.RequestURI))+" bytes long")
	}
	if size, count := headerSize(r.Header); size > lim.HeaderBytes || count > lim.HeaderCount {
		return exchange.Refuse("gateway.headers_too_large", "", strconv.Itoa(count)+" fields, "+strconv.Itoa(size)+" bytes")
	}
	if !validMethod(r.Method) || r.Method == http.MethodConnect {
		return exchange.Refuse("gateway.bad_request", "", "the method is not one that is served")
	}
	host, ok := normalHost(r.Host)
	if !ok {
		return exchange.Refuse("gateway.bad_request", "header:host", "the host is not well formed")
	}
	req.Host = host
	path := r.URL.EscapedPath()
	if path == "" && r.URL.Opaque == "" && r.URL.Host != "" {
		path = "/" // absolute form without a path (RFC 9112 section 3.2.2)
	}
	if !strings.HasPrefix(r.RequestURI, "/") {
		// The absolute form, or a request that no server has read.
		req.Target = s.prefix + path
		if req.Query != "" || r.URL.ForceQuery {
			req.Target += "?" + req.Query
		}
	}
	escaped, decoded, err := normalPath(path)
	if err != nil {
		return exchange.Refuse("gateway.ambiguous_path", "path", "the path can be read in more than one way")
	}
	req.RawPath, req.Path = escaped, decoded
	if strings.ContainsAny(req.Query, "#\x00\r\n\t ") {
		return exchange.Refuse("gateway.bad_request", "query", "the query holds characters that must be encoded")
	}
	if strings.IndexByte(req.Query, ';') >= 0 {
		// Older servers (Rack 2, Python's cgi) end a parameter at a semicolon: behind it
		// would stand one that nobody has seen. Encoded it is what it is to us, data.
		req.Query = strings.ReplaceAll(req.Query, ";", "%3B")
		r.URL.RawQuery = req.Query
	}
	if s.own = s.g.endpoints.find(host, escaped); s.own != nil {
		return exchange.Verdict{}
	}
	at, hostKnown := s.g.find(host, escaped)
	if at.api == nil {
		if !hostKnown {
			return exchange.Refuse("gateway.unknown_host", "header:host", "no API of the config answers to this host")
		}
		return exchange.Refuse("contract.unknown_path", "path", "no API of the config is served under this path")
	}
	if len(s.g.apis) > 1 && s.g.rival(host, escaped, at) {
		return exchange.Refuse("gateway.ambiguous_path", "path", "servers that ignore case, path parameters or spaces take it for a path of another API")
	}
	s.api = at.api
	x.API, x.Spec = at.api.cfg.Name, at.api.spec
	req.Relative = escaped[len(at.base):]
	if req.Relative == "" {
		req.Relative = "/"
	}
	req.Upgrade = cleanRequestHeader(r.Header)
	req.MediaType, _ = parseMediaType(r.Header)
	return exchange.Verdict{}
}

func peerAddr(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // no address: a unix socket, or a test
	}
	return ap.Addr().Unmap().WithZone("")
}

// validMethod reports whether m is upper-case letters and hyphens: what every
// server takes for the same method.
func validMethod(m string) bool {
	if m == "" || len(m) > 32 {
		return false
	}
	for i := 0; i < len(m); i++ {
		if c := m[i]; (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

// awaitBody finds out whether a body of unknown length is there at all. HTTP/3 has
// no other way to say that none follows than to end the stream, and HTTP/1.1 can
// send an empty one in chunks: neither is a body that an operation could refuse.
// Nobody is waited for before the head was ruled on.
func (s *session) awaitBody() exchange.Verdict {
	r := s.r
	rc := http.NewResponseController(s.w)
	timed := rc.SetReadDeadline(time.Now().Add(s.g.cfg.Server.Timeouts.ReadBody)) == nil
	// What comes with the first byte stays with it, so that the upstream gets it as
	// it came.
	begin := bufio.NewReader(r.Body)
	_, err := begin.Peek(1)
	if err != nil && err != io.EOF {
		return bodyVerdict(faultOf(err))
	}
	if timed {
		_ = rc.SetReadDeadline(time.Time{})
	}
	if err != nil {
		r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
		s.x.Request.Length = 0
		return exchange.Verdict{}
	}
	r.Body = &begun{begin, r.Body}
	if op := s.x.Operation; op != nil && op.Body == nil {
		s.x.Unvalidated = true
		return s.ruled(contract.Name, exchange.Refuse("contract.unexpected_body", "body", "the operation takes no body"))
	}
	return exchange.Verdict{}
}

// bodyVerdict refuses a request whose body could not be read.
func bodyVerdict(err error) exchange.Verdict {
	var f *bodyFault
	if errors.As(err, &f) {
		return exchange.Refuse(f.code, "body", f.reason)
	}
	return exchange.Refuse("body.incomplete", "body", "the body could not be read")
}

// begun is a body whose first bytes have been read.
type begun struct {
	io.Reader
	io.Closer
}

// receiveBody reads the body if a step needs it.
func (s *session) receiveBody() exchange.Verdict {
	if s.r.ContentLength == 0 || s.r.Body == nil || s.r.Body == http.NoBody {
		return exchange.Verdict{}
	}
	s.watchContent()
	if s.r.ContentLength < 0 {
		if v := s.awaitBody(); v.Action != exchange.Allow || s.r.ContentLength == 0 {
			return v
		}
	}
	lim := s.api.bodyLimits(s.x.Operation)
	if need, _ := s.api.chain.Needs(&s.x, exchange.RequestBody); need == exchange.None {
		limitBody(s.r, &lim)
		return exchange.Verdict{}
	}
	rc := http.NewResponseController(s.w)
	timed := rc.SetReadDeadline(time.Now().Add(s.g.cfg.Server.Timeouts.ReadBody)) == nil
	var shape value.XMLShape
	if formOf(s.x.Request.MediaType) == formXML {
		shape = s.api.rules.RequestXML(s.x.Operation, s.x.Request.MediaType)
	}
	b, held, err := readBody(s.r, &lim, &s.g.memory, shape)
	s.held += held
	if err != nil {
		return bodyVerdict(err)
	}
	if timed && !b.Partial {
		// Later reads on this connection have deadlines of their own. One that
		// cannot be set is one that was not set above.
		_ = rc.SetReadDeadline(time.Time{})
	}
	if len(b.Bytes) > 0 {
		s.x.Request.Body = b
	} else {
		s.x.Request.Length = 0
	}
	return exchange.Verdict{}
}

// deny answers with a problem document, recorded first.
func (s *session) deny(v exchange.Verdict) {
	if err := s.decide(v); err != nil {
		v = exchange.Refuse("gateway.overloaded", "", "the decision could not be recorded")
	}
	if s.api != nil {
		if s.api.sessions != nil {
			v = s.api.sessions.Offer(&s.x, v)
		}
		s.corsHeaders(s.w.Header())
		s.answerCookies(s.w.Header())
	}
	s.answered = true
	s.completion.Status, s.completion.BytesOut = writeProblem(s.w, &s.x, v)
}

// decide records the decision on the request, before the first byte of an
// answer. v allows or denies.
func (s *session) decide(v exchange.Verdict) error {
	if s.decision != nil {
		return nil
	}
	s.decision = newDecision(&s.x, v, s.g.deps.Now())
	err := s.g.deps.Trail.Decide(s.r.Context(), s.decision)
	if err != nil {
		s.g.log.Error("decision not recorded", "request_id", s.x.ID, "error", err)
	}
	return err
}

// longBody is the size from which an upload may take long enough to be cut.
const longBody = 1 << 20

// forward calls the upstream.
func (s *session) forward() {
	s.requested = len(s.x.Rulings)
	s.prepareUpstream()
	a := &s.answer
	a.s = s
	s.completion.Called = true
	called := time.Now()
	a.called = called
	if _, streamed := s.r.Body.(*limitedBody); streamed && (s.r.ContentLength < 0 || s.r.ContentLength > longBody) {
		s.watch(nil)
	}
	err := s.callUpstream(a)
	if err == nil {
		err = a.end()
	}
	if err != nil {
		s.failed(a, err)
	}
	if !a.firstByte.IsZero() {
		s.completion.Upstream = a.firstByte.Sub(called).Microseconds()
	}
}

var errBrokeOff = errors.New("the upstream's answer broke off")

// callUpstream runs the upstream.
func (s *session) callUpstream(a *answer) error {
	s.api.limits.Called()
	for attempt := 1; ; attempt++ {
		err := callOnce(s.up(s.api.cfg.Name), a, s.r)
		var ue *UpstreamError
		// Only what was not delivered, or broke off before an answer began.
		again := errors.As(err, &ue) && ue.Code == "gateway.upstream_unreachable" && !a.head && !s.answered &&
			s.r.ContentLength == 0 && s.x.Request.Upgrade == "" && s.r.Context().Err() == nil
		if !again || !s.api.limits.Retry(&s.x, attempt) {
			return err
		}
	}
}

// failed answers an upstream call that went wrong, or cuts the answer short.
func (s *session) failed(a *answer, err error) {
	if a.how == discard {
		return // the client has had its answer, which is a denial
	}
	code := "gateway.upstream_unreachable"
	var ue *UpstreamError
	if errors.As(err, &ue) {
		code = ue.Code
	}
	if s.r.Context().Err() != nil && !errors.Is(err, context.DeadlineExceeded) {
		code = "gateway.client_gone"
	}
	if l, ok := s.r.Body.(*limitedBody); ok {
		if f := l.fault.Load(); f != nil {
			code = f.code
		}
	}
	if a.broken != nil {
		code, err = "contract.response_unchecked", a.broken
	}
	if cut := s.stream.cutCode(); cut != "" {
		code = cut
	}
	if s.answered {
		s.completion.Aborted = code
		s.g.log.Warn("answer cut short", "request_id", s.x.ID, "api", s.x.API, "code", code, "error", err)
		s.abort()
	}
	s.g.log.Warn("upstream failed", "request_id", s.x.ID, "api", s.x.API, "code", code, "error", err)
	a.how = discard
	clearHeader(s.w.Header())
	if s.decision != nil {
		s.completion.Refused = code
	}
	s.deny(exchange.Refuse(code, "", "the upstream could not be called"))
}

// abort ends a connection whose answer cannot be completed, so that a cut
// answer is never taken for a whole one.
func (s *session) abort() { panic(http.ErrAbortHandler) }

// finish writes the completion record, also when the handler is being aborted.
func (s *session) finish() {
	s.g.memory.give(s.held)
	if s.stream != nil {
		s.stream.end()
		if s.answered && s.completion.Refused == "" {
			s.completion.Aborted = orElse(s.stream.cutCode(), s.completion.Aborted)
		}
	}
	if s.decision == nil {
		// Only a panic comes here without a decision.
		s.decision = newDecision(&s.x, exchange.Refuse("gateway.internal", "", "the exchange was aborted"), s.g.deps.Now())
		if err := s.g.deps.Trail.Decide(context.WithoutCancel(s.r.Context()), s.decision); err != nil {
			s.g.log.Error("decision not recorded", "request_id", s.x.ID, "error", err)
		}
	}
	s.noteContent()
	c := &s.completion
	c.Type, c.ID, c.Time = "completion", s.x.ID, s.g.deps.Now()
	c.Micros = c.Time.Sub(s.x.Start).Microseconds()
	if s.requested < len(s.x.Rulings) && (s.completion.Called || s.own != nil) {
		c.Rulings = recordRulings(s.x.Rulings[s.requested:])
	}
	if l, ok := s.r.Body.(*limitedBody); ok {
		c.BytesIn = l.n.Load()
	} else if b := s.x.Request.Body; b != nil {
		c.BytesIn = int64(len(b.Bytes))
	}
	s.g.deps.Trail.Complete(c)
	for _, e := range s.x.Ends {
		e.End(&s.x, s.decision, c)
	}
	s.observe()
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (s *session) observe() {
	if s.traced != nil {
		s.traced(s.decision, &s.completion)
	}
	if s.g.deps.Observer != nil {
		s.g.deps.Observer.Done(&s.x, s.decision, &s.completion)
	}
}

func clearHeader(h http.Header) {
	for name := range h {
		delete(h, name)
	}
}
