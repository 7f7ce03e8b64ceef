package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func newReload() *cobra.Command {
	var file, dataDir string
	c := &cobra.Command{
		Use:   "reload",
		Short: "Make the running gateway load its config anew",
		Long: `Make the running gateway load its config anew. The new config is checked whole
and swapped without dropping a request; when anything is wrong with it the
running one stays, and what is wrong is printed.`,
		Args:    cobra.NoArgs,
		Example: examples("crenel reload", "crenel reload --data-dir /var/lib/crenel"),
		RunE: func(c *cobra.Command, _ []string) error {
			gateway, err := client(file, dataDir)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			if err := gateway.Reload(ctx); err != nil {
				return err
			}
			p := newPrinter(c.OutOrStdout())
			p.linef("%s", p.green("reloaded"))
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&dataDir, "data-dir", "", "the gateway's data `directory`, instead of a config")
	return c
}
