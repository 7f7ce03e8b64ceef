package waf

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3/types"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
	"github.com/crenel-project/crenel/internal/spec"
)

// muted are rules that do not count at a place: what an exclusion comes down to.
// Nil mutes none. It is immutable.
type muted struct {
	ids []int  // sorted
	key string // tells two apart
}

var _ triage.Mute = (*muted)(nil)

// Mutes implements triage.Mute.
func (m *muted) Mutes(rule int) bool {
	_, found := slices.BinarySearch(m.ids, rule)
	return found
}

// exclusion is one of the config's, its rules looked up in those loaded.
type exclusion struct {
	match config.OperationOverride
	at    string // "" is everywhere
	muted *muted
}

// exclusions are those of one guard.
type exclusions struct {
	byOperation [][]*exclusion // by Operation.Index
	list        []*exclusion   // for calls that no operation covers
}

// loaded is one rule of the engine, as far as exclusions and explanations name it.
type loaded struct {
	id            int
	file          string
	tags          []string
	severity, raw string
}

func loadedOf(r types.RuleMetadata) loaded {
	return loaded{id: r.ID(), file: r.File(), tags: r.Tags(), severity: r.Severity().String(), raw: r.Raw()}
}

// judges reports whether a rule judges, rather than steers: a rule that jumps over
// those of higher paranoia levels must never be silenced, nor a marker (0) at which
// such a jump ends.
func judges(id int) bool {
	return id > 0 && id < firstCRS || id > lastCRS || id >= firstRule && id < evaluation && id%1000 >= 100
}

// classFiles are the files of CRS by the classes that configs name.
var classFiles = map[string]string{
	"method": "911-", "scanner": "913-", "protocol": "920-", "protocol_attack": "921-", "lfi": "930-", "rfi": "931-", "rce": "932-",
	"php": "933-", "generic": "934-", "xss": "941-", "sqli": "942-", "fixation": "943-", "java": "944-",
}

// newExclusions reads the config's exclusions. Each must name a rule that is
// loaded, and an operation that is there: one that does nothing is a mistake.
func newExclusions(list []config.WAFExclusion, rules []loaded, api *spec.API) (*exclusions, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := &exclusions{}
	if api != nil {
		out.byOperation = make([][]*exclusion, len(api.Operations))
	}
	var errs []error
	for i := range list {
		c := &list[i]
		wrong := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("waf.exclusions[%d]: "+format, append([]any{i}, args...)...))
		}
		ids, err := resolve(c, rules)
		if err != nil {
			wrong("%w", err)
			continue
		}
		e := &exclusion{match: config.OperationOverride{Operation: c.Operation}, at: c.At, muted: newMuted(ids)}
		out.list = append(out.list, e)
		found := false
		if api != nil {
			for _, op := range api.Operations {
				if e.covers(op.ID, op.Method, op.Path) {
					out.byOperation[op.Index] = append(out.byOperation[op.Index], e)
					found = true
				}
			}
		}
		// "METHOD /path" may be of a call that the document lacks and the contract lets in.
		if !found && !strings.Contains(c.Operation, " /") && c.Operation != "" {
			wrong("%q matches no operation of the document", c.Operation)
		}
	}
	return out, errors.Join(errs...)
}

// covers reports whether the exclusion is for an operation.
func (e *exclusion) covers(id, method, path string) bool {
	return e.match.Operation == "" || e.match.Matches(id, method, path)
}

