package cli

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway/server"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
	"github.com/crenel-project/crenel/internal/guard/authz/impact"
	"github.com/crenel-project/crenel/internal/spec"
)

// recorded is where commands find recorded decisions, and what they are made
// again with.
type recorded struct {
	file, dataDir, api, from, to string
	since                        time.Duration

	cfg    *config.Config
	ac     *config.API
	guard  *authz.Guard
	reader *decisionlog.Reader // nil when the decisions come from a file
	path   string
	span   decisionlog.Span
	damage []error
}

func (r *recorded) flags(c *cobra.Command) {
	configFlag(c, &r.file)
	c.Flags().StringVar(&r.dataDir, "data-dir", "", "the gateway's data `directory`, where it was started with one")
	c.Flags().StringVar(&r.api, "api", "", "the `name` of the API, when the config has several")
	c.Flags().DurationVar(&r.since, "since", 0, "only decisions of the last `time`, such as 24h")
	c.Flags().StringVar(&r.from, "from", "", "only decisions from this `time` on, RFC 3339")
	c.Flags().StringVar(&r.to, "to", "", "only decisions before this `time`, RFC 3339")
}

// open finds the decisions: a folder or a file that was named, else those of the config.
func (r *recorded) open(named string) error {
	var err error
	if r.cfg, err = config.LoadWith(r.file, config.Options{Override: func(c *config.Config) {
		if r.dataDir != "" {
			c.DataDir = flagPath(r.dataDir)
		}
	}}); err != nil {
		return err
	}
	for text, to := range map[*string]*time.Time{&r.from: &r.span.From, &r.to: &r.span.To} {
		if *text == "" {
			continue
		}
		if *to, err = time.Parse(time.RFC3339, *text); err != nil {
			return usagef("%q is not a time: write 2026-01-31T12:00:00Z", *text)
		}
	}
	if r.since > 0 {
		r.span.From = time.Now().Add(-r.since)
	}
	dir := r.cfg.DecisionLog.Dir
	if named != "" {
		info, err := os.Stat(named)
		if err != nil {
			return fmt.Errorf("reading the decisions: %w", err)
		}
		if !info.IsDir() {
			r.path = named
			return nil
		}
		dir = named
	}
	if len(r.cfg.DecisionLog.Keys) == 0 {
		return errors.New("the config has no decision log: set decision_log.keys, and the gateway keeps its decisions")
	}
	keys, err := server.DecisionKeys(&r.cfg.DecisionLog)
	if err != nil {
		return err
	}
	r.reader, err = decisionlog.OpenFolder(dir, keys)
	if errors.Is(err, decisionlog.ErrNone) {
		return fmt.Errorf("%w: no gateway with a decision log has run with this config here", err)
	}
	return err
}

// document loads the API, and what makes its decisions again.
func (r *recorded) document(ctx context.Context) error {
	var err error
	if r.ac, err = chooseAPI(r.cfg, r.api); err != nil {
		return err
	}
	var doc *spec.API
	if r.ac.Spec != "" {
		if doc, err = spec.Load(ctx, r.ac.Spec, spec.LoadOptions{AllowRemote: r.ac.RemoteRefs, BasePaths: []string{""}}); err != nil {
			return err
		}
	}
	r.guard, err = authz.ForReplay(authz.Options{API: doc, Config: r.ac.Guards.Authz, Overrides: r.ac.Operations, Authenticates: len(r.ac.Guards.Authn.Methods) > 0})
	return err
}

// kept decides by the policies that decided.
func (r *recorded) kept() *impact.Kept { return &impact.Kept{Guard: r.guard, From: r} }

// Policy implements [impact.Archive].
func (r *recorded) Policy(rules, data string) ([]byte, error) {
	if r.reader == nil {
		return nil, decisionlog.ErrNotKept
	}
	return r.reader.Policy(rules, data)
}

// events yields what is recorded. Damage is noted, and does not end it.
func (r *recorded) events(ctx context.Context) iter.Seq2[*decisionlog.Event, error] {
	if r.reader == nil {
		return readEvents(r.path, r.span)
	}
	return func(yield func(*decisionlog.Event, error) bool) {
		r.damage = nil
		for e, err := range r.reader.Events(ctx, r.span) {
			var damage *decisionlog.Damage
			if errors.As(err, &damage) {
				r.damage = append(r.damage, err)
				continue
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// cases are the API's decisions.
func (r *recorded) cases(ctx context.Context) iter.Seq2[*impact.Case, error] {
	return func(yield func(*impact.Case, error) bool) {
		for e, err := range r.events(ctx) {
			if err == nil && e.About().API != r.ac.Name && e.About().API != "" {
				continue
			}
			var c *impact.Case
			if err == nil {
				c, err = impact.CaseOf(e)
			}
			if !yield(c, err) {
				return
			}
		}
	}
}

// readEvents reads a file of events, one in a line or an array, perhaps gzipped.
func readEvents(path string, span decisionlog.Span) iter.Seq2[*decisionlog.Event, error] {
	return func(yield func(*decisionlog.Event, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, fmt.Errorf("reading the decisions: %w", err))
			return
		}
		defer func() { _ = f.Close() }()
		var in io.Reader = bufio.NewReader(f)
		if magic, err := in.(*bufio.Reader).Peek(2); err == nil && bytes.Equal(magic, []byte{0x1f, 0x8b}) {
			if in, err = gzip.NewReader(in); err != nil {
				yield(nil, fmt.Errorf("reading %s: %w", path, err))
				return
			}
		}
		d := json.NewDecoder(in)
		for n := 1; ; n++ {
			e := &decisionlog.Event{}
			err := d.Decode(e)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("reading %s: event %d: %w", path, n, err))
				return
			}
			within := (span.From.IsZero() || !e.Timestamp.Before(span.From)) && (span.To.IsZero() || e.Timestamp.Before(span.To))
			if within && !yield(e, nil) {
				return
			}
		}
	}
}

// printDamage says what of the log is not as it was written.
func (r *recorded) printDamage(p *printer) {
	for _, d := range r.damage {
		p.linef("%s %s", p.red("damaged"), plain(d.Error()))
	}
	if r.reader != nil && r.reader.Lost() > 0 {
		p.linef("%s %s could not be kept, says the log: its queue was full", p.yellow("lost"), count(int(r.reader.Lost()), "decision"))
	}
}
