package actor

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Key says how the password of an account that a run made is drawn again, from
// the run's id and seed. It is none itself, so that a run's journal can hold it.
type Key struct {
	Who         string `json:"who"`
	Draw        int    `json:"draw"` // the first is 1
	Min         int    `json:"min,omitempty"`
	Max         int    `json:"max,omitempty"`
	NoSymbols   bool   `json:"no_symbols,omitempty"`
	DigitsOnly  bool   `json:"digits_only,omitempty"`
	LettersOnly bool   `json:"letters_only,omitempty"`
}

// maxPassword bounds what a key that was read from a file can ask for.
const maxPassword = 256

// Password draws it.
func (k Key) Password(run string, seed uint64) string {
	least := max(k.Min, 14)
	if k.Max > 0 && least > k.Max {
		least = k.Max
	}
	sets := []string{"ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnpqrstuvwxyz", "23456789", "!@#$%"}
	switch {
	case k.DigitsOnly:
		sets = sets[2:3]
	case k.LettersOnly:
		sets = sets[:2]
	case k.NoSymbols:
		sets = sets[:3]
	}
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%s/password/%d", run, k.Who, k.Draw)
	rng := rand.New(rand.NewPCG(seed, h.Sum64())) //nolint:gosec // test accounts, made to be repeatable
	b := make([]byte, min(least, maxPassword))
	for i := range b {
		// Letters most of the time, and every set near the beginning.
		set := sets[i%len(sets)]
		if i >= len(sets) && len(sets) > 1 && rng.IntN(3) > 0 {
			set = sets[1]
		}
		for {
			b[i] = set[rng.IntN(len(set))]
			if i < 1 || b[i] != b[i-1] {
				break
			}
		}
	}
	return string(b)
}

// Key is how the password of an account that the run made is drawn again; ok is
// false where it was not drawn so.
func (a *Actor) Key(run string, seed uint64) (k Key, ok bool) {
	if a == nil || !a.Made || a.who == nil {
		return k, false
	}
	k = a.who.key()
	return k, k.Password(run, seed) == a.Facts[factPassword]
}

// Names are the facts by which an account logs in, but for its password.
func (a *Actor) Names() map[string]string {
	out := map[string]string{}
	for _, fact := range []string{factEmail, factUsername, factPhone, factTenant} {
		if v := a.Facts[fact]; v != "" {
			out[fact] = v
		}
	}
	return out
}

// Signs reports whether a request carries the session's credentials.
func (s *Session) Signs(r *target.Request) bool {
	signs := false
	for _, part := range s.Snapshot() {
		if part.CSRF || part.Value == "" {
			continue
		}
		switch part.In {
		case "query":
			q := r.Clone()
			part.apply(q)
			signs = q.Query == r.Query
		case "cookie":
			signs = strings.Contains("; "+r.Get("Cookie")+";", "; "+part.Name+"="+part.Prefix+part.Value+";")
		default:
			signs = r.Get(part.Name) == part.Prefix+part.Value
		}
		if !signs {
			return false
		}
	}
	return signs
}
