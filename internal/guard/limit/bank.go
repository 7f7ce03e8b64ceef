package limit

import (
	"context"
	"time"

	"github.com/crenel-project/crenel/internal/state"
)

// bank charges buckets by name, in the shared store or in memory: what logins and
// flows are counted with.
type debit struct {
	t      *table
	prefix string // of the key in the shared store
	key    []byte
	cost   int64
	fresh  bool
	step   int64 // of a Sequence
}

// account is a kind of bucket that the bank keeps.
type account struct {
	t      *table
	prefix string
}

// newAccount makes one. scope and by name it among others of the API.
func (g *Guard) newAccount(scope, by string, law state.Law) account {
	if law.Kind == state.Backoff || law.Kind == state.Sequence {
		law.Keep = (law.Keep + low) &^ low // its lowest bits hold the count
	}
	t := g.store.table(tableName{api: g.name, scope: scope, by: by, law: law, alone: true})
	return account{t, scope + " " + by}
}

func (a *account) debit(key []byte, cost int64) debit {
	return debit{t: a.t, prefix: a.prefix, key: key, cost: cost}
}

// law is the law of one debit.
func (d *debit) law() state.Law {
	l := d.t.meter.Law
	if l.Kind == state.Sequence {
		l.Extra = d.step
	}
	return l
}

// most debits of one call.
const mostDebits = 8

// charge makes all debits or none; with force it makes all. While the shared store
// is away they are made in memory.
func (g *Guard) charge(ctx context.Context, debits []debit, out []state.Balance, force bool) bool {
	var room [mostDebits]charge
	var laws [mostDebits]meter
	charges := room[:len(debits)]
	for i := range debits {
		d := &debits[i]
		laws[i] = d.t.meter
		laws[i].Law = d.law()
		charges[i] = charge{t: d.t, law: &laws[i], key: g.hash(d.key), cost: d.cost, fresh: d.fresh}
	}
	if g.shared != nil && g.store.health.may(g.now()) {
		asked := make([]state.Charge, len(debits))
		for i := range debits {
			d := &debits[i]
			asked[i] = state.Charge{Key: d.prefix + "\x00" + string(d.key), Law: d.law(), Cost: d.cost, Fresh: d.fresh}
		}
		ok := true
		var err error
		if ctx = context.WithoutCancel(ctx); force {
			err = g.shared.Add(ctx, g.name, asked, out)
		} else {
			ok, err = g.shared.Take(ctx, g.name, asked, out)
		}
		if err == nil {
			g.found()
			if ok { // so that this gateway goes on from there, should the store go away
				at := g.store.at(g.now())
				for i := range charges {
					g.store.learn(at, &charges[i], out[i])
				}
			}
			return ok
		}
		g.lost(err)
	}
	return g.store.charge(g.store.at(g.now()), charges, out[:len(debits)], force)
}

// wait is the longest that any of the refused must wait.
func longestWait(out []state.Balance) time.Duration {
	wait := int64(0)
	for i := range out {
		if !out[i].OK {
			wait = max(wait, out[i].Wait)
		}
	}
	return time.Duration(wait)
}
