package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/crenel-project/crenel/internal/scan"
)

// Exit codes.
const (
	exitOK      = 0
	exitProblem = 1
	exitUsage   = 2
)

// defaultConfig is the file that commands read when -c does not name one.
const defaultConfig = "crenel.yaml"

// Execute runs the command that the process's arguments name and returns its exit code.
func Execute() int {
	// A second signal ends the process at once: the first only asks for an end.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	began := false
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := c.ValidateFlagGroups(); err != nil {
			return err
		}
		began = true
		return nil
	}
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var usage *usageError
	if !began || errors.As(err, &usage) {
		_, _ = fmt.Fprintf(stderr, "crenel: %s\nSee %s --help\n", plainLines(err), cmd.CommandPath())
		return exitUsage
	}
	if !errors.Is(err, errReported) {
		_, _ = fmt.Fprintf(stderr, "crenel: %s\n", plainLines(err))
	}
	if errors.Is(err, scan.ErrTarget) {
		return exitTarget
	}
	return exitProblem
}

// errReported is returned by a command that has told what is wrong already.
var errReported = errors.New("reported")

// usageError is a wrong call that only the command itself can see.
type usageError struct{ what string }

func (e *usageError) Error() string { return e.what }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "crenel",
		Short: "Guard an API: know its calls, and let only the right ones through",
		Long: `Crenel stands in front of an API. From its OpenAPI document it knows every
call, and lets only those through that are right: declared, authenticated,
allowed, within their limits and free of attacks. Every decision is recorded.

Exit codes: 0 all is well, 1 a problem was found, 2 the command was called wrongly.`,
		Example: examples(
			"crenel init --spec openapi.yaml --upstream http://127.0.0.1:9000   # write crenel.yaml",
			"crenel config check                                                # is it right?",
			"crenel gateway                                                     # run it",
		),
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.AddCommand(
		newInit(), newScan(), newGateway(), newConfig(), newKeys(), newPolicy(), newWAF(), newStatus(), newReload(), newRevoke(), newSignals(), newEvent(), newVersion(), newDocs(root),
	)
	root.SetHelpCommand(&cobra.Command{Use: "help [command]", Short: "Help about a command", Hidden: true,
		RunE: func(c *cobra.Command, args []string) error {
			cmd, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no command %q", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		}})
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return withNearest(c, err) })
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Example = examples(
				"source <(crenel completion bash)",
				`crenel completion zsh > "${fpath[1]}/_crenel"`,
			)
			for _, shell := range c.Commands() {
				shell.Example = examples("crenel completion " + shell.Name() + " > crenel." + shell.Name())
			}
		}
	}
	return root
}

// group makes a command that only holds others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				what := fmt.Sprintf("%q is not a command of %s", args[0], c.CommandPath())
				if near := c.SuggestionsFor(args[0]); len(near) > 0 {
					what += ", did you mean " + near[0] + "?"
				}
				return usagef("%s", what)
			}
			return usagef("%s needs a command", c.CommandPath())
		}}
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(commands...)
	return c
}

// withNearest adds to an unknown flag the one that was probably meant: it begins as
// the other does, --roles for --role.
func withNearest(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name, near := unknown.GetSpecifiedName(), ""
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if len(name) >= 3 && (strings.HasPrefix(f.Name, name) || strings.HasPrefix(name, f.Name)) && (near == "" || len(f.Name) < len(near)) {
			near = f.Name
		}
	})
	if near == "" {
		return err
	}
	return fmt.Errorf("%w, did you mean --%s?", err, near)
}

// none is the arguments of a command that takes flags alone. An argument is not
// repeated: it may be a secret that was meant for somewhere else.
func none(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no argument, only flags", c.CommandPath())
	}
	return nil
}

// one is the argument of a command that takes exactly one.
func one(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("%s takes one argument, %s", c.CommandPath(), what)
		}
		return nil
	}
}

func examples(lines ...string) string { return "  " + strings.Join(lines, "\n  ") }

// configFlag gives a command -c.
func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", defaultConfig, "the config `file`")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
}
