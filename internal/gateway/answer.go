package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/contract"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

// answer is the http.ResponseWriter that the upstream's answer is written to. It
// runs the response side of the chain and then passes the answer on, holds it,
// rewrites it as it streams, or puts a denial in its place.
type answer struct {
	s         *session
	called    time.Time
	firstByte time.Time
	how       handling
	head      bool // WriteHeader was called
	status    int
	held      bytes.Buffer    // hold: the answer so far; tee: a copy of it
	rewriter  *rewrite.Writer // rewrite
	given     bool            // tee: the copy was given up
	long      bool            // it is an event stream, or came late
	writes    int             // of its body
	broken    error           // filter: the answer is not the JSON that it says
}

// handling is what becomes of an answer's body.
type handling uint8

const (
	pass     handling = iota
	bare              // no content type: only an empty body may pass
	tee               // pass, and keep a copy for monitored steps
	hold              // keep until the steps have ruled
	filter            // rewrite as it streams
	headOnly          // a preflight's: its body is not passed on
	discard           // a denial was sent in its place
)

var (
	_ http.ResponseWriter = (*answer)(nil)
	_ http.Flusher        = (*answer)(nil)
	_ http.Hijacker       = (*answer)(nil)
)

// Header returns the answer's header fields.
func (a *answer) Header() http.Header { return a.s.w.Header() }

// Unwrap lets http.ResponseController reach the connection, for upgrades.
func (a *answer) Unwrap() http.ResponseWriter { return a.s.w }

// Hijack hands the connection over, for handlers that write the head of an
// upgrade themselves (httputil.ReverseProxy). It is ruled on and recorded first.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	unsent := !a.head
	if unsent {
		if v := a.rule(http.StatusSwitchingProtocols); v.Action != exchange.Allow {
			a.refuse(v)
			return nil, nil, errDiscarded
		}
		if err := a.s.decide(exchange.Verdict{}); err != nil {
			a.refuse(exchange.Refuse("gateway.overloaded", "", "the decision could not be recorded"))
			return nil, nil, errDiscarded
		}
		a.s.answered, a.s.completion.Status = true, a.status
	}
	conn, rw, err := http.NewResponseController(a.s.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t := &tunnel{Conn: conn, frames: frames{before: unsent}}
	a.s.watch(t)
	return t, bufio.NewReadWriter(rw.Reader, bufio.NewWriter(t)), nil
}

// WriteHeader takes the upstream's head. Informational answers are not passed
// on: a client behind two parsers of 1xx can be desynchronised.
func (a *answer) WriteHeader(status int) {
	if a.head || status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		return
	}
	if v := a.rule(status); v.Action != exchange.Allow {
		a.refuse(v)
		return
	}
	switch a.how {
	case headOnly:
		onlyCORS(a.Header())
		a.sendHead()
	case pass, tee:
		a.sendHead()
	case bare, hold, filter, discard: // what comes of it shows in the body
	}
}

// rule runs the steps of the head and decides how the body is handled.
func (a *answer) rule(status int) exchange.Verdict {
	a.head, a.status = true, status
	a.firstByte = time.Now()
	s, x := a.s, &a.s.x
	h := a.Header()
	cleanAnswerHeader(h)
	s.corsHeaders(h)
	s.answerCookies(h)
	s.setHeader(h, "X-Crenel-Request-Id", x.ID)
	if len(x.Allowances) > 0 {
		limit, policy := exchange.RateLimit(x.Allowances)
		s.setHeader(h, "Ratelimit", limit)
		s.setHeader(h, "Ratelimit-Policy", policy)
	}
	for name, text := range x.AnswerHeader {
		s.setHeader(h, http.CanonicalHeaderKey(name), text)
	}
	x.Response.Status, x.Response.Header, x.Response.Length = status, h, -1
	if length := h["Content-Length"]; len(length) > 0 {
		if n, err := strconv.ParseInt(length[0], 10, 64); err == nil {
			x.Response.Length = n
		}
	}
	if status == http.StatusSwitchingProtocols && x.Request.Upgrade == "" {
		return exchange.Refuse("gateway.upstream_unreachable", "", "the upstream switched protocols without being asked to")
	}
	s.keepFromOthers(h)
	v := s.api.chain.Run(s.r.Context(), x, exchange.ResponseHead)
	if v.Action == exchange.Allow {
		v = a.choose(h)
	}
	if v.Action == exchange.Allow && a.firstByte.Sub(a.called) > longAfter {
		v = s.admit() // much may have changed while the upstream was waited for
	}
	return v
}

