package state

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// mirror is the local copy of a set in Redis. One goroutine reads the stream of
// changes; what it misses shows as a gap between versions, and then it reads the
// whole set anew.
type mirror struct {
	*set
	r    *Redis
	name string
	keys []string

	filled chan struct{} // closed once the copy was filled for the first time
	begun  time.Time
	touch  atomic.Int64 // when it was last known to be whole, in ns since begun; -1: never

	mu      sync.Mutex
	failure error  // why the last attempt to follow ended
	epoch   string // the history that it follows; "" before the first
	applied int64  // the version of the last change that the reader applied
	last    string // id of that change in the stream
	// early are changes that this process made and applied before the reader came to
	// them: key to version.
	early map[string]int64
	// missed and lost say why the whole set must be read: changes were missed, or the
	// server has other ones than this copy was made of.
	missed, lost bool
}

// change is one change of a set.
type change struct {
	key     string
	value   []byte
	expires time.Time
	drop    bool
	version int64
}

func newEpoch() string { return rand.Text() }

func newMirror(r *Redis, name string) *mirror {
	m := &mirror{set: newSet(r.now), r: r, name: name, keys: r.keys(name), filled: make(chan struct{}), begun: time.Now(), early: map[string]int64{}}
	m.touch.Store(-1)
	return m
}

// Stale implements [View].
func (m *mirror) Stale() time.Duration {
	at := m.touch.Load()
	if at < 0 {
		at = 0
	}
	if age := time.Since(m.begun) - time.Duration(at); age > heartbeat+2*m.r.timeout {
		return age
	}
	return 0
}

func (m *mirror) touched() { m.touch.Store(int64(time.Since(m.begun))) }

// failed says why the copy cannot be kept up to date, nil when it is.
func (m *mirror) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

var errGap = errors.New("changes were missed")

const (
	retryFirst = 50 * time.Millisecond
	retryMost  = time.Second
)

// run follows the set until ctx ends.
func (m *mirror) run(ctx context.Context) {
	wait := retryFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := m.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errGap) {
			select { // what goes wrong again and again must not keep the server busy
			case <-ctx.Done():
			case <-time.After(retryFirst):
			}
			continue // which reads it anew
		}
		m.mu.Lock()
		if m.failure == nil {
			m.r.log.Warn("shared state: a set cannot be followed, the last copy is kept", "set", m.name, "address", m.r.address, "error", err)
		}
		m.failure = err
		m.mu.Unlock()
		if time.Since(began) > retryMost {
			wait = retryFirst
		}
		pause := time.NewTimer(time.Duration(float64(wait) * (0.8 + 0.4*mathrand.Float64()))) //nolint:gosec // only so that gateways do not ask together
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		wait = min(2*wait, retryMost)
	}
}

// follow catches up, by the stream where it reaches back far enough and else
// whole, and then reads changes as they come.
func (m *mirror) follow(ctx context.Context) error {
	if err := m.sync(ctx); err != nil {
		return err
	}
	swept := time.Now()
	late := 0
	for {
		changes, err := m.read(ctx)
		if err != nil {
			return err
		}
		if err := m.apply(changes); err != nil {
			return err
		}
		if len(changes) > 0 {
			late = 0
		}
		if len(changes) == 0 {
			// Nothing came. That nothing was there to come is asked for: a stream that was
			// trimmed, evicted or replaced is as silent as one that rests.
			whole, err := m.current(ctx)
			if err != nil {
				return err
			}
			// A change between the two questions is no gap: the next read has it.
			if late++; !whole && late > 1 {
				m.mu.Lock()
				m.missed = true
				m.mu.Unlock()
				return errGap
			}
			if whole {
				late = 0
			}
		}
		if len(changes) < readMost && late == 0 {
			m.well()
		}
		if time.Since(swept) > sweepEvery {
			m.set.expire(m.r.now())
			swept = time.Now()
		}
	}
}

