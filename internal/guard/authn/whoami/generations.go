package whoami

// generations is a bounded map: when the young half is full it becomes the old
// one, and what was not asked for since is gone. Not safe for concurrent use.
type generations[V any] struct {
	half       int
	young, old map[string]V
}

func newGenerations[V any](most int) generations[V] {
	return generations[V]{half: most / 2, young: map[string]V{}}
}

func (g *generations[V]) get(key string) (V, bool) {
	if v, ok := g.young[key]; ok {
		return v, true
	}
	v, ok := g.old[key]
	if ok {
		g.put(key, v)
	}
	return v, ok
}

func (g *generations[V]) put(key string, v V) {
	if len(g.young) >= g.half {
		g.old, g.young = g.young, make(map[string]V)
	}
	g.young[key] = v
}

func (g *generations[V]) drop(key string) {
	delete(g.young, key)
	delete(g.old, key)
}
