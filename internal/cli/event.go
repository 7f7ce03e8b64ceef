package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/trail"
)

func newEvent() *cobra.Command {
	var file, events, dataDir string
	var asJSON bool
	c := &cobra.Command{
		Use:   "event ID",
		Short: "Print everything about one exchange: who, what each guard ruled, and why",
		Long: `Print everything that the trail holds about one exchange: who called, what each
guard ruled, how long it took and why. The id is the request_id of a denial and
of the log.`,
		Args: one("the ID of an event: the request_id of a denial, or X-Crenel-Request-Id of any answer"),
		Example: examples(
			"crenel event 01JD8XZ4T2KQ9M3V5W7Y0B1C2D",
			"crenel event 01JD8XZ4T2KQ9M3V5W7Y0B1C2D --json | jq .decision.rulings",
			"crenel event 01JD8XZ4T2KQ9M3V5W7Y0B1C2D --file old-events.jsonl",
		),
		RunE: func(c *cobra.Command, args []string) error {
			if events == "" {
				if dataDir != "" {
					dataDir = flagPath(dataDir)
				}
				var err error
				if events, err = config.TrailFileOf(file, dataDir); err != nil {
					return fmt.Errorf("%w\n(with --file no config is needed)", err)
				}
			}
			rec, err := trail.Find(events, args[0])
			if errors.Is(err, trail.ErrNotFound) {
				if _, gone := os.Stat(events); errors.Is(gone, fs.ErrNotExist) {
					return fmt.Errorf("there is no event file %s: no gateway has run with this config here; -c, --data-dir or --file name another", events)
				}
				return fmt.Errorf("%s holds no event %s", events, plain(args[0]))
			}
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c, rec)
			}
			printEvent(newPrinter(c.OutOrStdout()), rec)
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&events, "file", "", "the event `file`, instead of the config's")
	c.Flags().StringVar(&dataDir, "data-dir", "", "the gateway's data `directory`, where it was started with one")
	c.Flags().BoolVar(&asJSON, "json", false, "print the records as JSON")
	return c
}

func printEvent(p *printer, rec *trail.Record) {
	d, done := rec.Decision, rec.Completion
	if d == nil {
		p.linef("%s %s", p.bold("event"), plain(done.ID))
		p.linef("  the decision is no longer kept")
	} else {
		p.linef("%s %s  %s", p.bold("event"), plain(d.ID), p.dim(d.Time.Format(time.RFC3339Nano)))
		printCall(p, d)
		printDecision(p, d)
		printRulings(p, "request", rulingsOf(d.Rulings, false))
	}
	if done == nil {
		p.linef("\nno completion: it is still running, or the gateway was killed")
		return
	}
	answer := done.Rulings
	if len(answer) == 0 && d != nil {
		answer = rulingsOf(d.Rulings, true)
	}
	printRulings(p, "answer", answer)
	printCompletion(p, done)
}

func printCall(p *printer, d *exchange.Decision) {
	p.linef("  call      %s %s%s", plain(d.Method), plain(d.Host), plain(d.Path))
	if d.API != "" || d.Operation != "" {
		p.linef("  operation %s of %s", plain(orElse(d.Operation, "(unknown)")), plain(orElse(d.API, "(no API)")))
	}
	who := "nobody known"
	if id := d.Identity; id != nil && id.Method != "" {
		proof := "verified"
		if !id.Verified {
			proof = "not verified here"
		}
		who = fmt.Sprintf("%s, by %s, %s", orElse(id.Subject, "(no name)"), id.Method, proof)
		for _, part := range [][2]string{{"issuer", id.Issuer}, {"client", id.ClientID}, {"tenant", id.Tenant}, {"roles", strings.Join(id.Roles, " ")},
			{"scopes", strings.Join(id.Scopes, " ")}, {"session", id.Session}, {"credential", id.Credential}} {
			if part[1] != "" {
				who += ", " + part[0] + " " + part[1]
			}
		}
	}
	p.linef("  caller    %s from %s", plain(who), plain(d.Client))
}

