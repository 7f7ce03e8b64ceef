package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/control"
)

// client finds the running gateway's socket: by data directory, or by the config that names it.
func client(file, dataDir string) (*control.Client, error) {
	if dataDir == "" {
		var err error
		if dataDir, err = config.DataDirOf(file); err != nil {
			return nil, fmt.Errorf("%w\n(with --data-dir no config is needed)", err)
		}
	}
	c := &config.Config{DataDir: dataDir}
	return control.NewClient(c.ControlSocket()), nil
}

func newStatus() *cobra.Command {
	var file, dataDir string
	var asJSON, events bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Ask the running gateway how it is",
		Args:  none,
		Example: examples(
			"crenel status",
			"crenel status --data-dir /var/lib/crenel --json",
			"crenel status --events   # follow what it decides",
		),
		RunE: func(c *cobra.Command, _ []string) error {
			gateway, err := client(file, dataDir)
			if err != nil {
				return err
			}
			if events {
				return follow(c, gateway)
			}
			ctx, cancel := context.WithTimeout(c.Context(), 10*time.Second)
			defer cancel()
			status, err := gateway.Status(ctx)
			if err != nil {
				return err
			}
			if asJSON {
				var out bytes.Buffer
				if err := json.Indent(&out, bytes.TrimSpace(status), "", "  "); err != nil {
					return fmt.Errorf("reading the gateway's status: %w", err)
				}
				newPrinter(c.OutOrStdout()).linef("%s", out.String())
				return nil
			}
			text, err := yaml.JSONToYAML(status)
			if err != nil {
				return fmt.Errorf("reading the gateway's status: %w", err)
			}
			p := newPrinter(c.OutOrStdout())
			for line := range strings.Lines(string(text)) {
				p.linef("%s", plain(strings.TrimRight(line, "\n")))
			}
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVar(&dataDir, "data-dir", "", "the gateway's data `directory`, instead of a config")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().BoolVar(&events, "events", false, "follow the gateway's events, one JSON line each, until interrupted")
	c.MarkFlagsMutuallyExclusive("json", "events")
	return c
}

func follow(c *cobra.Command, gateway *control.Client) error {
	err := gateway.Events(c.Context(), func(event json.RawMessage) error {
		_, err := c.OutOrStdout().Write(event)
		return err
	})
	if c.Context().Err() != nil {
		return nil //nolint:nilerr // interrupted, as it was asked to be
	}
	return err
}
