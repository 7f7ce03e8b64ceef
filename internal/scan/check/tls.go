package check

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var (
	_ = register(&Check{
		ID: "tls-old-protocol", Title: "Versions of TLS that are given up are spoken",
		OWASP: "API8:2023", CWE: "CWE-327", WSTG: "WSTG-CRYP-01", CVSS: vectorLow,
		About: "Begins handshakes that offer SSL 3.0, TLS 1.0 and TLS 1.1 as their highest, and reads what the server agrees to. The beginnings are written byte by byte, so that what this program's own TLS refuses is offered as well.",
		Proof: "The server's hello agrees to the version. Controls: the same beginning with a cipher suite that nobody has assigned is refused.",
		Fix:   "Let the server speak TLS 1.2 and 1.3 alone (RFC 8996, RFC 7568).",
		Mode:  Safe,
		Run:   tlsOldProtocol,
	})
	_ = register(&Check{
		ID: "tls-weak-cipher", Title: "TLS is agreed on with a weak cipher suite",
		OWASP: "API8:2023", CWE: "CWE-326", WSTG: "WSTG-CRYP-01", CVSS: vectorLow,
		About: "Begins handshakes that offer one kind of cipher suite each: without encryption, without a certificate, export, DES, RC4, 3DES, Diffie-Hellman in small groups, RSA key exchange; and one that offers all good ones, to see what is chosen.",
		Proof: "The server's hello agrees to one. Controls: a suite that nobody has assigned is refused.",
		Fix:   "Offer ECDHE with AES-GCM or ChaCha20-Poly1305 alone (RFC 9325, section 4.2).",
		Mode:  Safe,
		Run:   tlsWeakCipher,
	})
	_ = register(&Check{
		ID: "tls-certificate", Title: "A careful client does not believe the certificate",
		OWASP: "API8:2023", CWE: "CWE-295", WSTG: "WSTG-CRYP-01", CVSS: vectorWire,
		About: "Goes through with a handshake, and judges the certificate as a careful client does: dates, name, who signed it, its key, its signature. It counts less on loopback and in private networks, where a copy is tested.",
		Proof: "The certificate that the server shows, each time.",
		Fix:   "Have certificates renewed by themselves (ACME), for every name that clients use, with keys of RSA 2048 or P-256 at least and SHA-256 signatures.",
		Mode:  Safe,
		Run:   tlsCertificate,
	})
)

// vectorWire is of what somebody on the way between client and server can use.
const vectorWire = "CVSS:4.0/AV:N/AC:H/AT:P/PR:N/UI:N/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N"

func (p *Probe) overTLS() bool { return p.Client != nil && strings.HasPrefix(p.Origin, "https://") }

