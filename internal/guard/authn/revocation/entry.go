package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

// Entry is what a key of the set holds, as JSON.
type Entry struct {
	// Before: credentials issued earlier than this are refused, in seconds since
	// 1970. 0 refuses all.
	Before int64 `json:"before"`
	// Reason is for the operator and the record: "logout", "credential-change". At
	// most 500 bytes are kept.
	Reason string `json:"reason,omitempty"`
	// Until is when the entry ends, in seconds since 1970; 0 is never. Put sets it.
	Until int64 `json:"until,omitempty"`
	// Disabled and Enabled are when an account was last disabled and enabled again, in
	// seconds since 1970. While it is disabled all is refused, whatever Before says.
	Disabled int64 `json:"disabled,omitempty"`
	Enabled  int64 `json:"enabled,omitempty"`
}

// Before is the Entry.Before that covers all that was issued up to a moment.
// Issuers count in seconds, so what was issued later in that second is covered too.
func Before(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

const (
	maxKey    = 4 << 10
	maxReason = 500
)

// putting makes two Puts of one key in this process follow each other.
var putting sync.Mutex

// Put revokes what key names, on every gateway, until expires (the zero time is
// never): it must not be earlier than the end of what is revoked. An entry that
// is there already is not weakened: what either refuses stays refused, for as
// long as the longer of the two.
func Put(ctx context.Context, store state.Store, key string, e Entry, expires time.Time) error {
	kind, rest, _ := strings.Cut(key, ":")
	switch {
	case !slices.Contains(kinds, kind) || rest == "":
		return fmt.Errorf("revoking: %q is not a key of the set", shortened(key))
	case len(key) > maxKey:
		return fmt.Errorf("revoking: the key is longer than %d bytes", maxKey)
	case e.Before < 0 || e.Disabled < 0 || e.Enabled < 0:
		return errors.New("revoking: a time is negative")
	}
	e.Reason = strings.ToValidUTF8(e.Reason, "")
	if len(e.Reason) > maxReason {
		e.Reason = strings.ToValidUTF8(e.Reason[:maxReason], "")
	}
	e.Until = 0
	if !expires.IsZero() {
		e.Until = Before(expires)
	}
	putting.Lock()
	defer putting.Unlock()
	view, err := store.View(ctx, Set)
	if err != nil {
		return fmt.Errorf("revoking: reading the set: %w", err)
	}
	for {
		old, there := view.Get(key)
		joined := e
		if there {
			joined = e.join(parse(old))
		}
		if expires = (time.Time{}); joined.Until != 0 {
			expires = time.Unix(joined.Until, 0)
		}
		value, err := json.Marshal(joined)
		if err != nil {
			return fmt.Errorf("revoking: %w", err)
		}
		done, err := store.PutIf(ctx, Set, key, old, value, expires)
		if err != nil {
			return fmt.Errorf("revoking: %w", err)
		}
		if done {
			return nil
		}
		// Another gateway was faster; its entry is about to be seen here.
		select {
		case <-ctx.Done():
			return fmt.Errorf("revoking: another gateway changes the same entry: %w", ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// join is an entry that refuses what either does.
func (e Entry) join(o Entry) Entry {
	if e.Before == 0 || o.Before == 0 {
		e.Before = 0
	} else {
		e.Before = max(e.Before, o.Before)
	}
	if e.Until == 0 || o.Until == 0 {
		e.Until = 0
	} else {
		e.Until = max(e.Until, o.Until)
	}
	e.Disabled, e.Enabled = max(e.Disabled, o.Disabled), max(e.Enabled, o.Enabled)
	if e.Reason == "" {
		e.Reason = o.Reason
	}
	return e
}

// Refuses reports whether the entry takes back what was issued at a time. What
// does not say when it was issued is taken for old.
func (e *Entry) Refuses(issued time.Time) bool {
	return e.Before == 0 || e.Disabled != 0 && e.Disabled >= e.Enabled || issued.IsZero() || issued.Unix() < e.Before
}

func shortened(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// parse reads an entry. One that cannot be read refuses all: somebody meant to
// revoke something.
func parse(value []byte) Entry {
	var e Entry
	if json.Unmarshal(value, &e) != nil || e.Before < 0 || e.Disabled < 0 || e.Enabled < 0 {
		return Entry{Reason: "an entry that cannot be read"}
	}
	return e
}
