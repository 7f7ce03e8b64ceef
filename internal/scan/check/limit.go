package check

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "page-size", Title: "A page may be as large as a caller says",
		OWASP: "API4:2023", CWE: "CWE-770", WSTG: "WSTG-BUSL-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N",
		About: "Asks lists for pages far larger than the description allows.",
		Proof: "The page holds more than the described maximum. Where none is described: it holds more than a thousand, or (which weighs less) more than a hundred, and one more once there is one more. Controls: a page of one holds one, so the number is obeyed; what stops growing has met its maximum.",
		Fix:   "Refuse, or cut down to, a fixed maximum.",
		Mode:  Default,
		Run:   pageSize,
	})
	_ = register(&Check{
		ID: "batch-size", Title: "A batch may be as large as a caller says",
		OWASP: "API4:2023", CWE: "CWE-770", WSTG: "WSTG-BUSL-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N",
		About: "Sends lists of identifiers many times longer than the description allows to operations that read, with one that exists as the last.",
		Proof: "The answer holds the text of the object that came last: all of the list was worked off. Controls: the same list without it does not bring it.",
		Fix:   "Bound the number of elements before the first of them is looked at.",
		Mode:  Aggressive,
		Run:   batchSize,
	})
	_ = register(&Check{
		ID: "expansion", Title: "Relations are expanded as deep as a caller says",
		OWASP: "API4:2023", CWE: "CWE-1050", WSTG: "WSTG-BUSL-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:N/VA:H/SC:N/SI:N/SA:N",
		About: "Asks for relations that lead back to where they began, again and again.",
		Proof: "The answer holds objects within objects as deep as was asked. Controls: without the expansion they are not there.",
		Fix:   "Take the names that can be expanded from a list, one level deep.",
		Mode:  Aggressive,
		Run:   expansion,
	})
)

func pageSize(ctx context.Context, p *Probe) error {
	ops := slices.Clone(p.Ops())
	// Objects are made by the dozen once in a run: where a maximum is described, if it is anywhere.
	slices.SortStableFunc(ops, func(a, b *graph.Op) int { return cmp.Compare(describedPage(a), describedPage(b)) })
	return Each(ctx, p, ops, func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodGet || op.Answered != "list" || op.Has(graph.Hazard) {
			return nil
		}
		for _, in := range op.Inputs {
			if in.Meaning != graph.MeansPageSize || in.In != "query" {
				continue
			}
			most, described := maximum(in)
			for _, a := range append([]*actor.Actor{p.Actor(actor.User)}, p.Attackers()...) {
				if a == nil {
					continue
				}
				done, err := p.pages(ctx, op, in, a, most, described)
				if err != nil {
					return err
				}
				if done {
					break
				}
			}
		}
		return nil
	})
}

// maximum is the largest page that the description allows, else the usual one.
func maximum(in *graph.Input) (most int, described bool) {
	if in.Schema != nil {
		if n, err := strconv.Atoi(in.Schema.Rules().Bounds.Maximum); err == nil && n > 0 {
			return n, true
		}
	}
	return usualPage, false
}

// describedPage is the rank of an operation whose pages are asked for: those with a
// described maximum first, the smallest before.
func describedPage(op *graph.Op) int {
	for _, in := range op.Inputs {
		if in.Meaning == graph.MeansPageSize && in.In == "query" {
			if most, described := maximum(in); described {
				return most
			}
		}
	}
	return math.MaxInt
}

