package triage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Rule is one rule as the engine has loaded it.
type Rule struct {
	ID  int
	Raw string
}

// Options are what a Triage is made from.
type Options struct {
	Rules   []Rule
	Removed []int // ids that were removed after they had been loaded
	// Chains are the further members of chained rules: see Chains.
	Chains map[int][]string
	Level  int  // paranoia level, 1 to 4
	Whole  bool // requests hold texts of the kinds from Query on
	// TX are the variables that the rules set whatever the request is, as the engine
	// has them behind a request that no rule matched. Names in lower case.
	TX map[string]string
	// PerRequest are variables that are each request's own and part of how it travels.
	PerRequest []string
	// Root and Paths are where word files are found.
	Root  fs.FS
	Paths []string
}

// Text is one text of a request as the engine would be given it.
type Text struct {
	Kind Kind
	Name string // of an Arg, Cookie or Header
	Text string
	Mute Mute // nil: every rule counts
}

// Mute says which rules do not count for a text.
type Mute interface{ Mutes(rule int) bool }

// Triage is a compiled rule set. It is immutable and safe for concurrent use.
type Triage struct {
	sieves    [groups]sieve
	all       []*rule
	memory    memory
	silences  silences
	once      sync.Once // compiles the sets when they are first needed: a config that is only checked needs none
	failed    error
	transport []string
	counters  []string       // beginnings of variables that count how often an argument comes
	always    map[int]string // rules that cannot be expressed, and why
	onTexts   map[int]bool   // rules whose condition is on texts
	idle      []span
	rules     int
}

// The rules of CRS below evaluation judge; those from it on add up. Ids outside
// of CRS are custom rules.
const (
	firstCRS = 900_000
	lastCRS  = 999_999
)

