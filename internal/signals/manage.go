package signals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/oauth"
)

// Management talks to a transmitter's own endpoints (SSF 1.0 section 7): its
// streams, their subjects, verification.
type Management struct {
	cfg    *config.Transmitter
	client *http.Client
	meta   *metadata
}

// metadata is what a transmitter publishes of itself.
type metadata struct {
	Issuer        string `json:"issuer"`
	Configuration string `json:"configuration_endpoint"`
	Verification  string `json:"verification_endpoint"`
	AddSubject    string `json:"add_subject_endpoint"`
	RemoveSubject string `json:"remove_subject_endpoint"`
}

const maxAnswer = 1 << 20

// Manage finds a transmitter's endpoints. client may be nil.
func Manage(ctx context.Context, c *config.Transmitter, client *http.Client) (*Management, error) {
	if client == nil {
		client = newClient()
	}
	m := &Management{cfg: c, client: client}
	from, err := authn.SignalsMetadata(c.Issuer)
	if err != nil {
		return nil, err
	}
	m.meta = &metadata{}
	if err := m.call(ctx, http.MethodGet, from, nil, m.meta); err != nil {
		return nil, fmt.Errorf("asking for the transmitter's metadata: %w", err)
	}
	if m.meta.Issuer != c.Issuer {
		return nil, fmt.Errorf("the metadata at %s is of another issuer: %q", from, shorten(m.meta.Issuer, 200))
	}
	return m, nil
}

// Close lets go of idle connections.
func (m *Management) Close() { m.client.CloseIdleConnections() }

func (m *Management) endpoint(name, at string) (string, error) {
	if at == "" {
		return "", fmt.Errorf("the transmitter has no %s_endpoint: it does not offer this", name)
	}
	// The transmitter's token must not leave in the clear.
	if u, err := url.Parse(at); err != nil || !oauth.Trustworthy(u) {
		return "", fmt.Errorf("the transmitter's %s_endpoint %q is neither https nor on this machine", name, shorten(at, 200))
	}
	return at, nil
}

// Streams returns the receiver's streams as the transmitter has them.
func (m *Management) Streams(ctx context.Context) ([]json.RawMessage, error) {
	at, err := m.endpoint("configuration", m.meta.Configuration)
	if err != nil {
		return nil, err
	}
	var raw json.RawMessage
	if err := m.call(ctx, http.MethodGet, at, nil, &raw); err != nil {
		return nil, fmt.Errorf("asking for the streams: %w", err)
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		return list, nil
	}
	return []json.RawMessage{raw}, nil // transmitters of one stream
}

// StreamID is the id of the receiver's one stream.
func (m *Management) StreamID(ctx context.Context) (string, error) {
	list, err := m.Streams(ctx)
	if err != nil {
		return "", err
	}
	var ids []string
	for _, raw := range list {
		var s struct {
			ID string `json:"stream_id"`
		}
		if json.Unmarshal(raw, &s) == nil && s.ID != "" {
			ids = append(ids, s.ID)
		}
	}
	switch len(ids) {
	case 0:
		return "", errors.New("the transmitter has no stream for this receiver: crenel signals create")
	case 1:
		return ids[0], nil
	}
	return "", fmt.Errorf("the transmitter has %d streams for this receiver: choose one with --stream (%v)", len(ids), ids)
}

// Create makes a stream: pushed to a URL, or polled when it is "". It asks for
// every event of which something comes.
func (m *Management) Create(ctx context.Context, push string) (json.RawMessage, error) {
	at, err := m.endpoint("configuration", m.meta.Configuration)
	if err != nil {
		return nil, err
	}
	delivery := map[string]any{"method": "urn:ietf:rfc:8936"}
	if push != "" {
		if m.cfg.Push == nil {
			return nil, fmt.Errorf("%s has no push in the config: nothing would listen", m.cfg.Name)
		}
		delivery = map[string]any{"method": "urn:ietf:rfc:8935", "endpoint_url": push, "authorization_header": "Bearer " + m.cfg.Push.Token.Reveal()}
	}
	var wanted []string
	for kind, what := range effects {
		if what != record && what != verified && what != updated {
			wanted = append(wanted, kind)
		}
	}
	var out json.RawMessage
	err = m.call(ctx, http.MethodPost, at, map[string]any{"delivery": delivery, "events_requested": wanted, "description": "Crenel"}, &out)
	if err != nil {
		return nil, fmt.Errorf("creating the stream: %w", err)
	}
	return out, nil
}

// Verify asks for a verification event with a state.
func (m *Management) Verify(ctx context.Context, stream, state string) error {
	at, err := m.endpoint("verification", m.meta.Verification)
	if err != nil {
		return err
	}
	if err := m.call(ctx, http.MethodPost, at, map[string]any{"stream_id": stream, "state": state}, nil); err != nil {
		return fmt.Errorf("asking for verification: %w", err)
	}
	return nil
}

// Subject adds a subject to a stream, or removes it.
func (m *Management) Subject(ctx context.Context, stream string, subject map[string]string, remove bool) error {
	name, at := "add_subject", m.meta.AddSubject
	body := map[string]any{"stream_id": stream, "subject": subject}
	if remove {
		name, at = "remove_subject", m.meta.RemoveSubject
	} else {
		body["verified"] = true
	}
	at, err := m.endpoint(name, at)
	if err != nil {
		return err
	}
	if err := m.call(ctx, http.MethodPost, at, body, nil); err != nil {
		return fmt.Errorf("changing the stream's subjects: %w", err)
	}
	return nil
}

// call sends one request. Its answer is read into out, unless that is nil.
func (m *Management) call(ctx context.Context, method, at string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if m.meta != nil && m.meta.Issuer != "" && !m.cfg.Token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+m.cfg.Token.Reveal())
	}
	res, err := m.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		var f failure
		_ = json.Unmarshal(data, &f)
		return fmt.Errorf("the transmitter answered %s %s", res.Status, shorten(f.Err+" "+f.Description, 200))
	}
	if out == nil {
		return nil
	}
	if m.cfg.Push != nil {
		// A stream that is shown holds what the transmitter authenticates itself by.
		data = bytes.ReplaceAll(data, []byte(m.cfg.Push.Token.Reveal()), []byte("[redacted]"))
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("the transmitter's answer is not JSON: %w", err)
	}
	return nil
}
