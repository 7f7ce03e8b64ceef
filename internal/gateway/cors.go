package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
)

// preflight handles a CORS preflight (Fetch standard, "CORS-preflight request").
// With a cors section it is answered here, before authentication, since browsers
// send none with it. Without one it is passed to the upstream, without
// credentials, when the operation that it asks about exists, its path is what the
// document says and holds no attack; of the answer only the CORS fields come back.
func (s *session) preflight() bool {
	r := s.r
	wanted := r.Header.Get("Access-Control-Request-Method")
	origin := r.Header.Get("Origin")
	if r.Method != http.MethodOptions || wanted == "" || origin == "" {
		return false
	}
	c := s.api.cfg.CORS
	m := s.api.match(wanted, &s.x)
	if m.Operation == nil && (s.api.spec != nil || c == nil) {
		return false
	}
	if v := s.api.preflight.Run(r.Context(), &s.x, exchange.RequestHead); v.Action != exchange.Allow {
		s.deny(v)
		return true
	}
	s.x.Operation, s.x.Request.PathParams = m.Operation, m.Params
	if c == nil {
		// No guard has looked at it, so nothing but the question itself goes on.
		for name := range r.Header {
			if !preflightHeader[name] {
				delete(r.Header, name)
			}
		}
		s.x.Request.Query, r.URL.RawQuery, s.x.Request.Upgrade = "", "", ""
		r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, 0, nil
		s.x.Request.Length = 0
		if v := s.api.preflight.Run(r.Context(), &s.x, exchange.RequestBody); v.Action != exchange.Allow {
			s.deny(v)
			return true
		}
		s.preflighted = true
		s.forward()
		return true
	}
	h := s.w.Header()
	h.Add("Vary", "Origin")
	h.Add("Vary", "Access-Control-Request-Method")
	h.Add("Vary", "Access-Control-Request-Headers")
	if s.api.allowsOrigin(origin) {
		s.corsHeaders(h)
		methods := c.Methods
		if len(methods) == 0 {
			methods = []string{wanted}
		}
		h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		headers := c.Headers
		if len(headers) == 0 {
			headers = []string{"Authorization", "Content-Type"}
		}
		h.Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(c.MaxAge.Seconds())))
	}
	if err := s.decide(exchange.Verdict{}); err != nil {
		clearHeader(h)
		s.deny(exchange.Refuse("gateway.overloaded", "", "the decision could not be recorded"))
		return true
	}
	s.answered = true
	s.completion.Status = http.StatusNoContent
	s.w.WriteHeader(http.StatusNoContent)
	return true
}

// preflightHeader are the fields of a preflight that the upstream needs.
var preflightHeader = map[string]bool{
	"Origin": true, "Access-Control-Request-Method": true, "Access-Control-Request-Headers": true,
	"Access-Control-Request-Private-Network": true, "Accept": true, "User-Agent": true,
}

// onlyCORS leaves an answer what a browser reads of one to a preflight. The caller
// is nobody, and many handlers run for any method: what one would tell a caller
// with credentials must not come back for an OPTIONS without.
func onlyCORS(h http.Header) {
	for name := range h {
		if !strings.HasPrefix(name, "Access-Control-") && !answersPreflight[name] {
			delete(h, name)
		}
	}
	h.Set("Content-Length", "0")
}

var answersPreflight = map[string]bool{
	"Vary": true, "Allow": true, "Cache-Control": true, "Date": true, "Retry-After": true,
	"X-Crenel-Request-Id": true, "Ratelimit": true, "Ratelimit-Policy": true, "RateLimit": true, "RateLimit-Policy": true,
}

