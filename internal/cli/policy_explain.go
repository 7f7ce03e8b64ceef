package cli

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/gateway/server"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
	"github.com/crenel-project/crenel/internal/guard/authz/impact"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
	"github.com/crenel-project/crenel/policies"
)

func newPolicyExplain() *cobra.Command {
	r := &recorded{}
	var kind string
	var show, asJSON bool
	c := &cobra.Command{
		Use:   "explain REQUEST_ID",
		Short: "Show how one past decision came about",
		Long: `Show one decision of the decision log: what it was made on, which rules held, which
expressions failed, and the trace, by the policy and the data that decided then,
which the log keeps. Tokens, claims and secrets of the input are masked unless
--show is given.`,
		Args:    one("the id of the request: the request_id of a denial, or X-Crenel-Request-Id of any answer"),
		Example: examples("crenel policy explain 01980f3a-7c1e-7d2b-9b1a-2f6f0c7a5e11", "crenel policy explain 01980f3a-7c1e-7d2b-9b1a-2f6f0c7a5e11 --trace full --show"),
		RunE: func(c *cobra.Command, args []string) error {
			if err := r.open(""); err != nil {
				return err
			}
			event, err := r.reader.Find(c.Context(), args[0])
			if err != nil {
				return err
			}
			r.api = event.About().API
			if err := r.document(c.Context()); err != nil {
				return err
			}
			decided, err := impact.CaseOf(event)
			if err != nil {
				return err
			}
			e, explainErr := impact.Explain(c.Context(), decided, r.kept(), kind)
			if !show {
				mask, err := server.DecisionMasker(&r.cfg.DecisionLog)
				if err != nil {
					return err
				}
				own, err := r.rulesOf(c.Context(), event, map[[2]string]decisionlog.Rules{})
				if err != nil && explainErr == nil {
					return err
				}
				if err := mask.Mask(c.Context(), event, own); err != nil {
					return err
				}
				if e != nil {
					e.Text = unlessShown(e.Text)
				}
			}
			if asJSON {
				err = printJSON(c, struct {
					Event *decisionlog.Event `json:"event"`
					*impact.Explanation
				}{event, e})
			} else {
				err = printExplained(newPrinter(c.OutOrStdout()), event, e)
			}
			if err != nil {
				return err
			}
			return explainErr
		},
	}
	r.flags(c)
	c.Flags().StringVar(&kind, "trace", trace.None, "`which` steps to show: full, fails, notes or none")
	c.Flags().BoolVar(&show, "show", false, "show the input whole, secrets too")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// note is what a policy's trace() said: it may have been told to say a secret.
// Steps name variables and not their values.
var note = regexp.MustCompile(`(?m)(\| )?Note ".*$`)

func unlessShown(trace string) string {
	return note.ReplaceAllString(trace, `${1}Note (--show shows it)`)
}

func printExplained(p *printer, event *decisionlog.Event, e *impact.Explanation) error {
	about := event.About()
	p.linef("%s %s  %s", p.bold("decision"), plain(event.DecisionID), p.dim(event.Timestamp.Format(time.RFC3339Nano)))
	word := p.green("allow")
	if !about.Allowed {
		word = p.red("deny") + " " + p.bold(plain(about.Code))
	}
	by := "the document's own policy"
	if event.Path != decisionlog.DocumentPath {
		by = "data." + strings.ReplaceAll(event.Path, "/", ".")
	}
	p.linef("  decided   %s, by %s", word, plain(by))
	p.linef("  call      %s of %s, from %s", plain(orElse(about.Operation, "(unknown)")), plain(about.API), plain(orElse(event.RequestedBy, "(unknown)")))
	if about.Policy != "" {
		p.linef("  policy    %s, data %s", plain(about.Policy), plain(about.Data))
	}
	for _, part := range []struct {
		name string
		b    json.RawMessage
	}{{"input", event.Input}, {"result", event.Result}, {"came to", event.MappedResult}, {"functions", event.NDBuiltinCache}} {
		if len(part.b) == 0 {
			continue
		}
		var v any
		if err := json.Unmarshal(part.b, &v); err != nil {
			return fmt.Errorf("reading the %s: %w", part.name, err)
		}
		b, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		p.linef("\n%s\n%s", p.bold(part.name), plainLines(fmt.Errorf("%s", b)))
	}
	if list := append(append([]string{}, event.Erased...), event.Masked...); len(list) > 0 {
		p.linef("%s", p.dim("masked: "+plain(strings.Join(list, " "))+"  (--show shows them)"))
	}
	if e == nil {
		return nil
	}
	if !e.Same {
		p.linef("\n%s made again it comes out as %s", p.red("not the same:"), plain(e.Answer))
	}
	printHeld(p, &e.Steps)
	if e.Outcome.Rule == "" {
		p.linef("\n%s %s", p.bold("why"), plain(orElse(e.Outcome.Verdict.Reason, "the document lets it pass, and there is no other policy")))
	} else if e.Outcome.Verdict.Reason != "" {
		p.linef("\n%s %s", p.bold("reason"), plain(e.Outcome.Verdict.Reason))
	}
	printTrace(p, &e.Steps)
	return nil
}

// printHeld tells which rules held and which expressions did not. What the shipped
// library does within its rules is left to the trace.
func printHeld(p *printer, s *trace.Steps) {
	if len(s.Held) > 0 {
		p.linef("\n%s", p.bold("rules that held"))
		for _, h := range s.Held {
			p.linef("  %s  %s", plain(h.Rule), p.dim(plain(fromHere(h.Place))))
		}
	}
	title := "\n" + p.bold("expressions that failed")
	for _, f := range s.Failed {
		if policies.Shipped(f.Place) {
			continue
		}
		if title != "" {
			p.linef("%s", title)
			title = ""
		}
		p.linef("  %s  %s", plain(strings.Join(strings.Fields(f.Expression), " ")), p.dim(plain(fromHere(f.Place))))
	}
}

func printTrace(p *printer, s *trace.Steps) {
	if s.Text == "" {
		return
	}
	p.linef("\n%s", p.bold("trace"))
	for line := range strings.Lines(s.Text) {
		p.linef("%s", plain(strings.TrimRight(line, "\n")))
	}
}
