package authn_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// madeUp is a token of nobody's, with a key id of its own. It is not even signed.
func madeUp(n int64) string {
	header := object{"alg": "RS256", "kid": fmt.Sprint("made-up-", n)}
	return encode(header) + "." + encode(claims(time.Now(), nil)) + "." + b64.EncodeToString(make([]byte, 256))
}

// A flood of tokens with made-up keys, each with another, runs for a minute; in the
// midst of it the issuer changes its key. The honest client with the new one is let
// in within seconds, and the issuer is asked no more than every two seconds.
func TestRotationUnderFlood(t *testing.T) {
	iss := newIssuer(rsaKey())
	iss.delay = 50 * time.Millisecond
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		before, begin := iss.fetches.Load(), time.Now()
		stop := make(chan struct{})
		var serial, refused, atOnce atomic.Int64
		var flood sync.WaitGroup
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				flood.Go(func() {
					sent := time.Now()
					want(t, ruled(t, g, madeUp(serial.Add(1))), exchange.Deny, "authn.unknown_key")
					refused.Add(1)
					if time.Since(sent) == 0 {
						atOnce.Add(1)
					}
				})
			}
		})
		var slowest time.Duration
		for turn := range 10 {
			time.Sleep(5*time.Second + time.Duration(turn)*170*time.Millisecond) // at every point between two fetches
			next := []key{p256Key(), rsaKey()}[turn%2]
			alg := []string{"ES256", "RS256"}[turn%2]
			iss.set(func(i *issuer) { i.keys = []any{next.jwk()} })
			changed := time.Now()
			// Its first call may find too many waiting; what counts is when it is let in.
			for {
				if v := ruled(t, g, fresh(next, alg)); v.Action == exchange.Allow {
					break
				}
				if time.Since(changed) > 5*time.Second {
					t.Fatalf("turn %d: the new key is not taken", turn)
				}
				time.Sleep(100 * time.Millisecond)
			}
			slowest = max(slowest, time.Since(changed))
		}
		close(stop)
		flood.Wait()
		took := time.Since(begin)
		t.Logf("%d made-up tokens refused in %s, %d of them at once; %d fetches; the new key was taken after %s at most",
			refused.Load(), took, atOnce.Load(), iss.fetches.Load()-before, slowest)
		if slowest > 2200*time.Millisecond {
			t.Errorf("the new key was taken after %s", slowest)
		}
		if n, most := iss.fetches.Load()-before, int64(took/(2*time.Second))+2; n > most {
			t.Errorf("%d fetches, at most %d should be", n, most)
		}
		if atOnce.Load() < refused.Load()/4 {
			t.Errorf("only %d of %d made-up tokens were refused at once: too many calls wait", atOnce.Load(), refused.Load())
		}
	})
}

// An honest call that comes just after a fetch for somebody else's made-up key
// waits for the next one, and is not refused.
func TestUnknownKeyWaitsForItsTurn(t *testing.T) {
	iss := newIssuer(rsaKey())
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		want(t, ruled(t, g, madeUp(1)), exchange.Deny, "authn.unknown_key")
		iss.set(func(i *issuer) { i.keys = []any{p256Key().jwk()} })
		begin := time.Now()
		want(t, ruled(t, g, fresh(p256Key(), "ES256")), exchange.Allow, "")
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it waited %s", took)
		}
	})
}

// The same made-up key again and again costs one fetch in ten seconds.
func TestSameUnknownKey(t *testing.T) {
	iss := newIssuer(rsaKey())
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		before := iss.fetches.Load()
		for range 300 {
			want(t, ruled(t, g, madeUp(7)), exchange.Deny, "authn.unknown_key")
			time.Sleep(100 * time.Millisecond)
		}
		if n := iss.fetches.Load() - before; n > 4 {
			t.Errorf("%d fetches in 30 seconds", n)
		}
	})
}

// The issuer is down: made-up keys are refused, not waited for one after the
// other, and each turn costs one try.
func TestUnknownKeyWhileIssuerIsDown(t *testing.T) {
	iss := newIssuer(rsaKey())
	world(t, iss, func(t *testing.T, g *authn.Guard) {
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		var tries atomic.Int64
		iss.set(func(i *issuer) {
			i.broken = func(string) (*http.Response, error) { tries.Add(1); return nil, errors.New("down") }
		})
		begin := time.Now()
		for n := range int64(10) {
			want(t, ruled(t, g, madeUp(n)), exchange.Deny, "authn.unknown_key")
		}
		if took := time.Since(begin); took > 20*time.Second || tries.Load() > int64(took/(2*time.Second))+7 { // and those of the background, further and further apart
			t.Errorf("%d tries in %s", tries.Load(), took)
		}
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "") // those that are known hold
	})
}

// A guard that is closed while calls wait does not keep them.
func TestCloseWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey())
		g, err := authn.New(authn.Options{API: petAPI(), Config: jwtConfig(func(j *config.JWTMethod) {}), Client: client(iss)})
		if err != nil {
			t.Fatal(err)
		}
		want(t, ruled(t, g, madeUp(1)), exchange.Deny, "authn.unknown_key")
		var calls sync.WaitGroup
		for n := range int64(200) {
			calls.Go(func() { want(t, ruled(t, g, madeUp(2+n)), exchange.Deny, "authn.unknown_key") })
		}
		time.Sleep(100 * time.Millisecond)
		g.Close()
		calls.Wait()
	})
}
