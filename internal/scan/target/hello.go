package target

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// Versions of TLS that a handshake may offer as its highest.
var tlsVersions = []struct {
	name string
	id   uint16
}{{"SSL 3.0", 0x0300}, {"TLS 1.0", 0x0301}, {"TLS 1.1", 0x0302}, {"TLS 1.2", 0x0303}}

// versionNames are the names of the versions that a Hello can offer.
func versionNames() []string {
	var out []string
	for _, v := range tlsVersions {
		out = append(out, v.name)
	}
	return out
}

// suite is a cipher suite as RFC 5246 and its neighbours name it, without "TLS_".
type suite struct {
	id    uint16
	name  string
	group string
}

// suites are what a Hello offers, by what is said against them.
var suites = []suite{
	{0xC02B, "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "modern"}, {0xC02F, "ECDHE_RSA_WITH_AES_128_GCM_SHA256", "modern"},
	{0xC02C, "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "modern"}, {0xC030, "ECDHE_RSA_WITH_AES_256_GCM_SHA384", "modern"},
	{0xCCA9, "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "modern"}, {0xCCA8, "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "modern"},
	{0x009E, "DHE_RSA_WITH_AES_128_GCM_SHA256", "dhe"}, {0x009F, "DHE_RSA_WITH_AES_256_GCM_SHA384", "dhe"}, {0xCCAA, "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "dhe"},
	{0x0067, "DHE_RSA_WITH_AES_128_CBC_SHA256", "dhe"}, {0x006B, "DHE_RSA_WITH_AES_256_CBC_SHA256", "dhe"}, {0x0033, "DHE_RSA_WITH_AES_128_CBC_SHA", "dhe"}, {0x0039, "DHE_RSA_WITH_AES_256_CBC_SHA", "dhe"},
	{0xC023, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "cbc"}, {0xC027, "ECDHE_RSA_WITH_AES_128_CBC_SHA256", "cbc"}, {0xC024, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", "cbc"}, {0xC028, "ECDHE_RSA_WITH_AES_256_CBC_SHA384", "cbc"},
	{0xC009, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "cbc"}, {0xC013, "ECDHE_RSA_WITH_AES_128_CBC_SHA", "cbc"}, {0xC00A, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "cbc"}, {0xC014, "ECDHE_RSA_WITH_AES_256_CBC_SHA", "cbc"},
	{0x009C, "RSA_WITH_AES_128_GCM_SHA256", "rsa"}, {0x009D, "RSA_WITH_AES_256_GCM_SHA384", "rsa"}, {0x003C, "RSA_WITH_AES_128_CBC_SHA256", "rsa"}, {0x003D, "RSA_WITH_AES_256_CBC_SHA256", "rsa"},
	{0x002F, "RSA_WITH_AES_128_CBC_SHA", "rsa"}, {0x0035, "RSA_WITH_AES_256_CBC_SHA", "rsa"}, {0x0041, "RSA_WITH_CAMELLIA_128_CBC_SHA", "rsa"}, {0x0084, "RSA_WITH_CAMELLIA_256_CBC_SHA", "rsa"},
	{0xC008, "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", "3des"}, {0xC012, "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", "3des"}, {0x0016, "DHE_RSA_WITH_3DES_EDE_CBC_SHA", "3des"}, {0x000A, "RSA_WITH_3DES_EDE_CBC_SHA", "3des"},
	{0xC007, "ECDHE_ECDSA_WITH_RC4_128_SHA", "rc4"}, {0xC011, "ECDHE_RSA_WITH_RC4_128_SHA", "rc4"}, {0x0005, "RSA_WITH_RC4_128_SHA", "rc4"}, {0x0004, "RSA_WITH_RC4_128_MD5", "rc4"},
	{0x0015, "DHE_RSA_WITH_DES_CBC_SHA", "des"}, {0x0009, "RSA_WITH_DES_CBC_SHA", "des"},
	{0x0003, "RSA_EXPORT_WITH_RC4_40_MD5", "export"}, {0x0006, "RSA_EXPORT_WITH_RC2_CBC_40_MD5", "export"}, {0x0008, "RSA_EXPORT_WITH_DES40_CBC_SHA", "export"}, {0x0014, "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", "export"},
	{0xC019, "ECDH_anon_WITH_AES_256_CBC_SHA", "anon"}, {0xC018, "ECDH_anon_WITH_AES_128_CBC_SHA", "anon"}, {0xC017, "ECDH_anon_WITH_3DES_EDE_CBC_SHA", "anon"}, {0xC016, "ECDH_anon_WITH_RC4_128_SHA", "anon"},
	{0x00A7, "DH_anon_WITH_AES_256_GCM_SHA384", "anon"}, {0x00A6, "DH_anon_WITH_AES_128_GCM_SHA256", "anon"}, {0x003A, "DH_anon_WITH_AES_256_CBC_SHA", "anon"}, {0x0034, "DH_anon_WITH_AES_128_CBC_SHA", "anon"}, {0x0018, "DH_anon_WITH_RC4_128_MD5", "anon"},
	{0xC006, "ECDHE_ECDSA_WITH_NULL_SHA", "null"}, {0xC010, "ECDHE_RSA_WITH_NULL_SHA", "null"}, {0x003B, "RSA_WITH_NULL_SHA256", "null"}, {0x0002, "RSA_WITH_NULL_SHA", "null"}, {0x0001, "RSA_WITH_NULL_MD5", "null"},
	{0xDEAD, "what nobody has assigned", "none"}, // a control: whoever agrees to it speaks no TLS
}

// groupNames are the names of the groups of cipher suites that a Hello can offer.
func groupNames() []string {
	var out []string
	for _, s := range suites {
		if !slices.Contains(out, s.group) {
			out = append(out, s.group)
		}
	}
	return out
}

func (s *suite) forward() bool {
	return strings.HasPrefix(s.name, "ECDHE_") || strings.HasPrefix(s.name, "DHE_") && s.group != "export"
}

// Hello is the beginning of a handshake, up to TLS 1.2, in which the answer is
// in clear: what a server agrees to is seen in it, whether or not this program's
// own TLS would go on.
type Hello struct {
	Version string   // the highest offered: "SSL 3.0" to "TLS 1.2"
	Ciphers []string // groups, those liked best first; none: all but "none"
}

// Check says what is wrong with it.
func (h *Hello) Check() error {
	if !slices.Contains(versionNames(), h.Version) {
		return fmt.Errorf("the TLS version %q: want one of %s", h.Version, strings.Join(versionNames(), ", "))
	}
	for _, g := range h.Ciphers {
		if !slices.Contains(groupNames(), g) {
			return fmt.Errorf("the cipher suites %q: want some of %s", g, strings.Join(groupNames(), ", "))
		}
	}
	return nil
}

func (h *Hello) offered() []suite {
	groups := h.Ciphers
	if len(groups) == 0 {
		groups = slices.DeleteFunc(groupNames(), func(g string) bool { return g == "none" })
	}
	var out []suite
	for _, g := range groups {
		for _, s := range suites {
			if s.group == g {
				out = append(out, s)
			}
		}
	}
	return out
}

func (h *Hello) id() uint16 {
	for _, v := range tlsVersions {
		if v.name == h.Version {
			return v.id
		}
	}
	return 0
}

// bytes is the ClientHello in a record of its own (RFC 5246, 7.4.1.2; RFC 6101, 5.6.1.2).
func (h *Hello) bytes(serverName string) []byte {
	u16 := binary.BigEndian.AppendUint16
	block := func(in []byte) []byte { return append(u16(nil, uint16(len(in))), in...) }
	version := h.id()
	body := u16(nil, version)
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	body = append(append(body, random[:]...), 0)
	var ids []byte
	for _, s := range h.offered() {
		ids = u16(ids, s.id)
	}
	ids = u16(ids, 0x00FF) // renegotiation is safe here (RFC 5746, 3.3)
	body = append(append(body, block(ids)...), 1, 0)
	if version > 0x0300 {
		var ext []byte
		add := func(id uint16, data []byte) { ext = append(u16(ext, id), block(data)...) }
		if serverName != "" && net.ParseIP(serverName) == nil {
			add(0, block(append([]byte{0}, block([]byte(serverName))...)))
		}
		add(10, block([]byte{0, 29, 0, 23, 0, 24, 0, 25, 1, 0, 1, 1})) // x25519, P-256, P-384, P-521, ffdhe2048, ffdhe3072
		add(11, []byte{1, 0})
		if version >= 0x0303 {
			add(13, block([]byte{4, 3, 5, 3, 6, 3, 8, 4, 8, 5, 8, 6, 4, 1, 5, 1, 6, 1, 2, 3, 2, 1}))
		}
		body = append(body, block(ext)...)
	}
	message := append([]byte{1, 0}, block(body)...)
	return append(append([]byte{22}, u16(nil, min(version, 0x0301))...), block(message)...)
}

const (
	maxHello    = 128 << 10 // bytes of a server's first flight
	typeAlert   = 21
	typeShake   = 22
	serverHello = 2
	serverKey   = 12
	serverDone  = 14
)

var alerts = map[byte]string{0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure", 42: "bad_certificate", 47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version", 71: "insufficient_security", 80: "internal_error", 86: "inappropriate_fallback", 109: "missing_extension", 112: "unrecognized_name", 120: "no_application_protocol"}

var errNoTLS = errors.New("what came is no TLS")

// readHello reads what a server answers a Hello with: as far as it takes to see
// what it agrees to.
func readHello(r io.Reader) (*Handshake, error) {
	out := &Handshake{}
	var flight []byte
	total := 0
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return out, fmt.Errorf("reading what the server agrees to: %w", err)
		}
		n := int(binary.BigEndian.Uint16(head[3:]))
		if head[1] != 3 || head[0] != typeAlert && head[0] != typeShake || n == 0 || n > 1<<14+2048 {
			return out, errNoTLS
		}
		if total += n; total > maxHello {
			return out, errors.New("the server's first flight is too long")
		}
		record := make([]byte, n)
		if _, err := io.ReadFull(r, record); err != nil {
			return out, fmt.Errorf("reading what the server agrees to: %w", err)
		}
		if head[0] == typeAlert {
			if n < 2 {
				return out, errNoTLS
			}
			if record[0] == 1 && record[1] != 0 {
				continue // a warning, such as unrecognized_name
			}
			if out.Alert = alerts[record[1]]; out.Alert == "" {
				out.Alert = fmt.Sprintf("alert %d", record[1])
			}
			out.Accepted = false
			return out, nil
		}
		flight = append(flight, record...)
		for len(flight) >= 4 {
			size := int(flight[1])<<16 | int(flight[2])<<8 | int(flight[3])
			if size > maxHello {
				return out, errNoTLS
			}
			if len(flight) < 4+size {
				break
			}
			done, err := out.message(flight[0], flight[4:4+size])
			if done || err != nil {
				return out, err
			}
			flight = flight[4+size:]
		}
	}
}

// message takes in one handshake message; done: nothing more is to be learned.
func (h *Handshake) message(kind byte, body []byte) (done bool, err error) {
	switch kind {
	case serverHello:
		if len(body) < 38 || len(body) < 38+int(body[34]) {
			return false, errNoTLS
		}
		h.version(binary.BigEndian.Uint16(body))
		id := binary.BigEndian.Uint16(body[35+int(body[34]):])
		h.Cipher = fmt.Sprintf("0x%04X", id)
		h.Accepted = true
		i := slices.IndexFunc(suites, func(s suite) bool { return s.id == id })
		if i < 0 {
			return true, nil
		}
		s := &suites[i]
		h.Cipher, h.Group, h.ForwardSecrecy = "TLS_"+s.name, s.group, s.forward()
		return !strings.HasPrefix(s.name, "DHE_"), nil
	case serverKey:
		// The group's prime comes first (RFC 5246, 7.4.3).
		if len(body) >= 2 {
			if n := int(binary.BigEndian.Uint16(body)); len(body) >= 2+n {
				p := body[2 : 2+n]
				for len(p) > 0 && p[0] == 0 {
					p = p[1:]
				}
				h.DHBits = len(p) * 8
			}
		}
		return true, nil
	case serverDone:
		return true, nil
	}
	return false, nil
}

func (h *Handshake) version(id uint16) {
	h.Version = fmt.Sprintf("0x%04X", id)
	for _, v := range tlsVersions {
		if v.id == id {
			h.Version = v.name
		}
	}
}
