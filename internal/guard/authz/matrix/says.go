package matrix

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz/filter"
)

// says is the text of a verdict. The caller's own names are replaced by what they
// stand for, so that it does not change with what was made up.
func (c *cast) says(v exchange.Verdict, o *exchange.Obligations, relation string) string {
	switch {
	case v.Action == exchange.Unable:
		return "error " + v.Code
	case v.Code == "authz.scope":
		return "deny scope"
	case v.Code == "authz.step_up":
		return "step up"
	case v.Code == "authz.filter":
		return "error " + v.Code
	case v.Action == exchange.Deny:
		return "deny"
	}
	switch refused, on := c.answered(o.Answer, relation); {
	case on != "":
		return "depends on the answer's " + on
	case refused:
		return "deny by the answer"
	}
	parts := append([]string{"allow"}, c.conditions(o)...)
	return strings.Join(parts, ", ")
}

// answered tells what the rules for the answer make of one that belongs to whom
// the relation says; on is where the answer must say something else.
func (c *cast) answered(rules []exchange.AnswerRule, relation string) (refused bool, on string) {
	for _, r := range rules {
		mine, house := slices.Contains(r.In, c.subject), slices.Contains(r.In, c.tenant)
		switch {
		case !mine && !house && len(r.In) > 0:
			return false, r.At
		case len(r.In) == 0, relation == Other, relation == None, relation == Tenant && !house:
			refused = true
		}
	}
	return refused, ""
}

// conditions are what an allowed call is bound to.
func (c *cast) conditions(o *exchange.Obligations) []string {
	var out []string
	for _, k := range o.Keep {
		text := fmt.Sprint(k.Where)
		if cond, ok := k.Where.(*filter.Cond); ok {
			text = "nothing"
			if !cond.Never() {
				var err error
				if text, err = cond.Write(filter.SQL, filter.PostgreSQL); err != nil {
					b, _ := cond.MarshalJSON()
					text = string(b)
				}
			}
		}
		at := k.At
		if at == "" {
			at = "the list"
		}
		out = append(out, "of "+at+" only "+c.anonymise(text))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Headers)) {
		out = append(out, "header "+name+": "+c.anonymise(o.Headers[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Query)) {
		out = append(out, "query "+name+"="+c.anonymise(o.Query[name]))
	}
	for _, at := range sorted(o.Strip) {
		out = append(out, "without "+at)
	}
	for _, at := range sorted(o.Mask) {
		out = append(out, "masked "+at)
	}
	var masks []string
	for _, m := range o.Masks {
		masks = append(masks, m.Kind+" "+m.At)
	}
	return append(out, sorted(masks)...)
}

func sorted(list []string) []string {
	out := slices.Clone(list)
	slices.Sort(out)
	return out
}

func (c *cast) anonymise(s string) string {
	r := []string{c.subject, "caller", c.tenant, "tenant", c.colleague, "colleague", c.stranger, "stranger", c.elsewhere, "elsewhere"}
	for _, id := range c.objects {
		r = append(r, id, "object")
	}
	return strings.NewReplacer(r...).Replace(s)
}
