package clientcert

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Bounds of a forwarded certificate.
const (
	maxForwarded = 64 << 10 // bytes of the fields
	maxChain     = 8        // certificates
)

// formats are the forms in which proxies pass a client certificate on, and the
// field that they use.
var formats = map[string]string{
	"rfc9440": "Client-Cert",                 // RFC 9440
	"xfcc":    "X-Forwarded-Client-Cert",     // Envoy
	"pem":     "Ssl-Client-Cert",             // nginx: $ssl_client_escaped_cert
	"der":     "X-Forwarded-Tls-Client-Cert", // base64 of DER: Traefik, HAProxy, Caddy
}

const rfc9440Chain = "Client-Cert-Chain"

// Field is the field that a format is read from, canonical; name overrides it.
// "" for an unknown format.
func Field(format, name string) string {
	if name != "" && formats[format] != "" && format != "rfc9440" {
		return textproto.CanonicalMIMEHeaderKey(name)
	}
	return formats[format]
}

// Forwarded reads the certificate that a trusted proxy passed on, with those
// between it and its authority. None, or an empty field, is no error. Nothing in
// it is verified.
func Forwarded(format, field string, h http.Header) ([]*x509.Certificate, error) {
	lines := h[field]
	if len(lines) == 0 || len(lines) == 1 && strings.TrimSpace(lines[0]) == "" {
		return nil, nil
	}
	if len(lines) != 1 {
		return nil, fmt.Errorf("%s stands %d times", field, len(lines))
	}
	if len(lines[0]) > maxForwarded {
		return nil, fmt.Errorf("%s is larger than %d bytes", field, maxForwarded)
	}
	var certs []*x509.Certificate
	var err error
	switch format {
	case "rfc9440":
		certs, err = rfc9440(lines, h[rfc9440Chain])
	case "xfcc":
		certs, err = xfcc(lines[0])
	case "pem":
		certs, err = escapedPEM(lines[0])
	case "der":
		certs, err = base64DER(lines[0])
	default:
		err = errors.New("the format is not known")
	}
	if err == nil && len(certs) > maxChain {
		err = fmt.Errorf("more than %d certificates", maxChain)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", field, err)
	}
	return certs, nil
}

// rfc9440 reads Client-Cert and Client-Cert-Chain.
func rfc9440(leaf, chain []string) ([]*x509.Certificate, error) {
	item, err := httpsfv.UnmarshalItem(leaf)
	if err != nil {
		return nil, fmt.Errorf("not a byte sequence: %w", err)
	}
	items := []httpsfv.Item{item}
	if len(chain) > 0 {
		if n := len(strings.Join(chain, ",")); n > maxForwarded {
			return nil, fmt.Errorf("%s is larger than %d bytes", rfc9440Chain, maxForwarded)
		}
		list, err := httpsfv.UnmarshalList(chain)
		if err != nil {
			return nil, fmt.Errorf("%s: not a list: %w", rfc9440Chain, err)
		}
		for _, m := range list {
			i, ok := m.(httpsfv.Item)
			if !ok {
				return nil, errors.New(rfc9440Chain + " holds more than byte sequences")
			}
			items = append(items, i)
		}
	}
	var out []*x509.Certificate
	for _, i := range items {
		der, ok := i.Value.([]byte)
		if !ok || len(i.Params.Names()) > 0 {
			return nil, errors.New("not a byte sequence alone")
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// xfcc reads the one element of Envoy's field. With several, the client may have
// written all but the last, or the proxy between may have.
func xfcc(line string) ([]*x509.Certificate, error) {
	var cert, chain string
	seen := map[string]bool{}
	for line != "" {
		key, rest, ok := strings.Cut(line, "=")
		if !ok {
			return nil, errors.New("a part without a value")
		}
		value, after, err := xfccValue(rest)
		if err != nil {
			return nil, err
		}
		key = strings.ToLower(strings.TrimSpace(key))
		if seen[key] && (key == "cert" || key == "chain") {
			return nil, errors.New(key + " stands twice")
		}
		seen[key] = true
		switch key {
		case "cert":
			cert = value
		case "chain":
			chain = value
		}
		if after == "" {
			break
		}
		if after[0] == ',' {
			return nil, errors.New("more than one element: let the proxy sanitize and set it (SANITIZE_SET)")
		}
		line = after[1:]
	}
	if cert == "" {
		return nil, errors.New("no Cert: let the proxy pass the certificate on (set_current_client_cert_details)")
	}
	leaf, err := escapedPEM(cert)
	if err != nil || len(leaf) != 1 {
		return nil, errors.New("the element's Cert is not one certificate in URL-encoded PEM")
	}
	if chain == "" {
		return leaf, nil
	}
	all, err := escapedPEM(chain)
	if err != nil {
		return nil, fmt.Errorf("the element's Chain: %w", err)
	}
	if len(all) > 0 && all[0].Equal(leaf[0]) {
		all = all[1:]
	}
	return append(leaf, all...), nil
}

// xfccValue reads a value, in quotes or not, up to the separator behind it.
func xfccValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, ";,")
		if i < 0 {
			return s, "", nil
		}
		return s[:i], s[i:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) {
				b.WriteByte(s[i])
			}
		case '"':
			if rest = s[i+1:]; rest != "" && rest[0] != ';' && rest[0] != ',' {
				return "", "", errors.New("text behind a quoted value")
			}
			return b.String(), rest, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("a quoted value without an end")
}

// escapedPEM reads URL-encoded PEM. A plus sign stands for itself.
func escapedPEM(s string) ([]*x509.Certificate, error) {
	text, err := url.PathUnescape(s)
	if err != nil {
		return nil, errors.New("not URL-encoded")
	}
	var out []*x509.Certificate
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("PEM of something else than a certificate")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	if len(out) == 0 || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("not PEM certificates alone")
	}
	return out, nil
}

// base64DER reads certificates in base64, the leaf first, with commas between.
func base64DER(s string) ([]*x509.Certificate, error) {
	if strings.Contains(s, "%") {
		text, err := url.PathUnescape(s)
		if err != nil {
			return nil, errors.New("not URL-encoded")
		}
		s = text
	}
	var out []*x509.Certificate
	for part := range strings.SplitSeq(s, ",") {
		der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(part))
		if err != nil {
			return nil, errors.New("not base64")
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
