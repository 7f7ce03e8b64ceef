package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Handler is the gateway's side.
type Handler interface {
	// Status is encoded as JSON.
	Status() any
	// Reload loads the config anew. When it fails the running one stays, and the
	// error is told to whoever asked. actor is who that was, for the audit trail.
	Reload(ctx context.Context, actor string) error
}

// Verb is one more thing that a gateway can be told. args are what the client
// sent, JSON; what it returns is encoded as JSON. actor is who asks, for the audit trail.
type Verb func(ctx context.Context, actor string, args json.RawMessage) (any, error)

// Verbs is a Handler that knows more verbs than the two, by name.
type Verbs interface {
	Verbs() map[string]Verb
}

// maxArgs bounds what a client sends to a Verb.
const maxArgs = 1 << 20

// Server listens on the control socket.
type Server struct {
	path string
	log  *slog.Logger
	http *http.Server
	feed *feed
	done chan struct{}
}

// maxPath is the longest name that a unix socket can have (sun_path, less its NUL).
const maxPath = 107

// Listen makes the socket and serves on it. The folder must exist. A socket that
// a gateway left when it was killed is replaced; one that answers is not.
func Listen(path string, h Handler, log *slog.Logger) (*Server, error) {
	ln, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	s := &Server{path: path, log: log, feed: newFeed(), done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, h.Status())
	})
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		actor := r.Context().Value(peerKey{}).(peer).actor()
		if err := h.Reload(r.Context(), actor); err != nil {
			log.Warn("reload refused", "actor", actor, "error", err.Error())
			answer(w, http.StatusUnprocessableEntity, failure{err.Error()})
			return
		}
		log.Info("reloaded", "actor", actor)
		answer(w, http.StatusOK, struct{}{})
	})
	if more, ok := h.(Verbs); ok {
		for name, verb := range more.Verbs() {
			mux.HandleFunc("POST /v1/"+name, s.verb(name, verb))
		}
	}
	mux.HandleFunc("GET /v1/events", s.events)
	s.http = &http.Server{
		Handler:           authorised(mux),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			p, err := peerOf(c)
			if err != nil {
				log.Warn("control connection from an unknown peer", "error", err.Error())
				p = peer{uid: -1}
			}
			return context.WithValue(ctx, peerKey{}, p)
		},
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("control socket failed", "error", err.Error())
		}
	}()
	return s, nil
}

// verb serves a Verb. What was asked for is not logged here: it may be private.
func (s *Server) verb(name string, do Verb) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		actor := r.Context().Value(peerKey{}).(peer).actor()
		args, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxArgs))
		if err != nil {
			answer(w, http.StatusBadRequest, failure{"reading the request: " + err.Error()})
			return
		}
		out, err := do(r.Context(), actor, args)
		if err != nil {
			s.log.Warn("control refused", "verb", name, "actor", actor, "error", err.Error())
			answer(w, http.StatusUnprocessableEntity, failure{err.Error()})
			return
		}
		s.log.Info("control", "verb", name, "actor", actor)
		answer(w, http.StatusOK, out)
	}
}

// listen binds the socket where nobody else can reach it, narrows its mode, and
// then gives it its name: there is no moment in which it is open to others.
func listen(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	private, err := os.MkdirTemp(dir, ".c")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(private) }()
	hidden := filepath.Join(private, "s")
	if n := max(len(path), len(hidden)); n > maxPath {
		return nil, fmt.Errorf("%s is %d bytes too long for a socket: choose a shorter data_dir", path, n-maxPath)
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // Close removes it by its real name
	if err = os.Chmod(hidden, 0o600); err == nil {
		err = os.Rename(hidden, path)
	}
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return ln, nil
}

// ErrRunning is returned when another gateway answers on the socket.
var ErrRunning = errors.New("a gateway is already running with this data directory")

func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there and is not a socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second) //nolint:noctx // a second at most
	if err == nil {
		_ = c.Close()
		return ErrRunning
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("asking whether a gateway is running: %w", err)
	}
	return os.Remove(path)
}

// Path is the socket's.
func (s *Server) Path() string { return s.path }

// Publish sends an event to everybody who follows the feed. It never waits: a
// reader who falls behind loses events and is told how many.
func (s *Server) Publish(event any) { s.feed.publish(event) }

// Followed reports whether anybody follows the feed, so that events which nobody
// reads need not be made.
func (s *Server) Followed() bool { return s.feed.followed() }

// Close removes the socket, ends every feed and waits for the running calls, but
// not longer than ctx.
func (s *Server) Close(ctx context.Context) error {
	err := os.Remove(s.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	s.feed.close()
	if shut := s.http.Shutdown(ctx); shut != nil {
		err = errors.Join(err, shut, s.http.Close())
	}
	<-s.done
	return err
}

func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	f := s.feed.follow()
	defer s.feed.leave(f)
	w.Header().Set("Content-Type", "application/jsonl")
	rc := http.NewResponseController(w)
	if rc.Flush() != nil {
		return
	}
	for {
		select {
		case line, open := <-f.lines:
			if !open {
				return
			}
			if lost := f.lost.Swap(0); lost > 0 {
				note, _ := json.Marshal(map[string]any{"type": "lost", "count": lost})
				line = append(append(note, '\n'), line...)
			}
			if _, err := w.Write(line); err != nil || rc.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

type failure struct {
	Error string `json:"error"`
}

func answer(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}

// authorised lets in the gateway's own user and root. The socket's mode says the
// same; this holds where a file system ignores modes.
func authorised(next http.Handler) http.Handler {
	own := os.Getuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := r.Context().Value(peerKey{}).(peer); !ok || p.uid != 0 && p.uid != own {
			answer(w, http.StatusForbidden, failure{"only the gateway's own user may do this"})
			return
		}
		next.ServeHTTP(w, r)
	})
}