// corsHeaders sets an answer's CORS fields. With a cors section they are ours
// alone. Without one the upstream's pass, except that an origin which is not
// allowed by name never gets to use the caller's credentials (CWE-942).
func (s *session) corsHeaders(h http.Header) {
	a := s.api
	origin := s.r.Header.Get("Origin")
	if a.cfg.CORS == nil {
		if h.Get("Access-Control-Allow-Origin") == "" || h.Get("Access-Control-Allow-Credentials") == "" {
			return
		}
		if origin == "" || s.sameOrigin(origin) || slices.Contains(a.cfg.AllowedOrigins, origin) {
			return
		}
		h.Del("Access-Control-Allow-Origin")
		h.Del("Access-Control-Allow-Credentials")
		s.noteOrigin("the API lets it use the caller's credentials, which was taken out of the answer; list it in allowed_origins, or in a cors section")
		return
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if origin == "" {
		return
	}
	if !a.allowsOrigin(origin) {
		if !s.sameOrigin(origin) {
			s.noteOrigin("it is not in cors.origins, so browsers keep the answer from its pages")
		}
		return
	}
	c := a.cfg.CORS
	if slices.Contains(c.Origins, "*") && !c.Credentials {
		h.Set("Access-Control-Allow-Origin", "*")
	} else {
		h.Set("Access-Control-Allow-Origin", origin)
		if !slices.Contains(h["Vary"], "Origin") {
			h.Add("Vary", "Origin")
		}
	}
	if c.Credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if len(c.Expose) > 0 {
		h.Set("Access-Control-Expose-Headers", strings.Join(c.Expose, ", "))
	}
}

// noteOrigin leaves a trace of why a page cannot read an answer that a program
// can: the browser names neither us nor the setting.
func (s *session) noteOrigin(why string) {
	s.x.Rulings = append(s.x.Rulings, exchange.Ruling{
		Guard: originGuard, Phase: exchange.ResponseHead, Mode: guard.Enforce.String(),
		Verdict: exchange.Verdict{At: "header:origin", Reason: "the page's origin: " + why},
	})
}

func (a *api) allowsOrigin(origin string) bool {
	c := a.cfg.CORS
	return c != nil && (slices.Contains(c.Origins, origin) || slices.Contains(c.Origins, "*") && !c.Credentials)
}

// sameOrigin reports whether an origin is the API's own, as the client sees it.
func (s *session) sameOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != s.x.Request.Scheme || u.Host == "" {
		return false
	}
	return strings.EqualFold(withoutDefaultPort(u.Scheme, u.Host), withoutDefaultPort(u.Scheme, s.r.Host))
}

// withoutDefaultPort drops the port that a scheme has anyway.
func withoutDefaultPort(scheme, host string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// ruleOrigin runs the check of origins in the mode of the API or operation, as a
// guard is run.
func (s *session) ruleOrigin() exchange.Verdict {
	v := s.checkOrigin()
	if v.Action == exchange.Allow {
		return v
	}
	return s.ruled(originGuard, v)
}

// ruled runs a denial that the gateway itself found in a guard's mode for the
// operation, as the chain runs a step.
func (s *session) ruled(name string, v exchange.Verdict) exchange.Verdict {
	mode := s.api.settings(name, s.x.Operation).Mode
	if mode == guard.Off {
		return exchange.Verdict{}
	}
	s.x.Rulings = append(s.x.Rulings, exchange.Ruling{
		Guard: name, Phase: exchange.RequestHead, Mode: mode.String(), Verdict: v, Enforced: mode == guard.Enforce,
	})
	if mode == guard.Enforce {
		return v
	}
	return exchange.Verdict{}
}

// originGuard names the check of origins in records.
const originGuard = "origin"

// checkOrigin refuses WebSocket upgrades, and writes with what browsers send by
// themselves, from origins that are not allowed: they send it whoever's page it is
// (CSRF, CWE-352; cross-site WebSocket hijacking, CWE-1385).
func (s *session) checkOrigin() exchange.Verdict {
	r := s.r
	if s.x.Request.Upgrade != "websocket" && !(unsafeMethod(r.Method) && s.ambient()) {
		return exchange.Verdict{}
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			return exchange.Refuse("gateway.origin_refused", "header:origin", "a browser's request from another site without an origin")
		}
		return exchange.Verdict{} // no browser: nobody's credentials are borrowed
	}
	if s.sameOrigin(origin) || slices.Contains(s.api.cfg.AllowedOrigins, origin) || s.api.allowsOrigin(origin) && !slices.Contains(s.api.cfg.CORS.Origins, "*") {
		return exchange.Verdict{}
	}
	return exchange.Refuse("gateway.origin_refused", "header:origin", "the origin is not the API's own and is not in allowed_origins")
}

// ambient reports whether a request bears credentials that a browser adds to what any
// page sends: cookies, a client certificate, or a password that it was told once. Not
// where it also bears an Authorization of another scheme: a page adds that itself, and
// one of another site is asked for a preflight before it may.
func (s *session) ambient() bool {
	lines := s.r.Header["Authorization"]
	for _, line := range lines {
		scheme, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch strings.ToLower(scheme) {
		case "basic", "digest", "negotiate", "ntlm":
			return true
		}
	}
	return len(lines) == 0 && (len(s.r.Header["Cookie"]) > 0 || s.x.PeerCert != nil)
}

func unsafeMethod(m string) bool {
	return m != http.MethodGet && m != http.MethodHead && m != http.MethodOptions
}
