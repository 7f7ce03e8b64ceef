package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/signals"
)

func newSignals() *cobra.Command {
	return group("signals", "Streams of security events: how they are, and what transmitters are told",
		examples(
			"crenel signals status",
			"crenel signals create okta --url https://api.example.com/signals/okta",
			"crenel signals verify okta",
			"crenel signals add okta --email ann@example.com",
		),
		newSignalsStatus(), newSignalsStream(), newSignalsCreate(), newSignalsVerify(), newSignalsSubject(false), newSignalsSubject(true))
}

// streams asks the running gateway how its streams are.
func streams(ctx context.Context, file, dataDir string) ([]signals.Status, error) {
	gateway, err := client(file, dataDir)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var list []signals.Status
	err = gateway.Do(ctx, "signals", struct{}{}, &list)
	return list, err
}

func newSignalsStatus() *cobra.Command {
	var file, dataDir string
	var asJSON bool
	c := &cobra.Command{
		Use:     "status",
		Short:   "Ask the running gateway how each stream is",
		Args:    none,
		Example: examples("crenel signals status", "crenel signals status --json"),
		RunE: func(c *cobra.Command, _ []string) error {
			list, err := streams(c.Context(), file, dataDir)
			if err != nil {
				return err
			}
			p := newPrinter(c.OutOrStdout())
			if asJSON {
				out, err := json.MarshalIndent(list, "", "  ")
				if err != nil {
					return err
				}
				p.linef("%s", out)
				return nil
			}
			for i := range list {
				printStream(p, &list[i])
			}
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&dataDir, "data-dir", "", "the gateway's data `directory`, instead of a config")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printStream(p *printer, s *signals.Status) {
	state := p.green("well")
	if s.Failing != "" {
		state = p.red("failing") + " since " + s.Since.Format(time.DateTime) + ": " + plain(s.Failing)
	} else if s.Keys != "" {
		state = p.red("failing") + ": its keys cannot be had: " + plain(s.Keys)
	} else if s.Stream != "" && s.Stream != "enabled" {
		state = p.yellow(plain(s.Stream)) + " by the transmitter"
	}
	p.linef("%s  %s", p.bold(plain(s.Name)), state)
	p.linef("  %s, %s", plain(s.Issuer), plain(strings.Join(s.Delivery, ", ")))
	p.linef("  %d received, %d again, %d refused", s.Received, s.Repeated, s.Refused)
	if !s.Last.IsZero() {
		p.linef("  last      %s", s.Last.Format(time.DateTime))
	}
	if !s.Verified.IsZero() {
		p.linef("  verified  %s", s.Verified.Format(time.DateTime))
	}
	if s.Refusal != "" {
		p.linef("  last refusal  %s", plain(s.Refusal))
	}
}

// managed runs f with the endpoints of the transmitter that is named.
func managed(c *cobra.Command, file, name string, f func(ctx context.Context, m *signals.Management) error) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	var known []string
	for i := range cfg.Signals.Transmitters {
		t := &cfg.Signals.Transmitters[i]
		if t.Name != name {
			known = append(known, t.Name)
			continue
		}
		ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
		defer cancel()
		m, err := signals.Manage(ctx, t, nil)
		if err != nil {
			return err
		}
		defer m.Close()
		return f(ctx, m)
	}
	if len(known) == 0 {
		return errors.New("the config has no transmitter: see docs/signals.md")
	}
	return fmt.Errorf("the config has no transmitter %q; it has %s", name, strings.Join(known, ", "))
}

func printRaw(p *printer, raw json.RawMessage) {
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		b.Write(raw)
	}
	for line := range strings.Lines(b.String()) {
		p.linef("%s", plain(strings.TrimRight(line, "\n")))
	}
}

func newSignalsStream() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:     "stream TRANSMITTER",
		Short:   "Show the streams as the transmitter has them",
		Args:    one("the TRANSMITTER, as the config names it"),
		Example: examples("crenel signals stream okta"),
		RunE: func(c *cobra.Command, args []string) error {
			return managed(c, file, args[0], func(ctx context.Context, m *signals.Management) error {
				list, err := m.Streams(ctx)
				if err != nil {
					return err
				}
				p := newPrinter(c.OutOrStdout())
				for _, raw := range list {
					printRaw(p, raw)
				}
				return nil
			})
		},
	}
	configFlag(c, &file)
	return c
}