func (p *Probe) pages(ctx context.Context, op *graph.Op, in *graph.Input, a *actor.Actor, most int, described bool) (bool, error) {
	c, err := p.World.Call(ctx, op, a, nil)
	if err != nil {
		p.Note(op, Skipped)
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	asked := strconv.Itoa(most * 1000)
	one, large := c.With(in.Where(), "1"), c.With(in.Where(), asked)
	small, err := p.send(ctx, one)
	if err != nil || small.Status/100 != 2 || items(small.Body, op.ListAt) != 1 {
		return false, err
	}
	x, err := p.send(ctx, large)
	if err != nil {
		return false, err
	}
	p.Note(op, Clean)
	if x.Status/100 != 2 {
		return false, nil
	}
	// Where a few more objects make a page too large, they are made; where more are
	// needed, once in a run, and where making one takes one request.
	if n := items(x.Body, op.ListAt); op.About != nil && n >= 0 && n <= most && (most-n < 12 || most-n < maxMade && p.makesCheaply(op.About)) {
		for range most + 1 - n {
			if _, err := p.World.Make(ctx, op.About, a); err != nil {
				break
			}
		}
		if x, err = p.send(ctx, large); err != nil {
			return false, err
		}
	}
	n := items(x.Body, op.ListAt)
	if n <= most {
		return false, nil
	}
	var l steps
	single := 1
	st, err := p.step(nil, one, "one", scenario.Control)
	st.Note, st.Expect = "a page of one holds one", []scenario.Expect{{Status: "2xx", At: op.ListAt, MinItems: 1, MaxItems: &single}}
	l.add(st, err)
	if described {
		st, err = p.step(nil, large, "attack", scenario.Attack)
		st.Note, st.Expect = fmt.Sprintf("a page of %s is not refused, nor cut to %d", asked, most), []scenario.Expect{{Status: "2xx", At: op.ListAt, MinItems: most + 1}}
		l.add(st, err)
		return p.limitless(ctx, op, in.Where(), &l, Hypothesis{
			Title: "gives pages of any size", Description: "The page's size is the caller's choice, far beyond what the description allows.",
		})
	}
	// Nobody has described a maximum, and there may be one all the same.
	if tenth := most * 10; n > tenth {
		st, err = p.step(nil, c.With(in.Where(), strconv.Itoa(tenth)), "tenth", scenario.Control)
		st.Note, st.Expect = fmt.Sprintf("a page of %d holds so many", tenth), []scenario.Expect{{Status: "2xx", At: op.ListAt, MinItems: tenth, MaxItems: &tenth}}
		l.add(st, err)
		st, err = p.step(nil, large, "attack", scenario.Attack)
		st.Note, st.Expect = fmt.Sprintf("and one of %s holds more", asked), []scenario.Expect{{Status: "2xx", At: op.ListAt, Longer: "tenth"}}
		l.add(st, err)
		return p.limitless(ctx, op, in.Where(), &l, Hypothesis{
			Title: "gives pages of any size", Description: fmt.Sprintf("The page's size is the caller's choice: no maximum was met within %d objects.", n),
		})
	}
	return p.growing(ctx, op, in, a, large, &l, n)
}

// maxMade bounds the objects that are made to see whether a maximum is kept: the
// usual one is a hundred.
const maxMade = usualPage + 2

// makesCheaply reports whether objects of a resource can be made by the dozen: each by
// one request that names no other object. It says so once in a run.
func (p *Probe) makesCheaply(r *graph.Resource) bool {
	if r.IsPerson || r.IsTenant || !slices.ContainsFunc(r.Of(graph.Create), func(op *graph.Op) bool {
		return len(op.PathParams) == 0 && !op.Has(graph.Payment) && !op.Has(graph.Transfer) && !slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.Required && p.resourceOf(in) != nil })
	}) {
		return false
	}
	return p.dozens.CompareAndSwap(false, true)
}

// growing: the page holds all there is, and one more once there is one more. What
// has a maximum beyond what there is looks the same, so that it weighs little.
func (p *Probe) growing(ctx context.Context, op *graph.Op, in *graph.Input, a *actor.Actor, large *world.Call, l *steps, n int) (bool, error) {
	if op.About == nil || op.About.IsPerson {
		return false, nil
	}
	if _, err := p.World.Make(ctx, op.About, a); err != nil {
		return false, nil //nolint:nilerr // a page that cannot be made to grow may have met its maximum
	}
	x, err := p.send(ctx, large)
	if err != nil || items(x.Body, op.ListAt) <= n {
		return false, err // it has
	}
	more, err := p.World.Recipe(ctx, op.About, a, "more")
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	st, err := p.step(nil, large, "before", scenario.Control)
	st.Note, st.Expect = "the page holds what there is", []scenario.Expect{{Status: "2xx", At: op.ListAt, MinItems: usualPage + 1}}
	l.add(st, err)
	l.list = append(l.list, more.Steps...)
	st, err = p.step(nil, large, "attack", scenario.Attack)
	st.Note, st.Expect = "and one more once there is one more", []scenario.Expect{{Status: "2xx", At: op.ListAt, Longer: "before"}}
	l.add(st, err)
	return p.limitless(ctx, op, in.Where(), l, Hypothesis{
		CVSS: vectorLow, Title: fmt.Sprintf("gives pages of more than %d, and describes no maximum", usualPage),
		Description: "The page held all that there is, and grew with it: no maximum was met, and none is described. There may be one beyond what there is.",
	})
}

