package gateway

import (
	"net/http"
	"strconv"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// writeProblem writes a denial as a problem document (RFC 9457). It says what
// the client may know: the code, where in its own request, and the request id
// by which the operator finds the reason.
func writeProblem(w http.ResponseWriter, x *exchange.Exchange, v exchange.Verdict) (status int, n int64) {
	code, _ := exchange.LookupCode(v.Code)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Crenel-Request-Id", x.ID)
	if len(x.Allowances) > 0 {
		limit, policy := exchange.RateLimit(x.Allowances)
		h.Set("RateLimit", limit)
		h.Set("RateLimit-Policy", policy)
	}
	for name, text := range x.AnswerHeader {
		h.Set(name, text)
	}
	for name, text := range v.Header {
		h.Set(name, text)
	}
	status = code.Status
	if v.Redirect {
		// Who opens a page wants a login, and not a document that names one.
		h.Set("Location", v.Login)
		h.Set("Referrer-Policy", "no-referrer")
		h.Del("WWW-Authenticate")
		status = http.StatusSeeOther
	}
	body := problemBody(x, code, v)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if x.Request.Method == http.MethodHead {
		return status, 0
	}
	written, err := w.Write(body)
	if err != nil {
		return status, int64(written) // the client has gone: nobody is left to be told
	}
	return status, int64(written)
}

func problemBody(x *exchange.Exchange, code exchange.Code, v exchange.Verdict) []byte {
	b := make([]byte, 0, 256)
	b = append(b, `{"type":"urn:crenel:code:`...)
	b = append(b, code.Code...)
	b = append(b, `","title":`...)
	b = value.AppendString(b, code.Title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(code.Status), 10)
	b = append(b, `,"code":`...)
	b = value.AppendString(b, code.Code)
	if v.Public != "" {
		b = append(b, `,"detail":`...)
		b = value.AppendString(b, v.Public)
	}
	b = append(b, `,"request_id":`...)
	b = value.AppendString(b, x.ID)
	if v.At != "" {
		b = append(b, `,"at":`...)
		b = value.AppendString(b, v.At)
	}
	if v.Login != "" {
		b = append(b, `,"login":`...)
		b = value.AppendString(b, v.Login)
	}
	if len(v.More) > 0 {
		b = append(b, `,"more":[`...)
		for i, f := range v.More {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"code":`...)
			b = value.AppendString(b, f.Code)
			b = append(b, `,"at":`...)
			b = value.AppendString(b, f.At)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, '}', '\n')
}
