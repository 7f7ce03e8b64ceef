package introspection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

const (
	jsonType   = "application/json"
	signedType = "application/token-introspection+jwt"
	maxAnswer  = 64 << 10
)

// limits of an answer: it is the server's, and is still read as a stranger's.
var limits = value.Limits{Depth: 16, Nodes: 4096, Keys: 512, Items: 4096, String: maxAnswer}

type reply struct {
	mediaType string
	body      []byte
}

// send asks the server about a token (RFC 7662 section 2.1).
func (i *Introspector[T]) send(ctx context.Context, to, token string) (*reply, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	header := http.Header{"Accept": {jsonType}, "Content-Type": {"application/x-www-form-urlencoded"}}
	if i.cfg.Signed {
		header["Accept"] = []string{signedType}
	}
	audience := i.cfg.Issuer
	if audience == "" {
		audience = to
	}
	if err := i.prove(header, form, audience, i.opt.Now()); err != nil {
		return nil, fmt.Errorf("authenticating to the server: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, errors.New("the endpoint's URL is not one")
	}
	req.Header = header
	res, err := i.opt.Client.Do(req)
	if err != nil {
		// The URL in a *url.Error is the endpoint's; the token is in the body.
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, res.Body, maxAnswer)
		if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
			return nil, fmt.Errorf("the server answered with status %d (it does not accept this gateway's own credentials: see auth)", res.StatusCode)
		}
		err = fmt.Errorf("the server answered with status %d", res.StatusCode)
		if res.StatusCode != http.StatusTooManyRequests {
			err = answered{err}
		}
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, answered{fmt.Errorf("the answer is larger than %d bytes", maxAnswer)}
	}
	mediaType, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		mediaType = ""
	}
	return &reply{mediaType, body}, nil
}

// read takes the claims of an active token from an answer.
func (i *Introspector[T]) read(ctx context.Context, r *reply) (*value.Value, error) {
	doc, err := i.document(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, answered{err})
	}
	active := doc.Get("active")
	switch {
	case active == nil || active.Kind != value.Bool:
		return nil, fmt.Errorf(`%w: its answer has no boolean "active" (RFC 7662 section 2.2)`, ErrUnavailable)
	case active.Text != "true":
		return nil, ErrInactive
	}
	return doc, nil
}

func (i *Introspector[T]) document(ctx context.Context, r *reply) (*value.Value, error) {
	if i.cfg.Signed {
		if r.mediaType != signedType {
			return nil, fmt.Errorf("the answer is not signed: its type is %q, not %s (RFC 9701)", r.mediaType, signedType)
		}
		claims, err := i.opt.Verify(ctx, string(r.body))
		if err != nil {
			return nil, fmt.Errorf("the signed answer does not hold: %w", err)
		}
		// RFC 9701 section 5: the answer is for this resource server.
		if !names(claims.Get("aud"), i.cfg.Auth.ClientID) {
			return nil, errors.New("the signed answer is for somebody else")
		}
		inner := claims.Get("token_introspection")
		if inner == nil || inner.Kind != value.Object {
			return nil, errors.New("the signed answer has no token_introspection")
		}
		return inner, nil
	}
	if r.mediaType != jsonType {
		return nil, fmt.Errorf("the answer's type is %q, not %s", r.mediaType, jsonType)
	}
	doc, err := value.JSON(r.body, limits)
	if err != nil {
		var e *value.Error
		if errors.As(err, &e) {
			// The detail could quote what the server knows of the caller.
			return nil, errors.New("the answer is not strict JSON: " + string(e.Fault))
		}
		return nil, errors.New("the answer is not JSON")
	}
	if doc.Kind != value.Object {
		return nil, errors.New("the answer is not a JSON object")
	}
	return doc, nil
}

// names reports whether an aud names somebody.
func names(aud *value.Value, who string) bool {
	if aud == nil {
		return false
	}
	if aud.Kind == value.Array {
		for k := range aud.Kids {
			if aud.Kids[k].Str() == who {
				return true
			}
		}
		return false
	}
	return aud.Str() == who
}
