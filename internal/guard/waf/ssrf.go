package waf

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

// urlRules refuse values that, as a whole, are a URL into a private network, in
// any of the notations that clients resolve: whoever fetches it would do so from
// inside (API7:2023, CWE-918). A URL within a text is left alone, and a name that
// only DNS turns into a private address is not seen here: that is for whoever
// makes the call.
type urlRules struct {
	hosts    []string // exact, with a port where one was written
	suffixes []string // ".svc.example"
	prefixes []string // "http://host:port/path", normal form
}

func newURLRules(allow []string) (*urlRules, error) {
	r := &urlRules{}
	for _, a := range allow {
		low := strings.ToLower(a)
		switch {
		case strings.Contains(a, "://"):
			u, err := url.Parse(a)
			if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
				return nil, fmt.Errorf("waf.allow_urls: %q is not a URL prefix such as http://10.0.0.5:8080/hooks/", a)
			}
			r.prefixes = append(r.prefixes, strings.ToLower(u.Scheme+"://"+u.Host)+"/"+strings.TrimPrefix(u.EscapedPath(), "/"))
		case strings.HasPrefix(a, "*."):
			r.suffixes = append(r.suffixes, low[1:])
		case a == "" || strings.ContainsAny(a, "/*@ \\"):
			return nil, fmt.Errorf("waf.allow_urls: %q is not a host, *.host or URL prefix", a)
		default:
			r.hosts = append(r.hosts, low)
		}
	}
	return r, nil
}

// rule judges every field that clients of this API chose as a value.
func (r *urlRules) rule(fields []field) exchange.Verdict {
	for i := range fields {
		f := &fields[i]
		if f.src == fromHeader || f.src == fromCookie {
			continue // Referer and Origin are URLs of the caller's own
		}
		if why := r.judge(f.text); why != "" {
			v := exchange.Refuse("waf.ssrf", f.at, why)
			v.Detail = map[string]any{"at": f.at}
			return v
		}
	}
	return exchange.Verdict{}
}

// fetchers are schemes other than http that common clients follow (libcurl, PHP,
// Java), and that no honest value of an API is to be fetched by.
var fetchers = map[string]bool{
	"file": true, "gopher": true, "dict": true, "ftp": true, "ftps": true, "sftp": true, "scp": true, "tftp": true,
	"ldap": true, "ldaps": true, "smb": true, "smbs": true, "telnet": true, "jar": true, "netdoc": true, "phar": true,
	"php": true, "expect": true, "rmi": true, "jndi": true, "unix": true, "view-source": true,
	"gophers": true, "http+unix": true, "https+unix": true, "smtp": true, "smtps": true, "imap": true, "imaps": true, "pop3": true, "pop3s": true,
}

// judge says why a value is refused, or "".
func (r *urlRules) judge(v string) string {
	if why := r.schemeless(v); why != "" {
		return why
	}
	scheme, rest, ok := splitScheme(v)
	if !ok {
		return ""
	}
	switch scheme {
	case "http", "https", "ws", "wss", "mqtt", "mqtts", "rtsp", "rtmp", "git", "ssh", "svn":
	case "url": // Java's URL accepts "url:http://…"
		return r.judge(rest)
	default:
		if fetchers[scheme] && (strings.HasPrefix(rest, "/") || strings.Contains(rest, ":")) {
			return "a URL of the scheme " + scheme
		}
		return ""
	}
	if r.allowed(v) {
		return ""
	}
	list, ok := hosts(rest)
	if !ok {
		return "a URL whose host cannot be told"
	}
	for _, host := range list {
		if why := private(host); why != "" {
			return "a URL whose host " + why
		}
	}
	return ""
}

// schemeless judges "//host/path", which takes the scheme of what it is resolved
// against, and "\\host\share". Comments begin so too: only an address or a name
// that can be nothing else counts.
func (r *urlRules) schemeless(v string) string {
	if v == "" || v[0] > ' ' && v[0] < 0x80 && v[0] != '/' && v[0] != '\\' {
		return "" // nothing before it to be taken out
	}
	if strings.ContainsAny(v, "\t\r\n") {
		v = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(v)
	}
	v = strings.TrimSpace(v)
	if len(v) < 3 || v[0] != '/' && v[0] != '\\' || v[1] != '/' && v[1] != '\\' || r.allowed("http:"+v) {
		return ""
	}
	list, ok := hosts(v)
	if !ok {
		return "a URL whose host cannot be told"
	}
	for _, host := range list {
		version := strings.Trim(host, "0123456789.") == "" && strings.Count(host, ".") < 3
		if !strings.ContainsAny(host, ".:") && host != "localhost" || version {
			continue
		}
		if why := private(host); why != "" {
			return "a URL without a scheme whose host " + why
		}
	}
	return ""
}

// allowed reports whether the value is a URL about which all parsers agree, and
// the config allows it.
func (r *urlRules) allowed(v string) bool {
	if len(r.hosts)+len(r.suffixes)+len(r.prefixes) == 0 {
		return false
	}
	u, err := url.Parse(v)
	if err != nil || u.User != nil || u.Host == "" || strings.ContainsAny(v, "\\@") {
		return false
	}
	host, full := strings.ToLower(u.Hostname()), strings.ToLower(u.Host)
	for _, h := range r.hosts {
		if h == host || h == full {
			return true
		}
	}
	for _, s := range r.suffixes {
		if strings.HasSuffix(host, s) {
			return true
		}
	}
	path := u.EscapedPath()
	if strings.Contains(path, "..") || strings.Contains(strings.ToLower(path), "%2e") {
		return false // it may lead out of the prefix
	}
	normal := strings.ToLower(u.Scheme) + "://" + full + "/" + strings.TrimPrefix(path, "/")
	for _, p := range r.prefixes {
		if normal == p || strings.HasPrefix(normal, p) && (strings.HasSuffix(p, "/") || normal[len(p)] == '/') {
			return true
		}
	}
	return false
}

// splitScheme reads as loosely as the loosest client: space around, and tabs and
// line ends anywhere, are taken out (WHATWG URL section 4.4).
func splitScheme(v string) (scheme, rest string, ok bool) {
	if strings.IndexByte(v, ':') < 0 {
		return "", "", false
	}
	if strings.ContainsAny(v, "\t\r\n") {
		v = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(v)
	}
	v = strings.TrimFunc(v, func(r rune) bool { return r <= ' ' || r == 0xa0 || r == 0xfeff })
	scheme, rest, ok = strings.Cut(v, ":")
	if !ok || scheme == "" || len(scheme) > 64 {
		return "", "", false
	}
	for i := range len(scheme) {
		c := scheme[i] | 0x20
		if !(c >= 'a' && c <= 'z') && (i == 0 || !(scheme[i] >= '0' && scheme[i] <= '9') && !strings.Contains("+-.", scheme[i:i+1])) {
			return "", "", false
		}
	}
	return strings.ToLower(scheme), rest, true
}
