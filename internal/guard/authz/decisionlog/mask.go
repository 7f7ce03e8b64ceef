package decisionlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/spec"
)

// Masker takes out of events what must not leave: what everybody's must not
// (tokens, claims, sessions, cookies, values whose name or look says that they
// are secret), what the config names, and what the policy's data.system.log.mask
// names, in OPA's form. It is safe for concurrent use.
type Masker struct {
	classes  []spec.DataClass
	pointers []maskRule
}

// NewMasker takes further pointers, such as /input/body/note, in which * stands
// for any member or element, and the classes of data that are taken out wherever
// a name says that a value is of one. Secrets always are.
func NewMasker(pointers []string, classes []spec.DataClass) (*Masker, error) {
	m := &Masker{classes: append([]spec.DataClass{spec.ClassSecret}, classes...)}
	for _, p := range pointers {
		r, err := pointerRule(p)
		if err != nil {
			return nil, err
		}
		m.pointers = append(m.pointers, r)
	}
	return m, nil
}

// always are the places that never leave.
var always = func() []maskRule {
	var out []maskRule
	for _, p := range []string{
		"/input/identity/claims", "/input/identity/session", "/input/identity/also/*/claims", "/input/identity/also/*/session",
		"/input/params/cookie", "/input/params/header/authorization", "/input/params/header/cookie", "/input/params/header/proxy-authorization",
	} {
		r, err := pointerRule(p)
		if err != nil {
			panic(err)
		}
		out = append(out, r)
	}
	return out
}()

// harmless are the non-deterministic functions whose results say nothing of a
// caller; those of others (io.jwt.…) hold tokens and keys.
var harmless = []string{"time.now_ns", "rand.intn", "uuid.rfc4122"}

// maskRule removes or replaces what is at a path.
type maskRule struct {
	name  string // as it is listed in erased or masked
	parts []string
	any   bool // * stands for any member
	write bool // upsert, else remove
	value any
}

// maskable are the members that rules may reach, as in OPA.
var maskable = []string{"input", "result", "nd_builtin_cache"}

func pointerRule(p string) (maskRule, error) {
	if !strings.HasPrefix(p, "/") {
		return maskRule{}, fmt.Errorf("mask %q is not a JSON pointer: it must begin with a slash", p)
	}
	parts := strings.Split(p[1:], "/")
	if !slices.Contains(maskable, parts[0]) {
		return maskRule{}, fmt.Errorf("mask %q: it must begin with /input, /result or /nd_builtin_cache", p)
	}
	for i := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(parts[i], "~1", "/"), "~0", "~")
	}
	return maskRule{name: p, parts: parts, any: true}, nil
}

// policyRules reads what data.system.log.mask says: paths, or objects {op, path,
// value}. Unlike OPA, which skips a rule that it cannot read, it is an error: the
// event would leave unmasked.
func policyRules(v ast.Value) ([]maskRule, error) {
	if v == nil {
		return nil, nil
	}
	j, err := ast.JSON(v)
	if err != nil {
		return nil, err
	}
	list, ok := j.([]any)
	if !ok {
		return nil, fmt.Errorf("data.system.log.mask is neither a set nor an array but %s", ast.ValueName(v))
	}
	out := make([]maskRule, 0, len(list))
	for _, item := range list {
		var r maskRule
		path, isText := item.(string)
		if o, isObject := item.(map[string]any); isObject {
			if path, isText = o["path"].(string); !isText {
				return nil, errors.New("a rule of data.system.log.mask has no path")
			}
			switch o["op"] {
			case "remove":
			case "upsert":
				r.write, r.value = true, o["value"]
			default:
				return nil, fmt.Errorf("a rule of data.system.log.mask has op %v; known are remove and upsert", o["op"])
			}
		}
		if !isText || !strings.HasPrefix(path, "/") {
			return nil, fmt.Errorf("a rule of data.system.log.mask is not a path that begins with a slash: %v", item)
		}
		r.parts = strings.Split(path[1:], "/")
		if !slices.Contains(maskable, r.parts[0]) {
			return nil, fmt.Errorf("data.system.log.mask may reach /input, /result and /nd_builtin_cache, not %q", path)
		}
		escaped := make([]string, len(r.parts))
		for i, p := range r.parts {
			plain, err := url.PathUnescape(p)
			if err != nil {
				return nil, fmt.Errorf("data.system.log.mask: %q: %w", path, err)
			}
			r.parts[i], escaped[i] = plain, url.PathEscape(p)
		}
		r.name = "/" + strings.Join(escaped, "/")
		out = append(out, r)
	}
	return out, nil
}

// masking is one event being masked.
type masking struct {
	docs    map[string]any
	erased  []string
	masked  []string
	classes []spec.DataClass
}

