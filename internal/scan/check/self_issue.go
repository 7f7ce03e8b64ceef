package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "self-issued", Title: "Anyone makes money by issuing vouchers to themselves",
	OWASP: "API5:2023", CWE: "CWE-862", WSTG: "WSTG-ATHZ-02",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Issues a voucher, a gift card or a credit of a chosen value to a new account, as that account, and redeems it.",
	Proof: "The account's money grows by the value that it chose. Controls: a made-up code brings nothing, and issuing costs the account nothing, so that it is no purchase. The status code proves nothing.",
	Fix:   "Let only staff (or what was paid for) issue what is worth money; check the role in the operation, and bound the value.",
	Mode:  Default, Dirty: true,
	Run: selfIssued,
})

var (
	reWorth   = regexp.MustCompile(`(?i)(^|_|[a-z])(value|worth|amount|cents|credits?|points|price|sum|balance)$`)
	reVoucher = regexp.MustCompile(`(?i)voucher|coupon|gift|promo|credit|reward|bonus|points?\b|token|refund`)
	reIssued  = regexp.MustCompile(`(?i)code|voucher|coupon|gift|promo|token|number|^id$|_id$|[a-z]Id$`)
)

const issuedWorth = 77

// worthOf is the input by which an operation says what it issues is worth.
func worthOf(op *graph.Op) *graph.Input {
	for _, in := range op.Inputs {
		if in.In == "body" && !in.Listed && !in.ReadOnly && in.Type != "string" && (in.Meaning == graph.MeansMoney || reWorth.MatchString(in.Name)) {
			return in
		}
	}
	return nil
}

// redeemable is the input by which an operation takes what is worth something.
func redeemable(op *graph.Op) *graph.Input {
	for _, fits := range []func(*graph.Input) bool{
		func(in *graph.Input) bool { return in.Meaning == graph.MeansCoupon },
		func(in *graph.Input) bool { return op.Has(graph.Coupon) && reIssued.MatchString(in.Name) },
	} {
		for _, in := range op.Inputs {
			if in.In == "body" && !in.Listed && fits(in) {
				return in
			}
		}
	}
	return nil
}

func selfIssued(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	for _, op := range p.Ops() {
		worth := worthOf(op)
		if worth == nil || !op.Secured || op.Method != http.MethodPost || op.Has(graph.Hazard) || op.Has(graph.Register) || op.Has(graph.Login) || !reVoucher.MatchString(op.Path+" "+op.ID+" "+op.Summary) {
			continue
		}
		for _, redeem := range p.Ops() {
			code := redeemable(redeem)
			if redeem == op || code == nil || !usable(redeem) {
				continue
			}
			if done, err := p.issues(ctx, op, worth, redeem, code, user); err != nil {
				return err
			} else if done {
				break
			}
		}
	}
	return nil
}

// toSelf puts an account into the inputs of a call that name a person. In a
// scenario, who is what stands for a fact of it.
func (p *Probe) toSelf(op *graph.Op, has func(fact string) bool, put func(in *graph.Input, fact string)) {
	for _, in := range op.Inputs {
		if in.In == "header" || in.In == "cookie" {
			continue
		}
		r := p.resourceOf(in)
		fact := factOf(in)
		if fact == "" && (r != nil && r.IsPerson || reRecipient.MatchString(in.Name) || in.Meaning == graph.MeansOwner) {
			fact = "id"
		}
		if fact != "" && has(fact) {
			put(in, fact)
		}
	}
}

