package cli

import (
	"context"
	"io"
	"log/slog"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway/server"
)

// serve runs a gateway until ctx ends, then stops it gracefully. load reads the
// config anew, flags applied, for a reload.
func serve(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), stderr io.Writer) error {
	log := newLogger(cfg.Log, stderr)
	for _, w := range cfg.Warnings() {
		log.Warn("config", "warning", w.Error())
	}
	return server.Run(ctx, server.Options{
		Config: cfg, Load: load, Log: log, Version: buildInfo().Version,
		Started: func(s *server.Server) {
			log.Info("crenel is up", "listen", cfg.Server.Listen, "tls", cfg.Server.TLS.Mode, "admin", cfg.Admin.Listen,
				"data_dir", cfg.DataDir, "events", cfg.Trail.File, "root_certificate", s.RootCA())
		},
	})
}

// newLogger makes the operator's log.
func newLogger(c config.Log, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // validated when the config was read
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}
