package limit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
	"weak"
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

	mu     sync.Mutex
	nextID uint64
	// Tables live as long as a generation uses them.
	tables map[tableName]weak.Pointer[table]
}

// tableName says which rate of which API a table belongs to. A rate whose
// numbers were changed is another rate.
type tableName struct {
	api, scope, by  string
	emission, burst int64
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

// Crowded is how many requests were charged to a shared bucket because a rate
// had more callers with unpaid requests than it remembers.
func (m *Memory) Crowded() uint64 { return m.crowded.Load() }

// since turns a moment into the Memory's own clock, which is monotonic where now is.
func (m *Memory) since(now time.Time) int64 { return int64(now.Sub(m.epoch)) }

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
	t := newTable(m.nextID, n.emission, n.burst, m.keys)
	m.tables[n] = weak.Make(t)
	return t
}

const (
	ways    = 8
	stripes = 64
)

// table holds one rate's buckets in sets of a few slots each. A caller has two
// sets, chosen by its hash, in which it may have a slot. A slot whose bucket is
// full again (its arrival time has passed) holds no information and is free.
//
// When neither set has a free slot, the caller is charged to the overflow bucket
// of its first set, shared by all in that position, at the same rate. Who gets a
// slot later starts with what that bucket owes, so that nobody gains by it.
type table struct {
	id       uint64 // order in which locks are taken
	emission int64  // nanoseconds a token takes to come back
	capacity int64  // emission × burst
	perLock  uint64 // sets under one lock, a power of two
	sets     []set
	locks    [stripes]stripe
}

type set struct {
	slots [ways]slot
	over  int64 // theoretical arrival time of the overflow bucket
}

type slot struct {
	key uint64
	tat int64 // theoretical arrival time (GCRA), on the Memory's clock
}

// stripe keeps locks on cache lines of their own.
type stripe struct {
	sync.Mutex
	_ [56]byte
}

func newTable(id uint64, emission, burst int64, keys int) *table {
	perLock := uint64(1)
	for perLock*stripes*ways < uint64(keys) || perLock < 2 {
		perLock *= 2
	}
	return &table{id: id, emission: emission, capacity: emission * burst, perLock: perLock, sets: make([]set, perLock*stripes)}
}

// place is where a key's bucket is, or would be.
type place struct {
	slot *slot // nil: the overflow bucket
	home *set
	key  uint64
	tat  int64 // as of now, before the charge
}

func (t *table) lock(key uint64) *sync.Mutex { return &t.locks[key>>58].Mutex }

// find looks the key up. Called with its lock held.
func (t *table) find(key uint64, now int64) place {
	base := (key >> 58) * t.perLock
	a := &t.sets[base+key&(t.perLock-1)]
	b := &t.sets[base+(key>>24)&(t.perLock-1)]
	p := place{home: a, key: key}
	free, best := (*slot)(nil), -1
	for _, s := range [2]*set{a, b} {
		var empty *slot
		n := 0
		for i := range s.slots {
			if s.slots[i].key == key {
				p.slot, p.tat = &s.slots[i], s.slots[i].tat
				return p
			}
			if s.slots[i].tat <= now {
				empty = &s.slots[i]
				n++
			}
		}
		if n > best && empty != nil { // the emptier set: two choices fill evenly
			free, best = empty, n
		}
	}
	p.slot, p.tat = free, a.over
	return p
}

// charge is one rate's part of a request.
type charge struct {
	t    *table
	key  uint64
	cost int64
}

// outcome is what became of one charge.
type outcome struct {
	ok   bool
	left int64 // nanoseconds worth of tokens in the bucket afterwards
	wait int64 // nanoseconds until the charge would be accepted; 0 when ok
}

// maxCharges bounds the rates of one step.
const maxCharges = 8

// take charges all or none. The charges must be in the order of their tables'
// ids, each table once: so no two requests wait for each other's locks.
func (m *Memory) take(now int64, charges []charge, out []outcome) (ok bool) {
	var places [maxCharges]place
	ok = true
	for i := range charges {
		c := &charges[i]
		c.t.lock(c.key).Lock()
		p := c.t.find(c.key, now)
		after := max(p.tat, now) + c.cost*c.t.emission
		debt := after - now
		if debt > c.t.capacity {
			out[i] = outcome{wait: debt - c.t.capacity, left: max(0, c.t.capacity-max(0, p.tat-now))}
			ok = false
		} else {
			out[i] = outcome{ok: true, left: c.t.capacity - debt}
		}
		p.tat = after
		places[i] = p
	}
	for i := range charges {
		if ok {
			m.commit(&places[i])
		}
		charges[i].t.lock(charges[i].key).Unlock()
	}
	return ok
}

func (m *Memory) commit(p *place) {
	if p.slot == nil {
		p.home.over = p.tat
		m.crowded.Add(1)
		return
	}
	p.slot.key, p.slot.tat = p.key, p.tat
}

// giveBack undoes a charge. One that went to an overflow bucket stays.
func (m *Memory) giveBack(now int64, c charge) {
	l := c.t.lock(c.key)
	l.Lock()
	defer l.Unlock()
	if p := c.t.find(c.key, now); p.slot != nil && p.slot.key == c.key {
		p.slot.tat -= c.cost * c.t.emission
	}
}