// Mask takes out of an event what must not leave. rules may be nil. When it
// fails the event must be kept back.
func (m *Masker) Mask(ctx context.Context, e *Event, rules Rules) error {
	k := &masking{docs: map[string]any{}, classes: m.classes}
	for name, raw := range map[string]json.RawMessage{"input": e.Input, "result": e.Result, "nd_builtin_cache": e.NDBuiltinCache} {
		if len(raw) == 0 {
			continue
		}
		v, err := decodeAny(raw)
		if err != nil {
			return fmt.Errorf("masking decision %s: reading %s: %w", e.DecisionID, name, err)
		}
		k.docs[name] = v
	}
	var own []maskRule
	if rules != nil {
		event, err := eventValue(e)
		if err != nil {
			return fmt.Errorf("masking decision %s: %w", e.DecisionID, err)
		}
		v, err := rules.Mask(ctx, event)
		if err == nil {
			own, err = policyRules(v)
		}
		if err != nil {
			return fmt.Errorf("masking decision %s: %w", e.DecisionID, err)
		}
	}
	for _, list := range [][]maskRule{always, m.pointers, own} {
		for i := range list {
			k.apply(&list[i])
		}
	}
	k.byMeaning()
	if len(e.MappedResult) > 0 {
		// Headers for the upstream and conditions on rows: OPA's rules do not reach them.
		e.MappedResult = nil
		k.erased = append(k.erased, "/mapped_result")
	}
	if e.Custom != nil && len(e.Custom.Crenel.Reads) > 0 {
		about := e.Custom.Crenel
		about.Reads = nil
		e.Custom = &Custom{about}
		k.erased = append(k.erased, "/custom/crenel/reads")
	}
	if e.Error != nil && (strings.Contains(e.Error.Message, `"`) || looksSecret(e.Error.Message)) {
		// What quotes something may quote a secret; the code says enough.
		e.Error = &EventError{Code: e.Error.Code}
		k.erased = append(k.erased, "/error/message")
	}
	return k.write(e)
}

// eventValue is the event as a policy's rule sees it.
func eventValue(e *Event) (ast.Value, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return readValue(b)
}

func (k *masking) write(e *Event) error {
	for name, p := range map[string]*json.RawMessage{"input": &e.Input, "result": &e.Result, "nd_builtin_cache": &e.NDBuiltinCache} {
		v, there := k.docs[name]
		if !there {
			*p = nil
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("masking decision %s: %w", e.DecisionID, err)
		}
		*p = b
	}
	slices.Sort(k.erased)
	slices.Sort(k.masked)
	e.Erased = append(e.Erased, slices.Compact(k.erased)...)
	e.Masked = append(e.Masked, slices.Compact(k.masked)...)
	return nil
}

func (k *masking) apply(r *maskRule) {
	doc := r.parts[0]
	v, there := k.docs[doc]
	if len(r.parts) == 1 {
		switch {
		case r.write && there:
			k.docs[doc] = r.value
			k.masked = append(k.masked, r.name)
		case !r.write && there:
			delete(k.docs, doc)
			k.erased = append(k.erased, r.name)
		}
		return
	}
	if !there {
		return
	}
	next, changed := r.at(v, r.parts[1:])
	if !changed {
		return
	}
	k.docs[doc] = next
	if r.write {
		k.masked = append(k.masked, r.name)
	} else {
		k.erased = append(k.erased, r.name)
	}
}

// at applies the rule below v, and returns what v became.
func (r *maskRule) at(v any, parts []string) (any, bool) {
	part, last := parts[0], len(parts) == 1
	switch v := v.(type) {
	case map[string]any:
		if r.any && part == "*" {
			changed := false
			for key := range v {
				if r.member(v, key, parts[1:], last) {
					changed = true
				}
			}
			return v, changed
		}
		return v, r.member(v, part, parts[1:], last)
	case []any:
		if r.any && part == "*" {
			if last {
				return []any{}, len(v) > 0
			}
			changed := false
			for i := range v {
				if next, did := r.at(v[i], parts[1:]); did {
					v[i], changed = next, true
				}
			}
			return v, changed
		}
		i, err := strconv.Atoi(part)
		if err != nil || i < 0 || i >= len(v) {
			return v, false
		}
		if !last {
			next, changed := r.at(v[i], parts[1:])
			v[i] = next
			return v, changed
		}
		if r.write {
			v[i] = r.value
			return v, true
		}
		return slices.Delete(v, i, i+1), true
	}
	return v, false
}

func (r *maskRule) member(v map[string]any, key string, rest []string, last bool) bool {
	child, there := v[key]
	switch {
	case last && r.write:
		v[key] = r.value
		return true
	case last:
		delete(v, key)
		return there
	case !there && r.write:
		child = map[string]any{} // OPA makes what lies on the way
	case !there:
		return false
	}
	next, changed := r.at(child, rest)
	if changed {
		v[key] = next
	}
	return changed
}
