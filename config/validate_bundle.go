package config

import (
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// bundles checks what authz loads from bundles.
func (v *validator) bundles(list []Bundle, path string) {
	for i := range list {
		b, at := &list[i], fmt.Sprintf("%s[%d]", path, i)
		for j := range i {
			if list[j].Name == b.Name && b.Name != "" {
				v.value(at+".name", b.Name, fmt.Sprintf("is also the name of bundles[%d]", j), "give each bundle its own name")
			}
		}
		if b.Name != "" && !isBundleName(b.Name) {
			v.value(at+".name", b.Name, "is not a name", "use letters, digits, hyphens, underscores and dots; a file is named after it")
		}
		v.bundleURL(b, at+".url")
		if !b.Token.IsZero() && b.Basic != nil {
			v.add(at+".basic", "both token and basic are set", "set the one that the server asks for")
		}
		if _, remote := b.Remote(); !remote {
			for key, set := range map[string]bool{"token": !b.Token.IsZero(), "basic": b.Basic != nil, "tls": b.TLS != nil, "long_poll": b.LongPoll > 0} {
				if set {
					v.add(at+"."+key, "a file needs no "+key, "remove it")
				}
			}
		}
		if t := b.TLS; t != nil {
			if t.CA != "" {
				v.authorities(at+".tls.ca", t.CA)
			}
			switch {
			case t.Cert != "" && t.Key == "":
				v.add(at+".tls.key", "cert is set without its key", "set both")
			case t.Cert == "" && t.Key != "":
				v.add(at+".tls.cert", "key is set without its cert", "set both")
			}
			v.keyPair(at+".tls", t.Cert, t.Key)
		}
		if b.MaxAge > 0 && b.MaxAge < 2*b.Interval+b.LongPoll {
			v.value(at+".max_age", b.MaxAge.String(), "is less than two intervals", "one lost answer would refuse every call")
		}
		if b.Signing != nil {
			v.bundleSigning(b.Signing, at+".signing")
		}
	}
}

func isBundleName(s string) bool {
	return len(s) <= 100 && s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	})
}

func (v *validator) bundleURL(b *Bundle, path string) {
	if b.URL == "" || v.broken(path) {
		return
	}
	if isBundleFile(b.URL) {
		if _, err := os.Stat(b.URL); err != nil {
			v.add(path, "cannot be read: "+reason(err), "check the path; it is relative to the config file")
		}
		return
	}
	u, err := url.Parse(b.URL)
	if err != nil || u.Host == "" {
		v.add(path, "is not the URL of a bundle", "write https://…, oci://REGISTRY/REPOSITORY:TAG, or the path of a file")
		return
	}
	switch u.Scheme {
	case "https", "oci":
	case "http", "oci+http":
		if !isLoopback(u.Hostname()) && b.Signing == nil {
			v.add(path, "an unsigned bundle in the clear can be replaced on the way by one that allows everything", "use https or oci, or set signing")
		} else if !isLoopback(u.Hostname()) && (!b.Token.IsZero() || b.Basic != nil) {
			v.add(path, "credentials are sent in the clear", "use https or oci")
		}
	default:
		v.add(path, u.Scheme+":// is not known", "write https://…, oci://REGISTRY/REPOSITORY:TAG, or the path of a file")
		return
	}
	if u.User != nil {
		v.add(path, "the URL holds credentials", "set basic or token")
	}
	if strings.HasPrefix(u.Scheme, "oci") {
		repo := strings.Trim(u.Path, "/")
		if repo == "" || u.RawQuery != "" || u.Fragment != "" {
			v.add(path, "names no repository", "write oci://REGISTRY/REPOSITORY:TAG")
		}
		if b.LongPoll > 0 {
			v.add(strings.TrimSuffix(path, ".url")+".long_poll", "a registry cannot hold a request", "remove it; interval says how often it is asked")
		}
	}
}

func (v *validator) bundleSigning(s *BundleSigning, path string) {
	for i := range s.Keys {
		k, at := &s.Keys[i], fmt.Sprintf("%s.keys[%d]", path, i)
		if slices.ContainsFunc(s.Keys[:i], func(o BundleKey) bool { return o.ID == k.ID }) && k.ID != "" {
			v.value(at+".id", k.ID, "stands twice", "give each key its own id")
		}
		hmac := strings.HasPrefix(k.Algorithm, "HS")
		hasSecret := !k.Secret.IsZero() || v.broken(at+".secret")
		switch {
		case hmac && k.File != "":
			v.add(at+".file", k.Algorithm+" needs a shared secret, not a file", "a public key taken for an HMAC secret lets everyone sign (CVE-2015-9235): set secret")
		case hmac && !hasSecret:
			v.add(at, "there is no secret", "set secret")
		case hmac && !k.Secret.IsZero() && len(k.Secret.Reveal()) < 32:
			v.add(at+".secret", "the secret is shorter than 32 bytes", "a key that can be guessed lets everyone sign (RFC 7518 section 3.2)")
		case !hmac && hasSecret:
			v.add(at+".secret", k.Algorithm+" needs a public key, not a secret", "set file")
		case !hmac && k.File == "":
			v.add(at, "there is no key", "set file to the PEM file of the public key")
		case !hmac:
			v.bundleKeyFile(k.File, at+".file")
		}
	}
}

func (v *validator) bundleKeyFile(name, path string) {
	if v.broken(path) {
		return
	}
	data, err := os.ReadFile(name)
	if err != nil {
		v.add(path, "cannot be read: "+reason(err), "")
		return
	}
	block, _ := pem.Decode(data)
	switch {
	case block == nil:
		v.add(path, "is not PEM", "it must begin with -----BEGIN PUBLIC KEY-----")
	case strings.Contains(block.Type, "PRIVATE"):
		v.add(path, "holds a private key", "only the public key belongs here: who has this file could sign")
	}
}
