package waf

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

func compile(t *testing.T, src string) *schema.Schema {
	t.Helper()
	doc, err := value.JSON([]byte(src), value.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c := schema.NewCompiler(schema.OpenAPI31, schema.CompilerOptions{})
	c.AddResource("test:", doc)
	s, problems := c.Compile("test:")
	if s == nil {
		t.Fatal(problems)
	}
	return s
}

const parcel = `{"type":"object","additionalProperties":false,"properties":{
  "id":{"type":"string","format":"uuid"},"state":{"enum":["open","closed"]},"code":{"type":"string","pattern":"^[A-Z]{3}-[0-9]+$"},
  "loose":{"type":"string","pattern":"[A-Z]"},"note":{"type":"string"},"day":{"type":"string","format":"date"},
  "either":{"oneOf":[{"type":"string","format":"uuid"},{"type":"string","format":"date"}]},
  "any":{"anyOf":[{"type":"string","format":"uuid"},{"type":"string"}]},
  "labels":{"type":"object","additionalProperties":{"type":"string","format":"uuid"}},
  "list":{"type":"array","items":{"type":"string","format":"date"}},
  "n":{"type":"integer"}}}`

const parcelBody = `{"id":"550e8400-e29b-41d4-a716-446655440000","state":"open","code":"ABC-1","loose":"A","note":"hi","day":"2026-01-02",
  "either":"2026-01-02","any":"x","labels":{"mine":"550e8400-e29b-41d4-a716-446655440000"},"list":["2026-01-02"],"n":5}`

func collected(t *testing.T, x *exchange.Exchange) []string {
	t.Helper()
	c := collector{value: 1 << 16, count: 1000}
	if !c.collect(x) {
		t.Fatal(c.over)
	}
	var out []string
	for _, f := range c.fields {
		if f.src != fromHeader {
			out = append(out, f.at)
		}
	}
	slices.Sort(out)
	return out
}

// What the contract has pinned down in this very request is not inspected; all
// else is, and so is everything when the contract did not hold.
func TestPinnedLeavesAreNotInspected(t *testing.T) {
	s := compile(t, parcel)
	build := func() *exchange.Exchange {
		x := request(t, 0, "day=2026-01-02&q=x&day=2026-01-03&list=2026-01-02&list=2026-01-03", parcelBody)
		x.Request.Body.Declared = &spec.MediaType{Type: "application/json", Schema: s}
		day := compile(t, `{"type":"string","format":"date"}`)
		x.Params = []exchange.Param{
			{Spec: &spec.Parameter{Name: "q", In: "query", Schema: compile(t, `{"type":"string"}`)}, Value: value.Value{Kind: value.String, Text: "x"}},
			{Spec: &spec.Parameter{Name: "list", In: "query", Schema: compile(t, `{"type":"array","items":{"type":"string","format":"date"}}`)},
				Value: value.Value{Kind: value.Array, Kids: []value.Value{{Kind: value.String, Text: "2026-01-02"}}}},
			{Spec: &spec.Parameter{Name: "day", In: "query", Schema: day}, Value: value.Value{Kind: value.String, Text: "2026-01-02"}},
		}
		x.Rulings = []exchange.Ruling{{Guard: "contract"}, {Guard: "limit", Verdict: exchange.Verdict{Action: exchange.Deny}}}
		return x
	}
	if d := cmp.Diff([]string{"/any", "/labels/mine", "/loose", "/note", "query:q"}, collected(t, build())); d != "" {
		t.Errorf("contract held (-want +got):\n%s", d)
	}
	all := []string{"/any", "/code", "/day", "/either", "/id", "/labels/mine", "/list/0", "/loose", "/n", "/note", "/state",
		"query:day", "query:day", "query:list", "query:list", "query:q"}
	for name, break_ := range map[string]func(*exchange.Exchange){
		"a fault was let pass": func(x *exchange.Exchange) { x.Unvalidated = true },
		"the contract denied, monitored": func(x *exchange.Exchange) {
			x.Rulings = append(x.Rulings, exchange.Ruling{Guard: "contract", Verdict: exchange.Refuse("gateway.internal", "", "")})
		},
		"the contract did not run": func(x *exchange.Exchange) { x.Params, x.Request.Body.Declared = nil, nil },
	} {
		x := build()
		break_(x)
		if d := cmp.Diff(all, collected(t, x)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
