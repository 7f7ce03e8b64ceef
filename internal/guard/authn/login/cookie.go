package login

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// CookiePrefix begins the name of every cookie of every login. Browsers take one
// with __Host- only from the very host, over TLS and for all of it, so that no
// other host of the domain can plant one (RFC 6265bis section 4.1.3.2).
const CookiePrefix = "__Host-crenel-"

const (
	chunk     = 3600 // bytes of a cookie's value: browsers keep 4,096 with name and attributes
	maxChunks = 6
)

// jar names the cookies of one login.
type jar struct {
	session  string // and -1, -2, … where it does not fit into one
	flow     string // and eight hex digits for each login under way
	csrf     string
	sameSite string // "; SameSite=Lax"
}

func newJar(api, sameSite string) jar {
	base := CookiePrefix + api
	j := jar{session: base + "-session", flow: base + "-flow-", csrf: base + "-csrf"}
	switch sameSite {
	case "strict":
		j.sameSite = "; SameSite=Strict"
	case "none":
		j.sameSite = "; SameSite=None"
	default:
		j.sameSite = "; SameSite=Lax"
	}
	return j
}

var (
	errRepeated = errors.New("a cookie of the session was sent twice")
	errMissing  = errors.New("a part of the session's cookies is missing")
	errShape    = errors.New("the session's cookie is not one that is set here")
)

// each calls f with every cookie of a request.
func each(h http.Header, f func(name, value string)) {
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, _ := strings.Cut(strings.Trim(pair, " \t"), "=")
			f(strings.TrimRight(name, " \t"), strings.TrimLeft(value, " \t"))
		}
	}
}

// read returns the value that the session's cookies hold, "" when there are none.
func (j *jar) read(h http.Header) (string, error) {
	found := false
	for _, line := range h["Cookie"] {
		found = found || strings.Contains(line, j.session)
	}
	if !found {
		return "", nil
	}
	var parts [maxChunks]string
	var has [maxChunks]bool
	repeated := false
	each(h, func(name, value string) {
		rest, ok := strings.CutPrefix(name, j.session)
		if !ok {
			return
		}
		i := 0
		if rest != "" {
			if len(rest) != 2 || rest[0] != '-' || rest[1] < '1' || rest[1] >= '0'+maxChunks {
				return
			}
			i = int(rest[1] - '0')
		}
		repeated = repeated || has[i]
		parts[i], has[i] = value, true
	})
	switch {
	case repeated:
		return "", errRepeated
	case !has[0]:
		return "", nil // what is left of a longer one
	}
	// The first says how many there are: "3.…".
	count, first, ok := strings.Cut(parts[0], ".")
	if !ok || len(count) != 1 || count[0] < '1' || count[0] > '0'+maxChunks {
		return "", errShape
	}
	n := int(count[0] - '0')
	if n == 1 {
		return first, nil
	}
	parts[0] = first
	for i := range n {
		if !has[i] {
			return "", errMissing
		}
	}
	return strings.Join(parts[:n], ""), nil
}

// write returns the Set-Cookie fields that keep a value, and remove what is left
// of a longer one.
func (j *jar) write(h http.Header, value string) ([]string, error) {
	n := (len(value) + chunk - 1) / chunk
	if n > maxChunks {
		return nil, errTooLarge
	}
	var out []string
	for i := range n {
		part := value[i*chunk : min(len(value), (i+1)*chunk)]
		name := j.session
		if i == 0 {
			part = strconv.Itoa(n) + "." + part
		} else {
			name += "-" + strconv.Itoa(i)
		}
		out = append(out, name+"="+part+"; Path=/; Secure; HttpOnly"+j.sameSite)
	}
	return append(out, j.removeParts(h, n)...), nil
}

var errTooLarge = errors.New("the session is larger than its cookies can hold: use store: state, or have the issuer put less into its tokens")

// removeParts removes the request's cookies of a session from the nth on.
func (j *jar) removeParts(h http.Header, n int) []string {
	var out []string
	each(h, func(name, _ string) {
		rest, ok := strings.CutPrefix(name, j.session+"-")
		if ok && len(rest) == 1 && rest[0] >= '1' && rest[0] <= '9' && int(rest[0]-'0') >= n {
			out = append(out, remove(name, j.sameSite))
		}
	})
	return out
}

// clear removes the session's cookies and its CSRF token.
func (j *jar) clear(h http.Header) []string {
	out := []string{remove(j.session, j.sameSite), remove(j.csrf, j.sameSite)}
	return append(out, j.removeParts(h, 1)...)
}

func remove(name, sameSite string) string {
	return name + "=; Path=/; Secure; Max-Age=0" + sameSite
}

// csrfCookie shows the page's scripts the token that its writes must bring.
func (j *jar) csrfCookie(token string) string {
	return j.csrf + "=" + token + "; Path=/; Secure" + j.sameSite
}

// StripRequest takes the cookies of all logins out of a request.
func StripRequest(h http.Header) {
	lines := h["Cookie"]
	found := false
	for _, line := range lines {
		found = found || strings.Contains(line, CookiePrefix)
	}
	if !found {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			if pair != "" && !strings.HasPrefix(pair, CookiePrefix) {
				pairs = append(pairs, pair)
			}
		}
		if len(pairs) > 0 {
			kept = append(kept, strings.Join(pairs, "; "))
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// StripAnswer takes what an upstream would set as a login's cookie out of its
// answer: it cannot forge a session, but it could end one or bring another's back.
func StripAnswer(h http.Header) {
	lines := h["Set-Cookie"]
	var kept []string
	for i, line := range lines {
		name := strings.TrimLeft(line, " \t")
		ours := len(name) >= len(CookiePrefix) && strings.EqualFold(name[:len(CookiePrefix)], CookiePrefix)
		if ours && kept == nil {
			kept = append(make([]string, 0, len(lines)), lines[:i]...)
		} else if !ours && kept != nil {
			kept = append(kept, line)
		}
	}
	switch {
	case kept == nil:
	case len(kept) == 0:
		delete(h, "Set-Cookie")
	default:
		h["Set-Cookie"] = kept
	}
}