// choose decides how the body is handled.
func (a *answer) choose(h http.Header) exchange.Verdict {
	s, x := a.s, &a.s.x
	need, must := s.api.chain.Needs(x, exchange.ResponseBody)
	if len(x.Response.Filters) > 0 && s.api.chain.Mode(x, contract.AnswerGuard) != guard.Enforce {
		x.Response.Filters = nil // a contract that is only watched takes nothing away
	}
	if x.Obligations.Rewrites() {
		list, err := s.api.masks.filters(&x.Obligations)
		if err != nil {
			return exchange.Refuse("authz.error", "", "the policy's obligations: "+err.Error())
		}
		x.Response.Filters = append(x.Response.Filters, list...)
	}
	if s.preflighted {
		a.how = headOnly
		return exchange.Verdict{}
	}
	if a.status == http.StatusSwitchingProtocols && (len(x.Response.Filters) > 0 || x.Obligations.Holds()) {
		return exchange.Refuse("contract.response_unchecked", "", "the policy has rules for the answer, which is a tunnel")
	}
	if x.Request.Method == http.MethodHead && (len(x.Response.Filters) > 0 || x.Obligations.Holds()) {
		// How long the content is, and which, before anything is taken out of it.
		h.Del("Content-Length")
		forgetContent(h)
	}
	if a.status == http.StatusSwitchingProtocols || x.Request.Method == http.MethodHead || bodiless(a.status) || x.Response.Length == 0 {
		return exchange.Verdict{}
	}
	mediaType, _ := parseMediaType(h)
	kind := formOf(mediaType)
	// Errors need not be the caller's object: nothing of one is in them.
	owned := x.Obligations.Holds() && a.status < http.StatusMultipleChoices
	if owned {
		must = exchange.Buffered
	}
	_, headMust := s.api.chain.Needs(x, exchange.ResponseHead)
	enforced := must == exchange.Buffered || len(x.Response.Filters) > 0
	switch {
	case h.Get("Content-Encoding") != "" && h.Get("Content-Encoding") != "identity":
		x.Response.Unchecked = "compressed"
	case a.status == http.StatusPartialContent || h.Get("Content-Range") != "":
		x.Response.Unchecked = "a range"
	case strings.HasPrefix(mediaType, "multipart/"):
		x.Response.Unchecked = "multipart"
	case mediaType == "text/event-stream":
		x.Response.Unchecked = "an event stream"
		a.long = true
	case mediaType == "" && (enforced || headMust != exchange.None):
		// Rewriting and checks go by the content type; without one only an answer
		// that turns out to be empty is harmless.
		a.how = bare
		return exchange.Verdict{}
	case mediaType == "":
		x.Response.Unchecked = "without a content type"
	}
	if x.Response.Unchecked != "" {
		v := unchecked(x.Response.Unchecked)
		if enforced {
			return v
		}
		if need != exchange.None {
			a.note(v)
		}
		return exchange.Verdict{}
	}
	if kind == formBinary && owned {
		return exchange.Refuse("contract.response_unchecked", "", "the policy has rules for the answer, which is "+mediaType)
	}
	if kind == formBinary {
		// Nothing in a file has a name or a pointer. But what a client may ask for by
		// Accept is also CBOR, MessagePack and the like, with all the fields of the JSON.
		if enforced && !s.api.rules.AnswerIsFile(x.Operation, a.status, mediaType) {
			return unchecked(mediaType)
		}
		return exchange.Verdict{}
	}
	switch {
	case owned && len(x.Obligations.Keep) > 0 && kind != formJSON:
		return exchange.Refuse("contract.response_unchecked", "", "the policy lets elements of the answer pass, which is "+mediaType+" and cannot be rewritten")
	case must == exchange.Buffered:
		a.how = hold
	case len(x.Response.Filters) > 0 && kind == formJSON:
		a.how = filter
		h.Del("Content-Length")
		forgetContent(h)
		a.rewriter = rewrite.NewWriter(clientWriter{a}, rewrite.Options{Filters: x.Response.Filters, Limits: s.api.answerValues})
	case len(x.Response.Filters) > 0:
		return exchange.Refuse("contract.response_unchecked", "", "the answer is "+mediaType+", which cannot be rewritten")
	case need == exchange.Buffered:
		a.how = tee
	}
	return exchange.Verdict{}
}

