package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/waf"
	"github.com/crenel-project/crenel/internal/spec"
)

func newWAFExplain() *cobra.Command {
	var file, api string
	var request triedFlags
	var show, asJSON bool
	c := &cobra.Command{
		Use:   "explain [PATH]",
		Short: "Show what the WAF makes of a request: values, scans, rules, score, verdict",
		Long: `Show how the WAF judges a request: each of its values, whether it is inspected and
why not, the rules that the triage found to match it, the rules that matched in the
engine with their places and points, the score, and what the inspection may cost. Nothing is
sent. The request stands in a file, or on the command line as for curl; see
crenel policy try. Letters and digits of values are masked unless --show-values
asks for them. Exits with 1 when the request is refused.`,
		Args: cobra.MaximumNArgs(1),
		Example: examples("crenel waf explain --request call.http", `crenel waf explain /notes --body '{"text":"drop by; select a table"}' --show-values`,
			"crenel waf explain '/notes?q=1%27+OR+1=1' --json | jq .rules"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := request.read(strings.Join(args, ""))
			if err != nil {
				return err
			}
			e, err := explainWAF(c.Context(), file, api, r)
			if err != nil {
				return err
			}
			out := explainedOf(e, show)
			if asJSON {
				err = printJSON(c, out)
			} else {
				out.print(newPrinter(c.OutOrStdout()))
			}
			if err == nil && e.Verdict.Action != exchange.Allow {
				err = errReported
			}
			return err
		},
	}
	configFlag(c, &file)
	request.add(c)
	c.Flags().StringVar(&api, "api", "", "the `name` of the API, when the config has several")
	c.Flags().BoolVar(&show, "show-values", false, "do not mask values")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func explainWAF(ctx context.Context, file, api string, r *triedRequest) (*waf.Explanation, error) {
	ac, err := policyAPI(file, api, func(*config.API) bool { return false })
	if err != nil {
		return nil, err
	}
	var doc *spec.API
	if ac.Spec != "" {
		if doc, err = spec.Load(ctx, ac.Spec, spec.LoadOptions{AllowRemote: ac.RemoteRefs, BasePaths: []string{""}}); err != nil {
			return nil, err
		}
	}
	x, err := r.exchange(ctx, ac, doc)
	if err != nil {
		return nil, err
	}
	g, err := waf.New(waf.Options{API: doc, Config: ac.Guards.WAF})
	if err != nil {
		return nil, err
	}
	e := g.Explain(ctx, x)
	return e, g.Close()
}

// explained is what waf explain prints with --json.
type explained struct {
	Allow     bool             `json:"allow"`
	Code      string           `json:"code,omitempty"`
	At        string           `json:"at,omitempty"`
	Reason    string           `json:"reason,omitempty"`
	Paranoia  int              `json:"paranoia"`
	Score     int              `json:"score"`
	Threshold int              `json:"threshold"`
	Values    []explainedValue `json:"values"`
	Rules     []explainedRule  `json:"rules"`
	Triage    explainedTriage  `json:"triage"`
}

type explainedValue struct {
	At      string `json:"at"`
	In      string `json:"in"`
	Bytes   int    `json:"bytes"`
	Value   string `json:"value"` // masked, unless --show-values
	Skipped string `json:"skipped,omitempty"`
	Scans   []int  `json:"scans"` // rules that the triage found to match
	Muted   []int  `json:"muted,omitempty"`
	Points  int    `json:"points"`
}

type explainedRule struct {
	ID       int         `json:"id"`
	Message  string      `json:"message"`
	Severity string      `json:"severity"`
	Tags     []string    `json:"tags"`
	Places   []waf.Match `json:"places"`
}

type explainedTriage struct {
	Silent bool `json:"silent"`
	// Of an engine that is asked:
	Rules     int            `json:"rules,omitempty"`
	Values    int            `json:"values,omitempty"`
	Bytes     int            `json:"bytes,omitempty"`
	Estimated string         `json:"estimated,omitempty"`
	Budget    string         `json:"budget,omitempty"`
	Always    map[int]string `json:"always,omitempty"`
}

func explainedOf(e *waf.Explanation, show bool) *explained {
	out := &explained{
		Allow: e.Verdict.Action == exchange.Allow, Code: e.Verdict.Code, At: e.Verdict.At, Reason: e.Verdict.Reason,
		Paranoia: e.Paranoia, Score: e.Score, Threshold: e.Threshold, Values: []explainedValue{}, Rules: []explainedRule{},
		Triage: explainedTriage{Silent: e.Silent, Always: e.Always},
	}
	if !e.Silent {
		out.Triage.Rules, out.Triage.Values, out.Triage.Bytes = e.TriedRules, e.TriedValues, e.TriedBytes
		out.Triage.Estimated, out.Triage.Budget = e.Estimated.String(), e.Budget.String()
	}
	for i := range e.Values {
		v := &e.Values[i]
		text := v.Text
		if !show {
			text = masked(text)
		}
		scans := v.Suspects
		if scans == nil {
			scans = []int{}
		}
		out.Values = append(out.Values, explainedValue{At: v.At, In: v.In, Bytes: len(v.Text), Value: text, Skipped: v.Skipped, Scans: scans, Muted: v.Muted, Points: v.Points})
	}
	for i := range e.Rules {
		r := &e.Rules[i]
		out.Rules = append(out.Rules, explainedRule{ID: r.ID, Message: r.Message, Severity: r.Severity, Tags: r.Tags, Places: r.Places})
	}
	return out
}

// maxMasked is how much of a masked value is shown, in characters.
const maxMasked = 60

// masked keeps the shape of a text: which signs it holds is what rules look for,
// which letters and digits may be a secret.
func masked(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxMasked {
			b.WriteString("…")
			break
		}
		switch {
		case unicode.IsDigit(r):
			r = '0'
		case unicode.IsLetter(r) || unicode.IsMark(r):
			r = 'x'
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (e *explained) print(p *printer) {
	verdict := p.green("ALLOW")
	if !e.Allow {
		verdict = p.red("DENY") + " " + p.bold(plain(e.Code))
		if e.At != "" {
			verdict += " at " + plain(e.At)
		}
	}
	p.linef("%s, score %d of %d, paranoia level %d", verdict, e.Score, e.Threshold, e.Paranoia)
	if e.Reason != "" {
		p.linef("  why     %s", plain(e.Reason))
	}
	switch t := &e.Triage; {
	case t.Silent:
		p.linef("  triage  nothing is left for the engine to judge")
	default:
		p.linef("  triage  %s to try on %s of %s: about %s, the budget is %s", count(t.Rules, "rule"), count(t.Values, "value"), count(t.Bytes, "byte"), t.Estimated, t.Budget)
	}
	for id, why := range e.Triage.Always {
		p.linef("  always  rule %d: %s", id, plain(why))
	}
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\n  value\tbytes\tpoints\tscans\twhat it looks like")
	for i := range e.Values {
		v := &e.Values[i]
		scans := "none matches"
		switch {
		case v.Skipped != "":
			scans = "not inspected: " + v.Skipped
		case len(v.Scans) > 0:
			scans = ids(v.Scans)
			if len(v.Muted) > 0 {
				scans += "; silenced: " + ids(v.Muted)
			}
		}
		_, _ = fmt.Fprintf(table, "  %s\t%d\t%d\t%s\t%s\n", plain(orElse(v.At, "the body")), v.Bytes, v.Points, plain(scans), plain(fmt.Sprintf("%q", v.Value)))
	}
	_ = table.Flush()
	if len(e.Rules) == 0 {
		return
	}
	table = tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "\n  rule\tseverity\tpoints\tat\twhat it finds")
	for i := range e.Rules {
		r := &e.Rules[i]
		points, at := 0, make([]string, 0, len(r.Places))
		for _, m := range r.Places {
			points += m.Points
			at = append(at, orElse(m.At, "the body"))
		}
		_, _ = fmt.Fprintf(table, "  %d\t%s\t%d\t%s\t%s\n", r.ID, plain(r.Severity), points, plain(strings.Join(at, " ")), plain(r.Message))
	}
	_ = table.Flush()
}

func ids(list []int) string {
	return strings.Trim(fmt.Sprint(list), "[]")
}
