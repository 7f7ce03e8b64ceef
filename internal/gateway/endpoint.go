package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Endpoint is a path at which the gateway itself answers, before any API: a
// receiver of security events, the pages of a login, published metadata.
type Endpoint struct {
	Name    string   // in records: "signals", "login"
	API     string   // the API it belongs to, whose limits by address hold; "" for none
	Hosts   []string // "" or none: every host
	Path    string   // exact, escaped as in a normal path
	Methods []string // others get 405
	MaxBody int64    // bytes; 0: no body is read
	Handler http.Handler
}

// endpoints are those of a generation, by path.
type endpoints map[string][]*Endpoint

// add puts endpoints in. Two at one place are a mistake.
func (es *endpoints) add(list []Endpoint) error {
	for i := range list {
		e := &list[i]
		if path, _, err := normalPath(e.Path); err != nil || path != e.Path {
			return fmt.Errorf("%s: %q is not a path that a request can have", e.Name, e.Path)
		}
		for _, other := range (*es)[e.Path] {
			if overlap(e.Hosts, other.Hosts) {
				return fmt.Errorf("%s and %s both answer at %s", other.Name, e.Name, e.Path)
			}
		}
		if *es == nil {
			*es = endpoints{}
		}
		(*es)[e.Path] = append((*es)[e.Path], e)
	}
	return nil
}

func overlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(h string) bool { return hasHost(b, normalName(h)) })
}

// hasHost reports whether a host is among names, of which some may be wildcards.
func hasHost(names []string, host string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		n = normalName(n)
		dot, wild := strings.CutPrefix(n, "*")
		return n == host || wild && strings.HasSuffix(host, dot)
	})
}

func (es endpoints) find(host, path string) *Endpoint {
	for _, e := range es[path] {
		if len(e.Hosts) == 0 || hasHost(e.Hosts, host) {
			return e
		}
	}
	return nil
}

// serveOwn answers at an endpoint of the gateway's own.
func (s *session) serveOwn() {
	e := s.own
	s.x.API, s.x.Endpoint = e.API, e.Name
	if !slices.Contains(e.Methods, s.r.Method) {
		s.w.Header().Set("Allow", strings.Join(e.Methods, ", "))
		s.deny(exchange.Refuse("contract.unknown_method", "method", "the gateway answers here to "+strings.Join(e.Methods, ", ")))
		return
	}
	for _, a := range s.g.apis {
		if a.cfg.Name == e.API {
			if v := a.doorstep.Run(s.r.Context(), &s.x, exchange.RequestHead); v.Action != exchange.Allow {
				s.deny(v)
				return
			}
		}
	}
	if s.r.ContentLength > e.MaxBody {
		s.deny(exchange.Refuse("body.too_large", "body", fmt.Sprintf("at most %d bytes are read here", e.MaxBody)))
		return
	}
	if err := s.decide(exchange.Verdict{}); err != nil {
		s.deny(exchange.Refuse("gateway.overloaded", "", "the decision could not be recorded"))
		return
	}
	s.r.Body = http.MaxBytesReader(s.w, s.r.Body, e.MaxBody)
	w := &counted{ResponseWriter: s.w, status: http.StatusOK}
	s.answered, s.requested = true, len(s.x.Rulings)
	e.Handler.ServeHTTP(w, s.r.WithContext(exchange.With(s.r.Context(), &s.x)))
	s.completion.Status, s.completion.BytesOut = w.status, w.bytes
}

// counted remembers what was answered.
type counted struct {
	http.ResponseWriter
	status int
	bytes  int64
	head   bool
}

func (c *counted) WriteHeader(status int) {
	if !c.head && status >= http.StatusOK {
		c.head, c.status = true, status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *counted) Write(p []byte) (int, error) {
	c.head = true
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the writer below.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }
