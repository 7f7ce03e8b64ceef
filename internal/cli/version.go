package cli

import (
	"encoding/json"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"
)

// version, when a release is built, is set by the linker: -X …/internal/cli.version=v1.2.3.
var version string

// notable are the dependencies that stand on the path of a request.
var notable = []string{
	"github.com/caddyserver/caddy/v2", "github.com/corazawaf/coraza/v3", "github.com/corazawaf/coraza-coreruleset/v4",
	"github.com/open-policy-agent/opa", "github.com/lestrrat-go/jwx/v3", "github.com/quic-go/quic-go",
}

type build struct {
	Version      string       `json:"version"`
	Revision     string       `json:"revision,omitempty"`
	Time         string       `json:"time,omitempty"`
	Modified     bool         `json:"modified,omitempty"` // built from a tree with changes
	Go           string       `json:"go"`
	Platform     string       `json:"platform"`
	Dependencies []dependency `json:"dependencies,omitempty"`
}

type dependency struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// buildInfo is what the binary knows of itself.
func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, d := range info.Deps {
		if slices.Contains(notable, d.Path) {
			b.Dependencies = append(b.Dependencies, dependency{d.Path, d.Version})
		}
	}
	return b
}

func newVersion() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print what this binary was built from",
		Args:    none,
		Example: examples("crenel version", "crenel version --json"),
		RunE: func(c *cobra.Command, _ []string) error {
			b := buildInfo()
			if asJSON {
				return printJSON(c, b)
			}
			p := newPrinter(c.OutOrStdout())
			p.linef("%s %s", p.bold("crenel"), orUnknown(b.Version))
			if b.Revision != "" {
				changed := ""
				if b.Modified {
					changed = ", with changes"
				}
				p.linef("  revision  %s (%s%s)", b.Revision, b.Time, changed)
			}
			p.linef("  go        %s %s", b.Go, b.Platform)
			for _, d := range b.Dependencies {
				p.linef("  with      %s %s", d.Path, d.Version)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func orUnknown(s string) string {
	if s == "" {
		return "(unknown version)"
	}
	return s
}

// printJSON writes a value for programs.
func printJSON(c *cobra.Command, v any) error {
	enc := json.NewEncoder(c.OutOrStdout())
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