// well notes that the copy is whole.
func (m *mirror) well() {
	m.touched()
	m.mu.Lock()
	if m.failure != nil {
		m.r.log.Info("shared state: a set is followed again", "set", m.name, "address", m.r.address)
		m.failure = nil
	}
	m.mu.Unlock()
}

const readMost = 512

// read waits for changes behind the last that was applied.
func (m *mirror) read(ctx context.Context) ([]change, error) {
	ctx, cancel := context.WithTimeout(ctx, heartbeat+m.r.timeout)
	defer cancel()
	m.mu.Lock()
	last := m.last
	m.mu.Unlock()
	res, err := m.r.client.XRead(ctx, &redis.XReadArgs{Streams: []string{m.keys[1], last}, Count: readMost, Block: heartbeat}).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("waiting for changes: %w", err)
	}
	if len(res) != 1 {
		return nil, errRubbish
	}
	out := make([]change, 0, len(res[0].Messages))
	for _, msg := range res[0].Messages {
		c, err := readChange(msg.Values)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
		last = msg.ID
	}
	m.mu.Lock()
	m.last = last
	m.mu.Unlock()
	return out, nil
}

func readChange(v map[string]any) (change, error) {
	text := func(name string) string { s, _ := v[name].(string); return s }
	n, err := strconv.ParseInt(text("n"), 10, 64)
	ends, err2 := strconv.ParseInt(text("e"), 10, 64)
	how := text("how")
	if err != nil || err2 != nil || how != "put" && how != "drop" || ends < 0 {
		return change{}, fmt.Errorf("a change that cannot be read: %w", errRubbish)
	}
	return change{key: text("k"), value: []byte(text("v")), expires: fromMillis(ends), drop: how == "drop", version: n}, nil
}

// apply makes changes that the reader came to. A gap between versions is an error.
func (m *mirror) apply(changes []change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		if c.version != m.applied+1 {
			m.missed, m.lost = true, m.lost || c.version <= m.applied
			return errGap
		}
		m.applied = c.version
		if at, ok := m.early[c.key]; ok {
			if at > c.version {
				continue // what this process has is newer
			}
			delete(m.early, c.key)
			if at == c.version {
				continue
			}
		}
		if err := m.make(c); err != nil {
			return err
		}
	}
	return nil
}

// make makes one change; m.mu is held.
func (m *mirror) make(c *change) error {
	if c.drop {
		m.set.drop(c.key)
		return nil
	}
	return m.set.put(c.key, c.value, c.expires)
}

// ahead makes a change of this process's own at once, before the reader comes to it.
func (m *mirror) ahead(epoch string, c change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch != m.epoch || c.version <= m.applied || c.version <= m.early[c.key] {
		return // the reader has been there, or is about to read the whole set
	}
	if m.make(&c) == nil {
		m.early[c.key] = c.version
	}
}

// current reports whether the copy is what the server has. Another history is
// errGap.
func (m *mirror) current(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, m.r.timeout)
	defer cancel()
	res, err := m.r.client.HMGet(ctx, m.keys[0], "epoch", "version").Result()
	if err != nil {
		return false, fmt.Errorf("comparing versions: %w", err)
	}
	epoch, _ := res[0].(string)
	text, _ := res[1].(string)
	version, _ := strconv.ParseInt(text, 10, 64)
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch != m.epoch || version < m.applied {
		return false, errGap // sync finds out the same
	}
	return version == m.applied, nil
}

