package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/demo/harbour"
)

// identityItems are OWASP's items about who calls and whether they may.
var identityItems = []string{"API1", "API2", "API5"}

// ofIdentity reports whether what stops a hole is authn or authz.
func (e expectation) ofIdentity() bool {
	if e.Alone {
		return true
	}
	return slices.ContainsFunc(e.Refused, func(code string) bool {
		return strings.HasPrefix(code, "authn.") || strings.HasPrefix(code, "authz.")
	})
}

// withoutOthers is the demo's config in which no guard refuses or changes anything
// but authn and authz. The contract still says which operation a call is of.
func withoutOthers(config string) (string, error) {
	for name, mode := range map[string]string{"contract": "monitor", "limit": "off", "waf": "off"} {
		section := "\n    " + name + ":\n"
		if strings.Count(config, section) != 1 {
			return "", fmt.Errorf("crenel.yaml has no section %s of its guards", name)
		}
		config = strings.Replace(config, section, section+"      mode: \""+mode+"\"\n", 1)
	}
	return strings.Replace(config, "\n    waf:\n", "\n    upload: {mode: \"off\"}\n    waf:\n", 1), nil
}

// alone attacks the holes about identity through a gateway in which only authn and
// authz are on: nobody may think that another guard stops them by chance.
func (t *tour) alone(ctx context.Context) (err error) {
	t.section("The same, with authn and authz alone",
		"  A second gateway with the same config, but with waf, limit and upload off, and a contract that only says which",
		"  operation a call is of (monitor). The holes of "+strings.Join(identityItems, ", ")+": who is calling, and may they?")
	g, err := t.newAlone(ctx)
	defer func() { err = errors.Join(err, g.stop()) }()
	if err != nil {
		return err
	}
	expected, err := readExpected(embedded("expected.yaml"))
	if err != nil {
		return err
	}
	var rows, others [][]cell
	var wrong []string
	byGuard := map[string]int{}
	for n, hole := range harbour.Holes() {
		item, _, _ := strings.Cut(hole.OWASP, ":")
		if !slices.Contains(identityItems, item) {
			continue
		}
		want := expected[hole.ID]
		if !want.ofIdentity() {
			others = append(others, []cell{{hole.ID, t.yellow}, plainCell(t.stoppedBy[hole.ID])})
			continue
		}
		through, err := t.attack(ctx, from(g.client, fmt.Sprintf("203.0.113.%d", n+1)), g.url(), hole)
		if err != nil {
			return err
		}
		o, err := judge(through, g.events())
		if err != nil {
			return err
		}
		if len(o.Stripped) > 0 {
			o.Guard = "authz" // nothing else is on
		}
		problem, ok := want.met(o)
		if !ok {
			wrong = append(wrong, hole.ID+", with authn and authz alone: "+problem)
		}
		rows = append(rows, t.hole(hole, true, o, ok))
		if !o.Open {
			byGuard[o.Guard]++
		}
	}
	t.table(rows)
	t.linef("")
	t.linef("  %s of %d stopped: %s", t.bold(strconv.Itoa(len(rows)-len(wrong))), len(rows), counts(byGuard))
	t.linef("  The other %d of these items are not a matter of identity, or still open:", len(others))
	t.table(others)
	for _, w := range wrong {
		t.unexpected("%s", w)
	}
	return nil
}

// newAlone starts the second gateway, with files of its own.
func (s *stage) newAlone(ctx context.Context) (*gateway, error) {
	config, err := withoutOthers(string(embedded("crenel.yaml")))
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, "alone")
	err = s.writeFiles(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "crenel.yaml"), []byte(config), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the second gateway's config: %w", err)
	}
	g, err := newGateway(s.gateway.crenel, dir, s.environment()...)
	if err != nil {
		return nil, err
	}
	return g, g.start(ctx)
}
