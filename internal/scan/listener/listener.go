package listener

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// What is kept of each call, and of each address.
const (
	maxBody = 16 << 10
	maxHits = 32
	maxKeys = 20_000 // addresses given out that are remembered
)

// Hit is one call that the listener got.
type Hit struct {
	When   time.Time
	Method string
	Target string // path and query
	Header http.Header
	Body   []byte // up to 16 KiB
	From   string // address and port
}

// Listener hears calls. Make one with Start.
type Listener struct {
	base string // "http://127.0.0.1:41234"
	srv  *http.Server
	done chan struct{}
	// names answers lookups; nil: nobody does.
	names *names

	mu   sync.Mutex
	keys map[string]*mailbox
	ring []string // keys, the oldest first
}

type mailbox struct {
	hits    []Hit
	heard   chan struct{} // closed at the first hit
	handler http.Handler

	lookups int
	seen    []Hit
	sought  chan struct{} // closed at the first lookup of the name
}

// Start listens. address is "127.0.0.1:0" unless the target runs elsewhere;
// public is the URL at which the target reaches it, "" for the address itself.
func Start(address, public string) (*Listener, error) {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for calls of the target at %s: %w", address, err)
	}
	l := &Listener{base: "http://" + ln.Addr().String(), keys: map[string]*mailbox{}, done: make(chan struct{})}
	if public != "" {
		u, err := url.Parse(public)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			_ = ln.Close()
			return nil, fmt.Errorf("the listener's public address %q should be like http://host:port", public)
		}
		l.base = strings.TrimRight(public, "/")
	}
	l.srv = &http.Server{
		Handler: http.HandlerFunc(l.serve), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go func() {
		defer close(l.done)
		_ = l.srv.Serve(sorted(ln, l.ldap, l.jrmp))
	}()
	return l, nil
}

// Close ends it.
func (l *Listener) Close() error {
	err := l.srv.Close()
	<-l.done
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	if l.names != nil {
		err = errors.Join(err, l.names.close())
	}
	return err
}

// Base is where it listens: "http://127.0.0.1:41234".
func (l *Listener) Base() string { return l.base }

// Address is a new address of one path segment, which nobody can guess.
func (l *Listener) Address() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	key := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[key] = &mailbox{heard: make(chan struct{}), sought: make(chan struct{})}
	l.ring = append(l.ring, key)
	if len(l.ring) > maxKeys {
		delete(l.keys, l.ring[0])
		l.ring = l.ring[1:]
	}
	return l.base + "/" + key
}

// Answer says what callers of an address get; without it, 200 and a few words.
func (l *Listener) Answer(address string, h http.Handler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.keys[l.key(address)]; m != nil {
		m.handler = h
	}
}

// Called waits until somebody calls an address, at most so long.
func (l *Listener) Called(ctx context.Context, address string, within time.Duration) bool {
	l.mu.Lock()
	m := l.keys[l.key(address)]
	l.mu.Unlock()
	if m == nil {
		return false
	}
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-m.heard:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// Hits are the calls that an address got so far.
func (l *Listener) Hits(address string) []Hit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.keys[l.key(address)]; m != nil {
		return append([]Hit(nil), m.hits...)
	}
	return nil
}

// key is the first path segment of an address.
func (l *Listener) key(address string) string {
	path := strings.TrimPrefix(address, l.base)
	path = strings.TrimPrefix(path, "/")
	key, _, _ := strings.Cut(path, "/")
	key, _, _ = strings.Cut(key, "?")
	return strings.ToLower(key)
}

func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody))
	hit := Hit{When: time.Now(), Method: r.Method, Target: r.URL.RequestURI(), Header: r.Header.Clone(), Body: body, From: r.RemoteAddr}
	l.mu.Lock()
	m := l.keys[l.key(r.URL.Path)]
	var h http.Handler
	if m != nil {
		if len(m.hits) == 0 {
			close(m.heard)
		}
		if len(m.hits) < maxHits {
			m.hits = append(m.hits, hit)
		}
		h = m.handler
	}
	l.mu.Unlock()
	switch {
	case m == nil:
		http.NotFound(w, r)
	case h != nil:
		h.ServeHTTP(w, r)
	case l.hostile(w, r):
	default:
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "heard\n")
	}
}
