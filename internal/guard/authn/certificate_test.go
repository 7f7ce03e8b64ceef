package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// clientCA makes client certificates, and its own as a PEM file.
func clientCA(t testing.TB, name string) (issue func(cn string, more func(*x509.Certificate)) []*x509.Certificate, file string, revoke func(cs ...*x509.Certificate) string) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	ca := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))))
	file = t.TempDir() + "/" + name + ".pem"
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})))
	serial := int64(100)
	issue = func(cn string, more func(*x509.Certificate)) []*x509.Certificate {
		serial++
		own := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: cn, Organization: []string{"north"}}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if more != nil {
			more(c)
		}
		return []*x509.Certificate{must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, ca, &own.PublicKey, key)))), ca}
	}
	revoke = func(cs ...*x509.Certificate) string {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: noon.Add(-time.Hour), NextUpdate: noon.Add(time.Hour)}
		for _, c := range cs {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: noon})
		}
		path := t.TempDir() + "/" + name + ".crl"
		write(t, path, string(must(x509.CreateRevocationList(rand.Reader, l, ca, key))))
		return path
	}
	return issue, file, revoke
}

func thumbprintOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return b64.EncodeToString(sum[:])
}

// Client certificates: whose are taken, and who they name.
func TestCertificateMethod(t *testing.T) {
	partners, partnersFile, revoke := clientCA(t, "partners")
	staff, staffFile, _ := clientCA(t, "staff")
	strangers, _, _ := clientCA(t, "strangers")
	shop := partners("shop", func(c *x509.Certificate) { c.URIs = []*url.URL{must(url.Parse("spiffe://test/shop"))} })
	lost := partners("lost", nil)
	admin := staff("admin", nil)
	conf := jwtConfig(nil)
	conf.Methods = append(conf.Methods,
		config.AuthnMethod{MTLS: &config.MTLSMethod{CA: partnersFile, CRL: []string{revoke(lost[0])}, Roles: map[string][]string{"spiffe://test/*": {"partner"}}, Tenant: "o"}},
		config.AuthnMethod{MTLS: &config.MTLSMethod{CA: staffFile, Subject: "cn", Roles: map[string][]string{"*": {"staff"}}}})
	api := petAPI()
	g := startWith(t, authn.Options{API: api, Config: conf})
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		fault string
		code  string
		who   string
	}{
		"a partner":                  {chain: shop, who: "spiffe://test/shop partner north"},
		"a partner again":            {chain: shop, who: "spiffe://test/shop partner north"},
		"one of the staff":           {chain: admin, who: "admin staff "},
		"a stranger":                 {chain: strangers("shop", nil), code: "authn.issuer"},
		"revoked":                    {chain: lost, code: "authn.revoked"},
		"expired":                    {chain: partners("old", func(c *x509.Certificate) { c.NotAfter = noon }), code: "authn.expired"},
		"not valid yet":              {chain: partners("new", func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), code: "authn.expired"},
		"for servers":                {chain: partners("server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), code: "authn.issuer"},
		"without a name":             {chain: partners("", nil), code: "authn.invalid"},
		"a name with a line break":   {chain: partners("a\nb", nil), code: "authn.invalid"},
		"the authority's own name":   {chain: strangers("partners", nil), code: "authn.issuer"},
		"none":                       {code: "authn.missing"},
		"a proxy's that is not good": {fault: "does not verify", code: "authn.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			x := get(operation(api, "cert"), nil)
			x.PeerFault = c.fault
			if len(c.chain) > 0 {
				x.PeerCert, x.PeerChain = c.chain[0], c.chain
			}
			v := g.Step().Rule(t.Context(), x)
			who := ""
			if !x.Identity.Anonymous() {
				who = x.Identity.Subject + " " + strings.Join(x.Identity.Roles, ",") + " " + x.Identity.Tenant
				if d := x.Identity.Certificate; d == nil || d.Thumbprint != thumbprintOf(c.chain[0]) || d.Serial == "" {
					t.Errorf("certificate %+v", d)
				}
			}
			if v.Code != c.code || who != c.who {
				t.Errorf("%q (%s) for %q, want %q for %q", v.Code, v.Reason, who, c.code, c.who)
			}
		})
	}
	// A list that has ended: nobody can be told from one who was revoked.
	late := startWith(t, authn.Options{API: api, Config: conf, Now: func() time.Time { return noon.Add(59*time.Minute + 59*time.Second) }})
	x := get(operation(api, "cert"), nil)
	x.PeerCert, x.PeerChain = shop[0], shop
	if v := late.Step().Rule(t.Context(), x); v.Action != exchange.Allow {
		t.Errorf("a second before the list ends: %+v", v)
	}
	long := partners("long", func(c *x509.Certificate) { c.NotAfter = noon.Add(10 * time.Hour) })
	over := startWith(t, authn.Options{API: api, Config: conf, Now: func() time.Time { return noon.Add(time.Hour) }})
	x.PeerCert, x.PeerChain = long[0], long
	if v := over.Step().Rule(t.Context(), x); v.Action != exchange.Unable || v.Code != "authn.unavailable" {
		t.Errorf("after the list's end: %+v", v)
	}
	if over.Ready() == nil {
		t.Error("ready with a list that has ended")
	}
}

