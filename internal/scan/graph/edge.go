package graph

import (
	"cmp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// maxProducers bounds the edges kept for one input: more say nothing new.
const maxProducers = 12

// shelf holds outputs by what they can feed.
type shelf struct {
	byResource map[string][]*Output // holder's or object's name
	byName     map[string][]*Output // words of the name, joined
	byLink     map[*Input][]*Edge
	coupons    []*Output // codes of what is worth something
	ranked     map[wantKey][]*Output
}

// wantKey is what decides where an input's value can come from.
type wantKey struct {
	resource, key, name, typ, format string
	means                            Meaning
}

func (b *builder) edges() {
	s := newShelf(b.g)
	s.links(b.g)
	for _, op := range b.g.Ops {
		for _, in := range op.Inputs {
			in.Producers = s.producers(in)
		}
	}
}

func newShelf(g *Graph) *shelf {
	s := &shelf{byResource: map[string][]*Output{}, byName: map[string][]*Output{}, byLink: map[*Input][]*Edge{}, ranked: map[wantKey][]*Output{}}
	for _, op := range g.Ops {
		for _, o := range op.Outputs {
			s.add(o)
		}
	}
	return s
}

func (s *shelf) add(o *Output) {
	if o.Type == "boolean" || o.Type == "object" {
		return
	}
	if o.Object != nil {
		s.byResource[o.Object.Resource] = append(s.byResource[o.Object.Resource], o)
	}
	if o.holder != nil && (o.Object == nil || o.Object.Resource != o.holder.Name) {
		s.byResource[o.holder.Name] = append(s.byResource[o.holder.Name], o)
	}
	if n := o.joined; n != "" {
		s.byName[n] = append(s.byName[n], o)
	}
	if couponCode(o) {
		s.coupons = append(s.coupons, o)
	}
}

var (
	couponNames = set(`code number token`)
	couponNouns = set(`coupon voucher promo giftcard`)
	couponWords = set(`coupon coupons voucher vouchers promo promos promotion promotions gift gifts giftcard giftcards discount discounts`)
)

// couponCode reports whether an output is the code of a coupon: called so, whatever
// kind of coupon it is ("welcome_voucher", "giftCode"), or a mere code of what is one.
func couponCode(o *Output) bool {
	words := strings.Split(o.joined, "_")
	last := words[len(words)-1]
	named := couponNames[o.joined] || couponNouns[last] || last == "code" && couponWords[words[max(0, len(words)-2)]]
	if o.Type != "string" && o.Type != "" || !named {
		return false
	}
	return o.Meaning == MeansCoupon || slices.ContainsFunc(spec.Words(o.Pointer), func(w string) bool { return couponWords[w] }) ||
		o.Op.About != nil && slices.ContainsFunc(spec.Words(o.Op.About.Name), func(w string) bool { return couponWords[w] })
}

// links reads OpenAPI's own edges.
func (s *shelf) links(g *Graph) {
	byOp := map[*spec.Operation]*Op{}
	for _, op := range g.Ops {
		byOp[op.Operation] = op
	}
	for _, op := range g.Ops {
		for _, r := range op.Responses {
			for _, l := range r.Links {
				to := byOp[l.Target]
				if to == nil {
					continue
				}
				for name, expr := range l.Parameters {
					in := to.parameterNamed(name)
					from := op.expression(expr)
					if in != nil && from != nil {
						s.byLink[in] = append(s.byLink[in], &Edge{From: from, To: in, Score: 1, Why: "link " + l.Name})
					}
				}
			}
		}
	}
}

// parameterNamed finds a parameter as a link names it: "id" or "path.id".
func (op *Op) parameterNamed(name string) *Input {
	for _, in := range op.Inputs {
		if in.In != "body" && (in.Name == name || in.In+"."+in.Name == name) {
			return in
		}
	}
	return nil
}

// expression is the output that a runtime expression of a link reads, nil when it reads none.
func (op *Op) expression(e string) *Output {
	if ptr, ok := strings.CutPrefix(e, "$response.body#"); ok {
		for _, o := range op.Outputs {
			if o.Header == "" && (o.Pointer == ptr || o.Pointer == indexToStar(ptr)) {
				return o
			}
		}
	}
	if name, ok := strings.CutPrefix(e, "$response.header."); ok {
		for _, o := range op.Outputs {
			if strings.EqualFold(o.Header, name) {
				return o
			}
		}
	}
	return nil
}

// indexToStar writes a pointer's array indices as the graph does.
func indexToStar(ptr string) string {
	parts := strings.Split(ptr, "/")
	for i, p := range parts {
		if isDigits(p) {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// feedable are the meanings of inputs for which a value from an answer is wanted.
func feedable(in *Input) bool {
	switch in.Meaning {
	case MeansID, MeansOwner, MeansTenant, MeansCoupon, MeansCSRF, MeansOTP, MeansFileName:
		return true
	case MeansToken:
		return true
	case MeansPassword, MeansPage, MeansPageSize, MeansSort, MeansText, MeansDate, MeansStatus, MeansURL, MeansCallback, MeansFile, MeansRole, MeansQuantity:
		return false
	}
	if in.In == "path" {
		return true
	}
	if in.Schema != nil && len(in.Schema.Enum()) > 0 || in.Type == "boolean" || in.Type == "object" {
		return false
	}
	return in.Required || in.Meaning == MeansEmail || in.Meaning == MeansUsername
}

// producers ranks where an input's value can come from.
func (s *shelf) producers(in *Input) []*Edge {
	edges := slices.Clone(s.byLink[in])
	if !feedable(in) {
		return edges
	}
	key := wantKey{key: in.key, name: strings.Join(spec.Words(in.Name), "_"), typ: in.Type, format: in.Format, means: in.Meaning}
	if in.Object != nil {
		key.resource = in.Object.Resource
	}
	list, ok := s.ranked[key]
	if !ok {
		list = s.rank(in, key)
		s.ranked[key] = list
	}
	seen := map[*Op]bool{}
	for _, e := range edges {
		seen[e.From.Op] = true
	}
	for _, o := range list {
		if len(edges) >= maxProducers {
			break
		}
		if o.Op == in.Op || seen[o.Op] {
			continue
		}
		score, why := match(in, o, key)
		if score < 0.2 {
			continue
		}
		seen[o.Op] = true
		edges = append(edges, &Edge{From: o, To: in, Score: score, Why: why})
	}
	slices.SortStableFunc(edges, func(x, y *Edge) int { return cmp.Compare(y.Score, x.Score) })
	return edges
}

// rank puts the outputs that can feed such an input in order, the best of each operation first.
func (s *shelf) rank(in *Input, key wantKey) []*Output {
	candidates := map[*Output]float64{}
	consider := func(list []*Output) {
		for _, o := range list {
			if _, done := candidates[o]; done {
				continue
			}
			score, _ := match(in, o, key)
			candidates[o] = score
		}
	}
	if key.resource != "" {
		consider(s.byResource[key.resource])
	}
	if len(key.name) > 2 || key.resource == "" {
		consider(s.byName[key.name])
	}
	if key.key != key.name && len(key.key) > 3 {
		consider(s.byName[key.key])
	}
	if in.Meaning == MeansCoupon {
		consider(s.coupons)
	}
	var out []*Output
	for o, score := range candidates {
		if score >= 0.2 {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(x, y *Output) int {
		return cmp.Or(cmp.Compare(candidates[y], candidates[x]), x.Op.Index-y.Op.Index, strings.Compare(x.Pointer, y.Pointer))
	})
	// Of each operation a few, so that one with many does not crowd the others out.
	per := map[*Op]int{}
	kept := out[:0]
	for _, o := range out {
		if per[o.Op]++; per[o.Op] <= 2 && len(kept) < 4*maxProducers {
			kept = append(kept, o)
		}
	}
	return slices.Clip(kept)
}

// plainNames are names that many unlike things have.
var plainNames = set(`name title description type status state message value key code id data text content label date time count total url email body note comment size color format language country city street version category`)

// match judges whether an output can feed an input.
func match(in *Input, o *Output, key wantKey) (float64, string) {
	score, why := 0.0, ""
	better := func(s float64, w string) {
		if s > score {
			score, why = s, w
		}
	}
	name := o.joined
	if r := key.resource; r != "" {
		own := o.holder != nil && o.holder.Name == r // the object itself
		refers := o.Object != nil && o.Object.Resource == r
		isID := o.Meaning == MeansID || o.Meaning == MeansOwner || o.Meaning == MeansTenant
		switch {
		case own && o.Header != "":
			better(0.6, "the address of a new "+r)
		case own && o.key == key.key && (isID || key.key != ""):
			better(0.95, "same resource and id")
		case own && refers && isID && (key.key == "id" || key.key == "" || generic(key.key)):
			better(0.9-0.1*float64(min(idRank(o.key), 3)), "same resource, its "+o.Name)
		case own && key.key == "" && idRank(o.key) <= 3:
			better(0.6, "same resource, its "+o.Name)
		case own && refers && isID:
			better(0.6, "same resource, another id")
		case refers && isID && name == key.name:
			better(0.8, "a reference of the same name")
		case refers && isID:
			better(0.7, "a reference to a "+r)
		}
	}
	if in.Meaning == MeansCoupon && couponCode(o) {
		// What the caller holds, before what somebody issues.
		if s := 0.75; (o.Op.Kind == List || o.Op.Kind == Read) && len(o.Op.PathParams) == 0 {
			better(s+0.2, "a coupon's code")
		} else {
			better(s, "a coupon's code")
		}
	}
	if name == key.name && name != "" {
		switch {
		case in.Meaning == MeansToken && o.Meaning == MeansToken:
			better(0.85, "same name, a token")
		case plainNames[name]:
			better(0.25, "same name")
		case o.Format == in.Format && in.Format != "":
			better(0.75, "same name and format")
		default:
			better(0.65, "same name")
		}
	}
	if score == 0 {
		return 0, ""
	}
	score *= compatible(in.Type, in.Format, o.Type, o.Format)
	score *= weightOf(o.Op, in)
	if strings.Count(o.Pointer, "/*") > 1 {
		score *= 0.95
	}
	return score, why
}

func generic(key string) bool { return key == "id" || key == "uuid" || key == "key" || key == "number" }

// compatible weighs types and formats against each other.
func compatible(inType, inFormat, outType, outFormat string) float64 {
	switch {
	case inType == "" || outType == "":
		return 0.95
	case inType != outType && (inType == "string" || outType == "string"):
		return 0.6 // numbers go into texts, and texts may hold numbers
	case inType != outType && !(inType == "integer" && outType == "number" || inType == "number" && outType == "integer"):
		return 0.3
	case inFormat != "" && outFormat != "" && inFormat != outFormat && !(strings.HasPrefix(inFormat, "int") && strings.HasPrefix(outFormat, "int")):
		return 0.7
	}
	return 1
}

// weightOf says how good a source an operation is: one that makes objects gives
// the caller's own; one that needs an id gives nothing new.
func weightOf(op *Op, in *Input) float64 {
	same := op.About != nil && in.Object != nil && op.About.Name == in.Object.Resource
	w := 0.8
	switch op.Kind {
	case Create:
		w = 0.9
		if same {
			w = 1
		}
	case List:
		w = 0.85
		if same {
			w = 0.97
		}
	case Read:
		w = 0.8
		if !op.OnObject {
			w = 0.85
		}
	case Update:
		w = 0.7
	case Delete:
		w = 0.4
	}
	if op.Has(Login) || op.Has(Register) || op.Has(WhoAmI) {
		w = max(w, 0.92)
	}
	return w
}
