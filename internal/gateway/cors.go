package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

// preflight handles a CORS preflight (Fetch standard, "CORS-preflight request").
// With a cors section it is answered here, before authentication, since browsers
// send none with it. Without one it is passed to the upstream, without
// credentials, when the operation that it asks about exists.
func (s *session) preflight() bool {
	r := s.r
	wanted := r.Header.Get("Access-Control-Request-Method")
	origin := r.Header.Get("Origin")
	if r.Method != http.MethodOptions || wanted == "" || origin == "" {
		return false
	}
	m := s.api.match(wanted, &s.x)
	if m == nil {
		return false
	}
	s.x.Operation = m
	c := s.api.cfg.CORS
	if c == nil {
		r.Header.Del("Authorization")
		r.Header.Del("Cookie")
		r.Body, r.ContentLength = http.NoBody, 0
		s.forward()
		return true
	}
	h := s.w.Header()
	h.Add("Vary", "Origin")
	h.Add("Vary", "Access-Control-Request-Method")
	h.Add("Vary", "Access-Control-Request-Headers")
	if s.api.allowsOrigin(origin) {
		s.api.corsHeaders(h, r)
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
	s.completion.Status = http.StatusNoContent
	s.w.WriteHeader(http.StatusNoContent)
	return true
}

// corsHeaders sets an answer's CORS fields. With a cors section they are ours
// alone. Without one the upstream's pass, except that an origin which is not
// allowed by name never gets to use the caller's credentials (CWE-942).
func (a *api) corsHeaders(h http.Header, r *http.Request) {
	origin := r.Header.Get("Origin")
	if a.cfg.CORS == nil {
		allowed := h.Get("Access-Control-Allow-Origin")
		if allowed == "" || allowed == "*" && h.Get("Access-Control-Allow-Credentials") == "" {
			return
		}
		if origin == "" || a.sameOrigin(origin, r) || slices.Contains(a.cfg.AllowedOrigins, origin) {
			return
		}
		h.Del("Access-Control-Allow-Origin")
		h.Del("Access-Control-Allow-Credentials")
		return
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			delete(h, name)
		}
	}
	if origin == "" || !a.allowsOrigin(origin) {
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

func (a *api) allowsOrigin(origin string) bool {
	c := a.cfg.CORS
	return c != nil && (slices.Contains(c.Origins, origin) || slices.Contains(c.Origins, "*") && !c.Credentials)
}

// sameOrigin reports whether an origin is the API's own, as the client sees it.
func (a *api) sameOrigin(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return u.Scheme == scheme && strings.EqualFold(u.Host, r.Host)
}

// checkOrigin refuses WebSocket upgrades and cookie-authenticated writes from
// origins that are not allowed: browsers send cookies with both, whoever's page
// it is (CSRF, CWE-352; cross-site WebSocket hijacking, CWE-1385).
func (s *session) checkOrigin() exchange.Verdict {
	r := s.r
	socket := s.x.Request.Upgrade == "websocket"
	cookieWrite := unsafeMethod(r.Method) && len(r.Header["Cookie"]) > 0 && len(r.Header["Authorization"]) == 0
	if !socket && !cookieWrite {
		return exchange.Verdict{}
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			return exchange.Refuse("gateway.origin_refused", "header:origin", "a browser's request from another site without an origin")
		}
		return exchange.Verdict{} // no browser: nobody's cookies are borrowed
	}
	if s.api.sameOrigin(origin, r) || slices.Contains(s.api.cfg.AllowedOrigins, origin) || s.api.allowsOrigin(origin) && !slices.Contains(s.api.cfg.CORS.Origins, "*") {
		return exchange.Verdict{}
	}
	return exchange.Refuse("gateway.origin_refused", "header:origin", "the origin is not the API's own and is not in allowed_origins")
}

func unsafeMethod(m string) bool {
	return m != http.MethodGet && m != http.MethodHead && m != http.MethodOptions
}