// forgetContent removes what was said of a content that is no longer the same.
func forgetContent(h http.Header) {
	for _, name := range [...]string{"Etag", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest", "Accept-Ranges"} {
		h.Del(name)
	}
}

// bodiless reports whether answers of a status have no body.
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusNotModified
}

func unchecked(why string) exchange.Verdict {
	return exchange.Refuse("contract.response_unchecked", "", "the answer is "+why+" and cannot be checked")
}

// note records that monitored steps could not see the answer.
func (a *answer) note(v exchange.Verdict) {
	x := &a.s.x
	x.Rulings = append(x.Rulings, exchange.Ruling{Guard: contract.AnswerGuard, Phase: exchange.ResponseBody, Mode: guard.Monitor.String(), Verdict: v})
}

// sendHead records the decision and sends the head.
func (a *answer) sendHead() {
	if err := a.s.decide(exchange.Verdict{}); err != nil {
		a.refuse(exchange.Refuse("gateway.overloaded", "", "the decision could not be recorded"))
		return
	}
	a.s.answered = true
	a.s.headSent.Store(true)
	a.s.completion.Status = a.status
	if a.long {
		a.s.watch(nil)
	}
	a.s.w.WriteHeader(a.status)
}

// refuse puts a denial in the answer's place. The decision may have been
// recorded as an allowed request already: then the completion tells the rest.
func (a *answer) refuse(v exchange.Verdict) {
	a.how = discard
	a.held = bytes.Buffer{}
	clearHeader(a.Header())
	a.s.completion.Refused = v.Code
	a.s.deny(v)
}

// errDiscarded ends the copying of an answer that nobody will see.
var errDiscarded = errors.New("the answer was refused")

// Write takes a piece of the upstream's body.
func (a *answer) Write(p []byte) (int, error) {
	if !a.head {
		a.WriteHeader(http.StatusOK)
	}
	switch a.how {
	case pass:
		return a.toClient(p)
	case bare:
		if len(p) == 0 {
			return 0, nil
		}
		a.refuse(unchecked("without a content type"))
	case tee:
		a.copy(p)
		return a.toClient(p)
	case hold:
		if a.copy(p) {
			return len(p), nil
		}
		if int64(a.held.Len()+len(p)) > a.s.api.responseLimit {
			a.refuse(unchecked("larger than limits.response"))
		} else {
			a.refuse(exchange.Refuse("gateway.overloaded", "", "the memory for held answers is used up"))
		}
	case filter:
		n, err := a.rewriter.Write(p)
		if err != nil && a.how == filter {
			return n, a.unreadable(err)
		}
		if err == nil {
			return n, nil
		}
	case headOnly:
		return len(p), nil
	case discard:
	}
	return 0, errDiscarded
}

// copy keeps a piece of the answer, within the limits of one and of all.
func (a *answer) copy(p []byte) bool {
	if a.given {
		return false
	}
	if n := int64(len(p)); int64(a.held.Len())+n > a.s.api.responseLimit || !a.s.g.memory.take(n) {
		a.given = true
		if a.how == tee {
			a.held = bytes.Buffer{}
		}
		return false
	}
	a.s.held += int64(len(p))
	a.held.Write(p)
	return true
}

// unreadable deals with an answer that says it is JSON and is not: a denial when
// nothing has left yet, else a cut connection. A client that has gone is neither.
func (a *answer) unreadable(err error) error {
	var ve *value.Error
	if !errors.As(err, &ve) {
		return err
	}
	if a.s.answered {
		a.broken = fmt.Errorf("rewriting the answer: %w", err)
		return a.broken
	}
	a.refuse(exchange.Refuse("contract.response_unchecked", ve.Pointer, "the answer is not the JSON that it says: "+ve.Error()))
	return errDiscarded
}

// ReadFrom lets an answer that is only passed on be copied by the kernel.
func (a *answer) ReadFrom(r io.Reader) (int64, error) {
	if !a.head {
		a.WriteHeader(http.StatusOK)
	}
	if rf, ok := a.s.w.(io.ReaderFrom); ok && a.how == pass {
		if n := a.s.x.Response.Length; n < 0 || n > longBody {
			a.s.watch(nil)
		}
		n, err := rf.ReadFrom(r)
		a.s.completion.BytesOut += n
		return n, err
	}
	return io.Copy(writerOnly{a}, r)
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }

