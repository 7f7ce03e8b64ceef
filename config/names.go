package config

import (
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// isToken reports whether s is a token (RFC 9110 section 5.6.2): a header's, a
// method's or a cookie's name.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// hopByHop are the fields that a proxy consumes: no credential or signature may stand in one.
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "TE", "Trailer",
	"Transfer-Encoding", "Upgrade", "Host", "Content-Length"}

func (v *validator) header(path, s string) {
	if !isToken(s) {
		v.value(path, s, "is not the name of a header", "letters, digits and - only, no colon")
		return
	}
	for _, h := range hopByHop {
		if strings.EqualFold(h, s) {
			v.value(path, s, "is a header of the connection itself", "use another name")
		}
	}
}

// isHost reports whether s is an IP address or a DNS name, without a port.
func isHost(s string) bool {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return true
	}
	if s == "" || len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return true
}

// host checks a name that requests are matched by: *.example.com is allowed.
func (v *validator) host(path, s string) {
	name := strings.TrimPrefix(s, "*.")
	switch {
	case strings.Contains(s, "://") || strings.ContainsAny(s, "/ "):
		v.value(path, s, "is not a host", "write the name alone, without scheme or path")
	case strings.Contains(name, ":") && !strings.HasPrefix(name, "[") && !isHost(name):
		v.value(path, s, "is not a host", "write the name without a port; ports are in server.listen")
	case !isHost(name):
		v.value(path, s, "is not a host", "write a name, such as api.example.com or *.example.com")
	case s != strings.ToLower(s):
		v.value(path, s, "is not in lower case", "write "+strings.ToLower(s))
	}
}

// origin checks a web origin: scheme, host and port, nothing more (RFC 6454).
func (v *validator) origin(path, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || s != u.Scheme+"://"+u.Host || !isHost(u.Hostname()) {
		v.value(path, s, "is not an origin", "write scheme and host, such as https://app.example.com, without a path or slash")
	}
}

// urlPath checks an absolute path that has one reading only.
func (v *validator) urlPath(path, s string) {
	if path != "" && strings.HasSuffix(path, ".base_path") && s == "/" {
		v.value(path, s, "is not a base path", `write "" for none`)
		return
	}
	clean := strings.HasPrefix(s, "/") && !strings.Contains(s, "//") && !strings.ContainsAny(s, "?#\\% \t")
	for segment := range strings.SplitSeq(s, "/") {
		clean = clean && segment != "." && segment != ".."
	}
	if !clean {
		v.value(path, s, "is not a path", "write it as /one/two, without query, dots or escapes")
		return
	}
	if strings.HasSuffix(path, ".base_path") && strings.HasSuffix(s, "/") {
		v.value(path, s, "ends in a slash", "write "+strings.TrimRight(s, "/"))
	}
}

// url checks an http or https URL without credentials in it. The value is not
// printed: URLs of webhooks are secrets as a rule.
func (v *validator) url(path, s string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || !isHost(u.Hostname()) || u.Port() != "" && !isPort(u.Port()):
		v.add(path, "is not a URL", "write https://host/path")
	case u.User != nil:
		v.add(path, "holds a user name or password", "take it out")
	case u.Fragment != "":
		v.add(path, "has a fragment", "take #… out")
	}
}

// file checks that a plain file is there and can be opened.
func (v *validator) file(path, name string) {
	fix := "check the path; it is relative to the config file"
	switch {
	case strings.HasSuffix(path, ".api_key.file"):
		fix = "crenel keys create makes it"
	case path == "decision_point.keys":
		fix = "crenel keys create --file " + filepath.Base(name) + " makes it"
	}
	info, err := os.Stat(name)
	if err != nil {
		v.add(path, "cannot be read: "+reason(err), fix)
		return
	}
	if !info.Mode().IsRegular() {
		v.add(path, name+" is not a file", fix)
		return
	}
	f, err := os.Open(name)
	if err != nil {
		v.add(path, "cannot be read: "+reason(err), "check its permissions")
		return
	}
	_ = f.Close() // nothing was read
}
