package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "partner-answer", Title: "A figure that makes no sense is taken from elsewhere and charged",
	OWASP: "API10:2023", CWE: "CWE-1357", WSTG: "WSTG-BUSL-01",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:N/SC:N/SI:N/SA:N",
	About: "Asks calculations (quotes, prices, rates) for every country or currency that they take, as far as they store nothing.",
	Proof: "For one code a price, duty, tax or rate is below nothing, twice. Controls: for three other codes it is not.",
	Fix:   "Check what partners and tables answer as strictly as a caller's body: type, range, and that it is about what was asked.",
	Mode:  Default,
	Run:   partnerAnswer,
})

var (
	reLandName = regexp.MustCompile(`(?i)(^|[_.-])(country|nation|currency|destination|origin)([_-]?(code|iso|id))?$|[a-z](Country|Currency)(Code)?$`)
	reCharge   = regexp.MustCompile(`(?i)price|total|amount|(^|_)fees?($|_)|cost|duty|tax|(^|_)rate($|_)|percent|charge|premium|tariff|cents`)
	reSigned   = regexp.MustCompile(`(?i)discount|adjust|delta|diff|change|balance|refund|credit|rebate|saving|offset|net_`)
)

// countries are the codes of ISO 3166-1 (alpha-2), those first in which things are ordered most.
const countries = "DE US GB FR CH NO JP CN IT ES NL SE PL AT BE DK FI IE PT CZ CA AU NZ BR MX IN KR SG HK TW AE ZA TR RU UA AQ " +
	"AD AF AG AI AL AM AO AR AS AW AX AZ BA BB BD BF BG BH BI BJ BL BM BN BO BQ BS BT BV BW BY BZ CC CD CF CG CI CK CL CM CO CR CU CV CW CX CY DJ DM DO DZ EC EE EG EH ER ET FJ FK FM FO GA GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HM HN HR HT HU ID IL IM IO IQ IR IS JE JM JO KE KG KH KI KM KN KP KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MY MZ NA NC NE NF NG NI NP NR NU OM PA PE PF PG PH PK PM PN PR PS PW PY QA RE RO RS RW SA SB SC SD SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TT TV TZ UG UM UY UZ VA VC VE VG VI VN VU WF WS YE YT ZM ZW"

// currencies are the codes of ISO 4217 that are traded, the commonest first.
const currencies = "EUR USD GBP CHF JPY CNY SEK NOK DKK PLN CZK CAD AUD NZD BRL MXN INR KRW SGD HKD TWD AED ZAR TRY RUB UAH HUF RON BGN ISK ILS SAR THB IDR MYR PHP VND CLP COP PEN ARS EGP NGN KES MAD PKR BDT LKR XAU XAG XTS XXX BTC"

func partnerAnswer(ctx context.Context, p *Probe) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		in := codeInput(op)
		if in == nil || !calculates(op) {
			return nil
		}
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil || base.Status/100 != 2 {
			return err
		}
		p.Note(op, Clean)
		return p.sweep(ctx, op, in, call)
	})
}

// codeInput is the input of an operation that takes a country or a currency.
func codeInput(op *graph.Op) *graph.Input {
	for _, in := range op.Inputs {
		if (in.Type == "string" || in.Type == "") && !in.ReadOnly && in.In != "header" && in.In != "cookie" && reLandName.MatchString(in.Name) && (in.Schema == nil || len(in.Schema.Rules().Enum) == 0) {
			return in
		}
	}
	return nil
}

// calculates: the operation answers with prices and, by its answer, keeps nothing.
func calculates(op *graph.Op) bool {
	if op.Method != http.MethodGet && op.Method != http.MethodPost || op.Answered == "list" {
		return false
	}
	for _, not := range []graph.Purpose{graph.Payment, graph.Transfer, graph.Register, graph.Login, graph.Coupon, graph.Admin, graph.Batch, graph.Export} {
		if op.Has(not) {
			return false
		}
	}
	charges := false
	for _, out := range op.Outputs {
		if op.Method == http.MethodPost && strings.Count(out.Pointer, "/") <= 2 && (out.Name == "id" || out.Name == "uuid" || op.About != nil && slices.Contains(op.About.IDs, out.Name) && out.Meaning == graph.MeansID) {
			return false // it makes something
		}
		charges = charges || (out.Type == "number" || out.Type == "integer") && reCharge.MatchString(out.Name) && !reSigned.MatchString(out.Name)
	}
	return charges
}

func (p *Probe) sweep(ctx context.Context, op *graph.Op, in *graph.Input, call *world.Call) error {
	codes := strings.Fields(countries)
	if strings.Contains(strings.ToLower(in.Name), "currency") {
		codes = strings.Fields(currencies)
	}
	var plain []string
	refused := 0
	for _, code := range codes {
		x, err := p.send(ctx, call.With(in.Where(), jsonString(code)))
		if err != nil {
			return err
		}
		if x.Status/100 != 2 {
			if refused++; x.Status == 429 || refused > 30 && len(plain) < 3 {
				return nil
			}
			continue
		}
		at := belowNothing(x)
		if at == "" {
			plain = append(plain, code)
			continue
		}
		if len(plain) < 3 {
			return nil // where it is so from the beginning, it is what the figure means
		}
		done, err := p.outlier(ctx, op, in, call, code, at, plain)
		if err != nil || done {
			return err
		}
	}
	return nil
}

// belowNothing is where an answer holds a charge that is negative, "" nowhere.
func belowNothing(x *target.Exchange) string {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return ""
	}
	found := ""
	scenario.Walk(body, func(at string, v any) {
		name := at[strings.LastIndexByte(at, '/')+1:]
		n, isNumber := v.(json.Number)
		if found == "" && isNumber && strings.HasPrefix(string(n), "-") && strings.Trim(string(n), "-0.") != "" && reCharge.MatchString(name) && !reSigned.MatchString(name) {
			found = at
		}
	})
	return found
}

func (p *Probe) outlier(ctx context.Context, op *graph.Op, in *graph.Input, call *world.Call, code, at string, plain []string) (bool, error) {
	var l steps
	ask := func(id string, part scenario.Part, note, code string, e scenario.Expect) {
		bind := call.Renew(id)
		bind[in.Where()] = jsonString(code)
		st, err := p.World.Step(call, bind)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	for i, c := range plain[:3] {
		ask(fmt.Sprintf("plain%d", i+1), scenario.Control, "for "+c+" the figure makes sense", c, scenario.Expect{Status: "2xx", At: at, Matches: `^[0-9]`})
	}
	ask("attack", scenario.Attack, "for "+code+" it is below nothing", code, scenario.Expect{Status: "2xx", At: at, Matches: `^-`})
	ask("again", scenario.Attack, "and is so again", code, scenario.Expect{Status: "2xx", At: at, Matches: `^-`})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: in.Where(), Title: fmt.Sprintf("%s %s charges less than nothing for %s", op.Method, op.Path, code),
		Description: fmt.Sprintf("For one of the codes that %s takes, %s is negative: what is looked up elsewhere is charged without a look at whether it makes sense.", in.Name, at),
		Scenario:    &scenario.Scenario{Name: "a figure that makes no sense", Steps: l.list},
	})
}
