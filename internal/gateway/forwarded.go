package gateway

import (
	"strings"
)

// forwarded takes what a trusted proxy says of the request as the client sent it:
// the host that it asked for and the beginning of the path that was taken off. A
// field that stands twice or lists several values is not taken: which of them the
// proxy wrote, and which the client, cannot be known.
func (s *session) forwarded() {
	h, req := s.r.Header, &s.x.Request
	if host := single(h["X-Forwarded-Host"]); host != "" {
		if _, ok := normalHost(host); ok {
			req.Authority = host
			if port := single(h["X-Forwarded-Port"]); port != "" && validPort(":"+port) && !hasPort(host) && port != defaultPort(req.Scheme) {
				req.Authority += ":" + port
			}
		}
	}
	if prefix := single(h["X-Forwarded-Prefix"]); strings.HasPrefix(prefix, "/") {
		if escaped, _, err := normalPath(prefix); err == nil && escaped != "/" {
			s.prefix = strings.TrimSuffix(escaped, "/")
			req.Target = s.prefix + req.Target
		}
	}
}

// single is the one value of a field, "" where there is none or more than one.
func single(values []string) string {
	if len(values) != 1 || strings.IndexByte(values[0], ',') >= 0 {
		return ""
	}
	return strings.TrimSpace(values[0])
}

func hasPort(host string) bool {
	return strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']')
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}
