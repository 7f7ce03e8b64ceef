package authn

import (
	"slices"
	"strings"
	"time"
)

// KeyStatus is how an issuer's keys are.
type KeyStatus struct {
	Name     string    // "issuer https://…" or "key set https://…"
	Keys     int       // usable ones
	Fetched  time.Time // when they were last known to be the issuer's; zero: never
	Fetches  uint64    // that ended
	Failures uint64    // of them
	Error    string    // of the last one; "" when it went well
}

// Statuses say how the keys of every issuer in use are, sorted by name. Keys that
// are fetched in two ways (by another authority, at another pace) are one: the
// older of the two.
func (k *KeyStore) Statuses() []KeyStatus {
	k.mu.Lock()
	sources := make([]*source, 0, len(k.sources))
	for _, s := range k.sources {
		sources = append(sources, s.source)
	}
	k.mu.Unlock()
	byName := map[string]KeyStatus{}
	for _, s := range sources {
		one := s.status()
		if other, ok := byName[one.Name]; ok {
			one.Fetches += other.Fetches
			one.Failures += other.Failures
			if other.Fetched.Before(one.Fetched) {
				one.Fetched, one.Keys = other.Fetched, other.Keys
			}
			if one.Error == "" {
				one.Error = other.Error
			}
		}
		byName[one.Name] = one
	}
	out := make([]KeyStatus, 0, len(byName))
	for _, s := range byName {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b KeyStatus) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s *source) status() KeyStatus {
	out := KeyStatus{Name: s.name}
	if f := s.set.Load(); f != nil {
		out.Keys, out.Fetched = len(f.keys), f.at
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Fetches, out.Failures = s.tries, s.misses
	if s.failure != nil {
		out.Error = s.failure.Error()
	}
	return out
}
