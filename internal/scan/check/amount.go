package check

import (
	"context"
	"encoding/json"
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
	_ = register(&Check{
		ID: "negative-amount", Title: "A negative, overflowing or broken amount turns a payment around",
		OWASP: "API6:2023", CWE: "CWE-1284", WSTG: "WSTG-BUSL-01",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
		About: "Pays, transfers and orders negative amounts and quantities, ones that overflow, and a thousandth of what is had whole, from new accounts.",
		Proof: "The account has more money afterwards, by as much on each new account, or what was ordered costs nothing or less, as the order's answer, the order read back, or the account's cart says. Controls: with a positive amount it does not; one of it costs something.",
		Fix:   "Bound each amount and quantity below (1) and above, refuse fractions of what is whole, in the description and where it is used; compute with checked arithmetic, and keep balances from falling by a constraint of the database.",
		Mode:  Default, Dirty: true,
		Run: negativeAmount,
	})
	_ = register(&Check{
		ID: "client-price", Title: "The price is what the client says",
		OWASP: "API6:2023", CWE: "CWE-602", WSTG: "WSTG-BUSL-02",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
		About: "Orders something that has a price, from a new account that does not offer it, with another price in the request; with a discount of the client's, or with the same number in a currency that is worth less.",
		Proof: "The order is read back with the price that was sent, twice with two prices. Controls: what was ordered is read with another price of its own, or the server works out another where the request says none; the order costs nothing with the discount, and something without; its number is the same in a currency of a hundredth of the worth. Bids, offers and gifts are left out.",
		Fix:   "Compute prices on the server from what is ordered; refuse a price in the request, or take it as what the client has seen and refuse the order when it has changed.",
		Mode:  Default, Dirty: true,
		Run: clientPrice,
	})
)

// figures are all numbers of an answer outside of lists, fractions as well.
func figures(x *target.Exchange) map[string]float64 {
	out := map[string]float64{}
	body, ok := scenario.Decode(x.Body)
	if x.Status/100 != 2 || !ok {
		return out
	}
	scenario.Walk(body, func(at string, v any) {
		text := ""
		switch v := v.(type) {
		case json.Number:
			text = string(v)
		case string:
			if reDecimal.MatchString(v) {
				text = v
			}
		}
		if f, err := strconv.ParseFloat(text, 64); err == nil && !reIndex.MatchString(at) {
			out[at] = f
		}
	})
	return out
}

var (
	reDecimal = regexp.MustCompile(`^-?\d{1,12}\.\d{1,4}$`)
	rePriced  = regexp.MustCompile(`(?i)(total|price|cost|amount|sum|fee|fare|charge|due|subtotal|rent|premium|tariff|(monthly|hourly|daily|weekly|yearly|annual|nightly|day|night|unit|base)_?rate)`)
	// What people may well name a price for.
	reOwnPrice = regexp.MustCompile(`(?i)\b(bid|offer|auction|quote|estimate|proposal|donat|tip|gift|pledge|invoice|listing|expense|budget|salary|loan|refund|claim|top.?up|deposit)`)
)

// fraction is a part of what is only had whole: what costs a thousandth costs nothing.
const fraction = "0.001"

// spendable reports whether an input is an amount or a quantity that a call moves.
func spendable(in *graph.Input) bool {
	if in.In != "body" && in.In != "query" || in.ReadOnly {
		return false
	}
	return in.Meaning == graph.MeansMoney || in.Meaning == graph.MeansQuantity
}

func negativeAmount(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || p.People.RegisterEntry() == nil {
		return nil
	}
	tried := 0
	for _, op := range p.Ops() {
		if !usable(op) || op.Kind == graph.Update {
			continue
		}
		for _, in := range op.Inputs {
			if !spendable(in) {
				continue
			}
			if tried++; tried > 24 {
				return nil
			}
			c, err := p.World.Call(ctx, op, user, nil)
			if err != nil {
				p.Note(op, Skipped)
				break
			}
			if in.Meaning == graph.MeansQuantity { // what it costs is the server's to say
				for _, other := range op.Inputs {
					if other.In == "body" && other.Meaning == graph.MeansMoney && !other.Required {
						c = c.With(other.Where(), "")
					}
				}
			}
			if done, err := p.turnsAround(ctx, in, p.towards(c)); err != nil {
				return err
			} else if done {
				break
			}
		}
	}
	return nil
}

// towards is a call whose recipient, where it has one, is an account of the run.
func (p *Probe) towards(c *world.Call) *world.Call {
	for _, other := range p.Attackers() {
		for _, in := range c.Op.Inputs {
			if in.In == "path" || !reRecipient.MatchString(in.Name) {
				continue
			}
			for _, fact := range []string{factOf(in), "id", "username", "email"} {
				if v := other.Facts[fact]; fact != "" && v != "" && (in.Type != "integer" || strings.Trim(v, "0123456789") == "") {
					c = c.With(in.Where(), jsonID(in, v))
					break
				}
			}
		}
		break
	}
	return c
}

