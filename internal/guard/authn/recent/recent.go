// Package recent is a bounded map that forgets what was not asked for lately.
//
// In: keys and what is known of them. Out: what is still remembered. It never
// holds more than its bound, and costs one look-up or two.
package recent

// Map is a bounded map of two halves: when the young one is full it becomes the
// old one, and what was not asked for since is gone. Not safe for concurrent use.
type Map[V any] struct {
	half       int
	young, old map[string]V
}

// New makes a Map of at most most entries, at least two.
func New[V any](most int) Map[V] {
	return Map[V]{half: max(1, most/2), young: map[string]V{}}
}

// Get returns what key has, and keeps it for longer.
func (m *Map[V]) Get(key string) (V, bool) {
	if v, ok := m.young[key]; ok {
		return v, true
	}
	v, ok := m.old[key]
	if ok {
		m.Put(key, v)
	}
	return v, ok
}

// Put remembers v.
func (m *Map[V]) Put(key string, v V) {
	if _, known := m.young[key]; !known && len(m.young) >= m.half {
		m.old, m.young = m.young, make(map[string]V)
	}
	m.young[key] = v
	delete(m.old, key)
}

// Drop forgets key.
func (m *Map[V]) Drop(key string) {
	delete(m.young, key)
	delete(m.old, key)
}
