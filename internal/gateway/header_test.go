package gateway

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCleanRequestHeader(t *testing.T) {
	h := http.Header{
		"Authorization":          {"Bearer x"},
		"Connection":             {"close, Authorization, X-Mine, upgrade"},
		"Upgrade":                {"WebSocket"},
		"X-Mine":                 {"gone: named by Connection"},
		"X-Forwarded-For":        {"1.2.3.4"},
		"X-Forwarded-User":       {"admin"},
		"X_forwarded_for":        {"1.2.3.4"},
		"X-Crenel-Subject":       {"admin"},
		"X-Http-Method-Override": {"DELETE"},
		"X-Original-Url":         {"/admin"},
		"Client-Cert":            {"::"},
		"Te":                     {"trailers"},
		"Keep-Alive":             {"1"},
		"Accept":                 {"*/*"},
		"Api_key":                {"kept: an API may declare it"},
	}
	up := cleanRequestHeader(h)
	want := http.Header{"Authorization": {"Bearer x"}, "Accept": {"*/*"}, "Api_key": {"kept: an API may declare it"}}
	if d := cmp.Diff(want, h); d != "" {
		t.Errorf("header (-want +got):\n%s", d)
	}
	if up != "websocket" {
		t.Errorf("upgrade %q", up)
	}
}

func TestClientAddr(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for name, c := range map[string]struct {
		peer string
		xff  []string
		want string
	}{
		"untrusted peer is the client":   {"192.0.2.1", []string{"1.1.1.1"}, "192.0.2.1"},
		"trusted peer, one hop":          {"10.0.0.1", []string{"1.1.1.1"}, "1.1.1.1"},
		"spoofed prefix is not believed": {"10.0.0.1", []string{"9.9.9.9, 1.1.1.1"}, "1.1.1.1"},
		"several trusted hops":           {"10.0.0.1", []string{"9.9.9.9, 1.1.1.1, 10.0.0.2"}, "1.1.1.1"},
		"several lines, the last counts": {"10.0.0.1", []string{"9.9.9.9", "1.1.1.1"}, "1.1.1.1"},
		"rubbish stops belief":           {"10.0.0.1", []string{"1.1.1.1, rubbish"}, "10.0.0.1"},
		"rubbish behind a trusted hop":   {"10.0.0.1", []string{"1.1.1.1, x, 10.0.0.9"}, "10.0.0.9"},
		"with a port":                    {"10.0.0.1", []string{"1.1.1.1:4711"}, "1.1.1.1"},
		"IPv6 in brackets":               {"::1", []string{"[2001:db8::1]:1"}, "2001:db8::1"},
		"mapped IPv4":                    {"10.0.0.1", []string{"::ffff:1.1.1.1"}, "1.1.1.1"},
		"all trusted: the outermost":     {"10.0.0.1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"no header":                      {"10.0.0.1", nil, "10.0.0.1"},
		"empty header":                   {"10.0.0.1", []string{""}, "10.0.0.1"},
	} {
		if got := clientAddr(netip.MustParseAddr(c.peer), c.xff, trusted); got.String() != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