// A token that is bound to a certificate is good with that certificate only.
func TestCertificateBoundToken(t *testing.T) {
	issue, _, _ := clientCA(t, "clients")
	mine, yours := issue("mine", nil), issue("yours", nil)
	api := petAPI()
	g := startWith(t, authn.Options{API: api, Config: jwtConfig(nil)})
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, object{"cnf": object{"x5t#S256": thumbprintOf(mine[0])}}))
	k := p256Key()
	both := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, object{"cnf": object{"x5t#S256": thumbprintOf(mine[0]), "jkt": k.jkt()}}))
	op := operation(api, "token")
	for name, c := range map[string]struct {
		x     *exchange.Exchange
		chain []*x509.Certificate
		code  string
	}{
		"with it":                           {get(op, bearer(tok)), mine, ""},
		"with it, from the cache":           {get(op, bearer(tok)), mine, ""},
		"with another":                      {get(op, bearer(tok)), yours, "authn.binding"},
		"with the authority's":              {get(op, bearer(tok)), mine[1:], "authn.binding"},
		"with none":                         {get(op, bearer(tok)), nil, "authn.binding"},
		"by DPoP, with it":                  {get(op, withProof(tok, k.proofOf("ES256", tok, nil, nil))), mine, "authn.binding"},
		"bound to both, certificate alone":  {get(op, bearer(both)), mine, "authn.binding"},
		"bound to both, proof alone":        {get(op, withProof(both, k.proofOf("ES256", both, nil, object{"jti": "a"}))), nil, "authn.binding"},
		"bound to both, proof and another":  {get(op, withProof(both, k.proofOf("ES256", both, nil, object{"jti": "b"}))), yours, "authn.binding"},
		"bound to both, with both":          {get(op, withProof(both, k.proofOf("ES256", both, nil, object{"jti": "c"}))), mine, ""},
		"bound to both, the proof replayed": {get(op, withProof(both, k.proofOf("ES256", both, nil, object{"jti": "c"}))), yours, "authn.binding"},
	} {
		if len(c.chain) > 0 {
			c.x.PeerCert, c.x.PeerChain = c.chain[0], c.chain
		}
		v := g.Step().Rule(t.Context(), c.x)
		if v.Code != c.code {
			t.Errorf("%s: %q (%s), want %q", name, v.Code, v.Reason, c.code)
		}
		if c.code == "" && (c.x.Identity.Certificate == nil || c.x.Identity.Certificate.CommonName != "mine") {
			t.Errorf("%s: certificate %+v", name, c.x.Identity.Certificate)
		}
	}
}