// isNear: the target is on this machine or in a private network, so that its
// certificate is most likely that of a copy for tests.
func (p *Probe) isNear() bool {
	_, host, _ := strings.Cut(p.Origin, "://")
	host, _, _ = strings.Cut(host, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	if ip != nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	return slices.Contains([]string{"localhost", "local", "internal", "test", "lan", "home", "corp", "localdomain"}, last)
}

// shake begins a handshake, and says what it showed.
func (p *Probe) shake(ctx context.Context, hello *target.Hello) (*target.Handshake, error) {
	p.quiet.RLock()
	defer p.quiet.RUnlock()
	x, err := p.Client.Handshake(ctx, hello)
	if err != nil {
		return nil, err //nolint:wrapcheck // nothing is added
	}
	return x.TLS, nil
}

func shakeStep(id string, part scenario.Part, note, version string, ciphers []string, e ...scenario.Expect) scenario.Step {
	return scenario.Step{ID: id, Part: part, Note: note, Handshake: &scenario.Handshake{Version: version, Ciphers: ciphers}, Expect: e}
}

// refuses is the control of all handshakes: who agrees to what nobody has
// assigned agrees to anything.
func refuses(version string) scenario.Step {
	return shakeStep("unassigned", scenario.Control, "a cipher suite that nobody has assigned is refused", version, []string{"none"}, at("/accepted", "false"))
}

func at(pointer, equals string) scenario.Expect { return scenario.Expect{At: pointer, Equals: &equals} }

func tlsOldProtocol(ctx context.Context, p *Probe) error {
	if !p.overTLS() {
		return nil
	}
	var spoken []string
	for _, v := range []string{"SSL 3.0", "TLS 1.0", "TLS 1.1"} {
		h, err := p.shake(ctx, &target.Hello{Version: v})
		if err != nil {
			return err
		}
		if h.Accepted && h.Version == v {
			spoken = append(spoken, v)
		}
	}
	if spoken == nil {
		return nil
	}
	list := []scenario.Step{refuses(spoken[0])}
	for _, v := range spoken {
		id := strings.ToLower(strings.NewReplacer(" ", "", ".", "").Replace(v))
		list = append(list, shakeStep(id, scenario.Attack, "the server agrees to "+v, v, nil, at("/accepted", "true"), at("/version", v)))
	}
	h := Hypothesis{
		Where: "protocol", Title: "The server speaks " + strings.Join(spoken, " and "),
		Description: "They rest on MD5 and SHA-1 and have known attacks; a client that can be pushed down to them is open to them.",
		Scenario:    &scenario.Scenario{Name: "old versions of TLS", Steps: list},
	}
	if spoken[0] == "SSL 3.0" {
		h.CVSS = vectorWire // POODLE reads cookies and tokens (CVE-2014-3566)
	}
	_, err := p.Prove(ctx, h)
	return err
}

// weakSuites are what is said against kinds of cipher suites.
var weakSuites = []struct{ group, where, title, why, vector string }{
	{"null", "cipher.null", "without encryption", "What goes over such a connection is in clear.", vectorWire},
	{"anon", "cipher.anonymous", "without a certificate", "Whoever is on the way can be the server.", vectorWire},
	{"export", "cipher.export", "of export strength", "40 bits are found in seconds, and a client can be pushed down to them (FREAK, CVE-2015-0204).", vectorWire},
	{"des", "cipher.des", "with DES", "56 bits can be tried out.", vectorWire},
	{"rc4", "cipher.rc4", "with RC4", "RC4 lets what is repeated be read (RFC 7465).", vectorLow},
	{"3des", "cipher.3des", "with 3DES", "Blocks of 64 bits repeat within hours of traffic (Sweet32, CVE-2016-2183).", vectorLow},
}

func tlsWeakCipher(ctx context.Context, p *Probe) error {
	if !p.overTLS() {
		return nil
	}
	version := ""
	for _, v := range []string{"TLS 1.2", "TLS 1.1", "TLS 1.0", "SSL 3.0"} {
		h, err := p.shake(ctx, &target.Hello{Version: v})
		if err != nil {
			return err
		}
		if h.Accepted {
			version = h.Version
			break
		}
	}
	if version == "" {
		return nil // TLS 1.3 alone, which has no weak ones
	}
	for _, w := range weakSuites {
		h, err := p.shake(ctx, &target.Hello{Version: version, Ciphers: []string{w.group}})
		if err != nil {
			return err
		}
		if !h.Accepted || h.Group != w.group {
			continue
		}
		if err := p.agrees(ctx, w.where, "The server agrees to cipher suites "+w.title, w.why, w.vector, shakeStep(w.group, scenario.Attack, "the server agrees to "+h.Cipher, version, []string{w.group}, at("/accepted", "true"), at("/group", w.group))); err != nil {
			return err
		}
	}
	if err := p.smallGroup(ctx, version); err != nil {
		return err
	}
	return p.chosen(ctx, version)
}

func (p *Probe) agrees(ctx context.Context, where, title, why, vector string, attack scenario.Step) error {
	_, err := p.Prove(ctx, Hypothesis{
		Where: where, Title: title, Description: why, CVSS: vector,
		Scenario: &scenario.Scenario{Name: "weak cipher suites", Steps: []scenario.Step{refuses(attack.Handshake.Version), attack}},
	})
	return err
}

// smallGroup looks at the group of a Diffie-Hellman exchange.
func (p *Probe) smallGroup(ctx context.Context, version string) error {
	h, err := p.shake(ctx, &target.Hello{Version: version, Ciphers: []string{"dhe"}})
	if err != nil || !h.Accepted || h.DHBits == 0 || h.DHBits >= 2048 {
		return err
	}
	return p.agrees(ctx, "cipher.dh", fmt.Sprintf("Diffie-Hellman is done in a group of %d bits", h.DHBits), "Groups this small can be broken once for all connections that use them (Logjam, CVE-2015-4000).", vectorLow,
		shakeStep("dhe", scenario.Attack, "the group's prime is shorter than 2048 bits", version, []string{"dhe"}, at("/accepted", "true"), scenario.Expect{At: "/dh_bits", Matches: `^([1-9]\d{0,2}|1\d{3}|20[0-3]\d|204[0-7])$`}))
}

// chosen looks at what the server chooses of all that is good, in TLS 1.2 and before.
func (p *Probe) chosen(ctx context.Context, version string) error {
	all := []string{"modern", "dhe", "cbc", "rsa"}
	h, err := p.shake(ctx, &target.Hello{Version: version, Ciphers: all})
	if err != nil || !h.Accepted {
		return err
	}
	if !h.ForwardSecrecy {
		return p.agrees(ctx, "cipher.forward-secrecy", "The server chooses a key exchange without forward secrecy", "Whoever records the traffic and comes by the server's key later reads all of it.", vectorLow,
			shakeStep("chosen", scenario.Attack, "of all that is offered, ECDHE first, it chooses "+h.Cipher, version, all, at("/accepted", "true"), at("/forward_secrecy", "false")))
	}
	if version == "TLS 1.2" && h.Group == "cbc" {
		aead, err := p.shake(ctx, &target.Hello{Version: version, Ciphers: []string{"modern"}})
		if err != nil || aead.Accepted {
			return err
		}
		latest, err := p.shake(ctx, nil)
		if err != nil || latest.Version == "TLS 1.3" {
			return err
		}
		return p.agrees(ctx, "cipher.cbc", "The server has nothing but CBC cipher suites", "Their padding has been an oracle again and again (Lucky 13, CVE-2013-0169).", vectorLow,
			shakeStep("modern", scenario.Attack, "what is authenticated (AEAD) is refused", version, []string{"modern"}, at("/accepted", "false")))
	}
	only, err := p.shake(ctx, &target.Hello{Version: version, Ciphers: []string{"rsa"}})
	if err != nil || !only.Accepted {
		return err
	}
	return p.agrees(ctx, "cipher.forward-secrecy", "The server agrees to a key exchange without forward secrecy, where nothing else is offered", "Clients that offer better get it; the traffic of others can be read by whoever comes by the server's key later.", vectorInfo,
		shakeStep("rsa", scenario.Attack, "the server agrees to "+only.Cipher, version, []string{"rsa"}, at("/accepted", "true"), at("/forward_secrecy", "false")))
}

func tlsCertificate(ctx context.Context, p *Probe) error {
	if !p.overTLS() {
		return nil
	}
	h, err := p.shake(ctx, nil)
	if err != nil || h.Certificate == nil {
		return err
	}
	c := h.Certificate
	near := p.isNear()
	// What a copy for tests is like by nature is worth a word there, and no more.
	less := func(nearby string) string {
		if near {
			return nearby
		}
		return ""
	}
	for _, hole := range []struct {
		is                                bool
		where, pointer, want, title, text string
		vector                            string
	}{
		{c.Expired, "certificate.expired", "/certificate/expired", "true", "The certificate has expired", "Clients that look refuse it, and those that had to be told not to look believe any.", less(vectorLow)},
		{c.NotYetValid, "certificate.not-yet-valid", "/certificate/not_yet_valid", "true", "The certificate is not valid yet", "Clients that look refuse it, and those that had to be told not to look believe any.", less(vectorLow)},
		{!c.NameMatches, "certificate.name", "/certificate/name_matches", "false", "The certificate is for another name", "It is not for " + c.For + ": clients that look refuse it, and those that do not believe any server's.", less(vectorInfo)},
		{c.WeakKey, "certificate.key", "/certificate/weak_key", "true", "The certificate's key is weak: " + c.Key, "Who works the key out is the server.", less(vectorLow)},
		{c.WeakSignature, "certificate.signature", "/certificate/weak_signature", "true", "A certificate is signed with " + c.Signature, "Another certificate with the same signature can be made (CVE-2004-2761, SHAttered).", less(vectorLow)},
		{!c.Trusted && !c.WeakSignature, "certificate.trust", "/certificate/trusted", "false", "The certificate is signed by " + map[bool]string{true: "itself", false: "nobody that is known"}[c.SelfSigned], "Clients cannot tell it from anybody else's. Where it is an authority of your own, name it in tls.ca_file.", less(vectorInfo)},
	} {
		if !hole.is {
			continue
		}
		if _, err := p.Prove(ctx, Hypothesis{
			Where: hole.where, Title: hole.title, Description: hole.text, CVSS: cmp.Or(hole.vector, p.Check.CVSS),
			Scenario: &scenario.Scenario{Name: "the server's certificate", Steps: []scenario.Step{
				{ID: "shake", Part: scenario.Attack, Note: strings.ToLower(hole.title[:1]) + hole.title[1:], Handshake: &scenario.Handshake{}, Expect: []scenario.Expect{at(hole.pointer, hole.want)}},
			}},
		}); err != nil {
			return err
		}
	}
	return nil
}

// namesOfCertificate are the names that the target's certificate is for; none
// where there is none to be had.
func (p *Probe) namesOfCertificate(ctx context.Context) ([]string, error) {
	c, err := p.certificate(ctx)
	if err != nil || c == nil {
		return nil, err
	}
	return c.Names, nil
}

// certificate is what the target shows of itself over TLS; nil where it shows nothing.
func (p *Probe) certificate(ctx context.Context) (*target.Certificate, error) {
	if !p.overTLS() {
		return nil, nil
	}
	h, err := p.shake(ctx, nil)
	if err != nil || h == nil {
		return nil, err
	}
	return h.Certificate, nil
}