func newSignalsCreate() *cobra.Command {
	var file, push string
	c := &cobra.Command{
		Use:   "create TRANSMITTER",
		Short: "Have the transmitter make a stream for this gateway",
		Long: `Have the transmitter make a stream for this gateway: pushed to --url, where the
gateway is reached from the transmitter, or polled without it. It is asked for
every event of which something comes.`,
		Args:    one("the TRANSMITTER, as the config names it"),
		Example: examples("crenel signals create okta --url https://api.example.com/signals/okta", "crenel signals create mdm"),
		RunE: func(c *cobra.Command, args []string) error {
			return managed(c, file, args[0], func(ctx context.Context, m *signals.Management) error {
				raw, err := m.Create(ctx, push)
				if err != nil {
					return err
				}
				printRaw(newPrinter(c.OutOrStdout()), raw)
				return nil
			})
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&push, "url", "", "the `URL` at which the transmitter reaches the gateway (default: the stream is polled)")
	return c
}

func newSignalsVerify() *cobra.Command {
	var file, stream string
	var wait time.Duration
	c := &cobra.Command{
		Use:     "verify TRANSMITTER",
		Short:   "Ask the transmitter for a verification event, and wait until the running gateway has it",
		Args:    one("the TRANSMITTER, as the config names it"),
		Example: examples("crenel signals verify okta"),
		RunE: func(c *cobra.Command, args []string) error {
			state := rand.Text()
			begin := time.Now()
			err := managed(c, file, args[0], func(ctx context.Context, m *signals.Management) error {
				id := stream
				if id == "" {
					var err error
					if id, err = m.StreamID(ctx); err != nil {
						return err
					}
				}
				return m.Verify(ctx, id, state)
			})
			if err != nil {
				return err
			}
			for time.Since(begin) < wait {
				list, err := streams(c.Context(), file, "")
				if err != nil {
					return err
				}
				for i := range list {
					if list[i].Name == args[0] && list[i].State == state {
						p := newPrinter(c.OutOrStdout())
						p.linef("%s after %s", p.green("verified"), time.Since(begin).Round(time.Millisecond))
						return nil
					}
				}
				select {
				case <-c.Context().Done():
					return c.Context().Err()
				case <-time.After(200 * time.Millisecond):
				}
			}
			return fmt.Errorf("no verification event came within %s: crenel signals status tells what was refused", wait)
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&stream, "stream", "", "the stream's `id`, where there are several")
	c.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait for it")
	return c
}

func newSignalsSubject(remove bool) *cobra.Command {
	verb, short := "add", "Have the transmitter send events about a subject"
	if remove {
		verb, short = "remove", "Have the transmitter send no more events about a subject"
	}
	var file, stream, email, issuer, subject string
	c := &cobra.Command{
		Use:     verb + " TRANSMITTER",
		Short:   short,
		Args:    one("the TRANSMITTER, as the config names it"),
		Example: examples("crenel signals "+verb+" okta --email ann@example.com", "crenel signals "+verb+" okta --issuer https://id.example.com --subject 42"),
		RunE: func(c *cobra.Command, args []string) error {
			var who map[string]string
			switch {
			case email != "" && subject == "" && issuer == "":
				who = map[string]string{"format": "email", "email": email}
			case email == "" && subject != "" && issuer != "":
				who = map[string]string{"format": "iss_sub", "iss": issuer, "sub": subject}
			default:
				return usagef("the subject is needed: --email, or --issuer and --subject")
			}
			return managed(c, file, args[0], func(ctx context.Context, m *signals.Management) error {
				id := stream
				if id == "" {
					var err error
					if id, err = m.StreamID(ctx); err != nil {
						return err
					}
				}
				if err := m.Subject(ctx, id, who, remove); err != nil {
					return err
				}
				p := newPrinter(c.OutOrStdout())
				p.linef("%s", p.green("done"))
				return nil
			})
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&stream, "stream", "", "the stream's `id`, where there are several")
	c.Flags().StringVar(&email, "email", "", "the subject's e-mail `address`")
	c.Flags().StringVar(&issuer, "issuer", "", "the subject's `iss`")
	c.Flags().StringVar(&subject, "subject", "", "the subject's `sub`")
	return c
}
