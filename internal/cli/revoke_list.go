package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
)

func newRevokeList() *cobra.Command {
	var file, dataDir string
	var q revocation.Query
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List what is revoked: tokens by their digest, never themselves",
		Args:  none,
		Example: examples(
			"crenel revoke list",
			"crenel revoke list --kind subject --holding alice --json",
		),
		RunE: func(c *cobra.Command, _ []string) error {
			gateway, err := client(file, dataDir)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
			defer cancel()
			var l revocation.List
			if err := gateway.Do(ctx, revocation.VerbList, q, &l); err != nil {
				return err
			}
			if asJSON {
				return printJSON(c, l)
			}
			p := newPrinter(c.OutOrStdout())
			if l.StaleFor > 0 {
				newPrinter(c.ErrOrStderr()).linef("the gateway has been out of touch with the others for %s: later revocations are not in the list", l.StaleFor.Round(time.Second))
			}
			if l.Total == 0 {
				p.linef("nothing is revoked")
				return nil
			}
			table := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "KIND\tWHO OR WHICH\tISSUER\tISSUED\tUNTIL\tREASON")
			for _, e := range l.Entries {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Kind, plain(e.Name), revokedBy(&e), issuedOf(&e), untilOf(e.Until), plain(e.Reason))
			}
			if err := table.Flush(); err != nil {
				return fmt.Errorf("writing: %w", err)
			}
			if more := l.Total - len(l.Entries); more > 0 {
				p.linef("and %d more: --holding and --kind narrow it", more)
			}
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&dataDir, "data-dir", "", "the gateway's data `directory`, instead of a config")
	c.Flags().StringVar(&q.Kind, "kind", "", "only tokens, ids, sessions, subjects …: `token, jti, session, subject, email or phone_number`")
	c.Flags().StringVar(&q.Holds, "holding", "", "only those whose name, issuer or reason holds a `text`")
	c.Flags().IntVar(&q.Most, "most", 1000, "at most `N`, up to 10000")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func revokedBy(e *revocation.Listed) string {
	switch {
	case e.Kind == "token":
		return "-"
	case e.Issuer == revocation.AnyIssuer:
		return "any"
	case e.Issuer == "":
		return "none"
	}
	return plain(e.Issuer)
}

func issuedOf(e *revocation.Listed) string {
	switch {
	case e.Disabled:
		return "whenever (disabled)"
	case e.Before == nil:
		return "whenever"
	}
	return "before " + e.Before.Format(time.RFC3339)
}

func untilOf(t *time.Time) string {
	if t == nil {
		return "for ever"
	}
	return t.Format(time.RFC3339)
}
