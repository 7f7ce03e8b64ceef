package posture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/state"
)

// Set is the name of the set in the shared state.
const Set = "device"

// Entry is what a device's key holds, as JSON. Times are in seconds since 1970.
type Entry struct {
	Status string `json:"status,omitempty"` // as the transmitter says: "compliant", "not-compliant"
	At     int64  `json:"at,omitempty"`     // when it became so
	// Before: what was begun on the device earlier than this is taken back.
	Before int64  `json:"before,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Key is where a device lies that an issuer names by an id.
func Key(issuer, id string) string { return issuer + "|" + id }

const maxKey = 4 << 10

// Put adds what is news of a device on every gateway. What is older than what is
// known already changes nothing.
func Put(ctx context.Context, store state.Store, key string, news Entry) error {
	if len(key) > maxKey {
		return errors.New("device: the id is too long")
	}
	view, err := store.View(ctx, Set)
	if err != nil {
		return fmt.Errorf("device: reading the set: %w", err)
	}
	for {
		old, there := view.Get(key)
		e := news
		if there {
			known, readable := parse(old)
			if !readable {
				// It may have taken back what was begun on the device until now.
				known = Entry{Before: time.Now().Unix() + 1}
			}
			if known.At > e.At || e.Status == "" {
				e.Status, e.At, e.Reason = known.Status, known.At, known.Reason
			}
			e.Before = max(e.Before, known.Before)
			if readable && e == known {
				return nil
			}
		}
		value, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("device: %w", err)
		}
		done, err := store.PutIf(ctx, Set, key, old, value, time.Time{})
		if err != nil {
			return fmt.Errorf("device: %w", err)
		}
		if done {
			return nil
		}
		// Another gateway was faster; its entry is about to be seen here.
		select {
		case <-ctx.Done():
			return fmt.Errorf("device: another gateway changes the same entry: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// parse reads an entry; false when it cannot be read. What it took back is not known
// then, so nobody with the device is to be let in.
func parse(value []byte) (Entry, bool) {
	var e Entry
	err := json.Unmarshal(value, &e)
	return e, err == nil && e.Before >= 0
}

// Guard looks devices up. It is safe for concurrent use.
type Guard struct {
	claim  []string
	store  state.Store
	maxAge time.Duration
}

// New makes a guard that finds the device's id in a claim, dots descending.
// maxAge is for how long the shared state may have been out of touch.
func New(claim string, store state.Store, maxAge time.Duration) *Guard {
	return &Guard{claim: strings.Split(claim, "."), store: store, maxAge: maxAge}
}

// Step is the guard's place in the chain, behind authn.
func (g *Guard) Step() guard.Step {
	return guard.Step{Guard: "authn", Phase: exchange.RequestHead, Needs: exchange.None, Rule: g.Rule, Again: g.Rule}
}

// Rule puts the caller's device onto the Identity. Of several credentials each may
// name one: what was revoked counts for all of them, and what is known of a device
// that does not comply goes before what is known of another.
func (g *Guard) Rule(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	x.Identity.Device = nil
	if v := g.rule(ctx, x, &x.Identity); v.Action != exchange.Allow {
		return v
	}
	for i := range x.Identity.Also {
		if v := g.rule(ctx, x, &x.Identity.Also[i]); v.Action != exchange.Allow {
			return v
		}
	}
	return exchange.Verdict{}
}

// rule looks up the device that one credential of the caller's names.
func (g *Guard) rule(ctx context.Context, x *exchange.Exchange, by *exchange.Identity) exchange.Verdict {
	id := g.id(by)
	if id == "" {
		return exchange.Verdict{}
	}
	view, err := g.store.View(ctx, Set)
	if err == nil {
		if age := view.Stale(); age > g.maxAge {
			err = fmt.Errorf("out of touch with the shared state for %s, at most %s is allowed", age.Round(time.Second), g.maxAge)
		}
	}
	if err != nil {
		v := exchange.Undecided("authn.unavailable", "devices: "+err.Error())
		v.Header = map[string]string{"Retry-After": "5"}
		return v
	}
	d := &exchange.Device{ID: id}
	value, ok := view.Get(Key(by.Issuer, id))
	var e Entry
	if ok {
		if e, ok = parse(value); !ok {
			return exchange.Undecided("authn.unavailable", "devices: the entry of the caller's device cannot be read")
		}
		d.Status, d.Compliant = e.Status, e.Status == "compliant"
		if e.At != 0 {
			d.Since = time.Unix(e.At, 0)
		}
	}
	if last := x.Identity.Device; last == nil || last.Compliant && !d.Compliant {
		x.Identity.Device = d
	}
	if e.Before != 0 && (by.Issued.IsZero() || by.Issued.Unix() < e.Before) {
		return exchange.Refuse("authn.revoked", "", "what was begun on this device was revoked")
	}
	return exchange.Verdict{}
}

// id is the device that a verified credential names, "" when it names none.
func (g *Guard) id(i *exchange.Identity) string {
	if !i.Verified || len(i.Claims) == 0 {
		return ""
	}
	var at any = i.Claims
	for _, name := range g.claim {
		m, ok := at.(map[string]any)
		if !ok {
			return ""
		}
		at = m[name]
	}
	s, _ := at.(string)
	return s
}
