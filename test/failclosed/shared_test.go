package failclosed

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
)

// nowhere is shared state at an address where nobody is.
func nowhere(s *stand) state.Store {
	r, err := state.OpenRedis(state.RedisOptions{URL: "redis://127.0.0.1:1", Prefix: "t", Timeout: 50 * time.Millisecond})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// aged is a state whose views have been out of touch.
type aged struct {
	state.Store
	by time.Duration
}

type agedView struct {
	state.View
	by time.Duration
}

func (a aged) View(ctx context.Context, set string) (state.View, error) {
	v, err := a.Store.View(ctx, set)
	return agedView{v, a.by}, err
}

func (v agedView) Stale() time.Duration { return v.by }

func outOfTouch(*stand) state.Store { return aged{state.NewMemory(nil), 31 * time.Second} }

// revokedMidway is an upstream whose caller is revoked while it answers.
func revokedMidway(kind string) (func(*stand) state.Store, func(http.ResponseWriter, *http.Request) error) {
	var shared state.Store
	open := func(*stand) state.Store {
		shared = state.NewMemory(nil)
		return shared
	}
	return open, func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", kind)
		begin, revoked := time.Now(), false
		for time.Since(begin) < 10*time.Second {
			if _, err := io.WriteString(w, "data: x\n\n"); err != nil {
				return err
			}
			if !revoked {
				revoked = true
				// Whoever the stand's token is of.
				if err := revocation.Put(r.Context(), shared, revocation.ForSubject("https://issuer.test", "alice"), revocation.Entry{}, time.Time{}); err != nil {
					return err
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}
}

// streamRow is the row of a stream that is cut.
func streamRow(what, kind string) *row {
	open, upstream := revokedMidway(kind)
	return &row{what: what, state: open, upstream: upstream, status: 200, code: "authn.revoked", called: true, cut: true}
}

var sharedState = []*row{
	{what: "the shared state was never reached", setting: "state.redis", state: nowhere, status: 503, code: "authn.unavailable"},
	{what: "the shared state has been out of touch for longer than allowed", setting: "state.max_age", state: outOfTouch, status: 503, code: "authn.unavailable"},
	streamRow("the caller of an open event stream is revoked", "text/event-stream"),
	streamRow("the caller of a long answer is revoked", "application/octet-stream"),
}
