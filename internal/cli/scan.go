package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/actor"
	checks "github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/report"
)

// exitTarget is the code for a target that cannot be tested.
const exitTarget = 3

// errFindings says that there are findings of the severity asked for.
var errFindings = fmt.Errorf("findings: %w", errReported)

// scanning is the flags of crenel scan.
type scanning struct {
	file                  string
	o                     scan.Options
	safe, aggressive      bool
	failOn, record        string
	suppressions          string
	out                   outputs
	listChecks            bool
	planOnly              bool
	graphFile             string
	maxTime               time.Duration
	verbose               bool
	only, skip, paths, no []string
	scope, headers        []string
	caFile, proxy         string
	insecure              bool
}

func newScan() *cobra.Command {
	s := &scanning{}
	c := &cobra.Command{
		Use:   "scan",
		Short: "Test an API as an attacker with several accounts would, and prove every hole",
		Long: `Works out from its description how an API is meant to be used, makes accounts or
takes those that it is given, makes objects as each of them, and then tries what
nobody should be able to do. What it reports it has proven, twice, with controls.

Exit codes: 0 nothing that counts was found, 1 findings, 2 the command was called
wrongly, 3 the target cannot be tested.`,
		Args: noScanArgs,
		Example: examples(
			"crenel scan --spec openapi.yaml --target http://127.0.0.1:9000",
			"crenel scan -c scan.yaml --fail-on high --sarif out.sarif --junit out.xml --html report.html",
			"crenel scan -c scan.yaml --baseline main.json --fail-on new --markdown comment.md",
			"git show main:openapi.yaml > old.yaml && crenel scan -c scan.yaml --changed-since old.yaml",
			"crenel scan --plan --spec openapi.yaml --graph api.svg   # what it would work with; nothing is sent",
			"crenel scan --list-checks",
		),
		RunE: func(c *cobra.Command, _ []string) error { return s.run(c) },
	}
	f := c.Flags()
	s.where(f)
	f.BoolVar(&s.safe, "safe", false, "reads, and changes only of what the run made itself")
	f.BoolVar(&s.aggressive, "aggressive", false, "also bursts, large inputs and what may hurt")
	f.StringSliceVar(&s.only, "check", nil, "run only these `checks`")
	f.StringSliceVar(&s.skip, "skip", nil, "leave these `checks` out")
	f.StringSliceVar(&s.paths, "path", nil, "attack only these operations: `templates`, * for anything")
	f.StringSliceVar(&s.no, "leave", nil, "never call these operations: `templates`, such as 'DELETE /users/*'")
	f.Int64Var(&s.o.Limits.MaxRequests, "max-requests", 0, "send at most `N` requests")
	f.DurationVar(&s.maxTime, "max-time", 0, "take at most this `time`, such as 10m")
	f.Float64Var(&s.o.Limits.Rate, "rate", 0, "send at most `N` requests a second")
	f.Uint64Var(&s.o.Seed, "seed", 0, "draw values by this `number`: the same seed makes the same calls")
	f.StringVar(&s.o.ChangedSince, "changed-since", "", "attack only what differs from an older description, a `file` or address; what that needs is called as well")
	f.StringVar(&s.o.Resume, "resume", "", "note what is done in a `file` (or a directory), and go on where a run that was broken off stopped")
	s.out.flags(c)
	f.StringVar(&s.record, "record", "", "write everything that is sent and answered to a `file`, as an HTTP Archive without credentials")
	f.StringVar(&s.failOn, "fail-on", "low", "exit with 1 when there are findings of this `severity` or graver; new: that the baseline does not have; new,high: both; never: do not")
	f.StringVar(&s.o.Baseline, "baseline", "", "an earlier JSON report, a `file`: findings say whether they are new")
	f.StringVar(&s.suppressions, "suppressions", "", "findings that do not count, why and until when: a YAML `file`")
	f.StringVar(&s.o.ChecksDir, "checks", "", "your own checks: a `directory` of YAML files")
	f.BoolVar(&s.listChecks, "list-checks", false, "print what is looked for, and exit")
	f.BoolVar(&s.planOnly, "plan", false, "print what the description says of the API: resources, who makes and who takes which value, purposes; and exit")
	f.StringVar(&s.graphFile, "graph", "", "draw that into a `file` (.svg or .dot), and exit")
	f.BoolVarP(&s.verbose, "verbose", "v", false, "tell of each hypothesis and why it was not proven")
	c.MarkFlagsMutuallyExclusive("safe", "aggressive")
	c.SuggestionsMinimumDistance = 2
	c.AddCommand(newScanDoctor(), newScanVerify(), newScanClean(), newScanDiff(), newScanCompute())
	return c
}

