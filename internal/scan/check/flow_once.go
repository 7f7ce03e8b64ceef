package check

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "single-use", Title: "What is good for once can be used again",
	OWASP: "API6:2023", CWE: "CWE-837", WSTG: "WSTG-BUSL-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Redeems a coupon, gives a vote or cancels what is refunded, twice from one new account; where the second counts nothing, takes the first back and does it again; and lets another new account use what somebody bought and has used.",
	Proof: "A number that the account reads (a balance, a count) moves at the first use, stays when read again, and moves as much again at the second. The status code proves nothing. Controls: where something is taken back between, or another account comes, the second use alone counts nothing.",
	Fix:   "Check and record the use in one statement, with a unique key of account and coupon; keep the record when what was used is taken back.",
	Mode:  Default, Dirty: true,
	Run: singleUse,
})

var (
	reCounted = regexp.MustCompile(`(?i)(count|votes?|likes?|stars?|score|uses|used|followers|members|discount|stamps|visits|total)$`)
	// What counts once, beside what the graph knows of coupons.
	reOnce = regexp.MustCompile(`(?i)(^|[/_\- ])(star|favou?rite|follow|accept|activate|check-?_?in|daily|stamp|endorse|upvote|downvote|like|welcome|join)s?$`)
	// … and counts once for each account.
	reOnceEach = regexp.MustCompile(`(?i)(^|[/_\- ])(bonus(es)?|rewards?|check-?_?in|daily|welcome|claim|referrals?|gift|cashback|spin|reward-?_?points)$`)
	reUndo     = regexp.MustCompile(`(?i)(^|[/_\- ]|\b)(cancel(l?ed|l?ation)?|refund(ed|s)?|return(ed|s)?|revers(e|al|ed)|void(ed)?|withdraw(n|al)?|annul(led)?|storno|give-?_?back|revoked?|rescind|abort)\b`)
	// What may cost something until it is deleted.
	reBought = regexp.MustCompile(`(?i)order|book|reserv|ticket|purchase|subscri|bet|stake|entry|registration|rental|ride|trip|shipment|delivery|lease|enrol`)
)

// single is a call that counts once and not again, as far as a single hand goes.
type single struct {
	t     *trial
	m     *meter
	where string
	what  string // "is used", for people
}

func singleUse(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	for _, op := range p.Ops() {
		once := reOnce.MatchString(op.Path) && op.OnObject || reOnceEach.MatchString(op.Path) && len(op.PathParams) == 0 || slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.Required && in.Meaning == graph.MeansCoupon })
		if !usable(op) || !op.Has(graph.Coupon) && !(once && (op.Kind == graph.Action || op.Kind == graph.Create)) {
			continue
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			continue
		}
		if err := p.usedTwice(ctx, c, user); err != nil {
			return err
		}
	}
	return p.undoneTwice(ctx, user)
}

// usedTwice makes a call twice from a new account: on the user's objects, or, where
// that is not for others, on its own.
func (p *Probe) usedTwice(ctx context.Context, c *world.Call, user *actor.Actor) error {
	t := &trial{call: c, buys: p.boughtFor(c, user)}
	if t.buys == nil {
		var err error
		if t.given, err = p.givenTo(ctx, c, user); err != nil {
			return err
		}
	}
	meters, err := p.meters(ctx, c)
	if err != nil || len(meters) == 0 {
		return err
	}
	p.Note(c.Op, Clean)
	use := func(a *act, id string) (scenario.Step, error) { return a.step(c, id, scenario.Attack, "it is used") }
	r, err := p.rehearse(ctx, t, meters, use, use)
	if err == nil && r == nil && t.given != nil { // what others are not given
		t = &trial{call: c}
		r, err = p.rehearse(ctx, t, meters, use, use)
	}
	if err != nil || r == nil {
		return err
	}
	if r.acted[0].Status/100 == 4 && len(p.afresh(c).from) > 0 {
		t = &trial{call: c, given: t.given, buys: t.buys, own: true}
		if r, err = p.rehearse(ctx, t, meters, use, use); err != nil || r == nil {
			return err
		}
	}
	if r.acted[0].Status/100 == 4 && t.own && t.buys != nil {
		t = &trial{call: c, given: t.given, buys: t.buys, own: true, keeps: true}
		if r, err = p.rehearse(ctx, t, meters, use, use); err != nil || r == nil {
			return err
		}
	}
	again := r.moves("++")
	for _, m := range r.moves("+~") {
		if worthOfMeter(m) > 0 && !slices.ContainsFunc(again, func(o *meter) bool { return *o == *m }) {
			again = append(again, m)
		}
	}
	for _, m := range again[:min(len(again), 2)] {
		if ok, err := p.countsAgain(ctx, &single{t, m, "repeat", "is used"}, fmt.Sprintf("%s %s works again and again for one account", c.Op.Method, c.Op.Path)); err != nil || ok {
			return err
		}
	}
	if r.acted[0].Status/100 != 2 {
		return nil
	}
	once := r.moves("+0")
	if len(once) == 0 {
		return nil
	}
	k := &single{t, once[0], "repeat", "is used"}
	p.singles = append(p.singles, k)
	if ok, err := p.countsAfterUndo(ctx, k); err != nil || ok {
		return err
	}
	_, err = p.countsForAnother(ctx, k)
	return err
}

