package main

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/issuer"
)

// What the gateway is configured with, so that the binary can be run anywhere.
//
//go:embed crenel.yaml policies expected.yaml
var files embed.FS

// stage is Harbour, the issuer and the gateway in front.
type stage struct {
	dir     string
	secret  string // Harbour's key for session tokens
	signals string // with which the issuer may send security events to the gateway
	tokens  *issuer.Issuer
	issuer  *loopback
	harbour *loopback
	running []*harbour.Server // those that are to be closed
	api     *harbour.Server   // the one that is served
	gateway *gateway
	// straight reaches Harbour itself.
	straight *http.Client
}

// newStage starts everything. What was started is in the stage even when it
// fails, for the caller to close.
func newStage(ctx context.Context, crenel string) (*stage, error) {
	s := &stage{straight: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	var err error
	s.dir, err = os.MkdirTemp("", "crenel-demo-")
	if err != nil {
		return s, fmt.Errorf("making the demo's directory: %w", err)
	}
	err = s.writeFiles(s.dir)
	if err != nil {
		return s, err
	}
	for _, secret := range []*string{&s.secret, &s.signals} {
		var random [32]byte
		if _, err := rand.Read(random[:]); err != nil {
			return s, fmt.Errorf("making keys: %w", err)
		}
		*secret = hex.EncodeToString(random[:])
	}
	s.issuer, err = newLoopback(http.NotFoundHandler())
	if err != nil {
		return s, err
	}
	s.tokens, err = issuer.New(s.issuer.url(), time.Now)
	if err != nil {
		return s, err
	}
	s.issuer.serve(s.tokens)
	s.harbour, err = newLoopback(http.NotFoundHandler())
	if err != nil {
		return s, err
	}
	s.gateway, err = newGateway(crenel, s.dir, s.environment()...)
	if err != nil {
		return s, err
	}
	return s, s.gateway.start(ctx)
}

// environment is what crenel.yaml takes from there.
func (s *stage) environment() []string {
	return []string{
		"HARBOUR_URL=" + s.harbour.url(), "HARBOUR_ISSUER=" + s.issuer.url(),
		"HARBOUR_JWT_SECRET=" + s.secret, "HARBOUR_SIGNALS_TOKEN=" + s.signals,
	}
}

// writeFiles lays out the config as it lies in the repository.
func (s *stage) writeFiles(dir string) error {
	err := os.CopyFS(dir, files)
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "harbour"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "harbour", "openapi.yaml"), harbour.Spec(), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the gateway's config: %w", err)
	}
	return nil
}

// open puts a Harbour behind the gateway, with all holes open and fresh data.
func (s *stage) open(opts harbour.Options) error {
	api, err := s.newHarbour(opts)
	if err == nil {
		s.api = api
		s.harbour.serve(api)
	}
	return err
}

func (s *stage) newHarbour(opts harbour.Options) (*harbour.Server, error) {
	opts.Holes, opts.JWTSecret = harbour.HoleIDs(), []byte(s.secret)
	opts.Issuer, opts.JWKS = s.issuer.url(), s.tokens.Keys
	api, err := harbour.New(opts)
	if err != nil {
		return nil, err
	}
	s.running = append(s.running, api)
	return api, nil
}

// accessToken is what a partner's program gets from the issuer.
func (s *stage) accessToken(_ context.Context, client string, scopes []string) (string, error) {
	return s.tokens.Token(client, scopes...)
}

// close ends all that was started and removes what was written.
func (s *stage) close() error {
	errs := []error{s.gateway.stop(), s.harbour.stop(), s.issuer.stop()}
	for _, api := range s.running {
		errs = append(errs, api.Close())
	}
	if s.straight != nil {
		s.straight.CloseIdleConnections()
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// from makes a client whose calls come from an address, as a load balancer in
// front of the gateway would report it.
func from(client *http.Client, address string) *http.Client {
	own := *client
	own.Transport = sender{address, client.Transport}
	return &own
}

type sender struct {
	address string
	next    http.RoundTripper
}

func (s sender) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", s.address)
	return s.next.RoundTrip(r)
}