// noScanArgs says what an argument was probably meant for.
func noScanArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	arg := args[0]
	switch near := c.SuggestionsFor(arg); {
	case strings.Contains(arg, "://"):
		return usagef("%s takes no argument: give the API's address with --target, or its description's with --spec", c.CommandPath())
	case len(near) > 0:
		return usagef("%q is not a command of %s, did you mean %s?", plain(arg), c.CommandPath(), near[0])
	}
	return usagef("%s takes no argument %q: a description is given with --spec, the API's address with --target", c.CommandPath(), plain(arg))
}

// where gives a command the flags that say what is tested, and how one gets there.
func (s *scanning) where(f *pflag.FlagSet) {
	f.StringVarP(&s.file, "config", "c", "", "options in a `file` (scan.yaml); flags override it")
	f.StringVar(&s.o.Spec, "spec", "", "the API's description: a `file` or address; without it one is looked for at the target")
	f.StringVar(&s.o.Target, "target", "", "where the API is: `address` with its base path")
	f.StringSliceVar(&s.scope, "scope", nil, "further `origins` that requests may go to, such as a login's (https://login.example.com): nothing is sent anywhere else")
	f.StringArrayVarP(&s.headers, "header", "H", nil, "credentials of the account user, a `field` that is sent as it is ('Authorization: Bearer …'); further accounts are given in a file")
	f.StringVar(&s.caFile, "ca-file", "", "trust the authorities in this PEM `file`, besides the system's")
	f.BoolVar(&s.insecure, "insecure", false, "take any certificate of the target's")
	f.StringVar(&s.proxy, "proxy", "", "send through a proxy: `address` (http://127.0.0.1:8080, socks5://127.0.0.1:1080); the environment is not read")
}

// way puts those of the flags over the file's options that say how one gets there.
func (s *scanning) way(o *scan.Options) error {
	if s.caFile != "" {
		abs, err := filepath.Abs(s.caFile)
		if err != nil {
			return fmt.Errorf("%s: %w", s.caFile, err)
		}
		o.TLS.CAFile = abs
	}
	o.TLS.Insecure = o.TLS.Insecure || s.insecure
	if s.proxy != "" {
		o.TLS.Proxy = s.proxy
	}
	if len(s.headers) == 0 {
		return nil
	}
	if _, there := o.Actors.Accounts[actor.User]; there {
		return usagef("--header gives the credentials of the account user, and %s gives them as well: leave one of them out", s.file)
	}
	user := actor.Account{Headers: map[string]actor.Secret{}}
	for i, h := range s.headers {
		name, value, ok := strings.Cut(h, ":")
		if name, value = strings.TrimSpace(name), strings.TrimSpace(value); !ok || name == "" || value == "" {
			return usagef("--header, the %s: want a name, a colon and a value, as in 'Authorization: Bearer …'", []string{"first", "second", "third", "next"}[min(i, 3)]) // not repeated: it may be a secret
		}
		user.Headers[name] = actor.Text(value)
	}
	accounts := map[string]actor.Account{actor.User: user}
	maps.Copy(accounts, o.Actors.Accounts)
	o.Actors.Accounts = accounts
	return nil
}

func (s *scanning) run(c *cobra.Command) error {
	if s.listChecks {
		return s.list(c.OutOrStdout())
	}
	if s.planOnly || s.graphFile != "" {
		return s.plan(c)
	}
	o, err := s.options(c)
	if err != nil {
		return err
	}
	limit, err := parseThreshold(s.failOn, o.Baseline != "")
	if err != nil {
		return err
	}
	if err := s.out.ready(); err != nil {
		return err
	}
	var record *os.File
	if s.record != "" {
		if record, err = scan.OpenPrivate(s.record, os.O_CREATE|os.O_TRUNC|os.O_WRONLY); err != nil {
			return usagef("recording what is sent: %v", err)
		}
		o.Record = record
	}
	p := newProgress(c.ErrOrStderr())
	p.all = s.verbose
	res, err := scan.Run(c.Context(), o, p.events())
	p.end()
	if record != nil {
		if cerr := record.Close(); cerr != nil && err == nil {
			err = fmt.Errorf("recording what is sent: %w", cerr)
		}
	}
	if err != nil && res == nil {
		if c.Context().Err() != nil {
			return errors.New("the scan was interrupted before anything was tested: nothing can be said of the target")
		}
		if errors.Is(err, scan.ErrTarget) {
			return err
		}
		return usagef("%v", err) // nothing was sent: 1 would say that there are findings
	}
	counted := limit.counted(res.Report)
	werr := s.out.write(c.OutOrStdout(), res, counted)
	// The summary is what the command was called for; how it goes is for those who watch.
	out := c.OutOrStdout()
	if s.out.standard() {
		out = c.ErrOrStderr() // what was asked for on standard output stands there alone
	}
	if terr := (report.Terminal{Colour: newPrinter(out).colour, Width: width(out), All: s.verbose}).Write(out, res.Report); terr != nil {
		return errors.Join(terr, werr, err)
	}
	if err := errors.Join(werr, err); err != nil {
		return err
	}
	if len(counted) > 0 {
		return errFindings
	}
	if len(res.Outside) > 0 && c.Context().Err() == nil {
		return fmt.Errorf("%w whole: %s, given as an account, does not get in, so that what takes it was not tested; correct it, or take it out of %s",
			scan.ErrTarget, strings.Join(res.Outside, " and "), cmp.Or(s.file, "the options"))
	}
	if c.Context().Err() != nil {
		if o.Resume != "" {
			return fmt.Errorf("the scan was stopped before its end: what it did not come to is not clean; --resume %s goes on", o.Resume)
		}
		return errors.New("the scan was stopped before its end: what it did not come to is not clean")
	}
	return nil
}

