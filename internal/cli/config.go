package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
)

func newConfig() *cobra.Command {
	return group("config", "Check, show and describe the config",
		examples("crenel config check", "crenel config show -c /etc/crenel/crenel.yaml", "crenel config schema > crenel.schema.json"),
		newConfigCheck(), newConfigShow(), newConfigSchema())
}

// findings is what config check prints with --json.
type findings struct {
	OK       bool             `json:"ok"`
	Errors   []config.Mistake `json:"errors"`
	Warnings []config.Mistake `json:"warnings"`
}

func newConfigCheck() *cobra.Command {
	var file string
	var strict, asJSON bool
	c := &cobra.Command{
		Use:   "check",
		Short: "Print every mistake of a config, where it is and what would be right",
		Long: `Print every mistake of a config, where it is and what would be right; and
warnings, which are settings that are allowed and still weaken the defence.
The documents, policies, keys and rules that the config names are loaded too.
Exits with 1 when there is a mistake, and with --strict when there is a warning.`,
		Args:    none,
		Example: examples("crenel config check", "crenel config check -c staging.yaml --strict", "crenel config check --json | jq .errors"),
		RunE: func(c *cobra.Command, _ []string) error {
			found, err := check(c.Context(), file)
			if err != nil {
				return err
			}
			found.OK = len(found.Errors) == 0 && (!strict || len(found.Warnings) == 0)
			if asJSON {
				if err := printJSON(c, found); err != nil {
					return err
				}
			} else {
				printFindings(c, file, found)
			}
			if !found.OK {
				return errReported
			}
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&strict, "strict", false, "exit with 1 on warnings too")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// check reads a config and all that it names. The error is for a file that
// cannot be read; mistakes are findings.
func check(ctx context.Context, file string) (*findings, error) {
	found := &findings{Errors: []config.Mistake{}, Warnings: []config.Mistake{}}
	cfg, err := config.Load(file)
	var mistakes config.Errors
	switch {
	case errors.As(err, &mistakes):
		found.Errors = mistakes
		return found, nil
	case err != nil:
		return nil, err
	}
	found.Warnings = append(found.Warnings, cfg.Warnings()...)
	wrong, odd := checkDeep(ctx, cfg)
	found.Errors = append(found.Errors, wrong...)
	found.Warnings = append(found.Warnings, odd...)
	return found, nil
}

func printFindings(c *cobra.Command, file string, found *findings) {
	p := newPrinter(c.OutOrStdout())
	for _, m := range found.Errors {
		p.linef("%s %s", p.red("error"), plain(m.Error()))
	}
	for _, m := range found.Warnings {
		p.linef("%s %s", p.yellow("warning"), plain(m.Error()))
	}
	switch {
	case len(found.Errors) > 0:
		p.linef("%s", p.bold(fmt.Sprintf("%s, %s", count(len(found.Errors), "error"), count(len(found.Warnings), "warning"))))
	case len(found.Warnings) > 0:
		p.linef("%s: no errors, %s", file, count(len(found.Warnings), "warning"))
	default:
		p.linef("%s: %s", file, p.green("all is well"))
	}
}

func newConfigShow() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:     "show",
		Short:   "Print the config as it takes effect: defaults filled in, secrets left out",
		Args:    none,
		Example: examples("crenel config show", "crenel config show --json | jq '.apis[0].guards'"),
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			write := cfg.WriteYAML
			if asJSON {
				write = cfg.WriteJSON
			}
			return write(c.OutOrStdout())
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the config, for editors",
		Args:  none,
		Example: examples(
			"crenel config schema > crenel.schema.json",
			"# then as the first line of crenel.yaml:",
			"# yaml-language-server: $schema=crenel.schema.json",
		),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}
