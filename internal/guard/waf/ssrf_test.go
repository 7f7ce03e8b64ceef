package waf

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestSSRF(t *testing.T) {
	r, err := newURLRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{
		"http://127.0.0.1/", "http://127.0.0.1:8080/admin", "HTTP://127.1", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
		"http://0x7f.1/", "http://127.0.0.1./", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[0:0:0:0:0:0:0:1]:80/",
		"http://[::127.0.0.1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fe80::1%25eth0]/", "http://[fd00::1]/", "http://[fec0::1]/", "http://0/", "http://0.0.0.0:22",
		"http://localhost", "https://LOCALHOST:443/x", "http://foo.localhost/", "http://localhost.localdomain/", "http://localhost./",
		"http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/computeMetadata/v1/", "http://[fd00:ec2::254]/", "http://instance-data/latest",
		"http://10.0.0.5/", "http://172.16.9.1/", "http://192.168.1.1/", "http://100.64.0.1/", "http://100.100.100.200/", "http://198.18.0.1", "http://192.0.0.192/",
		"http://redis:6379/", "http://kubernetes.default.svc/", "http://db.prod.svc.cluster.local/", "http://printer.local", "http://intranet",
		"http://example.com@127.0.0.1/", "http://127.0.0.1@example.com/", "http://example.com:80@127.0.0.1:80@example.org/", `http://example.com\@127.0.0.1/`, `http://127.0.0.1\@example.com/`,
		"http:127.0.0.1", "http:/127.0.0.1", "http:///127.0.0.1/", `http:\\127.0.0.1\`, `http:/\127.0.0.1`,
		" http://127.0.0.1/ ", "ht\ttp://127.0.\n0.1/", "\u00a0http://127.0.0.1", "http://127%2e0%2e0%2e1/", "http://%31%32%37.0.0.1/",
		"http://①②⑦.⓪.⓪.①/", "http://１２７.０.０.１/", "http://127。0。0。1/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/",
		"http://127.0.0.1#@example.com/", "http://127.0.0.1?@example.com/", "http://127.0.0.1;@example.com", "http://127.0.0.1.nip.io/", "http://localtest.me", "ws://127.0.0.1/",
		"file:///etc/passwd", "FILE:///c:/x", "gopher://127.0.0.1:6379/_INFO", "dict://example.com:11211/stats", "ldap://example.com/a", "jar:http://127.0.0.1!/", "url:http://127.0.0.1/", "ftp://example.com/x",
		"http://3232235521/", "http://0300.0250.0.1/", "http://192.168.257/", "http://8.8.8.0x8/", "http://224.0.0.1/", "http://a b@127.0.0.1/", "http://" + strings.Repeat("a", 3000) + "@127.0.0.1/", "http://" + strings.Repeat("a@", 40) + "127.0.0.1/",
		"http://255.255.255.255", strings.Repeat(" ", 70) + "http://10.0.0.5:8080/admin", "h" + strings.Repeat("\t", 70) + "ttp://169.254.169.254/x", "/\t/169.254.169.254/",
		"gophers://example.com/_x", "http+unix://%2Fvar%2Frun%2Fdocker.sock/v1", "git://10.0.0.5/x", "mqtt://127.0.0.1",
		"//127.0.0.1/x", "//localhost", `\\10.0.0.5\share`, `/\169.254.169.254`, " //metadata.google.internal/", "//[::1]/", "//x.com@127.0.0.1",
	} {
		if why := r.judge(v); why == "" {
			t.Errorf("%q was let pass", v)
		}
	}
	for _, v := range []string{
		"", "hello", "http://example.com/", "https://hooks.example.com:8443/a/b?x=http://127.0.0.1/", "https://8.8.8.8/", "http://203.0.113.9/", "https://[2001:4860:4860::8888]/dns",
		"https://user:secret@example.com/hook", "https://münchen.example/", "https://example.com/?to=127.0.0.1", "https://example.com/localhost", "https://localhost.example.com/",
		"see http://localhost:3000 for the preview", "note: call me at 127.0.0.1", "urn:isbn:0451450523", "mailto:a@localhost", "tel:+15551234", "data:text/plain,hi", "myapp://open/1", "time: 10:30", "10:30", "a:b",
		"https://local.example.org", "https://10.example.com", "https://internal.example.com/", "http://1.2.3.4.5.example/", "file: see the attachment", "view: http://localhost",
		"https://xn--mnchen-3ya.example/", "spotify:track:1", "ftp is old", "http: is not secure", "https: " + strings.Repeat("prose ", 500), "https:todo", "https://example.com/" + strings.Repeat("a@", 40), "127.0.0.1", "localhost:8080",
		"git://github.com/a/b", "ssh://git@example.com/a", "//example.com/x", "// a comment", "//comment", "//todo: call 10.0.0.5", "//2.0", "//", "/a//b", `\\server\share`, "/localhost",
	} {
		if why := r.judge(v); why != "" {
			t.Errorf("%q was refused: %s", v, why)
		}
	}
}

func TestAllowURLs(t *testing.T) {
	r, err := newURLRules([]string{"hooks.internal", "*.svc.example.internal", "10.0.0.5:8080", "http://10.0.0.6/hooks"})
	if err != nil {
		t.Fatal(err)
	}
	for v, pass := range map[string]bool{
		"http://hooks.internal/x": true, "https://HOOKS.internal:9000/": true, "http://a.svc.example.internal/": true, "http://10.0.0.5:8080/any": true, "http://10.0.0.6/hooks": true, "http://10.0.0.6/hooks/1": true,
		"http://10.0.0.5/": false, "http://10.0.0.5:8081/": false, "http://10.0.0.6/hooksx": false, "http://10.0.0.6/hooks/../admin": false, "http://10.0.0.6/hooks/%2e%2e/admin": false, "http://10.0.0.6/": false,
		"http://svc.example.internal/": false, "http://hooks.internal@127.0.0.1/": false, `http://127.0.0.1\@hooks.internal/`: false, "http://127.0.0.1#hooks.internal": false, "https://10.0.0.6/hooks": false,
	} {
		if why := r.judge(v); (why == "") != pass {
			t.Errorf("%q: %q, want pass %v", v, why, pass)
		}
	}
	for _, bad := range []string{"", "a b", "http://", "http://u@h/", "a/b", "http://h/?q", "a*b"} {
		if _, err := newURLRules([]string{bad}); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// Whatever net/url makes of a URL, when its host is a private address it is refused.
func FuzzSSRF(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1/", "http://[::1%25a]:1/", "http://a@10.0.0.1:80", "http://%31", "http://①", "https://[::ffff:0:0]"} {
		f.Add(s)
	}
	r, err := newURLRules(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		why := r.judge(s)
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" {
			return
		}
		a, err := netip.ParseAddr(u.Hostname())
		if err == nil && privateAddr(a) != "" && why == "" {
			t.Fatalf("%q leads to %s and was let pass", s, a)
		}
		if u.Hostname() == "localhost" && why == "" {
			t.Fatalf("%q leads to localhost and was let pass", s)
		}
	})
}