func (a *answer) toClient(p []byte) (int, error) {
	if a.writes++; a.writes > 1 && a.s.stream == nil && time.Since(a.firstByte) > longAfter {
		if v := a.s.admit(); v.Action != exchange.Allow {
			a.s.stream.cut(v)
		}
	}
	if a.s.stream.cutCode() != "" {
		return 0, errCut
	}
	n, err := a.s.w.Write(p)
	a.s.completion.BytesOut += int64(n)
	return n, err
}

// clientWriter is the client's side of a rewritten answer.
type clientWriter struct{ a *answer }

func (c clientWriter) Write(p []byte) (int, error) {
	// The head waits for the first bytes that passed, so that an answer which is
	// no JSON at all can still be refused properly.
	if !c.a.s.answered && len(p) > 0 {
		c.a.sendHead()
	}
	if c.a.how == discard {
		return 0, errDiscarded
	}
	return c.a.toClient(p)
}

// Flush sends what there is, unless it is being held.
func (a *answer) Flush() {
	if a.s.answered && a.how != discard {
		// A writer that cannot flush sends when it likes.
		_ = http.NewResponseController(a.s.w).Flush()
	}
}

// end finishes the answer after the upstream has written all of it.
func (a *answer) end() error {
	if !a.head {
		a.WriteHeader(http.StatusOK)
	}
	x := &a.s.x
	switch a.how {
	case bare:
		a.sendHead()
	case tee:
		if a.given {
			x.Response.Unchecked = "too large"
			a.note(unchecked(x.Response.Unchecked))
			return nil
		}
		if a.decode() {
			// The steps are monitored: what they find is recorded and changes nothing.
			a.s.api.chain.Run(a.s.r.Context(), x, exchange.ResponseBody)
		}
	case hold:
		if !a.decode() {
			a.refuse(exchange.Refuse("gateway.overloaded", "", "the memory for held answers is used up"))
			return nil
		}
		if v := a.s.api.chain.Run(a.s.r.Context(), x, exchange.ResponseBody); v.Action != exchange.Allow {
			a.refuse(v)
			return nil
		}
		return a.release()
	case filter:
		err := a.rewriter.Close()
		a.report(a.rewriter.Report())
		if err != nil {
			if a.how == discard {
				return nil
			}
			return a.unreadable(err)
		}
		if !a.s.answered {
			a.sendHead()
		}
	case pass, headOnly, discard:
	}
	return nil
}

// release sends an answer that was held, rewritten where filters ask for it.
func (a *answer) release() error {
	h := a.Header()
	body := a.held.Bytes()
	if fs := a.s.x.Response.Filters; len(fs) > 0 && len(body) > 0 {
		out, report, err := rewrite.Bytes(body, rewrite.Options{Filters: fs, Limits: a.s.api.answerValues})
		if err != nil {
			return a.unreadable(err)
		}
		a.report(report)
		body = out
		forgetContent(h)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	a.sendHead()
	if a.how == discard {
		return nil
	}
	_, err := a.toClient(body)
	return err
}

// report puts what a rewrite did onto the record.
func (a *answer) report(r rewrite.Report) {
	a.s.completion.Stripped, a.s.completion.Masked = r.DroppedAt, r.MaskedAt
}

// decode makes the answer's tree for the steps, if there is memory for it.
func (a *answer) decode() bool {
	x := &a.s.x
	mediaType, params := parseMediaType(a.Header())
	b := &exchange.Body{Bytes: a.held.Bytes(), MediaType: mediaType}
	x.Response.Body = b
	if len(b.Bytes) == 0 {
		return true // an empty answer is no document, and not a broken one
	}
	kind := formOf(mediaType)
	cost := treeCost(kind, b.Bytes, &a.s.api.answerValues)
	if !a.s.g.memory.take(cost) {
		x.Response.Unchecked = "too large for the memory that is left"
		a.note(unchecked(x.Response.Unchecked))
		return false
	}
	a.s.held += cost
	var shape value.XMLShape
	if kind == formXML {
		shape = a.s.api.rules.AnswerXML(x.Operation, x.Response.Status, mediaType)
	}
	decodeBody(b, kind, params, a.s.api.answerValues, shape)
	return true
}
