package target

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// tlsRecord is a TLS record; message a handshake message.
func tlsRecord(kind byte, version uint16, body []byte) []byte {
	out := binary.BigEndian.AppendUint16([]byte{kind}, version)
	return append(binary.BigEndian.AppendUint16(out, uint16(len(body))), body...)
}

func message(kind byte, body []byte) []byte {
	return append([]byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

// helloOf is a ServerHello that agrees to a version and a cipher suite.
func helloOf(version, cipher uint16) []byte {
	b := binary.BigEndian.AppendUint16(nil, version)
	b = append(append(b, make([]byte, 32)...), 0)
	return message(serverHello, append(binary.BigEndian.AppendUint16(b, cipher), 0))
}

func TestReadHello(t *testing.T) {
	key := func(bits int) []byte {
		p := bytes.Repeat([]byte{0xff}, bits/8)
		return message(serverKey, append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...))
	}
	for _, c := range []struct {
		name string
		in   []byte
		want Handshake
		err  bool
	}{
		{"SSL 3.0", tlsRecord(typeShake, 0x0300, helloOf(0x0300, 0x000A)), Handshake{Accepted: true, Version: "SSL 3.0", Cipher: "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Group: "3des"}, false},
		{"no encryption", tlsRecord(typeShake, 0x0303, helloOf(0x0303, 0x0002)), Handshake{Accepted: true, Version: "TLS 1.2", Cipher: "TLS_RSA_WITH_NULL_SHA", Group: "null"}, false},
		{"export", tlsRecord(typeShake, 0x0301, helloOf(0x0301, 0x0003)), Handshake{Accepted: true, Version: "TLS 1.0", Cipher: "TLS_RSA_EXPORT_WITH_RC4_40_MD5", Group: "export"}, false},
		{"a small group, over several records", slices.Concat(tlsRecord(typeShake, 0x0303, helloOf(0x0303, 0x0033)[:20]), tlsRecord(typeShake, 0x0303, append(helloOf(0x0303, 0x0033)[20:], message(11, []byte{0, 0, 0})...)), tlsRecord(typeShake, 0x0303, key(1024))), Handshake{Accepted: true, Version: "TLS 1.2", Cipher: "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", Group: "dhe", ForwardSecrecy: true, DHBits: 1024}, false},
		{"nobody knows it", tlsRecord(typeShake, 0x0303, helloOf(0x0303, 0x1234)), Handshake{Accepted: true, Version: "TLS 1.2", Cipher: "0x1234"}, false},
		{"refused", tlsRecord(typeAlert, 0x0301, []byte{2, 70}), Handshake{Alert: "protocol_version"}, false},
		{"warned, then refused", slices.Concat(tlsRecord(typeAlert, 0x0301, []byte{1, 112}), tlsRecord(typeAlert, 0x0301, []byte{2, 40})), Handshake{Alert: "handshake_failure"}, false},
		{"HTTP", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), Handshake{}, true},
		{"nothing", nil, Handshake{}, true},
		{"cut", tlsRecord(typeShake, 0x0303, helloOf(0x0303, 0x0002))[:30], Handshake{}, true},
		{"endless", bytes.Repeat(tlsRecord(typeShake, 0x0303, message(11, make([]byte, 16000))), 20), Handshake{}, true},
	} {
		got, err := readHello(bytes.NewReader(c.in))
		if (err != nil) != c.err || *got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, *got, err, c.want)
		}
	}
}

// What is offered, a server of TLS understands: crypto/tls sees version, name and
// cipher suites.
func TestHelloIsUnderstood(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &Hello{Version: rapid.SampledFrom([]string{"TLS 1.0", "TLS 1.1", "TLS 1.2"}).Draw(t, "version"), Ciphers: rapid.SliceOfDistinct(rapid.SampledFrom(groupNames()), func(s string) string { return s }).Draw(t, "ciphers")}
		if err := h.Check(); err != nil {
			t.Fatal(err)
		}
		var got *tls.ClientHelloInfo
		ours, theirs := net.Pipe()
		go func() {
			_, _ = ours.Write(h.bytes("api.example"))
			_, _ = io.Copy(io.Discard, ours)
		}()
		s := tls.Server(theirs, &tls.Config{MinVersion: tls.VersionTLS10, GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
			got = i
			return nil, io.EOF
		}})
		_ = s.Handshake()
		_ = theirs.Close()
		_ = ours.Close()
		if got == nil || got.ServerName != "api.example" || got.SupportedVersions[0] != h.id() {
			t.Fatalf("%+v", got)
		}
		for i, s := range h.offered() {
			if got.CipherSuites[i] != s.id {
				t.Fatalf("suite %d is %04x, want %s", i, got.CipherSuites[i], s.name)
			}
		}
	})
	if (&Hello{Version: "TLS 9"}).Check() == nil || (&Hello{Version: "TLS 1.0", Ciphers: []string{"x"}}).Check() == nil {
		t.Error("what cannot be offered passes")
	}
}

func FuzzReadHello(f *testing.F) {
	f.Add(tlsRecord(typeShake, 0x0303, helloOf(0x0303, 0x0033)))
	f.Add(tlsRecord(typeAlert, 0x0301, []byte{2, 70}))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := readHello(bytes.NewReader(in))
		if h == nil || err == nil && !h.Accepted && h.Alert == "" {
			t.Fatalf("%+v %v", h, err)
		}
	})
}
