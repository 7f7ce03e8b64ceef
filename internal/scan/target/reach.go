package target

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Stage is one step on the way to the target.
type Stage struct {
	Name   string // "name", "connection", "TLS", "HTTP"
	Text   string // what was found
	Advice string // what to do, when Err is set or something is odd
	Err    error
}

// Reach goes to the target step by step, with one harmless request, and stops at
// the first step that fails. It does not wait for a target that is away.
func (c *Client) Reach(ctx context.Context) []Stage {
	var out []Stage
	add := func(s Stage) bool {
		out = append(out, s)
		return s.Err == nil
	}
	if net.ParseIP(c.home.name) == nil && c.dialer.proxy == nil && c.dialer.socks == nil {
		if !add(c.resolve(ctx)) {
			return out
		}
	}
	nc, err := c.dialer.tcp(ctx, c.home)
	if !add(c.connected(err)) {
		return out
	}
	if c.home.scheme == "https" {
		if !add(c.handshake(ctx, nc)) {
			_ = nc.Close()
			return out
		}
	}
	_ = nc.Close()
	add(c.greet(ctx))
	return out
}

func (c *Client) resolve(ctx context.Context) Stage {
	ctx, cancel := context.WithTimeout(ctx, c.dialer.timeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupHost(ctx, c.home.name)
	if err != nil {
		return Stage{Name: "name", Err: err, Text: fmt.Sprintf("the name %s cannot be resolved: %v", c.home.name, err),
			Advice: "Check the spelling of the host, and whether this machine can resolve it (VPN, /etc/hosts, a container's network)."}
	}
	return Stage{Name: "name", Text: fmt.Sprintf("%s is %s", c.home.name, strings.Join(addrs, ", "))}
}

func (c *Client) connected(err error) Stage {
	if err == nil {
		return Stage{Name: "connection", Text: "something listens at " + c.home.addr}
	}
	s := Stage{Name: "connection", Err: err, Text: fmt.Sprintf("no connection to %s: %v", c.home.addr, err)}
	var ne net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) && c.dialer.proxied():
		s.Advice = "Nothing listens at the proxy's address: start the proxy, correct it (--proxy, tls: {proxy: …} in scan.yaml), or leave it out."
	case errors.Is(err, syscall.ECONNREFUSED):
		s.Advice = "Nothing listens there: start the target, or correct the port. From inside a container, localhost is the container itself."
	case errors.As(err, &ne) && ne.Timeout():
		s.Advice = "Nothing answers: a firewall may drop what is sent, or the address is wrong."
	case errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH):
		s.Advice = "There is no way to that address from here: check the network or the VPN."
	default:
		s.Advice = "Check the address, and the proxy if there is one (--proxy, tls: {proxy: …} in scan.yaml; the environment is not read)."
	}
	return s
}

func (c *Client) handshake(ctx context.Context, nc net.Conn) Stage {
	ctx, cancel := context.WithTimeout(ctx, c.dialer.timeout)
	defer cancel()
	conf := c.dialer.tls.Clone()
	if conf.ServerName == "" {
		conf.ServerName = c.home.name
	}
	conf.NextProtos = []string{"h2", "http/1.1"}
	tc := tls.Client(nc, conf)
	err := tc.HandshakeContext(ctx)
	if err == nil {
		st := tc.ConnectionState()
		text := fmt.Sprintf("%s, %s", tls.VersionName(st.Version), tls.CipherSuiteName(st.CipherSuite))
		if len(st.PeerCertificates) > 0 {
			text += ", certificate until " + st.PeerCertificates[0].NotAfter.Format(time.DateOnly)
		}
		return Stage{Name: "TLS", Text: text}
	}
	s := Stage{Name: "TLS", Err: err, Text: fmt.Sprintf("TLS with %s fails: %v", c.home.addr, err)}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &unknown):
		s.Advice = "The certificate is of an authority that is not known here: give its file (--ca-file, or tls: {ca_file: ca.pem} in scan.yaml), or say that any certificate will do (--insecure)."
	case errors.As(err, &name):
		s.Advice = "The certificate is for another name: use that name in the address, or name it: tls: {server_name: api.example.com} in scan.yaml."
	case errors.As(err, &invalid):
		s.Advice = "The certificate has expired or is not valid yet: renew it, check this machine's clock, or say that any certificate will do (--insecure)."
	case errors.As(err, &record):
		s.Advice = "What listens there does not speak TLS: write http:// in place of https://."
	default:
		s.Advice = "The target may want a client certificate (tls: {cert_file: client.pem, key_file: client.key} in scan.yaml), or speak no TLS at all at this port."
	}
	return s
}

func (c *Client) greet(ctx context.Context) Stage {
	r := &Request{Method: http.MethodGet, Path: c.base + "/", Root: true, Timeout: 10 * time.Second}
	seq, err := c.pace.take(ctx, 1)
	if err != nil {
		return Stage{Name: "HTTP", Err: err, Text: fmt.Sprintf("nothing was asked: %v", err), Advice: "Allow more requests, or more time."}
	}
	ex := &Exchange{Seq: seq, For: purposeOf(ctx).what, Request: r, Sent: time.Now()}
	c.send(ctx, c.home, r, ex)
	c.tell(ex)
	if ex.Err != nil {
		s := Stage{Name: "HTTP", Err: ex.Err, Text: fmt.Sprintf("no answer to GET %s/: %v", c.base, ex.Err), Advice: "What listens there may not be an HTTP server, or it hangs: look into its log."}
		if c.home.scheme == "http" {
			s.Advice += " If it speaks TLS, write https:// in place of http://."
		}
		if strings.Contains(ex.Err.Error(), "tls: certificate required") { // with TLS 1.3 the handshake ends before the server says so
			s.Advice = "The target wants a client certificate: tls: {cert_file: client.pem, key_file: client.key} in scan.yaml."
		}
		return s
	}
	s := Stage{Name: "HTTP", Text: fmt.Sprintf("%s, GET %s/ answers %d", ex.Proto, c.base, ex.Status)}
	switch {
	case ex.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(string(ex.Body)), "https"):
		s.Err, s.Advice = errors.New("plain HTTP to a TLS port"), "Write https:// in place of http://."
	case ex.Status == http.StatusBadGateway || ex.Status == http.StatusServiceUnavailable || ex.Status == http.StatusGatewayTimeout:
		s.Advice = "A proxy answers in place of the target: look whether the target behind it runs."
	case ex.Status/100 == 3:
		if at, err := url.Parse(ex.Header.Get("Location")); err == nil && at.Host != "" && !c.InScope(at.Scheme+"://"+at.Host) {
			s.Advice = fmt.Sprintf("It leads to %s://%s, which is another origin and not asked: where the API is there, write that as the target.", at.Scheme, at.Host)
		}
	}
	return s
}
