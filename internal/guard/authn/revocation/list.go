package revocation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

// VerbList is the control verb that answers with a List; its arguments are a Query.
const VerbList = "revocations"

// Query chooses what is listed.
type Query struct {
	Kind string `json:"kind,omitempty"` // token, jti, session, subject, email, phone_number; "" all
	// Holds is a text that the key or the reason must hold; "" any.
	Holds string `json:"holds,omitempty"`
	Most  int    `json:"most,omitempty"` // at most 10,000, which 0 is
}

// List is what is revoked, by key.
type List struct {
	Entries []Listed `json:"entries"`
	// Total is how many there are, of which Entries may be the first.
	Total int `json:"total"`
	// StaleFor is for how long this gateway has been out of touch with the others.
	StaleFor time.Duration `json:"stale_ns,omitempty"`
}

// Listed is one entry.
type Listed struct {
	Key    string `json:"key"`
	Kind   string `json:"kind"`
	Issuer string `json:"issuer,omitempty"` // [AnyIssuer]: whoever issued it
	// Name is the subject, session, token id or address; of a token its digest
	// (SHA-256, base64url).
	Name   string     `json:"name"`
	Before *time.Time `json:"issued_before,omitempty"` // nil: whenever it was issued
	Until  *time.Time `json:"until,omitempty"`         // nil: for ever
	Reason string     `json:"reason,omitempty"`
	// Disabled says that the account is disabled until an event enables it.
	Disabled bool `json:"disabled,omitempty"`
}

const mostListed = 10_000

// Do lists what this gateway holds for revoked.
func (q *Query) Do(ctx context.Context, store state.Store) (*List, error) {
	if q.Kind != "" && !slices.Contains(kinds, q.Kind) {
		return nil, fmt.Errorf("listing revocations: %q is no kind; there are %s", shortened(q.Kind), strings.Join(kinds, ", "))
	}
	if q.Most < 0 || q.Most > mostListed {
		return nil, fmt.Errorf("listing revocations: at most %d can be asked for", mostListed)
	}
	view, err := store.View(ctx, Set)
	if err != nil {
		return nil, fmt.Errorf("listing revocations: reading the set: %w", err)
	}
	out := &List{StaleFor: view.Stale(), Entries: []Listed{}}
	for key, value := range view.All() {
		l := listed(key, parse(value))
		if q.Kind != "" && l.Kind != q.Kind || !strings.Contains(key, q.Holds) && !strings.Contains(l.Reason, q.Holds) {
			continue
		}
		out.Entries = append(out.Entries, l)
	}
	slices.SortFunc(out.Entries, func(a, b Listed) int { return strings.Compare(a.Key, b.Key) })
	out.Total = len(out.Entries)
	most := q.Most
	if most == 0 {
		most = mostListed
	}
	out.Entries = out.Entries[:min(len(out.Entries), most)]
	return out, nil
}

func listed(key string, e Entry) Listed {
	l := Listed{Key: key, Reason: e.Reason, Disabled: e.Disabled != 0 && e.Disabled >= e.Enabled}
	l.Kind, l.Name, _ = strings.Cut(key, ":")
	if l.Kind != "token" {
		l.Issuer, l.Name, _ = strings.Cut(l.Name, "|")
	}
	if e.Before != 0 {
		at := time.Unix(e.Before, 0).UTC()
		l.Before = &at
	}
	if e.Until != 0 {
		at := time.Unix(e.Until, 0).UTC()
		l.Until = &at
	}
	return l
}
