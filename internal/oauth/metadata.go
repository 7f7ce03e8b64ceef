package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/value"
)

// How metadata is kept.
const (
	metadataFresh  = 10 * time.Minute // then asked for anew, beside the request that finds it old
	metadataMaxAge = 24 * time.Hour   // of the last good one, while the issuer cannot be asked
	metadataRetry  = time.Second      // between tries that failed
	maxDocument    = 1 << 20
)

// Metadata is what an authorization server says of itself (OpenID Connect
// Discovery 1.0 section 3, RFC 8414 section 2). Endpoints that it lacks are "".
type Metadata struct {
	Issuer        string
	Authorization string
	Token         string
	Userinfo      string
	EndSession    string
	Revocation    string
	PushedRequest string
	JWKS          string
	// RequiresPAR: authorization requests are taken over the back channel alone (RFC 9126 section 5).
	RequiresPAR bool
	// IssParameter: every authorization response names the issuer (RFC 9207 section 3).
	IssParameter bool
	AuthMethods  []string // nil: not said
	AuthAlgs     []string
	Challenges   []string // code_challenge_methods_supported
}

// provider has one issuer's metadata. It is safe for concurrent use.
type provider struct {
	issuer string
	client *http.Client // follows few redirects, to trustworthy places alone
	wait   time.Duration
	now    func() time.Time
	mutual bool // the client shows a certificate

	mu      sync.Mutex
	last    *Metadata
	at      time.Time // when last was fetched
	tried   time.Time
	failure error
	flight  chan struct{}
	closed  bool

	ctx  context.Context //nolint:containedctx // the life of fetches, which close ends
	stop context.CancelFunc
	wg   sync.WaitGroup
}

var errClosed = errors.New("the client is closed")

func newProvider(issuer string, client *http.Client, wait time.Duration, now func() time.Time) *provider {
	p := &provider{issuer: issuer, client: client, wait: wait, now: now}
	p.ctx, p.stop = context.WithCancel(context.Background())
	return p
}

func (p *provider) close() {
	p.mu.Lock()
	p.closed = true // from here on nothing is begun that Wait would miss
	p.mu.Unlock()
	p.stop()
	p.wg.Wait()
}

// metadata returns the last good metadata, fetched anew where it is too old.
func (p *provider) metadata(ctx context.Context) (*Metadata, error) {
	p.mu.Lock()
	now := p.now()
	age := now.Sub(p.at)
	if p.last != nil && age < metadataFresh {
		defer p.mu.Unlock()
		return p.last, nil
	}
	flight := p.flight
	if flight == nil && !p.closed {
		if since := now.Sub(p.tried); p.tried.IsZero() || since < 0 || since >= metadataRetry {
			p.tried = now
			flight = make(chan struct{})
			p.flight = flight
			p.wg.Add(1)
			go p.fly(flight)
		}
	}
	last, failure := p.last, p.failure
	p.mu.Unlock()
	if last != nil && age < metadataMaxAge {
		return last, nil
	}
	if flight == nil {
		if failure == nil {
			failure = &Error{Op: "discovery", err: errClosed}
		}
		return nil, failure
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return nil, &Error{Op: "discovery", err: ctx.Err()}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil {
		return nil, p.failure
	}
	return p.last, nil
}

// fly is the one running fetch.
func (p *provider) fly(done chan struct{}) {
	defer p.wg.Done()
	ctx, cancel := context.WithTimeout(p.ctx, p.wait)
	defer cancel()
	m, err := p.fetch(ctx)
	p.mu.Lock()
	p.failure, p.flight = nil, nil
	if err != nil {
		p.failure = &Error{Op: "discovery", err: err}
	} else {
		p.last, p.at = m, p.now()
	}
	p.mu.Unlock()
	close(done)
}

// state says why there is no metadata to go by, nil when there is or nobody has
// asked for it yet.
func (p *provider) state() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != nil && p.now().Sub(p.at) < metadataMaxAge {
		return nil
	}
	return p.failure
}