// countsAgain proves that a second call counts as the first did.
func (p *Probe) countsAgain(ctx context.Context, k *single, title string) (bool, error) {
	c := k.t.call
	a := k.t.by(p, "fresh1")
	l := a.setup
	none, one := "${none}", "${one}"
	l.add(a.look(k.m, "before", scenario.Control, "what a new account has", "none", scenario.Expect{}))
	l.add(a.step(c, "first", scenario.Control, "it "+k.what, scenario.Expect{Status: "2xx"}))
	l.add(a.look(k.m, "used", scenario.Control, "and counts", "one", scenario.Expect{Differs: &none}))
	l.add(a.look(k.m, "still", scenario.Control, "once", "", scenario.Expect{Equals: &one}))
	l.add(a.step(c, "attack", scenario.Attack, "it "+k.what+" again", scenario.Expect{Status: "any"}))
	l.add(a.look(k.m, "after", scenario.Observe, "and counts again", "", scenario.Expect{Differs: &one}))
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: c.Op, Where: k.where, Title: title,
		Description: fmt.Sprintf("The second call moves %s as the first did.", k.m.said()),
		Scenario:    &scenario.Scenario{Name: "used twice", Steps: l.list},
	})
}

// said names a meter for people.
func (m *meter) said() string {
	return fmt.Sprintf("%s of %s %s", strings.TrimPrefix(m.at, "/"), m.call.Op.Method, m.call.Op.Path)
}

// undo is what takes a use back: a DELETE of the same path or of what lies below it.
func (p *Probe) undo(c *world.Call, used *target.Exchange) (*world.Call, *graph.Input, scenario.Save) {
	for _, op := range p.Ops() {
		if op.Method != http.MethodDelete || !op.Secured || op.Has(graph.Hazard) || op.Has(graph.Admin) {
			continue
		}
		rest, ok := strings.CutPrefix(op.Path, c.Op.Path)
		if !ok || rest != "" && (strings.Count(rest, "/") != 1 || !strings.Contains(rest, "{")) {
			continue
		}
		d := *c
		d.Op, d.Media, d.Fresh, d.Files = op, "", nil, nil
		d.Values, d.Uses = map[string]string{}, map[string]*world.Object{}
		var own *graph.Input
		var save scenario.Save
		for _, in := range op.Inputs {
			if in.In != "path" {
				continue
			}
			if v, has := c.Values[in.Where()]; has {
				d.Values[in.Where()] = v
				if o := c.Uses[in.Where()]; o != nil {
					d.Uses[in.Where()] = o
				}
				continue
			}
			at, v := identifierIn(used, in.Name)
			if at == "" || own != nil {
				return nil, nil, save
			}
			own, save = in, scenario.Save{As: "made", At: at}
			d.Values[in.Where()] = jsonOf(v)
		}
		return &d, own, save
	}
	return nil, nil, scenario.Save{}
}

