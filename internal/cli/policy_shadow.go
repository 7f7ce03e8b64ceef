package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway/server"
	"github.com/crenel-project/crenel/internal/guard/authz/impact"
)

func newPolicyShadow() *cobra.Command {
	var file, dataDir, api string
	var policies, data, bundles []string
	var sample, cpu float64
	var length time.Duration
	var stop, watch, asJSON bool
	c := &cobra.Command{
		Use:   "shadow",
		Short: "Have a candidate policy decide beside the active one, on live calls",
		Long: `Have the running gateway ask a candidate policy too, for live calls, and show what
it would have decided otherwise. It changes nothing: it runs off the calls' way,
in a share of one processor, and what there is no time for is left out and counted.

With a candidate (--policies, --data or --bundle) it runs for the time that --for
says and then ends; without --for it goes on, and crenel policy shadow shows what
was seen so far, also of a candidate that the config names (guards.authz.shadow).
With --watch it is shown again whenever more was seen, until an interrupt.`,
		Args:    none,
		Example: examples("crenel policy shadow --policies policies-next/ --for 10m", "crenel policy shadow --bundle candidate.tar.gz --sample 0.1", "crenel policy shadow", "crenel policy shadow --watch", "crenel policy shadow --stop"),
		RunE: func(c *cobra.Command, _ []string) error {
			if len(bundles) > 1 {
				return usagef("a candidate beside a running gateway is one bundle")
			}
			start := len(policies)+len(data)+len(bundles) > 0
			if !start && length > 0 {
				return usagef("--for is for a candidate that is started: name it with --policies, --data or --bundle")
			}
			if watch && (stop || length > 0) {
				return usagef("--watch looks on until an interrupt: it goes neither with --stop nor with --for")
			}
			gateway, err := client(file, dataDir)
			if err != nil {
				return err
			}
			do := func(ctx context.Context, what string, s config.AuthzShadow, answer any) error {
				ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
				defer cancel()
				return gateway.Do(ctx, server.VerbShadow, server.ShadowOrder{Do: what, API: api, AuthzShadow: s}, answer)
			}
			p := newPrinter(c.OutOrStdout())
			if start {
				s := config.AuthzShadow{Sample: sample, CPU: cpu}
				for _, l := range []struct{ from, to *[]string }{{&policies, &s.Policies}, {&data, &s.Data}} {
					for _, path := range *l.from {
						if path, err = filepath.Abs(path); err != nil {
							return err
						}
						*l.to = append(*l.to, path)
					}
				}
				if len(bundles) == 1 {
					if s.Bundle, err = filepath.Abs(bundles[0]); err != nil {
						return err
					}
				}
				if err := do(c.Context(), "start", s, nil); err != nil {
					return err
				}
				if length == 0 && !watch {
					p.linef("%s  %s", p.green("the candidate decides beside the active policy"), p.dim("crenel policy shadow shows what it would change"))
					return nil
				}
				if !watch {
					newPrinter(c.ErrOrStderr()).linef("the candidate decides beside the active policy for %s, then what it would change is shown; an interrupt ends it now", length)
					select {
					case <-time.After(length):
					case <-c.Context().Done():
					}
					stop = true
				}
			}
			show := func(r *impact.ShadowReport) error {
				if asJSON {
					return printJSON(c, r)
				}
				printShadow(p, r)
				return nil
			}
			if watch {
				return watchShadow(c.Context(), func(ctx context.Context, r *impact.ShadowReport) error {
					return do(ctx, "report", config.AuthzShadow{}, r)
				}, show)
			}
			what := "report"
			if stop {
				what = "stop"
			}
			var r impact.ShadowReport
			if err := do(context.WithoutCancel(c.Context()), what, config.AuthzShadow{}, &r); err != nil {
				return err
			}
			return show(&r)
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&dataDir, "data-dir", "", "the gateway's data `directory`, instead of a config")
	c.Flags().StringVar(&api, "api", "", "the `name` of the API, when the config has several")
	candidateFlags(c, &policies, &data, &bundles)
	c.Flags().Float64Var(&sample, "sample", 1, "the `share` of decisions that the candidate makes too")
	c.Flags().Float64Var(&cpu, "cpu", 0.25, "the `share` of one processor that it may take")
	c.Flags().DurationVar(&length, "for", 0, "how long it runs, such as 10m")
	c.Flags().BoolVar(&stop, "stop", false, "end it, and show what it has seen")
	c.Flags().BoolVar(&watch, "watch", false, "show it again whenever more was seen")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// shadowEvery is how often a shadow that is watched is asked what it has seen.
const shadowEvery = time.Second

// watchShadow shows what a shadow sees, whenever that is more, until ctx ends or
// there is no shadow any more.
func watchShadow(ctx context.Context, ask func(context.Context, *impact.ShadowReport) error, show func(*impact.ShadowReport) error) error {
	tick := time.NewTicker(shadowEvery)
	defer tick.Stop()
	var last *impact.ShadowReport
	for {
		r := &impact.ShadowReport{}
		if err := ask(ctx, r); err != nil {
			if ctx.Err() != nil {
				return nil // the interrupt that ends it
			}
			return err
		}
		if last == nil || r.Decisions != last.Decisions || r.LeftOut != last.LeftOut || r.Fault != last.Fault || !r.Since.Equal(last.Since) {
			if err := show(r); err != nil {
				return err
			}
			last = r
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func printShadow(p *printer, r *impact.ShadowReport) {
	p.linef("%s %s  since %s", p.bold("api"), plain(r.API), r.Since.Format(time.DateTime))
	if r.Fault != "" {
		p.linef("%s %s", p.red("the candidate cannot be asked:"), plain(r.Fault))
	}
	if r.LeftOut > 0 {
		p.linef("%s", p.yellow(fmt.Sprintf("%d decisions were left out: there was no time for them", r.LeftOut)))
	}
	if r.Decisions == 0 {
		p.linef("no decision has been made since")
		return
	}
	printImpact(p, &r.Report)
}
