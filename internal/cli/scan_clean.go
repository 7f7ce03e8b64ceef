package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/scan"
)

// newScanClean is crenel scan clean.
func newScanClean() *cobra.Command {
	s := &scanning{}
	c := &cobra.Command{
		Use:   "clean STATE",
		Short: "Take away what a scan that was killed left behind",
		Long: `Reads the file of crenel scan --resume, logs in again to the accounts that its
runs made (and to those that the options give), and deletes what they made and
did not come to delete. What an identifier names now is read first: what does not
look like the run's own is left alone. crenel scan --resume does the same before
it goes on.

Exit codes: 0 nothing is left, 1 something could not be deleted, 2 the command
was called wrongly.`,
		Args:    one("the file that crenel scan --resume wrote"),
		Example: examples("crenel scan clean run.journal -c scan.yaml", "crenel scan clean run.journal --spec openapi.yaml --target http://127.0.0.1:9000"),
		RunE: func(c *cobra.Command, args []string) error {
			o, err := s.options(c)
			if err != nil {
				return err
			}
			done, err := scan.Clean(c.Context(), o, args[0])
			if err != nil && done == nil {
				return usagef("%v", err)
			}
			out := newPrinter(c.OutOrStdout())
			for _, l := range done.Left {
				out.linef("%s %s %s: %s", out.yellow("left"), plain(l.Resource), plain(l.ID), plain(l.Why))
			}
			out.linef("%d taken away, %d left", done.Deleted, len(done.Left))
			if err != nil {
				return err
			}
			if len(done.Left) > 0 {
				return fmt.Errorf("something is left: %w", errReported)
			}
			return nil
		},
	}
	f := c.Flags()
	s.where(f)
	return c
}
