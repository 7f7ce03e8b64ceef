package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/traffic"
)

const (
	daySeed = 1
	// How much of the day is played: the night and the early morning, and of the
	// office, which sleeps then, the forenoon too.
	dayUntil    = 7 * time.Hour
	officeUntil = 12 * time.Hour
)

func honestCalls() []traffic.Call {
	return slices.DeleteFunc(traffic.Head(traffic.Day(daySeed), officeUntil), func(c traffic.Call) bool {
		return c.At >= dayUntil && c.Kind != "office"
	})
}

// honest plays the first hours of an honest day twice, straight and through the
// gateway, each against a Harbour of its own with the same data.
func (t *tour) honest(ctx context.Context) (err error) {
	calls := honestCalls()
	t.section(fmt.Sprintf("%d honest calls, straight and through the gateway", len(calls)),
		"  The first hours of a day: customers, couriers with scanners, the office, partners' programs, visitors;",
		"  with names like O'Brien and D'Angelo, remarks like \"drop it at the table -- thanks\", and honest mistakes.")
	day := harbour.Options{Seed: daySeed, Residents: traffic.Residents, PasswordRounds: 10, HTTPClient: &http.Client{Transport: offline{}}}
	twin, err := t.newHarbour(day)
	if err != nil {
		return err
	}
	reference, err := newLoopback(twin)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reference.stop()) }()
	err = t.open(day)
	if err != nil {
		return err
	}
	straight, err := t.play(ctx, calls, reference.url(), t.straight)
	if err != nil {
		return err
	}
	through, err := t.play(ctx, calls, t.gateway.url(), t.gateway.client)
	if err != nil {
		return err
	}
	kinds, same, shown := map[string]int{}, 0, 0
	statuses := map[int]int{}
	for key, x := range straight {
		kinds[x.call.Kind]++
		y, sent := through[key]
		statuses[y.status/100*100]++
		switch {
		case sent && y.status == x.status:
			same++
			continue
		case !sent: // it needs something of an answer that did not come
		case shown < 10:
			shown++
			t.unexpected("%s %s by %s: %d through the gateway, %d straight: %s", x.call.Method, x.call.Path, x.call.Actor, y.status, x.status, printable(y.body, 300))
		}
	}
	t.linef("  callers   %s", counts(kinds))
	t.linef("  answers   2xx %d, 3xx %d, 4xx %d (honest mistakes, refused straight as well)", statuses[200], statuses[300], statuses[400])
	t.expect(same == len(calls), "%d of %d calls were answered with the status that they get straight", same, len(calls))
	return nil
}

// played is one call of the day and its answer.
type played struct {
	call   traffic.Call
	status int
	body   string
}

// The pace that a caller keeps to: below what crenel.yaml allows an address.
const (
	paceBurst = 150
	paceRate  = 40 // a second
)

// earliest is how long after the beginning a caller's nth call may be sent.
func earliest(n int) time.Duration {
	return time.Duration(max(0, n-paceBurst)) * time.Second / paceRate
}

// callKey names a call of the day.
type callKey struct {
	at    time.Duration
	actor string
	path  string
}

func (t *tour) play(ctx context.Context, calls []traffic.Call, base string, client *http.Client) (map[callKey]played, error) {
	answers := map[callKey]played{}
	sent, began := map[string]int{}, time.Now()
	p := traffic.Player{
		Base: base, Start: time.Now(), AccessToken: t.accessToken,
		Do: func(r *http.Request) (*http.Response, error) {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				return nil, fmt.Errorf("reading a caller's address: %w", err)
			}
			// Hours are played in seconds. On a fast machine that makes a caller of
			// one call a minute look like a flood, which the limits would rightly stop.
			sent[host]++
			time.Sleep(time.Until(began.Add(earliest(sent[host]))))
			return from(client, host).Do(r) //nolint:gosec // base is loopback
		},
		Observe: func(c traffic.Call, _ *http.Request, a traffic.Answer) {
			answers[callKey{c.At, c.Actor, c.Path}] = played{c, a.Status, string(a.Body)}
		},
	}
	_, err := p.Play(ctx, calls)
	if err != nil {
		return nil, fmt.Errorf("playing the day at %s: %w", base, err)
	}
	return answers, nil
}

// offline stands for the internet, which the day's webhooks point at: the demo
// contacts nothing but loopback.
type offline struct{}

var errOffline = errors.New("the demo contacts nothing but loopback")

func (offline) RoundTrip(*http.Request) (*http.Response, error) { return nil, errOffline }