// resolve looks up which rules are meant.
func resolve(c *config.WAFExclusion, rules []loaded) ([]int, error) {
	var ids []int
	take := func(what string, is func(r *loaded) bool) error {
		n := len(ids)
		for i := range rules {
			if r := &rules[i]; judges(r.id) && is(r) {
				ids = append(ids, r.id)
			}
		}
		if n == len(ids) {
			return fmt.Errorf("no rule that judges has %s", what)
		}
		return nil
	}
	var errs []error
	for _, text := range c.Rules {
		first, last, ok := config.RuleRange(text)
		if !ok {
			errs = append(errs, fmt.Errorf("%q is neither an id of a rule nor a range of them", text))
			continue
		}
		errs = append(errs, take("the id "+text, func(r *loaded) bool { return r.id >= first && r.id <= last }))
	}
	for _, tag := range c.Tags {
		errs = append(errs, take("the tag "+tag, func(r *loaded) bool { return slices.Contains(r.tags, tag) }))
	}
	for _, class := range c.Classes {
		file, ok := classFiles[class]
		if !ok {
			errs = append(errs, fmt.Errorf("%q is no class of attacks", class))
			continue
		}
		errs = append(errs, take("the class "+class, func(r *loaded) bool { return strings.Contains(r.file, "REQUEST-"+file) }))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(ids) == 0 {
		return nil, errors.New("it names no rule")
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func newMuted(ids []int) *muted { return &muted{ids: ids, key: joined(ids)} }

// of returns the exclusions that may hold for a request.
func (e *exclusions) of(x *exchange.Exchange) []*exclusion {
	switch {
	case e == nil:
		return nil
	case x.Operation != nil && x.Operation.Index < len(e.byOperation):
		return e.byOperation[x.Operation.Index]
	case x.Operation != nil:
		return nil
	}
	var out []*exclusion
	for _, one := range e.list {
		if one.covers("", x.Request.Method, x.Request.Path) {
			out = append(out, one)
		}
	}
	return out
}

// mutedAt are the rules that do not count at a place.
func mutedAt(list []*exclusion, at string) *muted {
	var m *muted
	for _, e := range list {
		if e.at != "" && !matchAt(e.at, at) {
			continue
		}
		if m == nil {
			m = e.muted
			continue
		}
		both := slices.Concat(m.ids, e.muted.ids)
		slices.Sort(both)
		m = newMuted(slices.Compact(both))
	}
	return m
}

// mute notes at each field which rules do not count there.
func mute(list []*exclusion, fields []field) {
	if len(list) == 0 {
		return
	}
	for i := range fields {
		fields[i].muted = mutedAt(list, fields[i].at)
	}
}

// atPath is the place of what rules find in the path as a whole.
const atPath = "path"

// portion is what the engine is asked about with the same rules muted.
type portion struct {
	fields []field
	path   bool // with the request's path, and its message's own header fields
	muted  *muted
	idle   [][2]int // ranges of rules that cannot match: first, last
}

// portions divides fields by what is muted there. A rule cannot be silenced for a
// single value inside of the engine (its exceptions for one request are not safe
// against another's), so such values are asked about apart, without the rule.
func portions(fields []field, list []*exclusion) []portion {
	path := mutedAt(list, atPath)
	same := true
	for i := range fields {
		same = same && keyOf(fields[i].muted) == keyOf(path)
	}
	if same {
		return []portion{{fields: fields, path: true, muted: path}}
	}
	out := []portion{{path: true, muted: path}}
	for _, f := range fields {
		i := slices.IndexFunc(out, func(p portion) bool { return keyOf(p.muted) == keyOf(f.muted) })
		if i < 0 {
			i = len(out)
			out = append(out, portion{muted: f.muted})
		}
		out[i].fields = append(out[i].fields, f)
	}
	return out
}

func keyOf(m *muted) string {
	if m == nil {
		return ""
	}
	return m.key
}

// remover is what the engine's transactions can do besides their interface.
type remover interface {
	RemoveRuleByID(id int)
	RemoveRuleByIDRange(first, last int)
}

// silenceIn keeps rules from being tried in one transaction: those that are muted,
// and those that cannot match.
func (p *portion) silenceIn(tx types.Transaction) error {
	if p.muted == nil && len(p.idle) == 0 {
		return nil
	}
	r, ok := tx.(remover)
	if !ok {
		return errors.New("the engine cannot leave out rules")
	}
	if p.muted != nil {
		for _, id := range p.muted.ids {
			r.RemoveRuleByID(id)
		}
	}
	for _, ids := range p.idle {
		r.RemoveRuleByIDRange(ids[0], ids[1])
	}
	return nil
}