// usualPage is the largest page that needs no describing.
const usualPage = 100

func (p *Probe) limitless(ctx context.Context, op *graph.Op, where string, l *steps, h Hypothesis) (bool, error) {
	if l.err != nil {
		p.Note(op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h.Op, h.Where, h.Title = op, where, fmt.Sprintf("%s %s %s", op.Method, op.Path, h.Title)
	h.Scenario = &scenario.Scenario{Name: fmt.Sprintf("%s %s without bounds", op.Method, op.Path), Steps: l.list}
	return p.Prove(ctx, h)
}

func items(body []byte, at string) int {
	v, ok := scenario.Decode(body)
	if !ok {
		return -1
	}
	for _, found := range scenario.Find(v, at) {
		if list, ok := found.([]any); ok {
			return len(list)
		}
	}
	return -1
}

func batchSize(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.reads(op) || op.Method != http.MethodPost {
			return nil
		}
		for _, in := range op.Inputs {
			r := p.resourceOf(in)
			if r == nil || !in.Listed || in.In != "body" || strings.Count(in.Pointer, "*") != 1 || !strings.HasSuffix(in.Pointer, "/*") {
				continue
			}
			for _, s := range p.subjects(r, user, 1) {
				if err := p.batches(ctx, op, in, s, user); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

const batchOf = 1000 // elements of a batch that is too long

func (p *Probe) batches(ctx context.Context, op *graph.Op, in *graph.Input, s *subject, user *actor.Actor) error {
	if s.recipe == nil || len(s.marks) == 0 {
		return nil
	}
	base, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	id := idFor(in, s.object)
	none := make([]string, 0, batchOf)
	for i := range batchOf {
		none = append(none, elsewhere(id, i))
	}
	list := "body." + strings.TrimSuffix(in.Pointer, "/*")
	with := func(last ...string) *world.Call {
		return base.With(list, "["+strings.Join(append(none[:batchOf-1:batchOf-1], last...), ",")+"]")
	}
	x, err := p.send(ctx, with(id))
	if err != nil {
		return err
	}
	p.Note(op, Clean)
	if x.Status/100 != 2 || !p.anyHeld(x, s) {
		return nil
	}
	marks := p.shown(x, s)
	if len(marks) == 0 {
		return nil
	}
	l := steps{list: s.setup()}
	text := s.recipe.Text(s.object, id)
	if text == "" {
		return nil
	}
	bare := with()
	st, err := p.World.Step(bare, nil)
	st.ID, st.Part, st.Note, st.Expect = "without", scenario.Control, "the list without the object does not bring it", []scenario.Expect{{Lacks: marks}}
	l.add(st, err)
	const mark = "zqlastqz"
	st, err = p.World.Step(with(jsonString(mark)), nil)
	if err == nil {
		st.Send.Body = strings.Replace(st.Send.Body, jsonString(mark), text, 1)
	}
	st.ID, st.Part, st.Note, st.Expect = "attack", scenario.Attack, fmt.Sprintf("the last of %d is worked off", batchOf), []scenario.Expect{{Status: "2xx", Contains: marks}}
	l.add(st, err)
	_, err = p.limitless(ctx, op, in.Where(), &l, Hypothesis{Title: "works off batches of any size", Description: fmt.Sprintf("A list of %d identifiers is worked off to its end.", batchOf)})
	return err
}

// elsewhere is the nth made-up identifier of the form of one that exists: a JSON text.
func elsewhere(id string, n int) string {
	text := strings.Trim(id, `"`)
	if strings.Trim(text, "0123456789") == "" {
		made := strconv.Itoa(1_000_000_000 + n)
		if id != text {
			return jsonString(made)
		}
		return made
	}
	made := []byte(absent(text))
	tail := fmt.Sprintf("%04d", n)
	if len(made) > 8 {
		copy(made[len(made)-4:], tail)
	}
	return jsonString(string(made))
}

var reExpand = regexp.MustCompile(`(?i)^(expand|include|includes|embed|populate|with|relations?|fields\[\]|_?expand|_embed)$`)

func expansion(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if !p.onlyReads(op) {
			return nil
		}
		for _, in := range op.Inputs {
			if in.In != "query" || !reExpand.MatchString(in.Name) {
				continue
			}
			if err := p.expands(ctx, op, in, user); err != nil {
				return err
			}
			break // one name for a list is enough
		}
		return nil
	})
}

func (p *Probe) expands(ctx context.Context, op *graph.Op, in *graph.Input, user *actor.Actor) error {
	base, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		p.Note(op, Skipped)
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	where := in.Where()
	base = base.With(where, "")
	plain, err := p.send(ctx, base)
	if err != nil || plain.Status/100 != 2 {
		return err
	}
	p.Note(op, Clean)
	body, ok := scenario.Decode(plain.Body)
	if !ok {
		return nil
	}
	// What an object refers to, and what is referred to from there: the object's own kind.
	var to []string
	scenario.Walk(body, func(at string, _ any) {
		name := at[strings.LastIndexByte(at, '/')+1:]
		if short := strings.TrimSuffix(strings.TrimSuffix(name, "_id"), "Id"); short != name && short != "" && len(to) < 5 && !reIndex.MatchString(at) {
			to = append(to, short)
		}
	})
	var back []string
	if op.About != nil {
		back = []string{op.About.Name + "s", op.About.Name}
		if strings.HasSuffix(op.About.Name, "y") {
			back[0] = strings.TrimSuffix(op.About.Name, "y") + "ies"
		}
	}
	for _, a := range to {
		for _, b := range back {
			chain := strings.Repeat(a+"."+b+".", 3)
			deep := base.With(where, chainText(in, strings.TrimSuffix(chain, ".")))
			x, err := p.send(ctx, deep)
			if err != nil {
				return err
			}
			at := nested(x.Body, a, b, 3)
			if x.Status/100 != 2 || at == "" {
				continue
			}
			var l steps
			st, err := p.step(nil, base, "plain", scenario.Control)
			st.Note, st.Expect = "without it, there is nothing of that kind", []scenario.Expect{{Status: "2xx"}, {At: at, Missing: true}}
			l.add(st, err)
			st, err = p.step(nil, deep, "attack", scenario.Attack)
			st.Note, st.Expect = "objects within objects, six deep", []scenario.Expect{{Status: "2xx", At: at, Matches: "."}}
			l.add(st, err)
			if ok, err := p.limitless(ctx, op, where, &l, Hypothesis{Title: "expands relations as deep as a caller says", Description: "Relations that lead back to where they began are followed again and again; each turn multiplies the answer."}); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

func chainText(in *graph.Input, chain string) string {
	if in.Type == "array" {
		return "[" + jsonString(chain) + "]"
	}
	return jsonString(chain)
}

// nested is where an answer holds a scalar below a and b in turn, so many times.
func nested(body []byte, a, b string, times int) string {
	v, ok := scenario.Decode(body)
	if !ok {
		return ""
	}
	out := ""
	scenario.Walk(v, func(at string, s any) {
		parts := strings.Split(at, "/")
		n, want := 0, a
		for _, part := range parts {
			if part == want {
				n++
				if want == a {
					want = b
				} else {
					want = a
				}
			}
		}
		if n >= 2*times && s != nil && out == "" && scenario.Plain(s) != "" {
			out = wild(at)
		}
	})
	return out
}
