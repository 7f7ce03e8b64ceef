package authn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/value"
)

const maxRedirects = 3

// newClient returns a client that follows few redirects and none to a URL that
// is not trustworthy. given may be nil.
func newClient(given *http.Client) *http.Client {
	c := &http.Client{}
	if given != nil {
		*c = *given
	}
	if c.Transport == nil {
		c.Transport = newTransport()
	}
	c.Jar = nil
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		if !oauth.Trustworthy(req.URL) {
			return errors.New("redirected to a URL that is neither https nor on this machine")
		}
		return nil
	}
	return c
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           8,
		IdleConnTimeout:        30 * time.Second,
		TLSHandshakeTimeout:    fetchTimeout,
		ResponseHeaderTimeout:  fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// get fetches a document of limited size.
func get(ctx context.Context, client *http.Client, from string) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil || !oauth.Trustworthy(u) {
		return nil, errors.New("the URL must be https, or http on this machine")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, errStatus(res.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeySet {
		return nil, fmt.Errorf("the document is larger than %d bytes", maxKeySet)
	}
	return b, nil
}

// clientFor is the client, or one like it that verifies servers by authorities of
// its own (PEM) alone.
func clientFor(c *http.Client, ca string) *http.Client {
	if ca == "" {
		return c
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca)) // validated before
	own := *c
	t := transportOf(c)
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	own.Transport = t
	return &own
}

// transportOf is a copy of the client's transport, or a new one where it has one
// that cannot be told whom to trust: what the config says of TLS always holds.
func transportOf(c *http.Client) *http.Transport {
	if t, ok := c.Transport.(*http.Transport); ok {
		return t.Clone()
	}
	return newTransport()
}

// errStatus is an answer of another status than 200.
type errStatus int

func (e errStatus) Error() string { return fmt.Sprintf("status %d", int(e)) }

// discover asks an issuer where its keys are (OpenID Connect Discovery 1.0
// section 4; RFC 8414 for one that has only that). The document must name the
// issuer that was asked, give or take a slash at the end: spelled is how it does.
func discover(ctx context.Context, client *http.Client, n sourceName) (jwks, spelled string, err error) {
	b, err := metadata(ctx, client, n)
	if err != nil {
		return "", "", err
	}
	doc, err := value.JSON(b, value.Limits{String: maxKeySet})
	if err != nil {
		return "", "", fmt.Errorf("parsing: %w", err)
	}
	spelled = doc.Get("issuer").Str()
	if spelled == "" || strings.TrimSuffix(spelled, "/") != strings.TrimSuffix(n.issuer, "/") {
		return "", "", fmt.Errorf("the document is of another issuer: %s", sent(spelled))
	}
	jwks = doc.Get("jwks_uri").Str()
	u, err := url.Parse(jwks)
	if err != nil || !oauth.Trustworthy(u) {
		return "", "", errors.New("jwks_uri must be https, or http on this machine")
	}
	return jwks, spelled, nil
}

// metadata fetches the document that an issuer publishes about itself.
func metadata(ctx context.Context, client *http.Client, n sourceName) ([]byte, error) {
	if n.discovery != "" {
		return get(ctx, client, n.discovery)
	}
	at := strings.TrimSuffix(fill(n.issuer, "common"), "/")
	b, err := get(ctx, client, at+"/.well-known/openid-configuration")
	if status := errStatus(0); !errors.As(err, &status) || status != http.StatusNotFound {
		return b, err
	}
	// RFC 8414 section 3.1 puts its name between host and path.
	u, bad := url.Parse(at)
	if bad != nil {
		return nil, err
	}
	u.Path = "/.well-known/oauth-authorization-server" + u.Path
	b, second := get(ctx, client, u.String())
	if second != nil {
		return nil, err // of the first: it is what the config asks for
	}
	return b, nil
}