func printDecision(p *printer, d *exchange.Decision) {
	verdict := p.green("ALLOW")
	if d.Action != "allow" {
		verdict = p.red(strings.ToUpper(plain(d.Action)))
		if d.Status != 0 {
			verdict += fmt.Sprintf(" %d", d.Status)
		}
		verdict += " " + p.bold(plain(d.Code))
		if d.Guard != "" {
			verdict += " by " + plain(d.Guard)
		}
		if d.At != "" {
			verdict += " at " + plain(d.At)
		}
	}
	p.linef("  decision  %s, after %s", verdict, micros(float64(d.Micros)))
	if d.Reason != "" {
		p.linef("  why       %s", plain(d.Reason))
	}
	if c, ok := exchange.LookupCode(d.Code); ok && d.Action != "allow" {
		p.linef("            %s", p.dim(c.Means))
	}
	if d.Risk > 0 {
		p.linef("  risk      %.2f", d.Risk)
	}
}

// rulingsOf are those on one side. The decision is written when the answer's head
// is about to go out, and so holds the rulings on that head too.
func rulingsOf(list []exchange.RecordedRuling, answer bool) []exchange.RecordedRuling {
	var side []exchange.RecordedRuling
	for _, r := range list {
		if strings.HasPrefix(r.Phase, "response_") == answer {
			side = append(side, r)
		}
	}
	return side
}

func printRulings(p *printer, side string, list []exchange.RecordedRuling) {
	if len(list) == 0 {
		return
	}
	p.linef("\n%s", p.bold("guards on the "+side))
	// Colours would count as letters in the columns: the table is without.
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "  guard\tphase\tmode\truled\ttime\twhy")
	for _, r := range list {
		why := strings.TrimSpace(strings.Join([]string{r.Code, r.At, r.Reason}, " "))
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\t%s\n", plain(r.Guard), plain(r.Phase), plain(r.Mode), plain(r.Action), micros(r.Micros), plain(why))
		for _, f := range r.More {
			_, _ = fmt.Fprintf(table, "  \t\t\t\t\t%s\n", plain(strings.TrimSpace(strings.Join([]string{f.Code, f.At, f.Reason}, " "))))
		}
		for _, line := range details(r.Detail) {
			_, _ = fmt.Fprintf(table, "  \t\t\t\t\t%s\n", plain(line))
		}
	}
	_ = table.Flush()
}

func printCompletion(p *printer, c *exchange.Completion) {
	p.linef("\n%s", p.bold("answer"))
	p.linef("  status    %d, %d bytes in, %d bytes out, after %s", c.Status, c.BytesIn, c.BytesOut, micros(float64(c.Micros)))
	if c.Called {
		p.linef("  upstream  answered after %s", micros(float64(c.Upstream)))
	} else {
		p.linef("  upstream  not called")
	}
	if c.Refused != "" {
		p.linef("  %s   the upstream's answer was kept from the client: %s", p.red("refused"), p.bold(plain(c.Refused)))
	}
	if c.Aborted != "" {
		p.linef("  %s   %s", p.red("aborted"), plain(c.Aborted))
	}
	if len(c.Stripped) > 0 {
		p.linef("  stripped  %s", plain(strings.Join(c.Stripped, " ")))
	}
	if len(c.Masked) > 0 {
		p.linef("  masked    %s", plain(strings.Join(c.Masked, " ")))
	}
}

// micros writes microseconds with the unit that suits them.
func micros(us float64) string {
	d := time.Duration(us * float64(time.Microsecond))
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(100 * time.Nanosecond).String()
}

// details is a ruling's evidence, one line each, in the order of its names.
func details(d map[string]any) []string {
	names := make([]string, 0, len(d))
	for n := range d {
		names = append(names, n)
	}
	slices.Sort(names)
	lines := make([]string, 0, len(names))
	for _, n := range names {
		value, err := json.Marshal(d[n])
		if err != nil {
			value = []byte(`"?"`)
		}
		lines = append(lines, n+" "+string(value))
	}
	return lines
}