// fetch asks the two places where metadata may be.
func (p *provider) fetch(ctx context.Context) (*Metadata, error) {
	u, err := url.Parse(p.issuer)
	if err != nil {
		return nil, fmt.Errorf("the issuer's URL: %w", err)
	}
	first := strings.TrimSuffix(p.issuer, "/") + "/.well-known/openid-configuration"
	m, err := p.document(ctx, first)
	var status statusError
	if errors.As(err, &status) && status == http.StatusNotFound {
		second := *u
		second.Path = "/.well-known/oauth-authorization-server" + strings.TrimSuffix(u.Path, "/")
		return p.document(ctx, second.String())
	}
	return m, err
}

func (p *provider) document(ctx context.Context, from string) (*Metadata, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	b, err := do(p.client, req, maxDocument)
	if err != nil {
		return nil, err
	}
	doc, err := value.JSON(b, value.Limits{String: maxDocument})
	if err != nil || doc.Kind != value.Object {
		return nil, errors.New("the metadata is not a JSON object")
	}
	return p.parse(doc)
}

func (p *provider) parse(doc *value.Value) (*Metadata, error) {
	m := &Metadata{
		Issuer:        doc.Get("issuer").Str(),
		Authorization: doc.Get("authorization_endpoint").Str(),
		Token:         doc.Get("token_endpoint").Str(),
		Userinfo:      doc.Get("userinfo_endpoint").Str(),
		EndSession:    doc.Get("end_session_endpoint").Str(),
		Revocation:    doc.Get("revocation_endpoint").Str(),
		PushedRequest: doc.Get("pushed_authorization_request_endpoint").Str(),
		JWKS:          doc.Get("jwks_uri").Str(),
		RequiresPAR:   isTrue(doc.Get("require_pushed_authorization_requests")),
		IssParameter:  isTrue(doc.Get("authorization_response_iss_parameter_supported")),
		AuthMethods:   texts(doc.Get("token_endpoint_auth_methods_supported")),
		AuthAlgs:      texts(doc.Get("token_endpoint_auth_signing_alg_values_supported")),
		Challenges:    texts(doc.Get("code_challenge_methods_supported")),
	}
	if p.mutual {
		// RFC 8705 section 5: where clients with certificates go.
		alias := doc.Get("mtls_endpoint_aliases")
		for name, at := range map[string]*string{
			"token_endpoint": &m.Token, "userinfo_endpoint": &m.Userinfo, "revocation_endpoint": &m.Revocation, "pushed_authorization_request_endpoint": &m.PushedRequest,
		} {
			if to := alias.Get(name).Str(); to != "" {
				*at = to
			}
		}
	}
	// Otherwise one issuer could send us, with the user's code, to another's token
	// endpoint (RFC 8414 section 6.2, RFC 9700 section 4.4).
	if m.Issuer != p.issuer {
		return nil, errors.New("the metadata is of another issuer than the one that was asked")
	}
	if m.Token == "" {
		return nil, errors.New("the metadata names no token endpoint")
	}
	for name, at := range map[string]string{
		"authorization_endpoint": m.Authorization, "token_endpoint": m.Token, "userinfo_endpoint": m.Userinfo, "end_session_endpoint": m.EndSession,
		"revocation_endpoint": m.Revocation, "pushed_authorization_request_endpoint": m.PushedRequest,
	} {
		if at == "" {
			continue
		}
		if u, err := url.Parse(at); err != nil || !Trustworthy(u) || u.Fragment != "" {
			return nil, errors.New(name + " is neither https nor on this machine")
		}
	}
	return m, nil
}

func isTrue(v *value.Value) bool { return v != nil && v.Kind == value.Bool && v.Text == "true" }

func texts(v *value.Value) []string {
	if v == nil || v.Kind != value.Array {
		return nil
	}
	out := make([]string, 0, len(v.Kids))
	for i := range v.Kids {
		out = append(out, v.Kids[i].Str())
	}
	return out
}
