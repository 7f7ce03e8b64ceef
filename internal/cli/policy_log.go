package cli

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/gateway/server"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
)

func newPolicyLog() *cobra.Command {
	return group("log", "Export and verify the decision log",
		examples("crenel policy log export --since 24h -o decisions.ndjson.gz", "crenel policy log verify"),
		newPolicyLogExport(), newPolicyLogVerify())
}

func newPolicyLogExport() *cobra.Command {
	r := &recorded{}
	var out string
	var unmasked bool
	c := &cobra.Command{
		Use:   "export",
		Short: "Write recorded decisions in OPA's format, without what must not leave",
		Long: `Write the recorded decisions as Open Policy Agent's decision log events, one JSON
document a line. Tokens, claims, sessions, cookies and values that are named or
look like secrets are taken out, and what decision_log.mask and the policy's own
rule data.system.log.mask name. An event that cannot be masked is not written,
and counted. With --unmasked all is written: such a file can be replayed, and is
a secret. Exits with 1 when the log is damaged.`,
		Args:    none,
		Example: examples("crenel policy log export", "crenel policy log export --since 24h -o decisions.ndjson.gz", "crenel policy log export | jq 'select(.custom.crenel.allowed | not)'"),
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if err := r.open(""); err != nil {
				return err
			}
			w, done, err := exportTo(c, out)
			if err != nil {
				return err
			}
			n, withheld, err := r.export(c.Context(), w, unmasked)
			if err = errors.Join(err, done(err == nil)); err != nil {
				return err
			}
			p := newPrinter(c.ErrOrStderr())
			r.printDamage(p)
			if withheld > 0 {
				p.linef("%s %s could not be masked and were not written", p.red("withheld"), count(withheld, "decision"))
			}
			if out != "" {
				kind := "masked"
				if unmasked {
					kind = p.red("unmasked: keep it as you keep the keys")
				}
				p.linef("%s in %s (%s)", count(n, "decision"), plain(out), kind)
			}
			if len(r.damage) > 0 || withheld > 0 {
				return errReported
			}
			return nil
		},
	}
	r.flags(c)
	c.Flags().StringVarP(&out, "output", "o", "", "write to this `file`; gzipped when its name ends in .gz")
	c.Flags().BoolVar(&unmasked, "unmasked", false, "write everything, secrets too")
	return c
}

// exportTo opens where an export goes. A file appears when it is whole.
func exportTo(c *cobra.Command, out string) (io.Writer, func(ok bool) error, error) {
	if out == "" {
		w := bufio.NewWriter(c.OutOrStdout())
		return w, func(bool) error { return w.Flush() }, nil
	}
	f, err := os.OpenFile(out+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("writing the export: %w", err)
	}
	buffer := bufio.NewWriter(f)
	var w io.Writer = buffer
	var z *gzip.Writer
	if strings.HasSuffix(out, ".gz") {
		z = gzip.NewWriter(buffer)
		w = z
	}
	return w, func(ok bool) error {
		var errs []error
		if z != nil {
			errs = append(errs, z.Close())
		}
		errs = append(errs, buffer.Flush(), f.Sync(), f.Close())
		if err := errors.Join(errs...); err != nil || !ok {
			return errors.Join(err, os.Remove(out+".part"))
		}
		return os.Rename(out+".part", out)
	}, nil
}

func (r *recorded) export(ctx context.Context, w io.Writer, unmasked bool) (n, withheld int, err error) {
	mask, err := server.DecisionMasker(&r.cfg.DecisionLog)
	if err != nil {
		return 0, 0, err
	}
	rules := map[[2]string]decisionlog.Rules{}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for e, err := range r.events(ctx) {
		if err != nil {
			return n, withheld, err
		}
		if r.api != "" && e.About().API != r.api {
			continue
		}
		if !unmasked {
			own, err := r.rulesOf(ctx, e, rules)
			if err == nil {
				err = mask.Mask(ctx, e, own)
			}
			if err != nil {
				withheld++
				continue
			}
		}
		if err := enc.Encode(e); err != nil {
			return n, withheld, fmt.Errorf("writing the export: %w", err)
		}
		n++
	}
	return n, withheld, nil
}

// rulesOf are the masks of the policy that decided, nil when it has none.
func (r *recorded) rulesOf(ctx context.Context, e *decisionlog.Event, known map[[2]string]decisionlog.Rules) (decisionlog.Rules, error) {
	about := e.About()
	if about.Policy == "" {
		return nil, nil //nolint:nilnil // no policy decided
	}
	key := [2]string{about.Policy, about.Data}
	if own, ok := known[key]; ok {
		return own, nil
	}
	b, err := r.Policy(about.Policy, about.Data)
	if err != nil {
		return nil, fmt.Errorf("the policy's own masks: %w", err)
	}
	part, query, err := authz.ReadArchive(b)
	if err != nil {
		return nil, err
	}
	p, err := authz.Compile(ctx, query, map[string]*authz.Part{"kept": part})
	if err != nil {
		return nil, err
	}
	var own decisionlog.Rules
	if l := p.LogRules(); l != nil {
		own = l
	}
	known[key] = own
	return own, nil
}

func newPolicyLogVerify() *cobra.Command {
	r := &recorded{}
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check that the decision log is whole and as it was written",
		Long: `Read the whole decision log and check its seals: that no decision was changed,
moved or left out, no segment is missing, and that it reaches as far as it had
come. Exits with 1 when it does not.`,
		Args:    none,
		Example: examples("crenel policy log verify"),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := r.open(""); err != nil {
				return err
			}
			n := 0
			var first, last time.Time
			for e, err := range r.events(c.Context()) {
				if err != nil {
					return err
				}
				if n++; n == 1 {
					first = e.Timestamp
				}
				last = e.Timestamp
			}
			p := newPrinter(c.OutOrStdout())
			r.printDamage(p)
			verdict := p.green("whole")
			if len(r.damage) > 0 {
				verdict = p.red("not whole")
			}
			p.linef("%s  %s", verdict, count(n, "decision"))
			if n > 0 {
				p.linef("%s", p.dim("from "+first.Format(time.RFC3339)+" to "+last.Format(time.RFC3339)))
			}
			if len(r.damage) > 0 {
				return errReported
			}
			return nil
		},
	}
	r.flags(c)
	return c
}
