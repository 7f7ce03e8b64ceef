package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

const (
	// revokedWithin is how soon a revocation must be felt.
	revokedWithin = time.Second
	streamOpen    = 1200 * time.Millisecond // how long the tour looks at the open streams
	revokedClient = "depot-hamburg"
	manifestPath  = "/v2/partner/depots/1/manifest"
	signalsPath   = "/signals/issuer"      // as in crenel.yaml
	signalsName   = "harbour-gateway"      // the audience there
	revokeReason  = "her laptop is stolen" // for the record
)

// takeBack takes good credentials back: by an operator's word, and by an event of their issuer's.
func (t *tour) takeBack(ctx context.Context) error {
	t.section("Credentials are taken back before they expire",
		"  Two customers read, and follow their parcels by an event stream. Then alice's laptop is stolen.")
	err := t.byOperator(ctx)
	if err == nil {
		err = t.byEvent(ctx)
	}
	return err
}

// following is somebody's open event stream.
type following struct {
	id    string // of the request
	ended chan time.Time
	close func()
}

// follow opens a stream and reads on until it ends.
func (t *tour) follow(ctx context.Context, token string) (*following, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.gateway.url()+"/v2/me/events", nil)
	if err != nil {
		return nil, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := *t.gateway.client
	client.Timeout = 0          // it is read for as long as it is open
	resp, err := client.Do(req) //nolint:bodyclose // by following.close
	if err != nil {
		return nil, fmt.Errorf("following parcels: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("following parcels: status %d", resp.StatusCode), resp.Body.Close())
	}
	f := &following{id: resp.Header.Get("X-Crenel-Request-Id"), ended: make(chan time.Time, 1), close: func() { _ = resp.Body.Close() }}
	go func() {
		_, _ = io.Copy(io.Discard, resp.Body) // how it ended is in the event
		f.ended <- time.Now()
	}()
	return f, nil
}

// after waits for the end of the stream, and says how long after a time it was.
func (f *following) after(began time.Time, most time.Duration) (time.Duration, bool) {
	select {
	case at := <-f.ended:
		return at.Sub(began), true
	case <-time.After(time.Until(began.Add(most))):
		return 0, false
	}
}

// byOperator revokes one token with the command.
func (t *tour) byOperator(ctx context.Context) error {
	tokens, streams := map[string]string{}, map[string]*following{}
	for _, name := range []string{"alice", "bob"} {
		account, _ := harbour.AccountNamed(name)
		token, err := t.logIn(ctx, account)
		if err != nil {
			return err
		}
		stream, err := t.follow(ctx, token)
		if err != nil {
			return err
		}
		defer stream.close()
		tokens[name], streams[name] = token, stream
	}
	wallet := func(name string) (int, string, error) {
		status, body, _, err := get(ctx, t.gateway.client, t.gateway.url()+"/v2/wallet", tokens[name])
		return status, denial(harbour.Exchange{Status: status, Body: body}), err
	}
	status, _, err := wallet("alice")
	if err != nil {
		return err
	}
	time.Sleep(streamOpen)
	_, ended := streams["alice"].after(time.Now(), 0)
	t.expect(status == http.StatusOK && !ended, "alice reads her wallet: %d; her event stream is open", status)
	began := time.Now()
	_, err = t.gateway.runWith(ctx, tokens["alice"], "revoke", "token", "--data-dir", t.gateway.dataDir(), "--reason", revokeReason)
	if err != nil {
		return err
	}
	said := time.Since(began)
	status, code, err := wallet("alice")
	if err != nil {
		return err
	}
	t.linef("    %s", t.dim("crenel revoke token --reason '"+revokeReason+"' < token    took "+round(said)))
	t.expect(status == http.StatusUnauthorized && code == "authn.revoked", "her next call, though the token is good for most of an hour more: %d %s", status, code)
	took, ended := streams["alice"].after(began, said+revokedWithin)
	t.expect(ended, "her open stream is cut, %s after the command was given", round(took))
	rec, err := record(t.gateway.events(), streams["alice"].id)
	if err != nil {
		return err
	}
	t.expect(rec.Completion.Aborted == "authn.revoked", "its event says why: crenel event %s: aborted %s", streams["alice"].id, rec.Completion.Aborted)
	status, _, err = wallet("bob")
	if err != nil {
		return err
	}
	_, ended = streams["bob"].after(time.Now(), 0)
	t.expect(status == http.StatusOK && !ended, "bob's session is untouched: %d; his stream is open", status)
	return nil
}

// byEvent has the issuer tell of a client's end by a security event.
func (t *tour) byEvent(ctx context.Context) error {
	token, err := t.tokens.Token(revokedClient, "depots:read")
	if err != nil {
		return err
	}
	manifest := func(token string) (int, string, error) {
		status, body, _, err := get(ctx, t.gateway.client, t.gateway.url()+manifestPath, token)
		return status, denial(harbour.Exchange{Status: status, Body: body}), err
	}
	status, _, err := manifest(token)
	if err != nil {
		return err
	}
	t.expect(status == http.StatusOK, "the program %s of a partner reads a manifest: %d", revokedClient, status)
	event, err := t.tokens.SessionRevoked(revokedClient, signalsName)
	if err != nil {
		return err
	}
	began := time.Now()
	status, err = t.signal(ctx, event)
	if err != nil {
		return err
	}
	t.expect(status == http.StatusAccepted, "its issuer says that the client's sessions ended (CAEP session-revoked, pushed by RFC 8935): %d", status)
	status, code, err := manifest(token)
	if err != nil {
		return err
	}
	took := time.Since(began)
	t.expect(status == http.StatusUnauthorized && code == "authn.revoked" && took < revokedWithin, "the same token, %s after the event was sent: %d %s", round(took), status, code)
	time.Sleep(time.Until(began.Truncate(time.Second).Add(time.Second))) // tokens say when they were issued in whole seconds
	token, err = t.tokens.Token(revokedClient, "depots:read")
	if err == nil {
		status, _, err = manifest(token)
	}
	if err != nil {
		return err
	}
	t.expect(status == http.StatusOK, "a token that it gets afterwards: %d", status)
	return nil
}

// signal pushes a security event to the gateway.
func (t *tour) signal(ctx context.Context, event string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.gateway.url()+signalsPath, strings.NewReader(event))
	if err != nil {
		return 0, fmt.Errorf("making a request: %w", err)
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Authorization", "Bearer "+t.signals)
	status, _, _, err := send(t.gateway.client, req)
	return status, err
}

func round(d time.Duration) string { return d.Round(time.Millisecond).String() }
