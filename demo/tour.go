package main

import (
	"context"
	"fmt"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

// tour walks through the demo and counts what was not as expected.
type tour struct {
	*stage
	*page
	wrong []string
	began time.Time
	// stoppedBy is the guard that stops a hole when all are on, or why it is open.
	stoppedBy map[string]string
}

// unexpected notes a line that is not as it should be.
func (t *tour) unexpected(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.wrong = append(t.wrong, text)
	t.linef("  %s %s", t.red("NOT AS EXPECTED"), text)
}

// expect prints one line of what was found.
func (t *tour) expect(ok bool, format string, args ...any) {
	if ok {
		t.linef("  %s %s", t.green("✓"), fmt.Sprintf(format, args...))
		return
	}
	t.unexpected(format, args...)
}

// walk is the whole tour. The error is one that made it impossible to go on.
func (t *tour) walk(ctx context.Context) error {
	t.where()
	for _, part := range []func(context.Context) error{t.honest, t.fresh, t.attacks, t.alone, t.rules, t.latency, t.takeBack, t.brokenConfig, t.issuerDown, t.freeHand} {
		err := part(ctx)
		if err != nil {
			return err
		}
	}
	t.section("In short")
	if len(t.wrong) == 0 {
		t.linef("  %s", t.green(fmt.Sprintf("Every line was as expected, in %s.", time.Since(t.began).Round(time.Second))))
		return nil
	}
	t.linef("  %s", t.red(fmt.Sprintf("%d lines were not as expected:", len(t.wrong))))
	for _, w := range t.wrong {
		t.linef("  - %s", w)
	}
	return nil
}

func (t *tour) where() {
	t.linef("%s", t.bold("Crenel: a tour"))
	t.table([][]cell{
		{plainCell("Harbour"), plainCell(t.harbour.url()), plainCell("a parcel-delivery API, vulnerable on purpose: all holes open")},
		{plainCell("issuer"), plainCell(t.issuer.url()), plainCell("signs the partners' access tokens")},
		{plainCell("gateway"), plainCell(t.gateway.url()), plainCell("in front of Harbour; its config is " + t.gateway.config())},
	})
}

// fresh puts a Harbour without the honest day's doings behind the gateway.
func (t *tour) fresh(context.Context) error { return t.open(harbour.Options{}) }
