package revocation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

// VerbRevoke is the control verb whose arguments are an Order.
const VerbRevoke = "revoke"

// Order is what an operator tells a running gateway.
type Order struct {
	Key    string `json:"key"`
	Before int64  `json:"before,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Expires is when the entry ends; the zero time is never.
	Expires time.Time `json:"expires,omitzero"`
	// Lift takes the entry away instead: a mistake is undone.
	Lift bool `json:"lift,omitempty"`
}

// Do carries the order out.
func (o *Order) Do(ctx context.Context, store state.Store) error {
	if !o.Lift {
		return Put(ctx, store, o.Key, Entry{Before: o.Before, Reason: o.Reason}, o.Expires)
	}
	view, err := store.View(ctx, Set)
	if err != nil {
		return fmt.Errorf("lifting: reading the set: %w", err)
	}
	if _, ok := view.Get(o.Key); !ok {
		return fmt.Errorf("lifting: %s is not revoked; what was revoked for one issuer is lifted for that issuer", strings.ToValidUTF8(o.Key, "?"))
	}
	if err := store.Drop(ctx, Set, o.Key); err != nil {
		return fmt.Errorf("lifting: %w", err)
	}
	return nil
}

// String is the order for the record.
func (o *Order) String() string {
	verb := "revoked "
	if o.Lift {
		verb = "lifted the revocation of "
	}
	s := verb + o.Key
	if o.Before != 0 {
		s += ", issued before " + time.Unix(o.Before, 0).UTC().Format(time.RFC3339)
	}
	if !o.Expires.IsZero() {
		s += ", until " + o.Expires.UTC().Format(time.RFC3339)
	}
	if o.Reason != "" {
		s += ": " + o.Reason
	}
	return s
}