// sync brings the copy up to date.
func (m *mirror) sync(ctx context.Context) error {
	epoch, version, last, err := m.place(ctx, "")
	if err != nil {
		return err
	}
	m.mu.Lock()
	known, applied, missed := m.epoch, m.applied, m.missed
	lost := known != "" && (m.lost || epoch != known || version < applied)
	m.mu.Unlock()
	if known != "" && !lost && !missed {
		// What came meanwhile is read from the stream; where that does not reach back far
		// enough, the gap shows.
		if version == applied {
			m.well()
		}
		return nil
	}
	if lost {
		// The server has lost what it was told: it was started again without its data, or
		// a replica that lagged took over. What is revoked stays revoked.
		m.r.log.Warn("shared state has lost changes: what this gateway knows is written back", "set", m.name, "address", m.r.address, "entries", m.set.Len())
		if epoch == known {
			if _, _, _, err := m.place(ctx, known); err != nil {
				return err
			}
		}
		if err := m.restore(ctx); err != nil {
			return err
		}
		if epoch, version, last, err = m.place(ctx, ""); err != nil {
			return err
		}
	}
	entries, err := m.scan(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	same := m.epoch == epoch && !lost
	m.epoch, m.applied, m.last, m.missed, m.lost = epoch, version, last, false, false
	for key, at := range m.early {
		if !same || at <= version {
			delete(m.early, key)
			continue
		}
		// Changed by this process after the place was taken: the scan may not have it.
		if e, ok := m.set.entry(key); ok {
			entries[key] = e
		} else {
			delete(entries, key)
		}
	}
	m.set.replace(entries)
	m.mu.Unlock()
	select {
	case <-m.filled:
	default:
		close(m.filled)
	}
	m.well()
	return nil
}

// place asks where the set's history stands. renew is an epoch to be replaced by
// a new one, "" for none.
func (m *mirror) place(ctx context.Context, renew string) (epoch string, version int64, last string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*m.r.timeout)
	defer cancel()
	res, err := placeScript.Run(ctx, m.r.client, m.keys[:2], newEpoch(), renew).Slice()
	if err != nil {
		return "", 0, "", fmt.Errorf("asking for the version: %w", err)
	}
	if epoch, version, err = place(res); err != nil {
		return "", 0, "", err
	}
	last, _ = res[2].(string)
	return epoch, version, last, nil
}

const restoreStep = 500

// restore writes back what the server has lost.
func (m *mirror) restore(ctx context.Context) error {
	live := m.set.live()
	keys := slices.Collect(maps.Keys(live))
	for part := range slices.Chunk(keys, restoreStep) {
		step, cancel := context.WithTimeout(ctx, 10*m.r.timeout)
		_, err := m.r.client.Pipelined(step, func(p redis.Pipeliner) error {
			for _, key := range part {
				e := live[key]
				changeScript.Eval(step, p, m.keys, "absent", key, e.value, millis(e.expires), newEpoch(), maxEntries, keepChanges, "")
			}
			return nil
		})
		cancel()
		if err != nil {
			return fmt.Errorf("writing back: %w", err)
		}
	}
	return nil
}

// scan reads the whole set. Changes meanwhile are in the stream, behind the place
// that was taken before.
func (m *mirror) scan(ctx context.Context) (map[string]entry, error) {
	out := map[string]entry{}
	var cursor uint64
	now := m.r.now()
	for {
		step, cancel := context.WithTimeout(ctx, 2*m.r.timeout)
		pairs, next, err := m.r.client.HScan(step, m.keys[0], cursor, "", 1000).Result()
		cancel()
		if err != nil {
			return nil, fmt.Errorf("reading all entries: %w", err)
		}
		for i := 0; i+1 < len(pairs); i += 2 {
			key, isEntry := strings.CutPrefix(pairs[i], "=")
			if !isEntry {
				continue
			}
			ends, value, ok := strings.Cut(pairs[i+1], " ")
			ms, err := strconv.ParseInt(ends, 10, 64)
			if !ok || err != nil || ms < 0 {
				return nil, fmt.Errorf("an entry that cannot be read: %w", errRubbish)
			}
			if e := (entry{value: []byte(value), expires: fromMillis(ms)}); !e.over(now) {
				out[key] = e
			}
		}
		if len(out) > maxEntries {
			return nil, fmt.Errorf("more than %d entries: %w", maxEntries, ErrFull)
		}
		if next == 0 {
			return out, nil
		}
		cursor = next
	}
}
