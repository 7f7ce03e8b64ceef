package authz

import (
	"maps"
	"slices"
	"time"
)

// SourceState is how one source of an engine is.
type SourceState struct {
	Name     string
	Revision string    // of what decides; "" before there is anything
	Heard    time.Time // when the source was last heard of with that; zero: never
	Failures uint64    // times that it could not be heard, or what it brought was refused
	Err      error     // what is wrong with it now; nil when all is well
	Bytes    int64     // memory of its relation data; 0 when it brings none
	Members  int       // at their top
}

// sized is a table that knows how large it is.
type sized interface {
	Size() (members int, bytes int64)
}

// States say how each source is, sorted by name.
func (e *Engine) States() []SourceState {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]SourceState, 0, len(e.sources))
	for _, name := range slices.Sorted(maps.Keys(e.sources)) {
		s := e.sources[name]
		one := SourceState{Name: name, Heard: s.heard, Failures: s.failures, Err: s.wrong()}
		if s.part != nil {
			one.Revision = s.part.Revision
			for _, t := range s.part.Tables {
				if t, ok := t.(sized); ok {
					members, bytes := t.Size()
					one.Members, one.Bytes = one.Members+members, one.Bytes+bytes
				}
			}
		}
		out = append(out, one)
	}
	return out
}
