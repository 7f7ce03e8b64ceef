package scan

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
)

// Doctor looks at what must work before anything can be tested: the way to the
// target, its base path, each actor's login and session. It attacks nothing. An
// error is one before the target was asked anything; that the target cannot be
// tested is in the Diagnosis.
func Doctor(ctx context.Context, o *Options) (*actor.Diagnosis, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	still := *o
	still.Listener.Off = true
	r := &run{o: &still, log: o.Log, report: &Report{Run: runID(), Seed: o.Seed, Started: time.Now().UTC(), Findings: []*finding.Finding{}}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.understand(ctx); err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	defer r.close()
	cfg := o.Actors
	cfg.Run, cfg.Seed, cfg.Dir = r.report.Run, o.Seed, o.Dir
	d := actor.New(r.graph, r.client, cfg).Doctor(ctx)
	if err := ctx.Err(); err != nil {
		return d, fmt.Errorf("the examination was broken off: %w", err)
	}
	return d, nil
}