// New compiles a rule set.
func New(o Options) (*Triage, error) {
	t := &Triage{always: map[int]string{}, onTexts: map[int]bool{}, memory: newMemory(), silences: newSilences()}
	jumped := map[int]bool{}
	c := &compiler{o: o, tx: o.TX, dynamic: map[string]bool{}, by: map[string][]int{}, out: t}
	var errs []error
	var all [][]*directive
	var ids []int
	for _, r := range o.Rules {
		if slices.Contains(o.Removed, r.ID) || strings.HasPrefix(strings.ToLower(strings.TrimSpace(r.Raw)), "secmarker") {
			continue
		}
		d, err := parse(r.Raw)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", r.ID, err))
			continue
		}
		if r.ID >= firstCRS && r.ID <= lastCRS && d.level > o.Level {
			jumped[r.ID] = true
			continue
		}
		members := []*directive{d}
		for _, raw := range o.Chains[r.ID] {
			m, err := parse(raw)
			if err != nil {
				errs = append(errs, fmt.Errorf("rule %d, chained: %w", r.ID, err))
				continue
			}
			members = append(members, m)
		}
		all, ids = append(all, members), append(ids, r.ID)
		// What a rule sets unless it is set, or always, is the same for every request.
		constant := !d.condition || len(d.targets) == 1 && d.targets[0].variable == "TX" && d.targets[0].count && !d.chained
		for _, m := range members {
			for _, name := range m.sets {
				if !constant {
					c.change(name, r.ID)
				}
			}
			if !constant {
				c.setters = append(c.setters, m)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, members := range all {
		custom := ids[i] < firstCRS || ids[i] > lastCRS
		if custom && slices.ContainsFunc(members, func(d *directive) bool { return d.skips || d.steers || d.setsAny("paranoia_level") }) {
			// What it jumps over, or leaves out, depends on texts that are not remembered.
			t.always[ids[i]] = "it changes what other rules do"
			continue
		}
		if !counts(members) && !(custom && slices.ContainsFunc(members, func(d *directive) bool { return d.setsAny("anomaly_score") })) {
			continue // it only notes something for others, or jumps
		}
		t.rules++
		// For a chain to match each of its members must: one will do. But what is remembered
		// of how a message travels is what all of the chain came to.
		var why error
		for n, d := range members {
			travels, err := c.condition(ids[i], d, c.local(ids[i], members[n+1:]) && n == 0)
			if travels && err == nil {
				err = c.settled(ids[i], slices.Delete(slices.Clone(members), n, n+1))
			}
			if why == nil || err == nil {
				why = err
			}
			if err == nil {
				break
			}
		}
		if why != nil {
			t.always[ids[i]] = why.Error()
		}
	}
	t.idle = t.spans(o, jumped)
	return t, nil
}

// counts reports whether a rule can add to a score or stop a request. A chain
// whose members are not known can.
func counts(members []*directive) bool {
	for _, d := range members {
		if d.scores || d.disrupts {
			return true
		}
	}
	return members[len(members)-1].chained
}

// local reports whether the further members of a chain look at nothing but what
// the first has found and how the message travels. What another rule has noted may
// come from any text.
func (c *compiler) local(id int, members []*directive) bool {
	for i, d := range members {
		if i == len(members)-1 && d.chained || c.comparesWithOthers(id, d.argument) {
			return false
		}
		for _, t := range d.targets {
			switch {
			case t.variable == "TX" && c.changedByOthers(id, &t):
				return false
			case t.variable == "MATCHED_VAR", t.variable == "MATCHED_VARS", t.variable == "TX", empty[t.variable], fixed[t.variable]:
			case t.variable == "REQUEST_HEADERS" && t.count:
			default:
				return false
			}
		}
	}
	return true
}

// Always lists the rules for which the engine must be asked about every request,
// and why.
func (t *Triage) Always() map[int]string { return t.always }

// Transport lists the header fields whose values belong to how a message travels,
// in lower case.
func (t *Triage) Transport() []string { return t.transport }

// Warm compiles the automata, which takes some tenths of a second, if that was not done
// yet. Without it the first request waits for them.
func (t *Triage) Warm() { t.once.Do(func() { t.failed = t.compile() }) }

// Suspects returns the places in list of the texts that a rule may match, in
// order; none means that no rule can match on any text. alone says that whether
// these rules match depends on those texts and on how the message travels only;
// then rules are their ids, sorted.
func (t *Triage) Suspects(list []Text) (out, rules []int, alone bool) {
	if t.Warm(); t.failed != nil {
		for i := range list {
			out = append(out, i)
		}
		return out, nil, false
	}
	s := scans.Get().(*scan)
	defer scans.Put(s)
	s.begin(list)
	for i := range list {
		if t.silent(s, &list[i]) {
			continue
		}
		var k textKey
		if t.memory.keeps(&list[i]) {
			k = t.memory.key(&list[i])
			if t.silences.has(k) {
				continue
			}
			if found, known := t.memory.get(k); known {
				s.found[i] = found
				continue
			}
		}
		s.todo, s.keys = append(s.todo, i), append(s.keys, k)
	}
	var gaveUp []int
	for n, i := range s.todo {
		x := &list[i]
		rules, err := t.sieves[groupOf(x.Kind)].find(s, x)
		if err != nil {
			gaveUp = append(gaveUp, i)
			continue
		}
		s.found[i] = rules
		switch k := s.keys[n]; {
		case k == (textKey{}):
		case len(rules) == 0:
			t.silences.put(k)
		default:
			t.memory.put(k, rules)
		}
	}
	if len(t.counters) > 0 {
		if twice := t.repeated(list); len(twice) > 0 {
			s.end()
			return twice, nil, false
		}
	}
	if len(gaveUp) > 0 {
		s.end()
		return gaveUp, nil, false
	}
	alone = true
	for i, found := range s.found {
		if len(found) == 0 {
			continue
		}
		loud := false
		for _, r := range found {
			if m := list[i].Mute; m != nil && m.Mutes(r.id) {
				continue
			}
			loud, alone = true, alone && r.local
			if !slices.Contains(rules, r.id) {
				rules = append(rules, r.id)
			}
		}
		if loud {
			out = append(out, i)
		}
	}
	s.end()
	slices.Sort(rules)
	return out, rules, alone
}

// silent reports whether a text is known to be silent, or is plain to see to be.
func (t *Triage) silent(s *scan, x *Text) bool {
	g := &t.sieves[groupOf(x.Kind)].gates[x.Kind]
	if !t.memory.keeps(x) {
		return g.quiet(s, x.Text)
	}
	k := t.silences.key(x.Kind, x.Text)
	if t.silences.has(k) {
		return true
	}
	if !g.quiet(s, x.Text) {
		return false
	}
	t.silences.put(k)
	return true
}

// repeated returns the places of the argument names that come more than once, and
// of what is named like a counter of them.
func (t *Triage) repeated(list []Text) (out []int) {
	seen := make(map[string]bool, len(list))
	for i := range list {
		name := strings.ToLower(list[i].Name)
		hit := slices.ContainsFunc(t.counters, func(c string) bool { return strings.Contains(name, c) })
		if list[i].Kind == ArgName {
			hit = hit || seen[name]
			seen[name] = true
		}
		if hit {
			out = append(out, i)
		}
	}
	return out
}

var scans = sync.Pool{New: func() any { return new(scan) }}

// String says what the triage is made of.
func (t *Triage) String() string {
	patterns, single := 0, 0
	for g := range t.sieves {
		for i := range t.sieves[g].books {
			patterns += len(t.sieves[g].books[i].list)
		}
		single += len(t.sieves[g].single)
	}
	return strconv.Itoa(t.rules) + " rules: " + strconv.Itoa(patterns) + " patterns, " + strconv.Itoa(single) + " text by text, " +
		strconv.Itoa(len(t.transport)) + " fields of transport, " + strconv.Itoa(len(t.always)) + " always"
}

func (t *Triage) compile() error {
	for g := range t.sieves {
		if err := t.sieves[g].compile(); err != nil {
			return err
		}
	}
	return nil
}

// Conditions are those that are put on texts of a kind, in words that tell them apart:
// two triages with the same ones name the same rules.
func (t *Triage) Conditions(k Kind) (out []string) {
	for _, r := range t.all {
		if !r.at[k] {
			continue
		}
		one := fmt.Sprint(r.id, r.local, r.negated, r.name, r.argument, r.names)
		for i := range r.targets {
			g := r.targets[i]
			one += fmt.Sprint(" ", g.variable, g.selector, g.count, g.except)
			if g.pattern != nil {
				one += g.pattern.String()
			}
		}
		out = append(out, one)
	}
	return out
}

// Looking are the rules that look at texts of a kind, whatever their name.
func (t *Triage) Looking(k Kind) (out []int) {
	for _, r := range t.all {
		if r.at[k] && !slices.Contains(out, r.id) {
			out = append(out, r.id)
		}
	}
	slices.Sort(out)
	return out
}

// Why lists the rules that match a text: of these, or of all where none are given.
func (t *Triage) Why(text Text, ids ...int) []int {
	var out []int
	for _, r := range t.all {
		if len(ids) > 0 && !slices.Contains(ids, r.id) {
			continue
		}
		if r.looksAt(&text) && r.matches(text.Text) && !slices.Contains(out, r.id) {
			out = append(out, r.id)
		}
	}
	slices.Sort(out)
	return out
}
