package graph

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// learned is what answers taught beyond the description. It has a lock of its
// own; the Graph's fields are left alone until Settle.
type learned struct {
	mu      sync.RWMutex
	b       *builder
	outputs map[*Op]map[string]*Output // by pointer, or "header NAME"
	fresh   map[*Op][]*Output          // those that the description lacks, in order of sight
	edges   map[*Input][]*Edge
	answers map[*Op]answer
	waiting map[string][]*Input // inputs by the resource or the name that would feed them, and those of coupons
}

type answer struct{ answered, listAt string }

// Bounds of what is learned from one answer and for one operation.
const (
	maxSeenElements = 3    // of each list; they are mostly alike
	maxSeenDepth    = 12   // of nesting
	maxSeenNodes    = 4000 // values looked at in one answer
	maxFresh        = 256  // undeclared outputs of one operation
	maxNamesakes    = 2000 // inputs of one plain name ("id") that an output of that name is tried for: a name of more says nothing
)

func newLearned(g *Graph) *learned {
	l := &learned{b: &builder{g: g, cache: leafCache{}, nouns: map[string]bool{}},
		outputs: map[*Op]map[string]*Output{}, fresh: map[*Op][]*Output{}, edges: map[*Input][]*Edge{}, answers: map[*Op]answer{}, waiting: map[string][]*Input{}}
	for _, op := range g.Ops {
		for _, s := range op.route.steps {
			if s.noun != "" {
				l.b.nouns[s.noun] = true
			}
		}
		for _, in := range op.Inputs {
			if !feedable(in) {
				continue
			}
			if in.Object != nil {
				l.waiting["resource "+in.Object.Resource] = append(l.waiting["resource "+in.Object.Resource], in)
			}
			name := strings.Join(spec.Words(in.Name), "_")
			l.waiting["name "+name] = append(l.waiting["name "+name], in)
			if in.Meaning == MeansCoupon {
				l.waiting["coupon"] = append(l.waiting["coupon"], in)
			}
			if in.key != name && len(in.key) > 3 {
				l.waiting["name "+in.key] = append(l.waiting["name "+in.key], in)
			}
		}
	}
	return l
}