// options are the file's, with the flags over them.
func (s *scanning) options(c *cobra.Command) (*scan.Options, error) {
	o := &s.o
	if s.file != "" {
		fromFile, err := scan.LoadOptions(s.file)
		if err != nil {
			return nil, usagef("%v", err)
		}
		flags := s.o
		o = fromFile
		if flags.Spec != "" {
			o.Spec = flags.Spec
			if abs, err := filepath.Abs(flags.Spec); err == nil && !strings.Contains(flags.Spec, "://") {
				o.Spec = abs
			}
		}
		if flags.Target != "" {
			o.Target = flags.Target
		}
		if flags.ChangedSince != "" {
			o.ChangedSince = flags.ChangedSince
			if abs, err := filepath.Abs(flags.ChangedSince); err == nil && !strings.Contains(flags.ChangedSince, "://") {
				o.ChangedSince = abs
			}
		}
		for _, over := range []struct{ flag, to *string }{{&flags.Baseline, &o.Baseline}, {&flags.ChecksDir, &o.ChecksDir}, {&flags.Resume, &o.Resume}} {
			if *over.flag != "" {
				// Flags are relative to where the command is called, the file's to the file.
				abs, err := filepath.Abs(*over.flag)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", *over.flag, err)
				}
				*over.to = abs
			}
		}
		if c.Flags().Changed("max-requests") {
			o.Limits.MaxRequests = flags.Limits.MaxRequests
		}
		if c.Flags().Changed("rate") {
			o.Limits.Rate = flags.Limits.Rate
		}
		if c.Flags().Changed("seed") {
			o.Seed = flags.Seed
		}
	}
	if err := s.way(o); err != nil {
		return nil, err
	}
	if s.maxTime > 0 {
		o.Limits.MaxTime = s.maxTime
	}
	switch {
	case s.safe:
		o.Mode = "safe"
	case s.aggressive:
		o.Mode = "aggressive"
	}
	o.Also = append(o.Also, s.scope...)
	o.Checks = append(o.Checks, s.only...)
	o.Skip = append(o.Skip, s.skip...)
	o.Paths = append(o.Paths, s.paths...)
	o.Leave = append(o.Leave, s.no...)
	o.Version = buildInfo().Version
	if s.verbose {
		o.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if s.suppressions != "" {
		more, err := finding.ReadSuppressions(s.suppressions)
		if err != nil {
			return nil, usagef("%v", err)
		}
		o.Suppress = append(o.Suppress, more...)
	}
	if err := o.Check(); err != nil {
		return nil, usagef("%v", err)
	}
	return o, nil
}

// list prints the checks, the user's own among them.
func (s *scanning) list(w io.Writer) error {
	all := checks.All()
	if s.o.ChecksDir != "" {
		own, err := checks.ReadWritten(s.o.ChecksDir)
		if err != nil {
			return err
		}
		all = append(all, own...)
	}
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "CHECK\tOWASP\tCWE\tWSTG\tSEVERITY\tMODE\tWHAT")
	for _, c := range all {
		_, severity, err := finding.Rate(c.CVSS)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", c.ID, c.OWASP, c.CWE, c.WSTG, severity, c.Mode, c.Title)
	}
	return t.Flush()
}

func writeJSON(file string, stdout io.Writer, v any) error {
	return into(file, stdout, func(w io.Writer) error { return encode(w, v) })
}
