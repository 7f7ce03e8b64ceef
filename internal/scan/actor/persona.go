package actor

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
)

// persona is what a new account is given. It is drawn from the run's id and
// seed, so that two runs do not collide and one seed gives the same people.
type persona struct {
	facts map[string]string
	seq   int // how often an identity had to be changed
	who   string
	run   string
	rng   *rand.Rand
	// rules of the password, learnt from what the API said
	pass passwordRules
	// domain and phone count through what is tried when one is refused
	domain, phone int
}

type passwordRules struct {
	min, max    int
	noSymbols   bool
	digitsOnly  bool
	lettersOnly bool
}

var domains = []string{"example.com", "example.org", "example.net"}

// None of these can be anybody's: they lie in ranges that are kept for fiction.
var phones = []func(n int) string{
	func(n int) string { return fmt.Sprintf("+1202555%04d", 100+n%100) },
	func(n int) string { return fmt.Sprintf("202555%04d", 100+n%100) },
	func(n int) string { return fmt.Sprintf("+4479005%05d", n%100000) },
	func(n int) string { return fmt.Sprintf("079005%05d", n%100000) },
	func(n int) string { return fmt.Sprintf("202-555-%04d", 100+n%100) },
	func(n int) string { return fmt.Sprintf("1202555%04d", 100+n%100) },
}

func newPersona(run, who string, seed uint64) *persona {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%s", run, who)
	p := &persona{who: who, run: run, rng: rand.New(rand.NewPCG(seed, h.Sum64())), facts: map[string]string{}} //nolint:gosec // test accounts, made to be repeatable
	p.identity()
	p.password()
	p.facts[factName] = "Crenel " + strings.ToUpper(who[:1]) + who[1:]
	p.facts[factTenant] = "Crenel " + run
	p.facts[factDate] = "1990-01-15"
	return p
}

// identity draws new values for all that must be unique.
func (p *persona) identity() {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789"
	var b strings.Builder
	for range 5 {
		b.WriteByte(letters[p.rng.IntN(len(letters))])
	}
	name := "crn" + clip(plain(p.run), 6) + clip(plain(p.who), 5) + b.String()
	p.facts[factUsername] = name
	p.facts[factEmail] = name + "@" + domains[p.domain%len(domains)]
	p.facts[factPhone] = phones[p.phone%len(phones)](p.rng.IntN(100000))
	p.facts[factID] = ""
	p.seq++
}

// password draws a password that keeps to the rules that are known.
func (p *persona) password() {
	least, most := max(p.pass.min, 14), p.pass.max
	if most > 0 && least > most {
		least = most
	}
	sets := []string{"ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnpqrstuvwxyz", "23456789", "!@#$%"}
	switch {
	case p.pass.digitsOnly:
		sets = sets[2:3]
	case p.pass.lettersOnly:
		sets = sets[:2]
	case p.pass.noSymbols:
		sets = sets[:3]
	}
	b := make([]byte, least)
	for i := range b {
		// Letters most of the time, and every set near the beginning.
		set := sets[i%len(sets)]
		if i >= len(sets) && len(sets) > 1 && p.rng.IntN(3) > 0 {
			set = sets[1]
		}
		for {
			b[i] = set[p.rng.IntN(len(set))]
			if i < 1 || b[i] != b[i-1] {
				break
			}
		}
	}
	p.facts[factPassword] = string(b)
}

func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}

func clip(s string, n int) string { return s[:min(len(s), n)] }