// identifierIn is where an answer holds an identifier: under the name, or as its id.
func identifierIn(x *target.Exchange, name string) (string, any) {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return "", nil
	}
	at, rank := "", 0
	var value any
	scenario.Walk(body, func(pointer string, v any) {
		last := pointer[strings.LastIndexByte(pointer, '/')+1:]
		r := 0
		switch {
		case v == nil || scenario.Plain(v) == "" || reIndex.MatchString(pointer):
		case sameName(last, name):
			r = 3
		case strings.EqualFold(last, "id"):
			r = 2
		case sameName(last, "uuid") || sameName(last, "reference") || sameName(last, "code"):
			r = 1
		}
		if r > rank {
			at, rank, value = pointer, r, v
		}
	})
	return at, value
}

// countsAfterUndo: a use that was taken back counts on, and can be made once more.
func (p *Probe) countsAfterUndo(ctx context.Context, k *single) (bool, error) {
	c := k.t.call
	// What the first use answers says what is taken back.
	use := func(a *act, id string) (scenario.Step, error) { return a.step(c, id, scenario.Attack, "it is used") }
	if !slices.ContainsFunc(p.Ops(), func(op *graph.Op) bool {
		return op.Method == http.MethodDelete && strings.HasPrefix(op.Path, c.Op.Path)
	}) {
		return false, nil
	}
	first, err := p.rehearse(ctx, k.t, []*world.Call{k.m.call}, use)
	if err != nil || first == nil {
		return false, err
	}
	back, in, save := p.undo(c, first.acted[0])
	if back == nil {
		return false, nil
	}
	undo := func(a *act, id string) (scenario.Step, error) {
		bind := a.scene.bind(back)
		if in != nil {
			bind[in.Where()] = `"${made}"`
			if !strings.HasPrefix(back.Values[in.Where()], `"`) {
				bind[in.Where()] = "${made}"
			}
		}
		st, err := p.World.Step(back, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = id, scenario.Setup, a.as, "the use is taken back", []scenario.Expect{{Status: "2xx"}}
		return st, err //nolint:wrapcheck // its caller says which step
	}
	saving := func(st scenario.Step, err error) (scenario.Step, error) {
		if in != nil {
			st.Save = []scenario.Save{save}
		}
		return st, err
	}
	b, a := k.t.by(p, "fresh2"), k.t.by(p, "fresh1")
	var l steps
	l.list = append(l.list, b.setup.list...)
	once, one, left := "${once}", "${one}", "${left}"
	l.add(b.step(c, "single", scenario.Control, "a new account uses it", scenario.Expect{Status: "2xx"}))
	l.add(b.look(k.m, "single_counts", scenario.Control, "which counts", "once", scenario.Expect{}))
	l.add(b.step(c, "double", scenario.Control, "it uses it again", scenario.Expect{Status: "any"}))
	l.add(b.look(k.m, "double_counts", scenario.Control, "which counts nothing", "", scenario.Expect{Equals: &once}))
	l.list = append(l.list, a.setup.list...)
	none := "${none}"
	l.add(a.look(k.m, "before", scenario.Control, "what another new account has", "none", scenario.Expect{}))
	l.add(saving(a.step(c, "first", scenario.Control, "it uses it", scenario.Expect{Status: "2xx"})))
	l.add(a.look(k.m, "used", scenario.Control, "which counts", "one", scenario.Expect{Differs: &none}))
	l.add(undo(a, "undo"))
	l.add(a.look(k.m, "left", scenario.Control, "and goes on counting", "left", scenario.Expect{Equals: &one}))
	l.add(a.step(c, "attack", scenario.Attack, "it uses it again", scenario.Expect{Status: "2xx"}))
	l.add(a.look(k.m, "after", scenario.Observe, "which counts again", "", scenario.Expect{Differs: &left}))
	if l.err != nil || b.setup.err != nil || a.setup.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: c.Op, Where: "undone", Title: fmt.Sprintf("%s %s works again once it was taken back, and has counted twice", c.Op.Method, c.Op.Path),
		Description: fmt.Sprintf("A second use counts nothing. After %s %s, which leaves %s as it is, it counts again.", back.Op.Method, back.Op.Path, k.m.said()),
		Scenario:    &scenario.Scenario{Name: "used, taken back, used again", Steps: l.list},
	})
}

var (
	reBearer = regexp.MustCompile(`(?i)gift|voucher|prepaid|one.?time|single.?use|top.?up|scratch`)
	reMany   = regexp.MustCompile(`(?i)max|limit|uses|remaining|quota|usage|times|campaign|audience`)
)

