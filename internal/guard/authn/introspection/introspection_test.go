package introspection_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/introspection"
	"github.com/crenel-project/crenel/internal/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stand is an Introspector whose server knows the token good and fails on the
// token bad.
type stand struct {
	*introspection.Introspector[string]
	asked atomic.Int32
	now   atomic.Int64 // seconds since 1970
	hold  sync.RWMutex // the server answers when it can be had
}

func newStand(t *testing.T) *stand {
	t.Helper()
	s := &stand{}
	s.now.Store(1_000_000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		s.hold.RLock()
		defer s.hold.RUnlock()
		if id, secret, ok := r.BasicAuth(); !ok || id != "crenel" || secret != "s3cret" || r.Method != http.MethodPost {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		switch token := r.FormValue("token"); token {
		case "bad":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"active": %t, "sub": "alice"}`, token == "good")
		}
	}))
	t.Cleanup(server.Close)
	client := server.Client()
	var err error
	s.Introspector, err = introspection.New(introspection.Options[string]{
		Config: config.Introspection{URL: server.URL, Concurrent: 2, Auth: config.ClientAuth{Method: "basic", ClientID: "crenel", ClientSecret: config.NewSecret("s3cret")}},
		Read: func(_, _ string, claims *value.Value) (string, time.Time, error) {
			return claims.Get("sub").Str(), time.Time{}, nil
		},
		Client: client, Now: func() time.Time { return time.Unix(s.now.Load(), 0) }, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *stand) ask(t *testing.T, token string, want error, questions int32) {
	t.Helper()
	before := s.asked.Load()
	who, err := s.Ask(t.Context(), "key of "+token, token)
	if want == nil && (err != nil || who != "alice") || want != nil && !errors.Is(err, want) {
		t.Errorf("%s: %q, %v; want %v", token, who, err, want)
	}
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error holds a secret: %v", err)
	}
	if n := s.asked.Load() - before; n != questions {
		t.Errorf("%s: %d questions, want %d", token, n, questions)
	}
}

func TestAskRemembers(t *testing.T) {
	s := newStand(t)
	s.ask(t, "good", nil, 1)
	s.ask(t, "good", nil, 0)
	s.ask(t, "gone", introspection.ErrInactive, 1)
	s.ask(t, "gone", introspection.ErrInactive, 0)
	s.now.Add(11) // a refusal is forgotten sooner than an answer
	s.ask(t, "good", nil, 0)
	s.ask(t, "gone", introspection.ErrInactive, 1)
	s.now.Add(60)
	s.ask(t, "good", nil, 1)
	s.ask(t, "bad", introspection.ErrUnavailable, 1)
	if err := s.Ready(); err != nil {
		t.Errorf("one unknown token that the server fails on is taken for an outage: %v", err)
	}
}

// Many calls with one token ask once; who goes away while he waits is told that
// nothing is known.
func TestAskTogether(t *testing.T) {
	s := newStand(t)
	s.hold.Lock()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if who, err := s.Ask(t.Context(), "key", "good"); err != nil || who != "alice" {
				t.Errorf("%q, %v", who, err)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); s.asked.Load() == 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Ask(ctx, "key", "good"); !errors.Is(err, introspection.ErrUnavailable) {
		t.Errorf("a caller who goes away: %v", err)
	}
	s.hold.Unlock()
	wg.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d questions about one token", n)
	}
}

func TestClosedAsksNoMore(t *testing.T) {
	s := newStand(t)
	s.ask(t, "good", nil, 1)
	s.Close()
	s.ask(t, "good", nil, 0) // it is remembered
	s.ask(t, "other", introspection.ErrUnavailable, 0)
}
