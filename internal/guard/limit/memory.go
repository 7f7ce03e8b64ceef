package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/crenel-project/crenel/internal/state"
)

// DefaultKeys is how many callers each rate remembers at once.
const DefaultKeys = 1 << 16

// Memory holds the buckets of every rate. It is shared by all APIs and passed
// from one generation of the gateway to the next, so that a reload refills
// nobody's bucket. Safe for concurrent use.
type Memory struct {
	seed  maphash.Seed // secret: nobody can choose two callers that share a bucket
	epoch time.Time
	keys  int

	crowded atomic.Uint64
	health  health

	mu     sync.Mutex
	nextID uint64
	gates  map[string]*gate // by API
	// Tables live as long as a generation uses them.
	tables map[tableName]weak.Pointer[table]
	unpaid map[string]map[string]job // by API and key: what a generation that ended owed the shared store
}

// tableName says which rate of which API a table belongs to. A rate whose
// numbers were changed is another rate.
type tableName struct {
	api, scope, by string
	law            state.Law
	window         window
	alone          bool // see table.alone
}

// NewMemory returns an empty Memory in which each rate remembers so many callers
// (DefaultKeys when 0; at least 1024), in 17 bytes each.
func NewMemory(keys int, now time.Time) *Memory {
	if keys <= 0 {
		keys = DefaultKeys
	}
	return &Memory{
		seed: maphash.MakeSeed(),
		// A zero arrival time must lie in the past from the start on.
		epoch: now.Add(-time.Second), keys: keys, tables: map[tableName]weak.Pointer[table]{},
	}
}

// leave keeps what an API's generation owed at its end.
func (m *Memory) leave(api string, owed map[string]job) {
	if len(owed) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unpaid == nil {
		m.unpaid = map[string]map[string]job{}
	}
	m.unpaid[api] = owed
}

// inherit takes what was left.
func (m *Memory) inherit(api string) map[string]job {
	m.mu.Lock()
	defer m.mu.Unlock()
	owed := m.unpaid[api]
	delete(m.unpaid, api)
	return owed
}

// Crowded is how many requests were charged to a shared bucket, or made another be
// forgotten, because a rate had more callers with unpaid requests than it remembers.
func (m *Memory) Crowded() uint64 { return m.crowded.Load() }

// at turns a moment into the Memory's own clock, which is monotonic where now is.
func (m *Memory) at(now time.Time) moment {
	return moment{since: int64(now.Sub(m.epoch)), wall: now.UnixNano()}
}

// table returns the buckets of a rate, those of the generation before where it
// had the same rate.
func (m *Memory) table(n tableName) *table {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.tables[n]; ok {
		if t := p.Value(); t != nil {
			return t
		}
	}
	for name, p := range m.tables {
		if p.Value() == nil {
			delete(m.tables, name)
		}
	}
	m.nextID++
	t := newTable(m.nextID, meter{Law: n.law, window: n.window, epoch: m.epoch.UnixNano()}, m.keys)
	t.alone = n.alone
	m.tables[n] = weak.Make(t)
	return t
}

const (
	ways    = 8
	stripes = 64
)

// table holds one rate's buckets in sets of a few slots each. A caller has two
// sets, chosen by its hash, in which it may have a slot. A slot whose bucket is
// full again (its number is not after the clock) holds no information and is free.
//
// When neither set has a free slot, the caller is charged to the overflow bucket
// of its first set, shared by all in that position, at the same rate. Who gets a
// slot later starts with what that bucket owes, so that nobody gains by it.
//
// What tries and steps are counted by cannot be shared so: what one has failed at would
// make another wait, and where one has been another would seem to have been. In tables of
// these (alone) the number that would be forgotten first gives way.
type table struct {
	id      uint64 // order in which locks are taken
	meter   meter
	alone   bool
	perLock uint64 // sets under one lock, a power of two
	sets    []set
	locks   [stripes]stripe
}

type set struct {
	slots [ways]slot
	over  int64 // the overflow bucket
}

// slot is one caller's bucket, as the table's meter reads it.
type slot struct {
	key  uint64
	word int64
}

// stripe keeps locks on cache lines of their own.
type stripe struct {
	sync.Mutex
	_ [56]byte
}

func newTable(id uint64, m meter, keys int) *table {
	perLock := uint64(1)
	for perLock*stripes*ways < uint64(keys) || perLock < 2 {
		perLock *= 2
	}
	return &table{id: id, meter: m, perLock: perLock, sets: make([]set, perLock*stripes)}
}

// place is where a key's bucket is, or would be.
type place struct {
	slot *slot // nil: the overflow bucket
	home *set
	key  uint64
	word int64 // before the charge
	mine bool  // the bucket is the key's own, and not one that it would begin with
}