// countsForAnother: what one account has bought counts for two others, one after
// the other, though for one of them it counts once.
func (p *Probe) countsForAnother(ctx context.Context, k *single) (bool, error) {
	c := k.t.call
	if !reBearer.MatchString(c.Op.Path+" "+c.Op.ID+" "+c.Op.Summary) || k.t.own {
		return false, nil
	}
	named := slices.Collect(maps.Values(c.Uses))
	if k.t.buys != nil {
		named = append(named, k.t.buys.object)
	}
	if len(p.afresh(c).from) == 0 && k.t.buys == nil || k.t.given != nil {
		return false, nil // nobody knows whose it is
	}
	for _, o := range named {
		if o == nil || o.Resource == nil || !reBearer.MatchString(o.Resource.Name) {
			continue
		}
		for name := range o.Fields() {
			if reMany.MatchString(name) {
				return false, nil // it may be there for many
			}
		}
	}
	a, b := k.t.by(p, "fresh1"), k.t.by(p, "fresh2")
	b.scene, b.code = a.scene, a.code // the same thing
	l := a.setup
	none, none2 := "${none}", "${none2}"
	l.add(a.look(k.m, "before", scenario.Control, "what a new account has", "none", scenario.Expect{}))
	l.add(a.step(c, "first", scenario.Control, "it uses what another has bought", scenario.Expect{Status: "2xx"}))
	l.add(a.look(k.m, "used", scenario.Control, "and has more for it", "one", scenario.Expect{Differs: &none}))
	l.add(b.look(k.m, "other", scenario.Control, "what another new account has", "none2", scenario.Expect{}))
	l.add(b.step(c, "attack", scenario.Attack, "it uses the same", scenario.Expect{Status: "any"}))
	l.add(b.look(k.m, "after", scenario.Observe, "and has more for it as well", "", scenario.Expect{Differs: &none2}))
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: c.Op, Where: "another", Title: fmt.Sprintf("%s %s takes what another account has used already", c.Op.Method, c.Op.Path),
		Description: fmt.Sprintf("What was bought once moves %s of two accounts.", k.m.said()),
		Scenario:    &scenario.Scenario{Name: "one voucher for two", Steps: l.list},
	})
}

const maxUndone = 4 // operations that take something back, tried twice

// undoneTwice takes back twice what new accounts have made: a refund is due once.
func (p *Probe) undoneTwice(ctx context.Context, user *actor.Actor) error {
	all, err := p.figured(ctx)
	if err != nil {
		return err
	}
	var purses []*world.Call
	for _, m := range all {
		x, err := p.send(ctx, m)
		if err != nil {
			return err
		}
		for at := range figures(x) {
			if reFunds.MatchString(at) {
				purses = append(purses, m)
				break
			}
		}
	}
	tried := 0
	if len(purses) == 0 {
		return nil
	}
	for _, op := range p.Ops() {
		if tried >= maxUndone || !op.Secured || op.Reads() || op.Has(graph.Hazard) || op.Has(graph.Admin) || op.Has(graph.Logout) || op.Has(graph.Login) {
			continue
		}
		last := op.Path[strings.LastIndexByte(op.Path, '/')+1:]
		status, state := givesUp(op)
		deletes := op.Method == http.MethodDelete && op.About != nil && reBought.MatchString(op.About.Name)
		if !deletes && status == nil && !reUndo.MatchString(last) && !reUndo.MatchString(op.ID) {
			continue
		}
		i := slices.IndexFunc(op.Inputs, func(in *graph.Input) bool {
			r := p.resourceOf(in)
			return in.In == "path" && r != nil && !r.IsPerson && !r.IsTenant
		})
		if i < 0 {
			continue
		}
		for _, s := range p.subjects(p.resourceOf(op.Inputs[i]), user, 1) {
			if s.recipe == nil {
				continue
			}
			c, err := p.on(ctx, op, user, op.Inputs[i], s.object)
			if err != nil {
				p.Note(op, Skipped)
				continue
			}
			if status != nil {
				c = c.With(status.Where(), jsonString(state))
			}
			tried++
			if err := p.givesBackTwice(ctx, c, purses); err != nil {
				return err
			}
		}
	}
	return nil
}

