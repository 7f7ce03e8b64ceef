package target

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Redacted stands where a credential was.
const Redacted = "[redacted]"

// Redactor takes credentials out of texts. It knows the values that it was told,
// and the header fields that hold credentials by their name.
type Redactor struct {
	mu     sync.RWMutex
	values map[string]struct{}
	by     *strings.Replacer // nil: to be made
}

// NewRedactor makes a Redactor that knows no value yet.
func NewRedactor() *Redactor { return &Redactor{values: map[string]struct{}{}} }

// Add makes values secret: tokens, passwords, session ids. Those shorter than 6
// bytes are left alone, for they would be found in every other word.
func (r *Redactor) Add(values ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range values {
		if len(v) < 6 {
			continue
		}
		for _, form := range forms(v) {
			if _, known := r.values[form]; !known {
				r.values[form] = struct{}{}
				r.by = nil
			}
		}
	}
}

// forms are the ways in which a secret stands in what is recorded: as it is, within a
// text of JSON (which escapes quotes; some writers escape <, > and & too, PHP's the
// slash, Python's what is not ASCII), escaped for a form and for a path, and in either base64, padded or not.
func forms(v string) []string {
	within := strings.TrimSuffix(strings.TrimPrefix(quoted(v, false), `"`), `"`)
	out := []string{
		v, within, strings.Trim(strconv.QuoteToASCII(v), `"`), strings.TrimSuffix(strings.TrimPrefix(quoted(v, true), `"`), `"`), strings.ReplaceAll(within, "/", `\/`),
		base64.StdEncoding.EncodeToString([]byte(v)), base64.RawStdEncoding.EncodeToString([]byte(v)),
		base64.URLEncoding.EncodeToString([]byte(v)), base64.RawURLEncoding.EncodeToString([]byte(v)),
	}
	for _, escaped := range []string{url.QueryEscape(v), url.PathEscape(v), strings.ReplaceAll(url.QueryEscape(v), "+", "%20")} {
		out = append(out, escaped, lowerHex(escaped))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// quoted is a text as JSON; html also escapes what HTML would obey.
func quoted(v string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if e.Encode(v) != nil {
		return v
	}
	return strings.TrimRight(b.String(), "\n")
}

var rePercent = regexp.MustCompile(`%[0-9A-F]{2}`)

// lowerHex writes what is escaped by percent signs in small letters, as some do.
func lowerHex(escaped string) string { return rePercent.ReplaceAllStringFunc(escaped, strings.ToLower) }

// Text is s without the secrets that the Redactor was told.
func (r *Redactor) Text(s string) string {
	if s == "" {
		return s
	}
	return r.replacer().Replace(s)
}

// reTokenMember is a member of JSON by which a session goes, or what renews one (RFC 6749, section 5.1).
var reTokenMember = regexp.MustCompile(`(?i)("(?:access|refresh|id|auth|session|bearer)_?(?:token|jwt)"\s*:\s*")([^"\\]{8,})`)

// Message is Text of a message's body or address, without the tokens that its members
// hold by name either: a proof's logins give some that nothing else is told of.
func (r *Redactor) Message(s string) string {
	return reTokenMember.ReplaceAllString(r.Text(s), "${1}"+Redacted)
}

func (r *Redactor) replacer() *strings.Replacer {
	r.mu.RLock()
	by := r.by
	r.mu.RUnlock()
	if by != nil {
		return by
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		all := make([]string, 0, len(r.values))
		for v := range r.values {
			all = append(all, v)
		}
		// The longest first: a secret may be part of another.
		slices.SortFunc(all, func(a, b string) int {
			if len(a) != len(b) {
				return len(b) - len(a)
			}
			return strings.Compare(a, b)
		})
		pairs := make([]string, 0, 2*len(all))
		for _, v := range all {
			pairs = append(pairs, v, Redacted)
		}
		r.by = strings.NewReplacer(pairs...)
	}
	return r.by
}

// Header is the value of a header field as it may be recorded: where the name
// says that it is a credential, only its scheme or cookie's name is left.
func (r *Redactor) Header(name, value string) string {
	switch strings.ToLower(name) {
	case "authorization", "proxy-authorization":
		if scheme, rest, ok := strings.Cut(value, " "); ok && rest != "" && !strings.EqualFold(scheme, "digest") {
			return scheme + " " + Redacted
		}
		return Redacted
	case "cookie":
		crumbs := strings.Split(value, ";")
		for i, c := range crumbs {
			if n, _, ok := strings.Cut(c, "="); ok {
				crumbs[i] = n + "=" + Redacted
			}
		}
		return strings.Join(crumbs, ";")
	case "set-cookie":
		pair, attrs, _ := strings.Cut(value, ";")
		if n, _, ok := strings.Cut(pair, "="); ok {
			pair = n + "=" + Redacted
		}
		if attrs != "" {
			return pair + ";" + attrs
		}
		return pair
	}
	if secretName(name) {
		return Redacted
	}
	return r.Text(value)
}

// secretName: the names by which credentials go that are no standard fields.
func secretName(name string) bool {
	n := strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
	for _, part := range []string{"token", "apikey", "secret", "password", "sessionid", "accesskey", "jwt"} {
		if strings.Contains(n, part) {
			return true
		}
	}
	return n == "xauth" || n == "xsession"
}
