package gateway

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
)

// spoofable are header fields by which proxies and frameworks tell each other
// who the client is, what it asked for, or whether it was authenticated. A
// client that sends one is lying or misled: they are removed, and those that we
// vouch for are set anew. Keys are canonical.
var spoofable = func() map[string]bool {
	m := map[string]bool{}
	for _, h := range []string{
		"Forwarded", "Via", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Fastly-Client-Ip", "Fly-Client-Ip",
		"Client-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Real-Ip", "X-Originating-Ip", "X-Remote-Ip", "X-Remote-Addr",
		"X-Host", "X-Original-Url", "X-Original-Host", "X-Original-Uri", "X-Original-Method", "X-Rewrite-Url", "X-Override-Url",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
		"Remote-User", "X-Remote-User", "X-User", "X-Auth-Request-User", "X-Auth-Request-Email", "X-Authenticated-User",
		"X-Authenticated-Userid", "X-Authenticated-Groups", "X-Consumer-Id", "X-Consumer-Username", "X-Webauth-User",
		"X-Ssl-Client-Cert", "X-Ssl-Client-Dn", "X-Ssl-Client-Verify", "X-Client-Cert", "X-Client-Dn", "X-Client-Verify",
		"Client-Cert", "Client-Cert-Chain", "Ssl-Client-Cert", "X-Arr-Clientcert", "X-Amzn-Mtls-Clientcert",
		"X-Envoy-Original-Path", "X-Envoy-External-Address", "X-Envoy-Internal", "X-Request-Id",
		"Proxy", "Proxy-Connection", "Proxy-Authenticate",
		"Http2-Settings", "Trailer",
	} {
		m[h] = true
	}
	return m
}()

// spoofablePrefixes are whole families of such fields.
var spoofablePrefixes = []string{"X-Forwarded-", "X-Crenel-", "X-Envoy-", "X-Amzn-Oidc-"}

// isSpoofable reports whether a canonical field name is one that clients may not
// send. Underscores count as hyphens, since CGI-like servers (CWE-444) read both alike.
func isSpoofable(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	if spoofable[name] {
		return true
	}
	for _, p := range spoofablePrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// hopByHop are the fields of one connection (RFC 9110 section 7.6.1).
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding"}

// cleanRequestHeader removes hop-by-hop and spoofable fields from h in place and
// returns the lower-case protocol of an upgrade request, "" where there is none.
func cleanRequestHeader(h http.Header) (upgrade string) {
	if up := h["Upgrade"]; len(up) == 1 && connectionHas(h, "upgrade") {
		upgrade = strings.ToLower(strings.TrimSpace(up[0]))
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			// A client may not have fields removed that guards lean on or that the
			// upstream needs to understand the request.
			if !keepDespiteConnection[name] {
				delete(h, name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(h, name)
	}
	delete(h, "Upgrade")
	for name := range h {
		if isSpoofable(name) {
			delete(h, name)
		}
	}
	return upgrade
}

// keepDespiteConnection are end-to-end fields that a Connection header cannot
// take away ("Connection: close, Authorization" is an attack).
var keepDespiteConnection = map[string]bool{
	"Authorization": true, "Cookie": true, "Content-Type": true, "Content-Length": true, "Content-Encoding": true,
	"Host": true, "Origin": true, "Accept": true, "Cache-Control": true, "Dpop": true, "Signature": true, "Signature-Input": true,
	"Content-Digest": true, "X-Api-Key": true,
}

func connectionHas(h http.Header, token string) bool {
	for _, line := range h["Connection"] {
		for t := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}

// headerSize is the size of a header section and its number of fields.
func headerSize(h http.Header) (bytes, count int) {
	for name, values := range h {
		for _, v := range values {
			bytes += len(name) + len(v) + 4
			count++
		}
	}
	return bytes, count
}

// clientAddr finds the true client address: the connection's own, or, behind
// trusted proxies only, the rightmost address of X-Forwarded-For that is not
// one of theirs.
func clientAddr(peer netip.Addr, forwardedFor []string, trusted []netip.Prefix) netip.Addr {
	if len(trusted) == 0 || len(forwardedFor) == 0 || !within(peer, trusted) {
		return peer
	}
	client := peer
	for i := len(forwardedFor) - 1; i >= 0; i-- {
		line := forwardedFor[i]
		for line != "" {
			item := line
			if j := strings.LastIndexByte(line, ','); j >= 0 {
				item, line = line[j+1:], line[:j]
			} else {
				line = ""
			}
			a, ok := parseForwarded(strings.TrimSpace(item))
			if !ok {
				return client // beyond rubbish nothing can be believed
			}
			client = a
			if !within(a, trusted) {
				return a
			}
		}
	}
	return client
}

// parseForwarded reads an address with or without a port, as proxies write it.
func parseForwarded(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

func within(a netip.Addr, prefixes []netip.Prefix) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// cleanAnswerHeader removes what an answer should not tell: the upstream's make
// (CWE-200) and connection fields.
func cleanAnswerHeader(h http.Header) {
	for _, name := range []string{"Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Runtime", "X-Generator", "Via"} {
		delete(h, name)
	}
	for name := range h {
		if strings.HasPrefix(name, "X-Crenel-") {
			delete(h, name)
		}
	}
}
