package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/gateway/server"
)

func newReload() *cobra.Command {
	var file, dataDir string
	var accept bool
	c := &cobra.Command{
		Use:   "reload",
		Short: "Make the running gateway load its config anew",
		Long: `Make the running gateway load its config anew. The new config is checked whole
and swapped without dropping a request; when anything is wrong with it the
running one stays, and what is wrong is printed. A policy that changes more than
guards.authz.activation allows is refused too, unless you accept what it changes:
that goes to the trail, with who you are.`,
		Args:    none,
		Example: examples("crenel reload", "crenel reload --data-dir /var/lib/crenel"),
		RunE: func(c *cobra.Command, _ []string) error {
			gateway, err := client(file, dataDir)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Minute)
			defer cancel()
			if accept {
				if err := gateway.Do(ctx, server.VerbAccept, struct{}{}, nil); err != nil {
					return err
				}
			}
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
	c.Flags().BoolVar(&accept, "accept-impact", false, "activate the new policy whatever it changes")
	return c
}
