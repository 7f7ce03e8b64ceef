package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/issuer"
)

var errNotLoopback = errors.New("what is vulnerable on purpose listens on loopback only")

// serve runs until the context ends.
func serve(ctx context.Context, f *flags, log *slog.Logger, out io.Writer) error {
	opts, err := options(f, log)
	if err != nil {
		return err
	}
	var running []*http.Server
	defer func() {
		for _, s := range running {
			_ = s.Close() // after Shutdown, only what would not end
		}
	}()
	failed := make(chan error, 2)
	if f.issuerListen != "" {
		ln, err := listen(f.issuerListen)
		if err != nil {
			return err
		}
		opts.Issuer = "http://" + ln.Addr().String()
		tokens, err := issuer.New(opts.Issuer, time.Now)
		if err != nil {
			return errors.Join(err, ln.Close())
		}
		opts.JWKS = tokens.Keys
		running = append(running, start(ln, tokens, failed))
		fmt.Fprintf(out, "The sample issuer listens on %s (keys at /jwks.json, tokens at /token).\n", opts.Issuer)
	}
	api, err := harbour.New(opts)
	if err != nil {
		return fmt.Errorf("making Harbour: %w", err)
	}
	defer func() {
		if err := api.Close(); err != nil {
			log.Warn("closing Harbour", "error", err)
		}
	}()
	ln, err := listen(f.listen)
	if err != nil {
		return err
	}
	running = append(running, start(ln, api, failed))
	fmt.Fprintf(out, "Harbour listens on http://%s.\n", ln.Addr())
	if len(opts.Holes) > 0 {
		fmt.Fprintf(out, "WARNING: %d holes are open. One of them may run commands of whoever can reach this port.\n", len(opts.Holes))
	}
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for _, s := range running {
		err = errors.Join(err, s.Shutdown(stop))
	}
	return err
}

func options(f *flags, log *slog.Logger) (harbour.Options, error) {
	opts := harbour.Options{
		DB: f.db, Seed: f.seed, Residents: f.residents, PasswordRounds: f.passwordRounds, Logger: log,
		Issuer: f.issuer, Audience: f.audience, WebhookAllow: f.webhookAllow, PartnerURL: f.partner,
	}
	var err error
	opts.Holes, err = harbour.ParseHoles(f.holes)
	if err != nil {
		return opts, fmt.Errorf("--holes: %w", err)
	}
	if f.secretFile != "" {
		raw, err := os.ReadFile(f.secretFile)
		if err != nil {
			return opts, fmt.Errorf("--jwt-secret-file: %w", err)
		}
		opts.JWTSecret = bytes.TrimSpace(raw)
	}
	if (f.issuer == "") != (f.jwks == "") {
		return opts, errors.New("--issuer and --jwks go together")
	}
	if f.issuer != "" && f.issuerListen != "" {
		return opts, errors.New("--issuer names an issuer and --issuer-listen runs one; give one of them")
	}
	if f.jwks != "" {
		opts.JWKS = keysFrom(f.jwks)
	}
	return opts, nil
}

func listen(address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("listening on %s: %w", address, errNotLoopback)
	}
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", address, err)
	}
	return ln, nil
}

func start(ln net.Listener, h http.Handler, failed chan<- error) *http.Server {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	if api, ok := h.(*harbour.Server); ok {
		s.RegisterOnShutdown(api.EndStreams)
	}
	go func() {
		err := s.Serve(ln)
		if !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving on %s: %w", ln.Addr(), err)
		}
	}()
	return s
}

// keysLife is how long fetched keys are used before they are fetched again.
const keysLife = 5 * time.Minute

// keysFrom reads a JWK set from a file or a URL, and again from time to time.
func keysFrom(where string) func(context.Context) (jwk.Set, error) {
	var (
		mu      sync.Mutex
		keys    jwk.Set
		fetched time.Time
	)
	return func(ctx context.Context) (jwk.Set, error) {
		mu.Lock()
		defer mu.Unlock()
		if keys != nil && time.Since(fetched) < keysLife {
			return keys, nil
		}
		raw, err := readKeys(ctx, where)
		if err != nil {
			return nil, fmt.Errorf("reading keys from %s: %w", where, err)
		}
		set, err := jwk.Parse(raw)
		if err != nil {
			return nil, fmt.Errorf("decoding keys from %s: %w", where, err)
		}
		keys, fetched = set, time.Now()
		return keys, nil
	}
}

func readKeys(ctx context.Context, where string) ([]byte, error) {
	if !strings.HasPrefix(where, "http://") && !strings.HasPrefix(where, "https://") {
		return os.ReadFile(where)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}
