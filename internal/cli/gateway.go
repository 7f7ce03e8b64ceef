package cli

import (
	"net"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
)

// runGateway is serve; tests put something else in its place to see what it is given.
var runGateway = serve

// gatewayOptions is how crenel gateway was called.
type gatewayOptions struct {
	file    string
	listen  []string
	http    bool
	dataDir string
}

// override applies the flags to a config that was read: at start and at every reload.
func (o *gatewayOptions) override(c *config.Config) {
	if len(o.listen) > 0 {
		c.Server.Listen = o.listen
	}
	if o.http {
		c.Server.TLS = config.TLS{Mode: "off", MinVersion: c.Server.TLS.MinVersion}
		c.Server.Protocols = slices.DeleteFunc(slices.Clone(c.Server.Protocols), func(p string) bool { return p == "h3" })
	}
	if o.dataDir != "" {
		c.DataDir = flagPath(o.dataDir)
	}
}

// flagPath is a path of the command line, which starts where the command runs and
// not, as those of a config do, at the config's folder.
func flagPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// load reads the config as the flags change it.
func (o *gatewayOptions) load() (*config.Config, error) {
	return config.LoadWith(o.file, config.Options{Override: o.override})
}

func newGateway() *cobra.Command {
	o := &gatewayOptions{}
	c := &cobra.Command{
		Use:   "gateway",
		Short: "Run the gateway",
		Long: `Run the gateway in front of the APIs that the config names, until it is
interrupted. A changed config file, SIGHUP or crenel reload loads the config
anew; one with mistakes is refused, and the running one stays.`,
		Args: none,
		Example: examples(
			"crenel gateway",
			"crenel gateway -c /etc/crenel/crenel.yaml --data-dir /var/lib/crenel",
			"crenel gateway --http --listen 127.0.0.1:8080   # plain HTTP, for a quick local try",
		),
		RunE: func(c *cobra.Command, _ []string) error {
			for _, l := range o.listen {
				if _, port, err := net.SplitHostPort(l); err != nil || port == "" {
					return usagef("--listen %q is not an address to listen on; write :PORT or HOST:PORT, such as 127.0.0.1:8080", l)
				}
			}
			cfg, err := o.load()
			if err != nil {
				return err
			}
			return runGateway(c.Context(), cfg, o.load, c.ErrOrStderr())
		},
	}
	configFlag(c, &o.file)
	c.Flags().StringSliceVar(&o.listen, "listen", nil, "the `address` to serve, instead of server.listen")
	c.Flags().BoolVar(&o.http, "http", false, "serve plain HTTP")
	c.Flags().StringVar(&o.dataDir, "data-dir", "", "the `directory` for all that is kept, instead of data_dir")
	_ = c.MarkFlagDirname("data-dir")
	return c
}