func (t *table) lock(key uint64) *sync.Mutex { return &t.locks[key>>58].Mutex }

// find looks the key up. Called with its lock held.
func (t *table) find(key uint64, now int64) place {
	base := (key >> 58) * t.perLock
	a := &t.sets[base+key&(t.perLock-1)]
	b := &t.sets[base+(key>>24)&(t.perLock-1)]
	p := place{home: a, key: key}
	free, best := (*slot)(nil), -1
	oldest := &a.slots[0]
	for _, s := range [2]*set{a, b} {
		var empty *slot
		n := 0
		for i := range s.slots {
			if s.slots[i].key == key {
				p.slot, p.word, p.mine = &s.slots[i], s.slots[i].word, true
				return p
			}
			if s.slots[i].word <= now {
				empty = &s.slots[i]
				n++
			}
			if s.slots[i].word < oldest.word {
				oldest = &s.slots[i]
			}
		}
		if n > best && empty != nil { // the emptier set: two choices fill evenly
			free, best = empty, n
		}
	}
	p.slot, p.word = free, a.over
	if free == nil && t.alone {
		p.slot = oldest
	}
	return p
}

// charge is one rate's part of a request.
type charge struct {
	t     *table
	law   *meter // in place of the table's own; nil: that
	key   uint64
	cost  int64
	fresh bool // made only where the one before it is of a bucket from which nothing was missing
}

// maxCharges bounds the rates of one step.
const maxCharges = 8

// take charges all or none. The charges must be in the order of their tables'
// ids, each table once: so no two requests wait for each other's locks.
func (m *Memory) take(at moment, charges []charge, out []state.Balance) (ok bool) {
	return m.charge(at, charges, out, false)
}

// add charges all, whatever the buckets hold.
func (m *Memory) add(at moment, charges []charge, out []state.Balance) {
	m.charge(at, charges, out, true)
}

func (m *Memory) charge(at moment, charges []charge, out []state.Balance, force bool) (ok bool) {
	var places [state.MostCharges]place
	ok = true
	fresh := false
	for i := range charges {
		c := &charges[i]
		c.t.lock(c.key).Lock()
		p := c.t.find(c.key, at.since)
		law := c.law
		if law == nil {
			law = &c.t.meter
		}
		var next int64
		if c.fresh && !fresh {
			_, out[i], fresh = law.charge(p.word, at, 0, true)
			out[i].Skipped, next = true, p.word
		} else {
			next, out[i], fresh = law.charge(p.word, at, c.cost, force)
		}
		ok = ok && out[i].OK //nolint:gosec // there are as many balances as charges
		p.word = next
		places[i] = p
	}
	for i := range charges {
		c := &charges[i]
		switch {
		case out[i].Skipped:
		case ok:
			m.commit(&places[i], at.since)
		case out[i].OK: // it was not made
			out[i].Debt -= c.cost * c.t.meter.per(c.law)
		}
		c.t.lock(c.key).Unlock()
	}
	return ok
}

func (m *Memory) commit(p *place, now int64) {
	if p.slot == nil {
		p.home.over = p.word
		m.crowded.Add(1)
		return
	}
	if p.word <= now && !p.mine {
		return // nothing to remember
	}
	if !p.mine && p.slot.word > now {
		m.crowded.Add(1)
	}
	p.slot.key, p.slot.word = p.key, p.word
}

// peek says what would become of one charge, by what is known of its own bucket.
func (m *Memory) peek(at moment, c *charge) state.Balance {
	l := c.t.lock(c.key)
	l.Lock()
	defer l.Unlock()
	word := int64(0)
	if p := c.t.find(c.key, at.since); p.mine {
		word = p.word
	}
	_, b, _ := c.t.meter.charge(word, at, c.cost, false)
	return b
}

// learn has a bucket be what a store that others share says it is.
func (m *Memory) learn(at moment, c *charge, b state.Balance) {
	l := c.t.lock(c.key)
	l.Lock()
	defer l.Unlock()
	p := c.t.find(c.key, at.since)
	if p.slot == nil {
		return // there is no room: what it would have spared is a question to the store
	}
	if !p.mine {
		p.word = 0
	}
	p.word = c.t.meter.learn(p.word, at, b)
	m.commit(&p, at.since)
}

// debt is what is missing from one key's own bucket.
func (m *Memory) debt(at moment, t *table, key uint64) int64 {
	l := t.lock(key)
	l.Lock()
	defer l.Unlock()
	p := t.find(key, at.since)
	if !p.mine {
		return 0
	}
	_, b, _ := t.meter.charge(p.word, at, 0, true)
	return b.Debt
}
