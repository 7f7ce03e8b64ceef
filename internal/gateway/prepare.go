package gateway

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// prepareUpstream turns the client's request into what the upstream gets: the
// normalised target, no credentials unless the config passes them, and fields
// about the caller that we vouch for. X-Forwarded-* and the signature are the
// data plane's to set, from the Call.
func (s *session) prepareUpstream() {
	r, x := s.r, &s.x
	req := &x.Request
	escaped, decoded := req.RawPath, req.Path
	if s.api.cfg.Upstream.StripBasePath {
		escaped = req.Relative
		// It is normal already, and so decodes.
		decoded, _ = url.PathUnescape(escaped)
	}
	r.URL.Path, r.URL.RawPath = decoded, ""
	if r.URL.EscapedPath() != escaped {
		r.URL.RawPath = escaped
	}
	if req.StripCredentials(s.api.stripCredentials) {
		r.URL.RawQuery = req.Query
	}
	s.keepOwnCookies()
	h := r.Header
	if s.api.token != nil && !s.preflighted {
		s.api.token.Put(h, s.token)
	}
	if req.Upgrade == "websocket" {
		h.Set("Connection", "Upgrade")
		h.Set("Upgrade", "websocket")
	}
	if need := s.answerNeed(); need != exchange.None {
		// What is to be read must come plain and whole.
		s.setHeader(h, "Accept-Encoding", "identity")
		if need == exchange.Buffered {
			h.Del("Range")
			h.Del("If-Range")
		}
	}
	for _, name := range s.api.filterHeaders {
		// Whatever the client sent: only a policy's filter may stand there.
		h.Del(name)
		h.Del(name + filterSignature)
		if text, ok := x.Obligations.Headers[name]; ok && s.api.cfg.Upstream.Sign != nil {
			h.Set(name+filterSignature, signFilter(s.api.cfg.Upstream.Sign.Key.Reveal(), x.ID, name, text))
		}
	}
	if s.api.chain.Mode(x, authz.Name) == guard.Enforce {
		for _, name := range s.api.policy.OwnHeaders() {
			h.Del(name)
		}
	}
	for name, text := range x.Obligations.Headers {
		h.Set(name, text)
	}
	if len(x.Obligations.Query) > 0 {
		r.URL.RawQuery = withQuery(r.URL.RawQuery, x.Obligations.Query)
	}
	setTarget(r, escaped)
	s.setHeader(h, "X-Request-Id", x.ID)
	s.call.ID, s.call.Client, s.call.Scheme, s.call.Host = x.ID, x.Client, req.Scheme, r.Host
	s.r = r.WithContext(WithCall(r.Context(), &s.call))
	s.r.Trailer = nil // no guard has seen them; those of a stream go to the request that was left behind
	if id := &x.Identity; id.Verified {
		s.setHeader(h, "X-Crenel-Subject", headerText(id.Subject))
		if id.Tenant != "" {
			s.setHeader(h, "X-Crenel-Tenant", headerText(id.Tenant))
		}
		if len(id.Roles) > 0 {
			h.Set("X-Crenel-Roles", headerList(id.Roles))
		}
	}
}

// filterSignature ends the name of the header by which an upstream sees that a
// filter comes from the gateway, for this request.
const filterSignature = "-Signature"

// signFilter is HMAC-SHA-256 with the upstream's shared key over the request id,
// the header's name in lower case and its value, joined by "\n"; hexadecimal. The
// id is signed with the time and the target by the upstream's own signed header.
func signFilter(key, id, name, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(id + "\n" + strings.ToLower(name) + "\n" + text))
	return hex.EncodeToString(mac.Sum(nil))
}

// setTarget makes RequestURI say what URL says, for handlers that go by it.
func setTarget(r *http.Request, escaped string) {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if path == escaped && query == r.URL.RawQuery {
		return
	}
	r.RequestURI = escaped
	if r.URL.RawQuery != "" {
		r.RequestURI += "?" + r.URL.RawQuery
	}
}

// withQuery sets parameters of a query. What the client sent under their names, or
// under names that some server takes for theirs, goes: of two values a server might
// take either, or both.
func withQuery(raw string, set map[string]string) string {
	ours := make(map[string]bool, len(set))
	for name := range set {
		ours[looseName(name)] = true
	}
	var out []string
	for pair := range strings.SplitSeq(raw, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if pair != "" && !ours[looseName(name)] {
			out = append(out, pair)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		out = append(out, url.QueryEscape(name)+"="+url.QueryEscape(set[name]))
	}
	return strings.Join(out, "&")
}

// looseName is a query parameter's name as the loosest server reads it: ASP.NET ignores
// case, PHP drops spaces before it and writes others, dots and an opening bracket as
// underscores; many end it at a bracket, and some at a NUL.
func looseName(name string) string {
	name = strings.TrimLeft(name, " \t\r\n")
	if i := strings.IndexAny(name, "[\x00"); i > 0 {
		name = name[:i]
	}
	return strings.Map(func(r rune) rune {
		if r == '.' || r == ' ' || r == '-' {
			return '_'
		}
		return r
	}, strings.ToLower(strings.TrimRight(name, " \t\r\n")))
}

// answerNeed says how much of the answer is read: Buffered stands for any check
// that is enforced, Streamed for one that is only recorded.
func (s *session) answerNeed() exchange.Need {
	need := exchange.None
	if o := &s.x.Obligations; o.Rewrites() || o.Holds() {
		return exchange.Buffered
	}
	for _, phase := range []exchange.Phase{exchange.ResponseHead, exchange.ResponseBody} {
		some, must := s.api.chain.Needs(&s.x, phase)
		if must != exchange.None {
			return exchange.Buffered
		}
		if some != exchange.None {
			need = exchange.Streamed
		}
	}
	return need
}

// headerText makes a text safe as a header value: what is not printable ASCII
// is percent-encoded. So is one that begins or ends with a space, which whoever
// reads the field takes off: "alice " is not alice (CWE-290).
func headerText(s string) string {
	if strings.HasPrefix(s, " ") || strings.HasSuffix(s, " ") {
		return percent(s)
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e || s[i] == '%' {
			return percent(s)
		}
	}
	return s
}

// percent is percent-encoded so that no decoder reads it otherwise: what is
// encoded holds a percent sign, and what is not holds none.
func percent(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// headerList writes a list of texts so that a comma in one of them does not
// make it two.
func headerList(list []string) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		if strings.Contains(s, ",") {
			b.WriteString(percent(s))
			continue
		}
		b.WriteString(headerText(s))
	}
	return b.String()
}
