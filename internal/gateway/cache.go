package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

// keepFromOthers keeps shared caches in front of the gateway (RFC 9111 section 3.5)
// from an answer that is for its caller alone and does not look so to them (CWE-525):
//
//   - A policy changed it, or what the upstream was asked: the upstream that calls it
//     public does not know of that.
//   - The caller was identified by something else than Authorization, which is all
//     that caches heed, and the upstream, which may have seen no credentials at all,
//     does not say that it is public.
func (s *session) keepFromOthers(h http.Header) {
	x := &s.x
	if x.Request.Method != http.MethodGet && x.Request.Method != http.MethodHead {
		return
	}
	if !x.Obligations.Empty() {
		private(h)
		return
	}
	if x.Identity.Anonymous() || slices.ContainsFunc(x.Request.Credentials, func(c exchange.CredentialPlace) bool {
		return c.In == "header" && c.Name == "Authorization"
	}) {
		return
	}
	for _, d := range directives(h) {
		if d == "public" || strings.HasPrefix(d, "s-maxage=") {
			return
		}
	}
	if len(h["Cdn-Cache-Control"])+len(h["Surrogate-Control"]) > 0 {
		return
	}
	private(h)
}

// private makes an answer one that no shared cache keeps.
func private(h http.Header) {
	// Caches of content networks heed these before the other (RFC 9213).
	delete(h, "Cdn-Cache-Control")
	delete(h, "Surrogate-Control")
	var kept []string
	for _, d := range directives(h) {
		switch {
		case d == "private", d == "no-store":
			return
		case d == "public", strings.HasPrefix(d, "s-maxage="):
		default:
			kept = append(kept, d)
		}
	}
	h["Cache-Control"] = []string{strings.Join(append(kept, "private"), ", ")}
}

// directives are those of an answer's Cache-Control, in lower case. One with a list
// of fields in quotes is taken apart at its commas, into what is no directive.
func directives(h http.Header) []string {
	var out []string
	for _, line := range h["Cache-Control"] {
		for d := range strings.SplitSeq(line, ",") {
			if d = strings.ToLower(strings.TrimSpace(d)); d != "" {
				out = append(out, d)
			}
		}
	}
	return out
}