// givesUp is the input of an update that ends what it is about, and the state that does.
func givesUp(op *graph.Op) (*graph.Input, string) {
	if op.Kind != graph.Update {
		return nil, ""
	}
	for _, in := range op.Inputs {
		if in.In != "body" || in.Listed || in.Meaning != graph.MeansStatus && !reState.MatchString(in.Name) {
			continue
		}
		for _, state := range enumOf(in.Schema, 0) {
			if reUndo.MatchString(state) {
				return in, state
			}
		}
	}
	return nil, ""
}

func (p *Probe) givesBackTwice(ctx context.Context, c *world.Call, purses []*world.Call) error {
	fund, _, _, err := p.funds(ctx)
	if err != nil {
		return err
	}
	p.Note(c.Op, Clean)
	t := &trial{call: c, own: true, fund: fund}
	cancel := func(a *act, id string) (scenario.Step, error) {
		return a.step(c, id, scenario.Attack, "it is taken back")
	}
	r, err := p.rehearse(ctx, t, purses, cancel, cancel)
	if err != nil || r == nil || r.acted[0].Status/100 != 2 {
		return err
	}
	for _, m := range r.moves("++") {
		if !reFunds.MatchString(m.name()) || r.grown(m) <= 0 {
			continue
		}
		if ok, err := p.countsAgain(ctx, &single{t, m, "repeat", "is taken back"}, fmt.Sprintf("%s %s gives the money back again and again", c.Op.Method, c.Op.Path)); err != nil || ok {
			return err
		}
	}
	for _, m := range r.moves("+0") {
		if reFunds.MatchString(m.name()) && r.grown(m) > 0 {
			p.singles = append(p.singles, &single{t, m, "repeat", "is taken back"})
			break
		}
	}
	return nil
}

// grown is by how much a meter moved at the first call.
func (r *rehearsal) grown(m *meter) float64 {
	for i, call := range r.reads {
		if call == m.call {
			return r.at[1][i][m.at] - r.at[0][i][m.at]
		}
	}
	return 0
}

// countsTogether makes calls that count once several times at one moment.
func (p *Probe) countsTogether(ctx context.Context) error {
	for _, k := range p.singles {
		c := k.t.call
		b, a := k.t.by(p, "fresh2"), k.t.by(p, "fresh1")
		var l steps
		l.list = append(l.list, b.setup.list...)
		l.add(b.look(k.m, "base2", scenario.Control, "what a new account has", "base2", scenario.Expect{}))
		l.add(b.step(c, "one", scenario.Control, "it "+k.what, scenario.Expect{Status: "2xx"}))
		l.add(b.step(c, "two", scenario.Control, "it "+k.what+" again", scenario.Expect{Status: "any"}))
		l.add(b.look(k.m, "orderly", scenario.Control, "where that ends", "orderly", scenario.Expect{Differs: ptr("${base2}")}))
		l.list = append(l.list, a.setup.list...)
		l.add(a.look(k.m, "base1", scenario.Control, "what another new account has", "base1", scenario.Expect{}))
		st, err := a.step(c, "attack", scenario.Attack, fmt.Sprintf("%d calls go out at one moment", atOnce), scenario.Expect{Status: "2xx", AtLeast: 2})
		st.Times, st.Together = atOnce, true
		l.add(st, err)
		st, err = a.look(k.m, "after", scenario.Observe, "that ends elsewhere", "", scenario.Expect{Differs: ptr("${fair}")})
		st.Compute = []scenario.Compute{
			{Set: "moved", Do: "number.add", Args: map[string]string{"number": "${orderly}", "plus": "-${base2}"}},
			{Set: "fair", Do: "number.add", Args: map[string]string{"number": "${base1}", "plus": "${moved}"}},
		}
		l.add(st, err)
		if l.err != nil || a.setup.err != nil || b.setup.err != nil {
			continue
		}
		if _, err := p.Prove(ctx, Hypothesis{
			Op: c.Op, Where: "race", Title: fmt.Sprintf("%s %s counts several times at one moment", c.Op.Method, c.Op.Path),
			Description: fmt.Sprintf("One after the other, the second call counts nothing. At the same moment several count: %s ends elsewhere.", k.m.said()),
			Scenario:    &scenario.Scenario{Name: "what counts once, several times at one moment", Steps: l.list},
		}); err != nil {
			return err
		}
	}
	return nil
}

func ptr(s string) *string { return &s }
