package authn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/value"
)

const maxRedirects = 3

// trustworthy reports whether keys may be had from the URL: by https, or by
// http from this machine itself.
func trustworthy(u *url.URL) bool {
	if u.User != nil || u.Host == "" {
		return false
	}
	switch u.Scheme {
	case "https":
		return true
	case "http":
		if u.Hostname() == "localhost" {
			return true
		}
		ip, err := netip.ParseAddr(u.Hostname())
		return err == nil && ip.IsLoopback()
	}
	return false
}

// newClient returns a client that follows few redirects and none to a URL that
// is not trustworthy. given may be nil.
func newClient(given *http.Client) *http.Client {
	c := &http.Client{}
	if given != nil {
		*c = *given
	} else {
		c.Transport = &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           8,
			IdleConnTimeout:        30 * time.Second,
			TLSHandshakeTimeout:    fetchTimeout,
			ResponseHeaderTimeout:  fetchTimeout,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	c.Jar = nil
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		if !trustworthy(req.URL) {
			return errors.New("redirected to a URL that is neither https nor on this machine")
		}
		return nil
	}
	return c
}

// get fetches a document of limited size.
func get(ctx context.Context, client *http.Client, from string) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil || !trustworthy(u) {
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
		return nil, fmt.Errorf("status %d", res.StatusCode)
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

// discover asks an issuer where its keys are (OpenID Connect Discovery 1.0,
// section 4). The document must name exactly the issuer that was asked.
func discover(ctx context.Context, client *http.Client, issuer string) (jwks string, err error) {
	b, err := get(ctx, client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	doc, err := value.JSON(b, value.Limits{String: maxKeySet})
	if err != nil {
		return "", fmt.Errorf("parsing: %w", err)
	}
	if doc.Get("issuer").Str() != issuer {
		return "", fmt.Errorf("the document is of another issuer: %s", sent(doc.Get("issuer").Str()))
	}
	jwks = doc.Get("jwks_uri").Str()
	u, err := url.Parse(jwks)
	if err != nil || !trustworthy(u) {
		return "", errors.New("jwks_uri must be https, or http on this machine")
	}
	return jwks, nil
}
