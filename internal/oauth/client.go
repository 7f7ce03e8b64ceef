package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/value"
)

const (
	maxAnswer = 256 << 10 // of the token endpoint
	maxToken  = 16 << 10
)

// Client talks to one authorization server. It is safe for concurrent use.
type Client struct {
	id       string
	secret   string
	method   string // "basic", "post", "private_key_jwt", "tls", "none"
	signer   *signer
	timeout  time.Duration
	http     *http.Client
	provider *provider
	now      func() time.Time
}

// Options are what a Client is made from.
type Options struct {
	Config config.OAuthClient
	Client *http.Client     // default: one of its own
	Now    func() time.Time // default time.Now
}

// New makes a client. It asks the server nothing yet: that it cannot be reached
// is found out when it is needed. The error names what is wrong with the config.
func New(o Options) (*Client, error) {
	if o.Client == nil {
		o.Client = &http.Client{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := o.Config
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	u, err := url.Parse(c.Issuer)
	if err != nil || !Trustworthy(u) || c.ClientID == "" {
		return nil, fmt.Errorf("issuer %q must be an https URL, or http on this machine, and client_id be set", c.Issuer)
	}
	if o.Client, err = trusting(o.Client, c.CA); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	out := &Client{
		id: c.ClientID, secret: c.ClientSecret.Reveal(), method: c.ClientAuth, timeout: c.Timeout,
		http: noRedirect(o.Client), now: o.Now,
	}
	switch {
	case c.ClientCert != "":
		if out.http, err = showing(out.http, c.ClientCert, c.ClientKey); err != nil {
			return nil, fmt.Errorf("client_cert: %w", err)
		}
	case c.ClientKey != "":
		if out.signer, err = newSigner(c.ClientKey, c.ClientKeyID); err != nil {
			return nil, fmt.Errorf("client_key: %w", err)
		}
		out.signer.tokenEndpoint = c.AssertionAudience == "token_endpoint"
	}
	if out.method == "" {
		switch {
		case c.ClientCert != "":
			out.method = "tls"
		case out.signer != nil:
			out.method = "private_key_jwt"
		case out.secret != "":
			out.method = "basic"
		default:
			out.method = "none"
		}
	}
	if out.method == "tls" && c.ClientCert == "" || out.method == "private_key_jwt" && out.signer == nil || (out.method == "basic" || out.method == "post") && out.secret == "" {
		return nil, fmt.Errorf("client_auth %s: its key or secret is missing", out.method)
	}
	out.provider = newProvider(c.Issuer, fewRedirects(o.Client), c.Timeout, o.Now)
	out.provider.mutual = out.method == "tls"
	return out, nil
}

// Close ends what is under way.
func (c *Client) Close() { c.provider.close() }

// ID is the client's id at the server.
func (c *Client) ID() string { return c.id }

// Issuer is the server's name.
func (c *Client) Issuer() string { return c.provider.issuer }

// Timeout is how long one request may take.
func (c *Client) Timeout() time.Duration { return c.timeout }

// Metadata is what the server says of itself: fresh, or the last good one that is
// younger than a day.
func (c *Client) Metadata(ctx context.Context) (*Metadata, error) {
	return c.provider.metadata(ctx)
}

// Ready says why the server cannot be asked, as far as that is known.
func (c *Client) Ready() error { return c.provider.state() }

// Token is a successful answer of the token endpoint (RFC 6749 section 5.1).
type Token struct {
	Access  string
	Refresh string
	ID      string        // ID token
	Scope   string        // "" when the server did not say: as asked for
	Life    time.Duration // of the access token; 0 when the server did not say
	Type    string        // token_type as sent
	Issued  string        // issued_token_type (RFC 8693 section 2.2.1)
}

// Grant asks the token endpoint. The form is completed with the client's
// authentication and changed by that.
func (c *Client) Grant(ctx context.Context, form url.Values) (*Token, error) {
	m, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	doc, err := c.post(ctx, "token", m, m.Token, form)
	if err != nil {
		return nil, err
	}
	t := &Token{
		Access: doc.Get("access_token").Str(), Refresh: doc.Get("refresh_token").Str(), ID: doc.Get("id_token").Str(),
		Scope: doc.Get("scope").Str(), Type: doc.Get("token_type").Str(), Issued: doc.Get("issued_token_type").Str(),
	}
	if n := doc.Get("expires_in"); n != nil {
		// Some send it as a string, which may say NaN.
		seconds, err := strconv.ParseFloat(n.Text, 64)
		if err != nil || !(seconds >= 0 && seconds <= 10*365*24*3600) {
			return nil, &Error{Op: "token", err: errors.New("expires_in is not a number of seconds")}
		}
		t.Life = time.Duration(seconds * float64(time.Second))
	}
	if !sendable(t.Access) || t.Refresh != "" && !sendable(t.Refresh) || t.ID != "" && !sendable(t.ID) {
		return nil, &Error{Op: "token", err: errors.New("a token is missing, larger than 16 KiB, or holds characters that no header can")}
	}
	return t, nil
}

// Bearer reports whether the access token may be sent after "Bearer" (RFC 6750).
func (t *Token) Bearer() bool { return strings.EqualFold(t.Type, "Bearer") }

// sendable reports whether a token can stand in a header field (RFC 6750 section 2.1
// allows less, and servers send more).
func sendable(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Push sends an authorization request over the back channel (RFC 9126) and
// returns the request_uri that stands for it.
func (c *Client) Push(ctx context.Context, form url.Values) (string, error) {
	m, err := c.Metadata(ctx)
	if err != nil {
		return "", err
	}
	if m.PushedRequest == "" {
		return "", &Error{Op: "pushed request", err: errors.New("the server has no pushed authorization request endpoint")}
	}
	form.Set("client_id", c.id) // a parameter of the request itself, however the client authenticates (section 2.1)
	doc, err := c.post(ctx, "pushed request", m, m.PushedRequest, form)
	if err != nil {
		return "", err
	}
	uri := doc.Get("request_uri").Str()
	if uri == "" || len(uri) > 2048 {
		return "", &Error{Op: "pushed request", err: errors.New("the answer has no request_uri")}
	}
	return uri, nil
}

// Revoke tells the server that a token is no longer needed (RFC 7009). A server
// without such an endpoint is told nothing.
func (c *Client) Revoke(ctx context.Context, token, hint string) error {
	m, err := c.Metadata(ctx)
	if err != nil {
		return err
	}
	if m.Revocation == "" {
		return nil
	}
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	_, err = c.send(ctx, "revocation", m, m.Revocation, form)
	return err
}

// Userinfo asks for the claims of the access token's subject (OpenID Connect
// Core section 5.3), as a JSON object.
func (c *Client) Userinfo(ctx context.Context, access string) ([]byte, error) {
	m, err := c.Metadata(ctx)
	if err != nil {
		return nil, err
	}
	if m.Userinfo == "" {
		return nil, &Error{Op: "userinfo", err: errors.New("the server has no userinfo endpoint")}
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.Userinfo, nil)
	if err != nil {
		return nil, &Error{Op: "userinfo", err: err}
	}
	req.Header.Set("Authorization", "Bearer "+access)
	req.Header.Set("Accept", "application/json")
	b, err := do(c.http, req, maxAnswer)
	if err != nil {
		return nil, failure("userinfo", nil, err)
	}
	return b, nil
}

// post sends a form and reads a JSON object.
func (c *Client) post(ctx context.Context, op string, m *Metadata, to string, form url.Values) (*value.Value, error) {
	b, err := c.send(ctx, op, m, to, form)
	if err != nil {
		return nil, err
	}
	doc, err := value.JSON(b, value.Limits{String: maxAnswer})
	if err != nil || doc.Kind != value.Object {
		return nil, &Error{Op: op, err: errors.New("the answer is not a JSON object")}
	}
	return doc, nil
}

func (c *Client) send(ctx context.Context, op string, m *Metadata, to string, form url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	basic, err := c.authenticate(m, form)
	if err != nil {
		return nil, &Error{Op: op, err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, &Error{Op: op, err: err}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if basic {
		// RFC 6749 section 2.3.1: both are form-encoded first.
		req.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret))
	}
	b, err := do(c.http, req, maxAnswer)
	if err != nil {
		return nil, failure(op, b, err)
	}
	return b, nil
}

// authenticate adds what shows who we are to a form, or says that it is to be
// sent as HTTP Basic.
func (c *Client) authenticate(m *Metadata, form url.Values) (basic bool, err error) {
	method := c.method
	if method == "basic" && m.AuthMethods != nil && !slices.Contains(m.AuthMethods, "client_secret_basic") && slices.Contains(m.AuthMethods, "client_secret_post") {
		method = "post"
	}
	switch method {
	case "basic":
		return true, nil
	case "post":
		form.Set("client_secret", c.secret)
	case "private_key_jwt":
		assertion, err := c.signer.assertion(c.id, m, c.now())
		if err != nil {
			return false, fmt.Errorf("signing the client assertion: %w", err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", assertion)
	}
	form.Set("client_id", c.id)
	return false, nil
}

// failure makes an Error of what came of a request. Of the answer's body only
// the error code is kept, and only one that looks like a code.
func failure(op string, body []byte, err error) error {
	e := &Error{Op: op, err: err}
	var status statusError
	if !errors.As(err, &status) {
		return e
	}
	e.Status = int(status)
	if e.Status >= 400 && e.Status < 500 && e.Status != http.StatusTooManyRequests {
		if doc, err := value.JSON(body, value.Limits{String: maxAnswer}); err == nil {
			if code := doc.Get("error").Str(); isCode(code) {
				e.Code = code
			}
		}
	}
	return e
}

// isCode reports whether a text looks like an error code: nothing longer or
// stranger gets into a log.
func isCode(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
