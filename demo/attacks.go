package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/demo/harbour"
)

// fewestStopped is how many holes general rules must stop.
const fewestStopped = 22

// attacks runs each hole's attack straight and through the gateway.
func (t *tour) attacks(ctx context.Context) error {
	expected, err := readExpected(embedded("expected.yaml"))
	if err != nil {
		return err
	}
	holes := harbour.Holes()
	t.section(fmt.Sprintf("%d holes: the attack straight at Harbour, and through the gateway", len(holes)),
		"  Nothing in Crenel knows Harbour: what refuses are its OpenAPI document, crenel.yaml and policies/.",
		"  What each attack sends is in demo/harbour/HOLES.md.")
	rows, byGuard := [][]cell{}, map[string]int{}
	stopped := 0
	var open [][]cell
	var wrong []string
	for n, hole := range holes {
		straight, err := t.attack(ctx, t.straight, t.harbour.url(), hole)
		if err != nil {
			return err
		}
		// Each attack has an address of its own, so that none is stopped by a
		// limit that the one before has used up.
		through, err := t.attack(ctx, from(t.gateway.client, fmt.Sprintf("203.0.113.%d", n+1)), t.gateway.url(), hole)
		if err != nil {
			return err
		}
		o, err := judge(through, t.gateway.events())
		if err != nil {
			return err
		}
		want, listed := expected[hole.ID]
		delete(expected, hole.ID)
		problem, ok := want.met(o)
		switch {
		case !listed:
			problem, ok = "expected.yaml does not list it", false
		case !straight.Open:
			problem, ok = "straight at Harbour it does not work: "+straight.Evidence, false
		}
		rows = append(rows, t.hole(hole, straight.Open, o, ok))
		if !ok {
			wrong = append(wrong, hole.ID+": "+problem)
		}
		if o.Open {
			t.stoppedBy[hole.ID] = "open: " + want.Open
			open = append(open, []cell{{hole.ID, t.yellow}, plainCell(want.Open)})
			continue
		}
		stopped++
		t.stoppedBy[hole.ID] = o.Guard
		byGuard[o.Guard]++
	}
	t.table(rows)
	for id := range expected {
		wrong = append(wrong, "expected.yaml lists "+id+", which Harbour does not have")
	}
	t.linef("")
	t.linef("  %s of %d stopped: %s", t.bold(strconv.Itoa(stopped)), len(holes), counts(byGuard))
	if len(open) > 0 {
		t.linef("  %s still open, and why:", t.bold(strconv.Itoa(len(open))))
		t.table(open)
	}
	for _, w := range wrong {
		t.unexpected("%s", w)
	}
	if stopped < fewestStopped {
		t.unexpected("%d holes were stopped; at least %d should be", stopped, fewestStopped)
	}
	return nil
}

func (t *tour) attack(ctx context.Context, client *http.Client, base string, hole harbour.Hole) (harbour.Result, error) {
	result, err := harbour.RunAttack(ctx, client, base, hole, harbour.Env{OldToken: t.api.OldToken, AccessToken: t.accessToken})
	if err != nil {
		return result, fmt.Errorf("attacking %s: %w", base, err)
	}
	return result, nil
}

// hole is one line of the table.
func (t *tour) hole(h harbour.Hole, works bool, o outcome, ok bool) []cell {
	straight, through := cell{"works", t.red}, cell{"", t.green}
	if !works {
		straight = cell{"fails", t.yellow}
	}
	switch {
	case o.Open:
		through = cell{"still open", t.yellow}
	case o.Code != "":
		through.text = fmt.Sprintf("%d %s", o.Status, o.Code)
	case len(o.Stripped) > 0:
		through.text = "stripped"
	default:
		through.text = "taken away"
	}
	mark := cell{"✓", t.green}
	if !ok {
		mark = cell{"✗", t.red}
	}
	item, _, _ := strings.Cut(h.OWASP, ":")
	why := o.Why
	if o.Open {
		why = "see below"
	}
	return []cell{mark, {item, t.dim}, plainCell(h.ID), straight, through, plainCell(o.Guard), {printable(why, 90), t.dim}}
}
