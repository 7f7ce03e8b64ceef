package oauth

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// Trustworthy reports whether secrets may be sent to the URL and answers from it
// believed: it is https, or http on this machine itself.
func Trustworthy(u *url.URL) bool {
	if u.User != nil || u.Host == "" {
		return false
	}
	switch u.Scheme {
	case "https":
		return true
	case "http":
		ip, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	}
	return false
}

// statusError is an answer's status that is no success.
type statusError int

func (s statusError) Error() string { return fmt.Sprintf("status %d", int(s)) }

// Error is why a request to an authorization server came to nothing.
type Error struct {
	Op     string // "token", "userinfo", …
	Code   string // the OAuth error code (RFC 6749 section 5.2), "" when there was none
	Status int    // HTTP status, 0 when there was no answer
	err    error
}

func (e *Error) Error() string {
	switch {
	case e.Code != "":
		return fmt.Sprintf("%s: the authorization server refused: %s", e.Op, e.Code)
	case e.Status != 0:
		return fmt.Sprintf("%s: the authorization server answered with status %d", e.Op, e.Status)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.err)
}

func (e *Error) Unwrap() error { return e.err }

// Refused reports whether the server refused what was asked for somebody's sake,
// for good: the grant is not valid, or not allowed. Everything else (no answer,
// an overloaded server, a client that it does not know) is no word on the caller.
func Refused(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == "invalid_grant" || e.Code == "access_denied" || e.Code == "invalid_request"
}

// trusting returns a client that verifies servers by the authorities of a PEM file
// alone, where one is named.
func trusting(given *http.Client, file string) (*http.Client, error) {
	if file == "" {
		return given, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	c, t := *given, transportOf(given)
	t.TLSClientConfig.RootCAs = pool
	c.Transport = t
	return &c, nil
}

// showing returns a client that shows a certificate to servers that ask for one.
func showing(given *http.Client, cert, key string) (*http.Client, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	c, t := *given, transportOf(given)
	t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	c.Transport = t
	return &c, nil
}

// transportOf is a copy of the client's transport with TLS settings of its own, or
// a new one where it has none that can be told whom to trust.
func transportOf(c *http.Client) *http.Transport {
	t, ok := c.Transport.(*http.Transport)
	if !ok {
		t = http.DefaultTransport.(*http.Transport)
	}
	t = t.Clone()
	if t.TLSClientConfig == nil {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return t
}

// noRedirect returns a client that follows no redirect: a request that carries a
// secret is for its own address alone.
func noRedirect(given *http.Client) *http.Client {
	c := *given
	c.Jar = nil
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// fewRedirects returns a client for documents.
func fewRedirects(given *http.Client) *http.Client {
	c := *given
	c.Jar = nil
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 || !Trustworthy(r.URL) {
			return errors.New("redirected too often, or to a place that is neither https nor this machine")
		}
		return nil
	}
	return &c
}

// do sends a request and reads a bounded answer. One without success is a statusError.
func do(c *http.Client, r *http.Request, most int64) ([]byte, error) {
	if !Trustworthy(r.URL) {
		return nil, errors.New("the address is neither https nor on this machine")
	}
	res, err := c.Do(r)
	if err != nil {
		return nil, withoutQuery(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("the answer is larger than %d bytes", most)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return b, statusError(res.StatusCode)
	}
	return b, nil
}

// withoutQuery takes the query out of a client's error.
func withoutQuery(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		at, _, _ := strings.Cut(u.URL, "?")
		return &url.Error{Op: u.Op, URL: at, Err: u.Err}
	}
	return err
}
