package exchange

import (
	"net/url"
	"strings"
)

// StripCredentials takes credentials out of what the upstream will see: those
// that were rejected, and with all every one that authn found. Header and Query
// are changed; it reports whether Query was, so that the data plane sends it anew.
func (r *Request) StripCredentials(all bool) (query bool) {
	for _, c := range r.Credentials {
		if !all && !c.Rejected {
			continue
		}
		switch c.In {
		case "header":
			r.Header.Del(c.Name)
		case "cookie":
			r.stripCookie(c.Name)
		case "query":
			if r.stripQuery(c.Name) {
				query = true
			}
		}
	}
	return query
}

// stripCookie removes every cookie of the name, and leaves the others as sent.
func (r *Request) stripCookie(name string) {
	lines := r.Header["Cookie"]
	if len(lines) == 0 {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var pairs []string
		for pair := range strings.SplitSeq(line, ";") {
			pair = strings.Trim(pair, " \t")
			if n, _, _ := strings.Cut(pair, "="); pair != "" && strings.TrimRight(n, " \t") != name {
				pairs = append(pairs, pair)
			}
		}
		if len(pairs) > 0 {
			kept = append(kept, strings.Join(pairs, "; "))
		}
	}
	if len(kept) == 0 {
		delete(r.Header, "Cookie")
		return
	}
	r.Header["Cookie"] = kept
}

// stripQuery removes every query parameter of the name, however it is escaped,
// and leaves the others as sent.
func (r *Request) stripQuery(name string) bool {
	var kept []string
	found := false
	for pair := range strings.SplitSeq(r.Query, "&") {
		raw, _, _ := strings.Cut(pair, "=")
		n, err := url.QueryUnescape(raw)
		if n == name || err != nil && raw == name {
			found = true
			continue
		}
		kept = append(kept, pair)
	}
	if found {
		r.Query = strings.Join(kept, "&")
	}
	return found
}
