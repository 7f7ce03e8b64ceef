package scan

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Doctor looks at what must work before anything can be tested: the way to the
// target, its base path, each actor's login and session, and which operations
// answer with a success. It attacks nothing; what it makes it takes away. told,
// when set, is given each point as it is found. An error is one before the target
// was asked anything; that the target cannot be tested is in the Diagnosis.
func Doctor(ctx context.Context, o *Options, told func(actor.Point)) (*actor.Diagnosis, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	mode, err := o.mode()
	if err != nil {
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
	r.invite()
	d := r.people.Doctor(ctx, actor.Examination{Told: told})
	if d.Usable() && ctx.Err() == nil {
		r.ev.Point = func(p actor.Point) {
			d.Points = append(d.Points, p)
			if told != nil {
				told(p)
			}
		}
		if err := r.build(ctx, mode); err != nil && ctx.Err() == nil {
			r.ev.Point(actor.Point{Name: "operations", State: actor.Doubt, Text: err.Error()})
		}
		r.unreached()
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
		defer cancel()
		r.client.Extend(tidying)
		for _, l := range r.world.Cleanup(tidy) {
			r.ev.Point(actor.Point{Name: "left behind", State: actor.Doubt, Text: fmt.Sprintf("%s %s: %s", l.Resource, l.ID, l.Why)})
		}
	}
	if err := ctx.Err(); err != nil {
		return d, fmt.Errorf("the examination was broken off: %w", err)
	}
	return d, nil
}

// reachPoint says how many operations answered with a success.
func reachPoint(list []world.Coverage) actor.Point {
	reached := 0
	for _, c := range list {
		if c.Reached {
			reached++
		}
	}
	p := actor.Point{Name: "operations", State: actor.Well, Text: fmt.Sprintf("%d of %d operations answered with a success", reached, len(list))}
	switch {
	case reached == 0:
		p.State, p.Advice = actor.Failed, "Nothing can be tested that nobody gets at: look at the accounts, and at the base path."
	case reached < len(list):
		p.State, p.Advice = actor.Doubt, "What was not reached is not tested; the reason is told for each."
	}
	return p
}

// unreached tells of each operation that nobody got at, and why.
func (r *run) unreached() {
	for _, c := range r.world.Coverage() {
		if !c.Reached {
			r.tell(actor.Unreached(c.Method, c.Path, c.Reason))
		}
	}
}

func (r *run) tell(p actor.Point) {
	r.report.Doctor = append(r.report.Doctor, p)
	if r.ev.Point != nil {
		r.ev.Point(p)
	}
}