func (p *Probe) issues(ctx context.Context, op *graph.Op, worth *graph.Input, redeem *graph.Op, code *graph.Input, user *actor.Actor) (bool, error) {
	issue, err := p.World.Call(ctx, op, user, map[string]string{worth.Where(): strconv.Itoa(issuedWorth)})
	if err != nil {
		p.Note(op, Skipped)
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	use, err := p.World.Call(ctx, redeem, user, map[string]string{code.Where(): jsonString("CRENEL-0000")})
	if err != nil {
		return false, nil //nolint:nilerr // as above
	}
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	bind := map[string]string{}
	p.toSelf(op, func(fact string) bool { return a.Facts[fact] != "" }, func(in *graph.Input, fact string) {
		text := jsonID(in, a.Facts[fact])
		issue = issue.With(in.Where(), text)
		if bind[in.Where()] = "${fresh1." + fact + "|raw}"; strings.HasPrefix(text, `"`) {
			bind[in.Where()] = `"${fresh1.` + fact + `}"`
		}
	})
	dials := p.dials(ctx, a, &world.Call{})
	before, err := p.reading(ctx, dials)
	if err != nil {
		return false, err
	}
	x, err := p.send(ctx, issue.By(a))
	if err != nil {
		return false, err
	}
	p.Note(op, Clean)
	if x.Status/100 != 2 {
		return false, nil
	}
	for _, at := range codesIn(x) {
		body, _ := scenario.Decode(x.Body)
		made := scenario.Find(body, at)
		if _, err := p.send(ctx, use.By(a).With(code.Where(), jsonID(code, scenario.Plain(made[0])))); err != nil {
			return false, err
		}
		after, err := p.reading(ctx, dials)
		if err != nil {
			return false, err
		}
		for i, d := range dials {
			for _, dial := range sorted(after[i]) {
				had, there := before[i][dial]
				if !there || after[i][dial] != had+issuedWorth {
					continue
				}
				if done, err := p.issuedHypothesis(ctx, issue, bind, use, code, at, &gauge{d, dial}); err != nil || done {
					return done, err
				}
			}
		}
	}
	return false, nil
}

// codesIn is where an answer holds what may be redeemed, the likeliest first.
func codesIn(x *target.Exchange) []string {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return nil
	}
	var words, numbers []string
	scenario.Walk(body, func(at string, v any) {
		name := at[strings.LastIndexByte(at, '/')+1:]
		text := scenario.Plain(v)
		if text == "" || !reIssued.MatchString(name) || reIndex.MatchString(at) || strings.Contains(string(x.Request.Body), `"`+text+`"`) {
			return
		}
		if _, isText := v.(string); isText && len(text) >= 4 {
			words = append(words, at)
		} else {
			numbers = append(numbers, at)
		}
	})
	all := slices.Concat(words, numbers)
	return all[:min(len(all), 4)]
}

func (p *Probe) issuedHypothesis(ctx context.Context, issue *world.Call, to map[string]string, use *world.Call, code *graph.Input, at string, g *gauge) (bool, error) {
	var l steps
	look := func(id string, part scenario.Part, note string, e scenario.Expect) *scenario.Step {
		st, err := p.step(nil, g.call, id, part)
		e.Status, e.At = "2xx", g.at
		st.As, st.Note, st.Expect = "fresh1", note, []scenario.Expect{e}
		l.add(st, err)
		return &l.list[len(l.list)-1]
	}
	redeem := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
		bind := use.Renew(id)
		bind[code.Where()] = text
		st, err := p.World.Step(use, bind)
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, "fresh1", note, []scenario.Expect{e}
		l.add(st, err)
	}
	has, more := "${has}", "${more}"
	look("before", scenario.Control, "what a new account has", scenario.Expect{}).Save = []scenario.Save{{As: "has", At: g.at}}
	fake, made := `"${canary.code|upper}"`, `"${code}"`
	if code.Type == "integer" || code.Type == "number" {
		fake, made = "${number.code}", "${code}"
	}
	redeem("fake", scenario.Control, "a made-up code is refused", fake, scenario.Expect{Status: "!2xx"})
	bind := issue.Renew("issue")
	for where, text := range to {
		bind[where] = text
	}
	st, err := p.World.Step(issue, bind)
	st.ID, st.Part, st.As, st.Note = "issue", scenario.Attack, "fresh1", fmt.Sprintf("it issues itself one that is worth %d", issuedWorth)
	st.Expect, st.Save = []scenario.Expect{{Status: "2xx"}}, []scenario.Save{{As: "code", At: at}}
	l.add(st, err)
	look("unpaid", scenario.Control, "which costs it nothing", scenario.Expect{Equals: &has})
	redeem("redeem", scenario.Attack, "it redeems that", made, scenario.Expect{Status: "any"})
	look("after", scenario.Observe, "and has so much more", scenario.Expect{Equals: &more}).Compute = []scenario.Compute{{Set: "more", Do: "number.add", Args: map[string]string{"number": has, "plus": strconv.Itoa(issuedWorth)}}}
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	op := issue.Op
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "role", Title: fmt.Sprintf("%s %s: anyone issues themselves what is worth money", op.Method, op.Path),
		Description: fmt.Sprintf("A new account issues itself what %s %s takes, for a value that it chooses and at no cost; redeemed, it makes %s of %s %s grow by that value.", use.Op.Method, use.Op.Path, strings.TrimPrefix(g.at, "/"), g.call.Op.Method, g.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a voucher of one's own", Steps: l.list},
	})
}
