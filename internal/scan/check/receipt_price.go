package check

import (
	"context"
	"fmt"
	"maps"
	"math"
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

var (
	reDiscount = regexp.MustCompile(`(?i)(discount|rebate|reduction|markdown|percent_?off|price_?off)(_?(percent|percentage|pct|rate|amount|value|cents))?$`)
	reCurrency = regexp.MustCompile(`(?i)^currency(_?code)?$`)
)

// weak are currencies of which a hundred and more make what one of the usual ones is worth.
var weak = []string{"JPY", "IDR", "VND", "KRW", "HUF"}

// pricedOnReceipt: the order's receipt says the price that the request says, though
// the server works one out where it says none.
func (p *Probe) pricedOnReceipt(ctx context.Context, c *world.Call, in *graph.Input) (bool, error) {
	plain := c.With(in.Where(), "")
	x, err := p.send(ctx, plain)
	if err != nil {
		return false, err
	}
	r, costs, err := p.receipt(ctx, plain, x)
	if err != nil || r == nil {
		return false, err
	}
	low, high := "1", "2"
	for _, at := range slices.Sorted(maps.Keys(figures(costs))) {
		if !sameName(at[strings.LastIndexByte(at, '/')+1:], in.Name) || figures(costs)[at] < 3 {
			continue
		}
		s := p.afresh(c)
		l := steps{list: s.setup}
		r.orders(p, &l, s, plain, "fresh3", "plain", scenario.Control, "a new account orders it and says no price: the server works one out", scenario.Expect{At: at, Matches: `^([3-9]|[1-9]\d+)(\.\d+)?$`}, "")
		r.orders(p, &l, s, c.With(in.Where(), low), "fresh1", "attack", scenario.Attack, "another orders it at "+low, scenario.Expect{At: at, Equals: &low}, "")
		r.orders(p, &l, s, c.With(in.Where(), high), "fresh2", "again", scenario.Attack, "and another at "+high, scenario.Expect{At: at, Equals: &high}, "")
		if l.err != nil {
			return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		return p.Prove(ctx, Hypothesis{
			Op: c.Op, Where: in.Where(), Title: fmt.Sprintf("%s %s takes the price from the client (%s)", c.Op.Method, c.Op.Path, in.Name),
			Description: "The server works out a price where the request says none; where it says one, the order has that.",
			Scenario:    &scenario.Scenario{Name: "a price of the client's", Steps: l.list},
		})
	}
	return false, nil
}

// cheapened tries the inputs of an order that make it cheaper: a discount of the
// client's own, and a currency of less worth.
func (p *Probe) cheapened(ctx context.Context, op *graph.Op, user *actor.Actor) error {
	var discount, currency *graph.Input
	for _, in := range op.Inputs {
		switch {
		case in.In != "body" || in.ReadOnly || in.Listed:
		case reDiscount.MatchString(in.Name) && in.Type != "boolean" && in.Meaning != graph.MeansCoupon && !strings.Contains(strings.ToLower(in.Name), "code"):
			discount = in
		case reCurrency.MatchString(in.Name):
			currency = in
		}
	}
	if discount == nil && currency == nil {
		return nil
	}
	c, err := p.World.Call(ctx, op, user, nil)
	if err != nil {
		return nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	p.Note(op, Clean)
	for _, in := range op.Inputs { // what it costs is the server's to say
		if in.In != "body" || in.Meaning != graph.MeansMoney && !rePriced.MatchString(in.Name) || in == discount {
			continue
		}
		if in.Required {
			return nil
		}
		c = c.With(in.Where(), "")
	}
	c = c.By(a)
	if discount != nil {
		if err := p.discounted(ctx, c, discount); err != nil {
			return err
		}
	}
	if currency != nil {
		return p.exchanged(ctx, c, currency)
	}
	return nil
}

func (p *Probe) discounted(ctx context.Context, c *world.Call, in *graph.Input) error {
	plain := c.With(in.Where(), "")
	if in.Required {
		plain = c.With(in.Where(), "0")
	}
	x, err := p.send(ctx, plain)
	if err != nil {
		return err
	}
	r, costs, err := p.receipt(ctx, plain, x)
	if err != nil || r == nil {
		return err
	}
	fair := priced(c, costs)
	for _, at := range slices.Sorted(maps.Keys(fair)) {
		if fair[at] < 1 || reDiscount.MatchString(at) {
			continue
		}
		for _, text := range []string{"100", strconv.FormatFloat(math.Ceil(fair[at]), 'f', -1, 64)} {
			much := c.With(in.Where(), text)
			x, err := p.send(ctx, much)
			if err != nil {
				return err
			}
			y, err := p.again(ctx, r, x)
			if err != nil {
				return err
			}
			if v, is := figures(y)[at]; x.Status/100 != 2 || !is || v > 0 {
				continue
			}
			s := p.afresh(c)
			l := steps{list: s.setup}
			r.orders(p, &l, s, plain, "fresh2", "fair", scenario.Control, "without a discount it costs something", scenario.Expect{At: at, Matches: costsSome}, "")
			r.orders(p, &l, s, much, "fresh1", "attack", scenario.Attack, "another new account gives itself one, and it costs nothing", scenario.Expect{At: at, Matches: costsNothing}, "")
			if l.err != nil {
				return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
			}
			if ok, err := p.Prove(ctx, Hypothesis{
				Op: c.Op, Where: in.Where(), Title: fmt.Sprintf("%s %s takes the discount from the client (%s)", c.Op.Method, c.Op.Path, in.Name),
				Description: fmt.Sprintf("With %s of the client's own choice, %s of the order is nothing.", in.Where(), strings.TrimPrefix(at, "/")),
				Scenario:    &scenario.Scenario{Name: "a discount of the client's", Steps: l.list},
			}); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

// exchanged: the number stays, and what it is a number of is worth a hundredth.
func (p *Probe) exchanged(ctx context.Context, c *world.Call, in *graph.Input) error {
	codes := enumOf(in.Schema, 0)
	usual := ""
	for _, code := range []string{"EUR", "USD", "GBP", "CHF"} {
		if len(codes) == 0 || slices.Contains(codes, code) {
			usual = code
			break
		}
	}
	list := slices.DeleteFunc(slices.Clone(weak), func(code string) bool { return len(codes) > 0 && !slices.Contains(codes, code) })
	if usual == "" || len(list) == 0 {
		return nil
	}
	plain := c.With(in.Where(), jsonString(usual))
	x, err := p.send(ctx, plain)
	if err != nil {
		return err
	}
	r, costs, err := p.receipt(ctx, plain, x)
	if err != nil || r == nil {
		return err
	}
	said, is := currencyAt(costs, usual)
	if !is {
		return nil
	}
	for _, code := range list[:min(len(list), 2)] {
		cheap := c.With(in.Where(), jsonString(code))
		x, err := p.send(ctx, cheap)
		if err != nil {
			return err
		}
		y, err := p.again(ctx, r, x)
		if err != nil {
			return err
		}
		at, is := currencyAt(y, code)
		if x.Status/100 != 2 || !is || at != said {
			continue
		}
		fair, now := priced(c, costs), priced(c, y)
		for _, at := range slices.Sorted(maps.Keys(fair)) {
			if fair[at] < 3 || now[at] != fair[at] {
				continue
			}
			s := p.afresh(c)
			l := steps{list: s.setup}
			same := "${fair}"
			r.orders(p, &l, s, plain, "fresh2", "usual", scenario.Control, "it costs something in "+usual, scenario.Expect{At: at, Matches: costsSome}, "fair")
			r.orders(p, &l, s, plain, "fresh2", "said", scenario.Control, "which is what the order says", scenario.Expect{At: said, Equals: &usual}, "")
			r.orders(p, &l, s, cheap, "fresh1", "attack", scenario.Attack, "another new account orders it in "+code+", at the same number", scenario.Expect{At: at, Equals: &same}, "")
			r.orders(p, &l, s, cheap, "fresh1", "turned", scenario.Attack, "and the order says so", scenario.Expect{At: said, Equals: &code}, "")
			if l.err != nil {
				return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
			}
			if ok, err := p.Prove(ctx, Hypothesis{
				Op: c.Op, Where: in.Where(), Title: fmt.Sprintf("%s %s takes the same number in any currency (%s)", c.Op.Method, c.Op.Path, in.Name),
				Description: fmt.Sprintf("The price is not worked out for the currency that the request says: in one of a hundredth of the worth, %s is the same number.", strings.TrimPrefix(at, "/")),
				Scenario:    &scenario.Scenario{Name: "a currency of the client's", Steps: l.list},
			}); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

// currencyAt is where a receipt says its currency.
func currencyAt(x *target.Exchange, code string) (string, bool) {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return "", false
	}
	at := ""
	scenario.Walk(body, func(pointer string, v any) {
		if at == "" && !reIndex.MatchString(pointer) && scenario.Plain(v) == code {
			at = pointer
		}
	})
	return at, at != ""
}
