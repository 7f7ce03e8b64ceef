package caddy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"

	"github.com/crenel-project/crenel/config"
)

// plannedTLS is the TLS side of a frame.
type plannedTLS struct {
	policy object   // connection policy of the server
	app    object   // Caddy's tls app
	names  []string // whose certificates the local CA makes
	local  bool
}

func planTLS(cfg *config.Config) (*plannedTLS, error) {
	set := &cfg.Server.TLS
	p := &plannedTLS{policy: object{"protocol_min": "tls1.2"}, app: object{}}
	switch set.MinVersion {
	case "", "1.2":
	case "1.3":
		p.policy["protocol_min"] = "tls1.3"
	default:
		return nil, fmt.Errorf("tls.min_version %q is neither 1.2 nor 1.3", set.MinVersion)
	}
	// Forward secrecy and authenticated encryption only (RFC 9325 section 4.2).
	p.policy["cipher_suites"] = []string{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
		"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	}
	var err error
	switch set.Mode {
	case "files":
		_, err = p.files(cfg)
	case "local":
		p.automate(hosts(cfg), nil, set)
	case "", "auto":
		var own []*x509.Certificate
		if len(set.Certificates) > 0 {
			if own, err = p.files(cfg); err != nil {
				return nil, err
			}
		}
		var local, public []string
		for _, h := range hosts(cfg) {
			if slices.ContainsFunc(own, func(c *x509.Certificate) bool { return covers(c, h) }) {
				continue // the user's own comes before all others
			}
			if certmagic.SubjectQualifiesForPublicCert(h) {
				public = append(public, h)
			} else {
				local = append(local, h)
			}
		}
		for _, h := range public {
			if strings.Contains(h, "*") {
				return nil, fmt.Errorf("host %s: an ACME certificate for a wildcard needs a DNS challenge, which Crenel does not do; use tls.mode files or local", h)
			}
		}
		p.automate(local, public, set)
	default:
		err = fmt.Errorf("tls.mode %q is none of auto, local, files, off", set.Mode)
	}
	if err != nil {
		return nil, err
	}
	if set.ClientCA == "" {
		return p, nil
	}
	mode, ok := map[string]string{"": "verify_if_given", "request": "verify_if_given", "require": "require_and_verify"}[set.ClientAuth]
	if !ok {
		return nil, fmt.Errorf("tls.client_auth %q is neither request nor require", set.ClientAuth)
	}
	file := resolve(cfg, set.ClientCA)
	if pem, err := os.ReadFile(file); err != nil {
		return nil, fmt.Errorf("tls.client_ca: %w", err)
	} else if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.client_ca: %s holds no PEM certificate", file)
	}
	p.policy["client_authentication"] = object{"ca": object{"provider": "file", "pem_files": []string{file}}, "mode": mode}
	return p, nil
}

// covers reports whether a certificate is for a host, which may be a wildcard itself.
func covers(c *x509.Certificate, host string) bool {
	return slices.Contains(c.DNSNames, host) || c.VerifyHostname(host) == nil
}

// files plans certificates of the user's own, and returns them.
func (p *plannedTLS) files(cfg *config.Config) ([]*x509.Certificate, error) {
	var load []object
	var leaves []*x509.Certificate
	var errs []error
	for i, c := range cfg.Server.TLS.Certificates {
		cert, key := resolve(cfg, c.Cert), resolve(cfg, c.Key)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			errs = append(errs, fmt.Errorf("tls.certificates %d: %w", i+1, err))
			continue
		}
		if i == 0 {
			p.answerAs(nameOf(pair.Leaf))
		}
		leaves = append(leaves, pair.Leaf)
		load = append(load, object{"certificate": cert, "key": key})
	}
	if len(load) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("tls.mode files needs tls.certificates"))
	}
	p.certificates()["load_files"] = load
	return leaves, errors.Join(errs...)
}

func nameOf(leaf *x509.Certificate) string {
	switch {
	case len(leaf.DNSNames) > 0:
		return leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		return leaf.IPAddresses[0].String()
	}
	return leaf.Subject.CommonName
}

// automate plans certificates of the local CA and of an ACME authority.
func (p *plannedTLS) automate(local, public []string, set *config.TLS) {
	var policies []object
	if len(local) > 0 {
		p.local = true
		p.names = local
		policies = append(policies, object{"subjects": local, "issuers": []object{{"module": "internal", "ca": "local"}}})
	}
	if len(public) > 0 {
		acme := object{"module": "acme"}
		if set.Email != "" {
			acme["email"] = set.Email
		}
		if set.ACMEDirectory != "" {
			acme["ca"] = set.ACMEDirectory
		}
		policies = append(policies, object{"subjects": public, "issuers": []object{acme}})
	}
	all := slices.Concat(public, local)
	if len(all) == 0 {
		return // the user's own certificates are for every host
	}
	if p.policy["default_sni"] == nil {
		p.answerAs(all[0])
	}
	p.certificates()["automate"] = all
	p.app["automation"] = object{"policies": policies}
}

// certificates is the part of the tls app that says where they come from.
func (p *plannedTLS) certificates() object {
	if p.app["certificates"] == nil {
		p.app["certificates"] = object{}
	}
	return p.app["certificates"].(object)
}

// answerAs says which certificate is shown to clients that name no server or an
// unknown one; the gateway then answers for no API but with a proper problem.
func (p *plannedTLS) answerAs(name string) {
	p.policy["default_sni"] = name
	p.policy["fallback_sni"] = name
}

// hosts are the names that clients may use: those of the APIs, and for an API
// that answers to every host those of this machine.
func hosts(cfg *config.Config) []string {
	var out []string
	add := func(h string) {
		if h = strings.ToLower(strings.TrimSuffix(h, ".")); h != "" && !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	open := len(cfg.APIs) == 0
	for i := range cfg.APIs {
		open = open || len(cfg.APIs[i].Hosts) == 0
		for _, h := range cfg.APIs[i].Hosts {
			if name, _, err := net.SplitHostPort(h); err == nil {
				h = name
			}
			add(h)
		}
	}
	if open {
		add("localhost")
		add("127.0.0.1")
		add("::1")
		for _, l := range listen(cfg) {
			if h, _, err := net.SplitHostPort(l); err == nil {
				if ip := net.ParseIP(h); ip == nil || !ip.IsUnspecified() {
					add(h)
				}
			}
		}
	}
	return out
}

// rootCA is where Caddy keeps the local authority's root certificate.
func rootCA(cfg *config.Config) string {
	return filepath.Join(storage(cfg), "pki", "authorities", "local", "root.crt")
}
