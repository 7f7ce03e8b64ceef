package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/demo/harbour"
)

// flags are what the command line says; see the usage texts in command.
type flags struct {
	listen, issuerListen      string
	holes, db                 string
	secretFile                string
	issuer, jwks, audience    string
	partner                   string
	webhookAllow              []string
	residents, passwordRounds int
	seed                      uint64
}

func command() *cobra.Command {
	f := &flags{}
	c := &cobra.Command{
		Use:           "harbour",
		Short:         "A sample parcel-delivery API with documented security holes",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), f, slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)), cmd.OutOrStdout())
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.listen, "listen", "127.0.0.1:9000", "loopback address to listen on")
	fs.StringVar(&f.holes, "holes", "none", "which holes are open: all, none, or ids with commas between")
	fs.StringVar(&f.db, "db", "", "SQLite file (in memory when not given)")
	fs.StringVar(&f.secretFile, "jwt-secret-file", "", "file with the HS256 key of session tokens, 32 bytes or more (random when not given)")
	fs.StringVar(&f.issuer, "issuer", "", "issuer of the partners' OAuth2 access tokens")
	fs.StringVar(&f.jwks, "jwks", "", "the issuer's keys: a file or a URL")
	fs.StringVar(&f.audience, "audience", "harbour", "audience that access tokens must have")
	fs.StringVar(&f.issuerListen, "issuer-listen", "", "also run the sample issuer, on this loopback address, and trust it")
	fs.StringVar(&f.partner, "partner-url", "", "customs-rate partner (a built-in one when not given)")
	fs.StringSliceVar(&f.webhookAllow, "webhook-allow", nil, "hosts (host:port) that webhooks may call although they are private or plain http")
	fs.IntVar(&f.residents, "residents", 0, "customers and couriers to seed beside the named accounts; a played day needs 200")
	fs.IntVar(&f.passwordRounds, "password-rounds", 0, "PBKDF2 rounds (10 000 when not given)")
	fs.Uint64Var(&f.seed, "seed", 0, "not 0: the same ids in each run")
	c.AddCommand(&cobra.Command{
		Use: "holes", Short: "List the holes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return listHoles(cmd.OutOrStdout()) },
	}, &cobra.Command{
		Use: "spec", Short: "Print the OpenAPI document", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(harbour.Spec())
			return err
		},
	})
	return c
}

func listHoles(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, h := range harbour.Holes() {
		fmt.Fprintln(t, strings.Join([]string{h.ID, h.OWASP, h.CWE, h.Severity, h.Where.String(), h.Title}, "\t"))
	}
	err := t.Flush()
	if err != nil {
		return fmt.Errorf("listing the holes: %w", err)
	}
	return nil
}