// Observe learns from a successful answer of op: which outputs it really holds,
// declared or not, whether it is an object or a list, and what they can feed.
// body is decoded JSON (map[string]any, []any, json.Number or float64, string,
// bool, nil, or a *value.Value). It is safe for concurrent use, also with every
// method of Graph. Only answers with a 2xx status are of use.
func (g *Graph) Observe(op *Op, body any, header http.Header) {
	if g == nil || op == nil {
		return
	}
	root := value.FromAny(body)
	l := g.learned
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.outputs[op]
	if seen == nil {
		seen = map[string]*Output{}
		l.outputs[op] = seen
	}
	for _, name := range []string{"Location", "Content-Location", "Set-Cookie"} {
		if header.Get(name) != "" {
			l.see(op, seen, &Output{Op: op, Header: name, Name: name, Type: "string"}, func(o *Output) { *o = *l.b.header(op, name) })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if carrierNames[strings.Join(spec.Words(name), "")] {
			l.see(op, seen, &Output{Op: op, Header: name, Name: name, Type: "string"}, func(o *Output) { *o = *l.b.header(op, name) })
		}
	}
	if body == nil {
		return
	}
	w := sight{l: l, op: op, seen: seen, left: maxSeenNodes}
	w.value(&root, "", "", "", "", 0)
	answered, listAt := seenAnswer(&root)
	if old, ok := l.answers[op]; !ok || old.answered != "list" {
		l.answers[op] = answer{answered, listAt}
	}
}

// seenAnswer tells what an answer is.
func seenAnswer(v *value.Value) (answered, listAt string) {
	switch v.Kind {
	case value.Array:
		return "list", ""
	case value.Object:
	case value.Null:
		return "none", ""
	default:
		return "other", ""
	}
	best := ""
	lists := 0
	identified, own := false, 0
	for i := range v.Kids {
		k := &v.Kids[i]
		if noun, ok := idNoun(k.Name, false); ok && noun == "" && k.Kind != value.Null {
			identified = true
		}
		switch {
		case k.Kind == value.Array && (len(k.Kids) == 0 || k.Kids[0].Kind == value.Object || wrappers[strings.ToLower(k.Name)]):
			lists++
			if best == "" || wrappers[strings.ToLower(k.Name)] {
				best = "/" + value.EscapeToken(k.Name)
			}
		case k.Kind == value.Object && wrappers[strings.ToLower(k.Name)] && best == "":
			if a, at := seenAnswer(k); a == "list" {
				best, lists = "/"+value.EscapeToken(k.Name)+at, 1
			}
		case k.Kind != value.Object && !envelopeWords[strings.ToLower(k.Name)]:
			if m, _ := meaningOf(k.Name, "", ""); m != MeansPage && m != MeansPageSize && m != MeansSort {
				own++
			}
		}
	}
	if !identified && best != "" && (lists == 1 && own <= 1 || wrappers[strings.ToLower(best[1:])]) {
		return "list", best
	}
	return "object", ""
}

// sight walks one answer.
type sight struct {
	l    *learned
	op   *Op
	seen map[string]*Output
	left int
}

func (w *sight) value(v *value.Value, pointer, name, holder, under string, depth int) {
	if w.left--; w.left < 0 || depth > maxSeenDepth {
		return
	}
	switch v.Kind {
	case value.Array:
		for i := range v.Kids[:min(len(v.Kids), maxSeenElements)] {
			w.value(&v.Kids[i], pointer+"/*", name, holder, under, depth+1)
		}
	case value.Object:
		for i := range v.Kids {
			k := &v.Kids[i]
			w.value(k, pointer+"/"+value.EscapeToken(k.Name), k.Name, name, pointer, depth+1)
		}
	case value.Null:
	default:
		typ, format := seenType(v)
		w.l.see(w.op, w.seen, &Output{Op: w.op, Pointer: pointer, Name: name, Type: typ, Format: format, under: under}, func(o *Output) {
			w.l.b.means(o, &leaf{pointer: pointer, name: name, typ: typ, format: format, holder: holder, under: under})
		})
	}
}

// seenType is the type of a real value, and the format where its text tells.
func seenType(v *value.Value) (typ, format string) {
	switch v.Kind {
	case value.Bool:
		return "boolean", ""
	case value.Number:
		if _, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
			return "integer", ""
		}
		return "number", ""
	}
	if isUUID(v.Text) {
		return "string", "uuid"
	}
	return "string", ""
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// see records an output of a real answer; the caller holds the lock.
func (l *learned) see(op *Op, seen map[string]*Output, o *Output, fill func(*Output)) {
	key := o.Pointer
	if o.Header != "" {
		key = "header " + strings.ToLower(o.Header)
	}
	if seen[key] != nil {
		return
	}
	for _, d := range op.Outputs {
		if d.Header == "" && o.Header == "" && d.Pointer == o.Pointer || o.Header != "" && strings.EqualFold(d.Header, o.Header) {
			c := *d
			c.Seen = true
			if o.Header == "" {
				c.Type = o.Type
				if c.Format == "" {
					c.Format = o.Format
				}
			}
			seen[key] = &c
			l.feed(&c)
			return
		}
	}
	if len(l.fresh[op]) >= maxFresh {
		return
	}
	fill(o)
	o.Seen = true
	seen[key] = o
	l.fresh[op] = append(l.fresh[op], o)
	l.feed(o)
}

// feed makes the edges from an output that was seen.
func (l *learned) feed(o *Output) {
	if o.Type == "boolean" || o.Type == "object" {
		return
	}
	done := map[*Input]bool{}
	try := func(list []*Input) {
		for _, in := range list {
			if done[in] || in.Op == o.Op {
				continue
			}
			done[in] = true
			key := wantKey{key: in.key, name: strings.Join(spec.Words(in.Name), "_"), typ: in.Type, format: in.Format, means: in.Meaning}
			if in.Object != nil {
				key.resource = in.Object.Resource
			}
			score, why := match(in, o, key)
			if score < 0.2 {
				continue
			}
			l.insert(in, &Edge{From: o, To: in, Score: min(1, score+0.03), Why: why + ", seen in an answer"})
		}
	}
	if o.Object != nil {
		try(l.waiting["resource "+o.Object.Resource])
	}
	if o.holder != nil {
		try(l.waiting["resource "+o.holder.Name])
	}
	if couponCode(o) {
		try(l.waiting["coupon"])
	}
	if list := l.waiting["name "+o.joined]; len(list) <= maxNamesakes || !plainNames[o.joined] {
		try(list)
	}
}

func (l *learned) insert(in *Input, e *Edge) {
	list := l.edges[in]
	for i, old := range list {
		if old.From.Op == e.From.Op {
			if e.Score > old.Score {
				list[i] = e
			}
			l.edges[in] = list
			return
		}
	}
	if len(list) < 2*maxProducers {
		l.edges[in] = append(list, e)
	}
}

// Outputs lists what op's answers hold: what is declared, and what was seen.
func (g *Graph) Outputs(op *Op) []*Output {
	l := g.learned
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.outputsOf(op)
}

func (l *learned) outputsOf(op *Op) []*Output {
	out := make([]*Output, 0, len(op.Outputs)+len(l.fresh[op]))
	for _, o := range op.Outputs {
		key := o.Pointer
		if o.Header != "" {
			key = "header " + strings.ToLower(o.Header)
		}
		if s := l.outputs[op][key]; s != nil {
			o = s
		}
		out = append(out, o)
	}
	return append(out, l.fresh[op]...)
}

// Producers lists where an input's value can come from, the best first: what
// the description says, and what answers were seen to hold.
func (g *Graph) Producers(in *Input) []*Edge {
	l := g.learned
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.producersOf(in)
}

func (l *learned) producersOf(in *Input) []*Edge {
	seen := l.edges[in]
	out := slices.Clone(seen)
	for _, e := range in.Producers {
		if !slices.ContainsFunc(seen, func(s *Edge) bool {
			return s.From.Op == e.From.Op && s.From.Pointer == e.From.Pointer && s.From.Header == e.From.Header
		}) {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(x, y *Edge) int {
		switch {
		case x.Score > y.Score:
			return -1
		case x.Score < y.Score:
			return 1
		}
		return x.From.Op.Index - y.From.Op.Index
	})
	return out
}

// Answer is what op's successful answers are ("object", "list", "other",
// "none") and where the list is: as seen, else as declared.
func (g *Graph) Answer(op *Op) (answered, listAt string) {
	l := g.learned
	l.mu.RLock()
	defer l.mu.RUnlock()
	if a, ok := l.answers[op]; ok {
		return a.answered, a.listAt
	}
	return op.Answered, op.ListAt
}

// Settle moves what was learned into the graph's fields: outputs, edges, what
// operations answer, and the fields that identify objects and name owners. Call
// it between phases: nothing else may use the graph meanwhile.
func (g *Graph) Settle() {
	l := g.learned
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, op := range g.Ops {
		if len(l.outputs[op]) > 0 {
			op.Outputs = l.outputsOf(op)
		}
		if a, ok := l.answers[op]; ok {
			op.Answered, op.ListAt = a.answered, a.listAt
			if op.Kind == Read && !op.OnObject && a.answered == "list" {
				op.Kind = List
			}
		}
	}
	for in := range l.edges {
		in.Producers = l.producersOf(in)
		in.Producers = in.Producers[:min(len(in.Producers), maxProducers)]
	}
	l.b.identify()
	for _, op := range g.Ops {
		op.Purposes = map[Purpose]Guess{}
		l.b.purposes(op)
	}
	l.b.rivals()
	l.b.people()
	l.outputs, l.fresh, l.edges, l.answers = map[*Op]map[string]*Output{}, map[*Op][]*Output{}, map[*Input][]*Edge{}, map[*Op]answer{}
}