var reRecipient = regexp.MustCompile(`(?i)^(to|recipient|receiver|payee|beneficiary|target|destination)([_-]?(user|member|account|customer|client|person|wallet))?([_-]?(id|name|email|username))?$`)

// turnsAround tries one input of one call from a new account.
func (p *Probe) turnsAround(ctx context.Context, in *graph.Input, c *world.Call) (bool, error) {
	a, err := p.People.Fresh(ctx)
	if err != nil {
		return false, nil //nolint:nilerr // without new accounts there is nothing to try it with
	}
	plain, err := p.send(ctx, c.With(in.Where(), "1").By(a))
	if err != nil {
		return false, err
	}
	dials := p.dials(ctx, a, &world.Call{})
	read := func() ([]map[string]float64, error) {
		out := make([]map[string]float64, len(dials))
		for i, d := range dials {
			x, err := p.send(ctx, d)
			if err != nil {
				return nil, err
			}
			out[i] = figures(x)
		}
		return out, nil
	}
	p.Note(c.Op, Clean)
	for _, text := range amounts(in) {
		before, err := read()
		if err != nil {
			return false, err
		}
		x, err := p.send(ctx, c.With(in.Where(), text).By(a))
		if err != nil {
			return false, err
		}
		if x.Status/100 == 4 || x.Status == 0 {
			continue
		}
		after, err := read()
		if err != nil {
			return false, err
		}
		for i, d := range dials {
			for _, at := range slices.Sorted(maps.Keys(after[i])) {
				was, had := before[i][at]
				grown := after[i][at] - was
				if !had || grown <= 0 || !reFunds.MatchString(at[strings.LastIndexByte(at, '/')+1:]) {
					continue
				}
				if ok, err := p.grows(ctx, c, in, text, &gauge{d, at}, grown); err != nil || ok {
					return ok, err
				}
			}
		}
		if ok, err := p.costsLess(ctx, c.By(a), in, text, plain, x); err != nil || ok {
			return ok, err
		}
		if ok, err := p.sumsUp(ctx, c, in, text, dials, before, after); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// amounts are those that turn a payment around, as an input takes them.
func amounts(in *graph.Input) []string {
	list := []string{"-1", "2147483647", "4294967296", "9223372036854775807"}
	if in.Meaning == graph.MeansMoney {
		list = list[:1] // large ones are the funds' business
	} else if in.Type == "integer" {
		list = append(list, fraction)
	}
	if in.Type == "string" {
		for i, text := range list {
			list[i] = jsonString(text)
		}
	}
	return list
}

// grows: the account's money grows by the call.
func (p *Probe) grows(ctx context.Context, c *world.Call, in *graph.Input, text string, g *gauge, by float64) (bool, error) {
	var l steps
	look := func(as, id string, part scenario.Part, note string, e scenario.Expect, save string) {
		st, err := p.step(nil, g.call, id, part)
		e.Status, e.At = "2xx", g.at
		st.As, st.Note, st.Expect = as, note, []scenario.Expect{e}
		if save != "" {
			st.Save = []scenario.Save{{As: save, At: g.at}}
		}
		l.add(st, err)
	}
	call := func(as, id string, part scenario.Part, note, with string) {
		st, err := p.step(nil, c.With(in.Where(), with), id, part)
		st.As, st.Note, st.Expect = as, note, []scenario.Expect{{Status: "any"}}
		l.add(st, err)
	}
	more := func(of string) []scenario.Compute {
		return []scenario.Compute{{Set: of + "more", Do: "number.add", Args: map[string]string{"number": "${" + of + "}", "plus": strconv.FormatFloat(math.Round(by*1e6)/1e6, 'f', -1, 64)}}}
	}
	one := "1"
	if in.Type == "string" {
		one = `"1"`
	}
	plainMore, turnedMore := "${plainmore}", "${turnedmore}"
	look("fresh2", "control", scenario.Control, "what a new account has", scenario.Expect{}, "plain")
	call("fresh2", "positive", scenario.Control, "it calls with a positive amount", one)
	look("fresh2", "still", scenario.Control, "and has no more for it", scenario.Expect{Differs: &plainMore}, "")
	l.list[len(l.list)-1].Compute = more("plain")
	look("fresh1", "before", scenario.Control, "what another new account has", scenario.Expect{}, "turned")
	call("fresh1", "attack", scenario.Attack, "it calls with "+text, text)
	look("fresh1", "after", scenario.Observe, "and has more", scenario.Expect{Equals: &turnedMore}, "")
	l.list[len(l.list)-1].Compute = more("turned")
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	op := c.Op
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: in.Where(), Title: fmt.Sprintf("%s %s gives money for a negative %s", op.Method, op.Path, in.Name),
		Description: fmt.Sprintf("With %s in %s the caller's money (%s of %s %s) grows; with a positive one it does not.", text, in.Where(), strings.TrimPrefix(g.at, "/"), g.call.Op.Method, g.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: "a payment turned around", Steps: l.list},
	})
}
