package signature

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Message is the head of a request or of an answer, as its sender wrote it.
type Message struct {
	// Of a request.
	Method    string
	Scheme    string // "https" or "http", as the client sees it
	Authority string // host and port as the client wrote them
	Target    string // request target: path and query exactly as sent, or an absolute URI
	// Status is an answer's; 0 for a request.
	Status int
	// Header are the fields by canonical name.
	Header http.Header
	// Trailer are those behind the content; nil when they are not known.
	Trailer http.Header
	// Request is what an answer answers, for components with req.
	Request *Message
	// Types are the structured types of fields, by lower-case name, beside the
	// registered ones: for components with sf.
	Types map[string]Type
}

var errNoRequest = errors.New("there is no request in sight")

// authority is the normal form (RFC 9421 section 2.2.3): lower case, without
// the scheme's own port.
func (m *Message) authority() string {
	a := strings.ToLower(m.Authority)
	switch strings.ToLower(m.Scheme) {
	case "https":
		a = strings.TrimSuffix(a, ":443")
	case "http":
		a = strings.TrimSuffix(a, ":80")
	}
	return a
}

// pathQuery splits the target. hasQuery is true for an empty query too.
func (m *Message) pathQuery() (path, query string, hasQuery bool, err error) {
	target := m.Target
	if !strings.HasPrefix(target, "/") {
		u, err := url.Parse(target)
		if err != nil || u.Host == "" {
			return "", "", false, errors.New("the request target has no path")
		}
		_, target, _ = strings.Cut(target, "://")
		if i := strings.IndexAny(target, "/?"); i >= 0 {
			target = target[i:]
		} else {
			target = ""
		}
	}
	path, query, hasQuery = strings.Cut(target, "?")
	if path == "" {
		path = "/"
	}
	return path, query, hasQuery, nil
}

// derived is the value of a component that is no field (RFC 9421 section 2.2).
func (m *Message) derived(c *Component) (string, error) {
	if c.Name == "@status" {
		if m.Status == 0 {
			return "", errors.New("a request has no @status")
		}
		return strconv.Itoa(m.Status), nil
	}
	if m.Status != 0 {
		return "", errors.New("an answer has no " + c.Name + " but its request's (req)")
	}
	switch c.Name {
	case "@method":
		return m.Method, nil
	case "@authority":
		return m.authority(), nil
	case "@scheme":
		return strings.ToLower(m.Scheme), nil
	case "@request-target":
		return m.Target, nil
	case "@target-uri":
		if !strings.HasPrefix(m.Target, "/") {
			return m.Target, nil
		}
		return strings.ToLower(m.Scheme) + "://" + m.authority() + m.Target, nil
	}
	path, query, _, err := m.pathQuery()
	if err != nil {
		return "", err
	}
	switch c.Name {
	case "@path":
		return path, nil
	case "@query":
		return "?" + query, nil
	}
	return queryParameter(query, c.Param)
}

// queryParameter is one parameter's value, decoded and encoded anew (section
// 2.2.8). One that stands more than once has no value: servers differ on which counts.
func queryParameter(query, name string) (value string, err error) {
	found := false
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		n, v, _ := strings.Cut(pair, "=")
		if reencode(n) != name {
			continue
		}
		if found {
			return "", errors.New("the query parameter stands more than once")
		}
		found, value = true, reencode(v)
	}
	if !found {
		return "", errors.New("the query parameter is not there")
	}
	return value, nil
}

// reencode decodes a form-encoded text as browsers do (a percent sign that begins
// no encoding stands for itself) and encodes it with the set of
// application/x-www-form-urlencoded, a space as %20.
func reencode(s string) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && i+2 < len(s):
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c = byte(n)
				i += 2
			}
		}
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '*' || c == '-' || c == '.' || c == '_' {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}
