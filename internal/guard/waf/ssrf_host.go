package waf

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// maxAuthority is longer than any host with its userinfo and port. What is
// longer, or holds more @ than maxAts, is not taken apart but refused.
const (
	maxAuthority = 1024
	maxAts       = 8
)

// hosts returns every host that some URL parser would find behind the scheme of
// a URL. Parsers disagree on backslashes, on the number of slashes and on which
// @ ends the userinfo (Orange Tsai, "A New Era of SSRF", 2017), so each reading
// counts. ok is false when there are too many to tell.
func hosts(rest string) (list []string, ok bool) {
	slashes := len(rest) - len(strings.TrimLeft(rest, `/\`))
	rest = rest[slashes:]
	found := func(h string, user bool) {
		h = bare(h)
		if h == "" || strings.ContainsAny(h, " \t") || slices.Contains(list, h) {
			return
		}
		// What stands before an @ is a user to most, and what has no slash before it
		// is no host to most: there a plain name is none.
		if (user || slashes == 0) && !strings.ContainsAny(h, ".:") && h != "localhost" {
			return
		}
		list = append(list, h)
	}
	for _, ends := range []string{`/?#`, `/\?#`, `/?#;`} {
		authority := rest
		if i := strings.IndexAny(rest, ends); i >= 0 {
			authority = rest[:i]
		}
		if len(authority) > maxAuthority || strings.Count(authority, "@") > maxAts {
			if slashes > 0 || strings.Contains(authority, "@") {
				return nil, false
			}
			continue // "http:" and then prose
		}
		found(authority, false)
		for i := range len(authority) {
			if authority[i] == '@' {
				found(authority[:i], true)
				found(authority[i+1:], false)
			}
		}
	}
	return list, true
}

// bare takes the port and the brackets off and brings a host into the form in
// which resolvers see it: percent-decoded, compatibility characters mapped
// (fullwidth and circled digits, ideographic full stops), lower case, no dot at the end.
func bare(h string) string {
	if i := strings.LastIndexByte(h, '@'); i >= 0 {
		h = h[i+1:]
	}
	if strings.HasPrefix(h, "[") {
		h, _, _ = strings.Cut(h[1:], "]")
	} else if i := strings.IndexByte(h, ':'); i >= 0 && strings.Count(h, ":") == 1 {
		h = h[:i]
	}
	if d, err := url.PathUnescape(h); err == nil {
		h = d
	}
	if mapped, err := mapping.ToUnicode(h); mapped != "" && (err == nil || !isASCII(h)) {
		h = mapped
	}
	h, _, _ = strings.Cut(h, "%") // an IPv6 zone
	return strings.Trim(strings.ToLower(strings.TrimSpace(h)), ".")
}

var mapping = idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.Transitional(true))

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// private says what is wrong with a host, or "".
func private(h string) string {
	if a, err := netip.ParseAddr(h); err == nil {
		return privateAddr(a)
	}
	if v4, odd := looseIPv4(h); len(v4) > 0 {
		for _, a := range v4 {
			if why := privateAddr(a); why != "" {
				return why
			}
		}
		if odd {
			return "is an address in a notation that only hides it"
		}
		return ""
	}
	for _, n := range internalNames {
		if h == n || strings.HasSuffix(h, "."+n) {
			return "is a name inside of a network (" + n + ")"
		}
	}
	if !strings.Contains(h, ".") {
		return "has no domain: it is a name inside of a network"
	}
	for _, n := range loopbackNames {
		if h == n || strings.HasSuffix(h, "."+n) {
			return "is of a service whose names lead to any address (" + n + ")"
		}
	}
	return ""
}

// internalNames are top-level domains reserved or used for what is inside
// (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal) and those of clouds and clusters.
var internalNames = []string{
	"localhost", "localdomain", "local", "internal", "intranet", "lan", "home", "corp", "private", "home.arpa",
	"in-addr.arpa", "ip6.arpa", "svc", "instance-data",
}

// loopbackNames are public names that resolve to whatever address they spell, or to loopback.
var loopbackNames = []string{"nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me", "vcap.me", "lacolhost.com", "traefik.me", "rbndr.us"}

// special are the ranges that are not of the public Internet (RFC 6890 and
// after), beside those that netip knows. Documentation ranges lead nowhere.
var special = func() (list []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
		"64:ff9b:1::/48", "100::/64", "fec0::/10", "5f00::/16",
	} {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}()

func privateAddr(a netip.Addr) string {
	a = a.WithZone("").Unmap()
	switch {
	case a.IsLoopback():
		return "is a loopback address"
	case a.IsPrivate():
		return "is a private address"
	case a.IsLinkLocalUnicast():
		return "is a link-local address, where clouds keep their metadata"
	case a.IsMulticast() || a.IsUnspecified():
		return "is no unicast address"
	}
	for _, p := range special {
		if p.Contains(a) {
			return "is an address of a special range"
		}
	}
	if v4, ok := embedded(a); ok {
		return privateAddr(v4)
	}
	return ""
}

// embedded takes the IPv4 address out of an IPv6 one that carries it: compatible
// (::/96), NAT64 (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214).
func embedded(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return a, false
	}
	b := a.As16()
	v4 := func(i int) (netip.Addr, bool) { return netip.AddrFrom4([4]byte(b[i : i+4])), true }
	zero := func(from, to int) bool {
		for _, c := range b[from:to] {
			if c != 0 {
				return false
			}
		}
		return true
	}
	switch {
	case zero(0, 12):
		return v4(12)
	case b[0] == 0 && b[1] == 0x64 && b[2] == 0xff && b[3] == 0x9b && zero(4, 12):
		return v4(12)
	case b[0] == 0x20 && b[1] == 0x02:
		return v4(2)
	case b[0] == 0x20 && b[1] == 0x01 && zero(2, 4):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case b[8]&0xfd == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return v4(12)
	}
	return a, false
}

// looseIPv4 reads an IPv4 address as inet_aton and browsers do: one to four
// parts, each decimal, octal or hexadecimal, the last filling what is left. A
// leading zero is octal to some and nothing to others, so both readings are
// returned. odd says that it was not plain dotted decimal.
func looseIPv4(h string) (list []netip.Addr, odd bool) {
	parts := strings.Split(h, ".")
	if len(parts) > 4 {
		return nil, false
	}
	odd = len(parts) != 4
	for _, octal := range []bool{true, false} {
		n, strange, ok := ipv4Parts(parts, octal)
		if !ok {
			continue
		}
		odd = odd || strange
		list = append(list, netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}))
	}
	return list, odd
}

func ipv4Parts(parts []string, octal bool) (sum uint32, odd, ok bool) {
	for i, p := range parts {
		base := 10
		switch {
		case strings.HasPrefix(p, "0x"):
			p, base, odd = p[2:], 16, true
			if p == "" {
				p = "0"
			}
		case len(p) > 1 && p[0] == '0':
			odd = true
			if octal {
				base = 8
			}
		}
		n, err := strconv.ParseUint(p, base, 64)
		if err != nil {
			return 0, false, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				odd = true // some wrap around
			}
			sum = sum<<8 | uint32(n&255)
			continue
		}
		left := 8 * uint(5-len(parts))
		if left < 64 && n>>left != 0 {
			odd = true
		}
		if left == 32 {
			sum = uint32(n)
		} else {
			sum = sum<<left | uint32(n)&(1<<left-1)
		}
	}
	return sum, odd, true
}
