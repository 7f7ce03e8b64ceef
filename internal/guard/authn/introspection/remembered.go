package introspection

// remembered is a bounded map: when the young half is full it becomes the old
// one, and what was not asked for since is gone. Not safe for concurrent use.
type remembered[V any] struct {
	half       int
	young, old map[string]V
}

func newRemembered[V any](most int) remembered[V] {
	return remembered[V]{half: max(1, most/2), young: map[string]V{}}
}

func (r *remembered[V]) get(key string) (V, bool) {
	if v, ok := r.young[key]; ok {
		return v, true
	}
	v, ok := r.old[key]
	if ok {
		r.put(key, v)
	}
	return v, ok
}

func (r *remembered[V]) put(key string, v V) {
	if _, known := r.young[key]; !known && len(r.young) >= r.half {
		r.old, r.young = r.young, make(map[string]V)
	}
	r.young[key] = v
	delete(r.old, key)
}

func (r *remembered[V]) drop(key string) {
	delete(r.young, key)
	delete(r.old, key)
}
