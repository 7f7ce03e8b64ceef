package call

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema/generate"
	"github.com/crenel-project/crenel/internal/value"
)

// NearMiss is a request that breaks its document in one way.
type NearMiss struct {
	Request *Request
	Fault   Fault // the way: what Check finds, and finds alone
}

// maxPerSchema bounds the near misses of one parameter or body.
const maxPerSchema = 60

// NearMisses makes requests that each break the document in one way, at every
// place and of every kind that it knows: values that do not fit their schema,
// parameters missing, unknown or sent twice, bodies missing, malformed, of a
// wrong type or where none is taken. A value that stops being wrong when it is
// written (the number 5 for a text) is left out.
func NearMisses(api *spec.API, op *spec.Operation, rng *rand.Rand, o Options) ([]NearMiss, error) {
	base, err := New(api, op, rng, o)
	if err != nil {
		return nil, fmt.Errorf("making near misses: %w", err)
	}
	n := misser{api: api, base: base, o: &o, rng: rng, seen: map[string]bool{}}
	for _, p := range op.Parameters {
		n.parameter(p)
	}
	n.query()
	n.body()
	return n.out, nil
}

type misser struct {
	api  *spec.API
	base *Request
	o    *Options
	rng  *rand.Rand
	out  []NearMiss
	seen map[string]bool
}

// clone copies the fitting request for a change.
func (n *misser) clone() *Request {
	r := *n.base
	r.Header = n.base.Header.Clone()
	r.values = maps.Clone(n.base.values)
	return &r
}

// offer keeps r when Check refuses it at the place that was changed.
func (n *misser) offer(r *Request, where, name string) {
	var f *Fault
	if !errors.As(Check(n.api, r), &f) || f.Where != where || f.Name != name {
		return
	}
	key := r.Method + " " + r.Target() + "\x00" + fmt.Sprint(r.Header) + "\x00" + string(r.Body)
	if n.seen[key] {
		return
	}
	n.seen[key] = true
	n.out = append(n.out, NearMiss{Request: r, Fault: *f})
}

func (n *misser) parameter(p *spec.Parameter) {
	fit, sent := n.base.values[p]
	if p.Schema != nil {
		misses, err := generate.NearMisses(p.Schema, n.rng, n.o.generate())
		if err == nil {
			for _, m := range misses[:min(len(misses), maxPerSchema)] {
				r := n.clone()
				r.values[p] = m.Value
				if r.write(n.o) == nil {
					n.offer(r, p.In, p.Name)
				}
			}
		}
	}
	// A text is what parameters are most often wrong with; the schema's own
	// near miss may be one that a path cannot hold (null is the empty text).
	r := n.clone()
	r.values[p] = value.Value{Kind: value.String, Text: "text"}
	if r.write(n.o) == nil {
		n.offer(r, p.In, p.Name)
	}
	if p.Required && p.In != "path" {
		r := n.clone()
		delete(r.values, p)
		if r.write(n.o) == nil {
			n.offer(r, p.In, p.Name)
		}
	}
	if sent && (p.In == "query" || p.In == "cookie") && fit.Kind != value.Array && fit.Kind != value.Object {
		r := n.clone()
		if p.In == "query" {
			for pair := range strings.SplitSeq(n.base.Query, "&") {
				if strings.HasPrefix(pair, p.Name+"=") {
					r.Query += "&" + pair
				}
			}
		} else {
			r.Header.Set("Cookie", r.Header.Get("Cookie")+"; "+p.Name+"=other")
		}
		n.offer(r, p.In, p.Name)
	}
}

// query adds a parameter that nobody declares.
func (n *misser) query() {
	r := n.clone()
	const name = "undeclared"
	if r.Query != "" {
		r.Query += "&"
	}
	r.Query += name + "=1"
	n.offer(r, "query", name)
}

func (n *misser) body() {
	op := n.base.Operation
	if op.Body == nil {
		if op.Method != http.MethodGet && op.Method != http.MethodHead {
			r := n.clone()
			r.Body, r.MediaType = []byte(`{"unexpected":true}`), "application/json"
			r.Header.Set("Content-Type", r.MediaType)
			n.offer(r, "body", "")
		}
		return
	}
	if op.Body.Required {
		r := n.clone()
		r.Body, r.body = nil, nil
		r.Header.Del("Content-Type")
		n.offer(r, "body", "")
	}
	if n.base.Body == nil {
		return
	}
	mt := n.base.declared()
	if !slices.ContainsFunc(op.Body.Content, func(m *spec.MediaType) bool { return m.Type == "*/*" || m.Type == "application/*" }) {
		r := n.clone()
		r.Header.Set("Content-Type", "application/x-crenel-unknown")
		n.offer(r, "body", "")
	}
	if isJSON(n.base.MediaType) {
		for _, wrong := range [][]byte{append(slices.Clone(n.base.Body), '}'), n.base.Body[:max(0, len(n.base.Body)-1)], []byte(`{"a":1,"a":2}`), {}} {
			r := n.clone()
			r.Body, r.body = wrong, nil
			n.offer(r, "body", "")
		}
	}
	if mt.Schema == nil {
		return
	}
	misses, err := generate.NearMisses(mt.Schema, n.rng, n.o.generate())
	if err != nil {
		return
	}
	for _, m := range misses[:min(len(misses), maxPerSchema)] {
		r := n.clone()
		v := m.Value
		r.body = &v
		if r.writeBody() == nil {
			n.offerBody(r)
		}
	}
}

// offerBody keeps r when Check refuses its body, in whole or in a field.
func (n *misser) offerBody(r *Request) {
	var f *Fault
	if errors.As(Check(n.api, r), &f) && f.Where == "body" {
		n.offer(r, "body", f.Name)
	}
}
