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
	seed  uint64
	draws int // of passwords
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
	p := &persona{who: who, run: run, seed: seed, rng: rand.New(rand.NewPCG(seed, h.Sum64())), facts: map[string]string{}} //nolint:gosec // test accounts, made to be repeatable
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
	p.draws++
	p.facts[factPassword] = p.key().Password(p.run, p.seed)
}

func (p *persona) key() Key {
	return Key{Who: p.who, Draw: p.draws, Min: p.pass.min, Max: p.pass.max, NoSymbols: p.pass.noSymbols, DigitsOnly: p.pass.digitsOnly, LettersOnly: p.pass.lettersOnly}
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
