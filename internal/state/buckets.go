package state

import "context"

// MostCharges is how many buckets one request may be charged to at once.
const MostCharges = 24

// Kind says by which law a bucket is charged.
type Kind byte

// Rolling is a token bucket (GCRA): what was taken comes back evenly. Calendar
// counts up to a number within one window of the calendar, which its key names.
// Backoff lets a few tries be made, and then each only after a wait that doubles.
// Sequence remembers when a step of a flow was made, and lets the next be made
// only after it and not sooner than a person could.
const (
	Rolling  Kind = 'r'
	Calendar Kind = 'w'
	Backoff  Kind = 'b'
	Sequence Kind = 's'
)

// Charge is one limit's part of a request.
type Charge struct {
	Key string // any text; what is stored is a digest
	Law
	Cost int64 // tokens; a Backoff counts tries, a Sequence is only looked at where it is 0
	// Fresh has the charge made only where the one before it is of a bucket from
	// which nothing was missing: so that an account's first failed try counts, and
	// its others do not.
	Fresh bool
}

// Law is by what rule a bucket is charged. Times are in nanoseconds.
type Law struct {
	Kind Kind
	// Unit is the time in which one token comes back (Rolling), the first wait
	// (Backoff), or the least time between two steps (Sequence).
	Unit int64
	// Capacity is Unit times the tokens of a full bucket (Rolling), the tokens of a
	// window (Calendar), or the longest wait (Backoff).
	Capacity int64
	// Extra is the tries before the first wait (Backoff) or the step's number,
	// counted from 0 (Sequence).
	Extra int64
	// Keep is for how long the bucket is remembered; a Rolling one until it is full.
	Keep int64
}

// Balance is what became of a charge.
type Balance struct {
	OK bool
	// Debt is what is missing from a full bucket: nanoseconds (Rolling), tokens
	// (Calendar) or tries (Backoff), after the charge where all were made.
	Debt int64
	// Wait is how many nanoseconds until the charge would be accepted: 0 when OK, and
	// for a Calendar, whose window's end the caller knows.
	Wait int64
	// Skipped says that a Fresh charge was not made.
	Skipped bool
}

// Buckets are counters that gateways share. It is safe for concurrent use.
type Buckets interface {
	// Take makes all charges or none, in one step. group names what is charged
	// together: its buckets lie in one slot of a cluster.
	Take(ctx context.Context, group string, charges []Charge, out []Balance) (ok bool, err error)
	// Add makes all charges whatever the buckets hold, for costs that are known only
	// afterwards, and gives back where they are negative. A Rolling bucket never owes
	// more than two full ones.
	Add(ctx context.Context, group string, charges []Charge, out []Balance) error
}
