package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/state"
)

// settler charges in the shared store what is known only after a call, what was
// refused before all its limits were known, and what this gateway admitted alone.
// It never makes anybody wait: what it has no room for stays charged in memory. What it
// still owes when its generation ends, the next one pays.
type settler struct {
	g    *Guard
	jobs chan job
	open atomic.Int64 // jobs that are not done
	owed map[string]job
	next time.Time // while it is away: when it is asked again
	stop chan struct{}
	done sync.WaitGroup
}

// job is one charge to be made.
type job struct {
	state.Charge
	// alone says that it was admitted without the shared store. Of a Rolling bucket then
	// only as much is charged as is still missing here: the rest has come back.
	alone bool
	key   uint64
	t     *table
	unit  int64 // in which the bucket here counts
	count int64
}

const (
	settlerRoom = 4096
	mostOwed    = 1 << 14
)

func newSettler(g *Guard) *settler {
	s := &settler{g: g, jobs: make(chan job, settlerRoom), owed: map[string]job{}, stop: make(chan struct{})}
	s.done.Go(s.run)
	return s
}

// lastTry is how long a generation that ends waits for the shared store.
const lastTry = time.Second

// close pays what is owed, and leaves to the next generation what cannot be paid now.
func (s *settler) close() {
	close(s.stop)
	s.done.Wait()
}

// add has a charge be made.
func (s *settler) add(j job) {
	s.open.Add(1)
	select {
	case s.jobs <- j:
	default:
		s.open.Add(-1)
	}
}

// run charges, together what waits together.
func (s *settler) run() {
	tick := time.NewTicker(askAgain)
	defer tick.Stop()
	s.inherit()
	for {
		select {
		case <-s.stop:
			s.collect()
			ctx, cancel := context.WithTimeout(context.Background(), lastTry)
			s.pay(ctx)
			cancel()
			s.g.store.leave(s.g.name, s.owed)
			return
		case <-tick.C:
			s.inherit()
		case j := <-s.jobs:
			s.owe(j)
		}
		s.collect()
		s.pay(context.Background())
	}
}

// collect notes what waits.
func (s *settler) collect() {
	for {
		select {
		case j := <-s.jobs:
			s.owe(j)
		default:
			return
		}
	}
}

// inherit notes what the generation before could not pay.
func (s *settler) inherit() {
	for _, j := range s.g.store.inherit(s.g.name) {
		s.open.Add(j.count)
		s.note(j)
	}
}

// owe notes a job.
func (s *settler) owe(j job) {
	j.count = 1
	s.note(j)
}

func (s *settler) note(j job) {
	if had, ok := s.owed[j.Key]; ok {
		j.Cost += had.Cost
		j.count += had.count
		j.alone = j.alone && had.alone
	} else if len(s.owed) >= mostOwed {
		s.open.Add(-j.count)
		return
	}
	s.owed[j.Key] = j
}

// pay charges what is owed, unless the store was away a moment ago.
func (s *settler) pay(ctx context.Context) {
	var batch []state.Charge
	var out [state.MostCharges]state.Balance
	jobs := int64(0)
	flush := func() bool {
		now := s.g.now()
		if s.g.store.health.away.Load() && now.Before(s.next) {
			return false
		}
		s.next = now.Add(askAgain)
		if len(batch) > 0 {
			if err := s.g.shared.Add(ctx, s.g.name, batch, out[:len(batch)]); err != nil {
				s.g.lost(err)
				return false
			}
			s.g.found()
		}
		for _, c := range batch {
			delete(s.owed, c.Key)
		}
		s.open.Add(-jobs)
		batch, jobs = batch[:0], 0
		return true
	}
	for key, j := range s.owed {
		if j.alone && j.Kind == state.Rolling {
			j.Cost = min(j.Cost, s.g.store.debt(s.g.store.at(s.g.now()), j.t, j.key)/j.unit)
		}
		jobs += j.count
		if j.Cost == 0 {
			delete(s.owed, key)
			continue
		}
		if batch = append(batch, j.Charge); len(batch) == state.MostCharges && !flush() {
			return
		}
	}
	if len(batch) > 0 || jobs > 0 {
		flush()
	}
}

// owe tells the shared store, once it can be asked, what was admitted without it.
func (g *Guard) owe(x *exchange.Exchange, list []*rate, charges []charge) {
	for i, r := range list {
		g.settler.add(job{Charge: g.sharedCharge(x, r, charges[i].cost), alone: true, key: charges[i].key, t: r.table, unit: max(r.away.Unit, 1)})
	}
}

// settle charges rates in the shared store, and until that has happened in
// memory, so that the next call from here sees it.
func (g *Guard) settle(x *exchange.Exchange, rates []*rate, local bool, cost func(*rate) int64) {
	var room [2 * maxCharges]charge
	var hold [2 * maxCharges]*rate
	charges, list := g.charges(x, rates, 1, room[:0], hold[:0])
	at := g.store.at(g.now())
	for i, r := range list {
		c := &charges[i]
		if c.cost = cost(r); c.cost == 0 {
			continue
		}
		var out [1]state.Balance
		if !local {
			c.law = nil
		}
		g.store.add(at, charges[i:i+1], out[:])
		if local {
			continue
		}
		g.settler.add(job{Charge: g.sharedCharge(x, r, c.cost)})
	}
}
