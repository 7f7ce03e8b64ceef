package scan

import (
	"cmp"
	"encoding/json"
	"flag"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/issuer"
	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
)

var (
	verbose  = flag.Bool("scan.verbose", false, "tell of each hypothesis")
	onlyRun  = flag.String("scan.checks", "", "checks to run, with commas between")
	seedFlag = flag.Uint64("scan.seed", 1, "seed")
)

// sample is Harbour on loopback, with some of its holes open, and the options to scan it.
func sample(t *testing.T, holes []string) *Options {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED in short mode: a whole scan of the sample API")
	}
	login := httptest.NewUnstartedServer(nil)
	tokens, err := issuer.New("http://"+login.Listener.Addr().String(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	login.Config.Handler = tokens
	login.Start()
	t.Cleanup(login.Close)
	h, err := harbour.New(harbour.Options{Holes: holes, Logger: slog.New(slog.DiscardHandler), WebhookAllow: nil, Issuer: login.URL, JWKS: tokens.Keys})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.Close()
		_ = h.Close()
	})
	spec := filepath.Join(t.TempDir(), "openapi.yaml")
	if err := os.WriteFile(spec, harbour.Spec(), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Options{Spec: spec, Target: s.URL, Also: []string{login.URL}, Mode: "aggressive", Seed: *seedFlag, Limits: Limits{MaxTime: 10 * time.Minute}}
	if *verbose {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if *onlyRun != "" {
		o.Checks = strings.Split(*onlyRun, ",")
	}
	return o
}

// accounts are Harbour's people as a user of the scanner would give them.
func accounts(t *testing.T) actor.Config {
	c := actor.Config{Accounts: map[string]actor.Account{}}
	for name, who := range map[string]string{actor.User: "alice", actor.Peer: "bob", actor.Foreign: "carol", actor.Admin: "grace", "courier": "dave", "courier2": "erin"} {
		a, ok := harbour.AccountNamed(who)
		if !ok {
			t.Fatalf("there is no %s", who)
		}
		c.Accounts[name] = actor.Account{Role: a.Role, Login: &actor.Login{Email: a.Email, Password: actor.Text(a.Password)}}
	}
	return c
}

// partners are two of the systems that exchange data with Harbour, each with a
// client of its own at the authorization server.
func partners(o *Options) {
	for _, c := range issuer.Clients() {
		if c.ID == "depot-hamburg" || c.ID == "finance" {
			o.Actors.Accounts[c.ID] = actor.Account{Role: "partner", OAuth2: &actor.OAuth2{Grant: "client_credentials", TokenURL: o.Also[0] + "/token", ClientID: c.ID, ClientSecret: actor.Text(c.Secret), Scopes: c.Scopes}}
		}
	}
}

func scanned(t *testing.T, o *Options) *Result {
	t.Helper()
	res, err := Run(t.Context(), o, Events{
		Phase: func(name string) { t.Logf("%s …", name) },
		Found: func(f *finding.Finding) { t.Logf("  %-8s %-18s %s [%s]", f.Severity, f.Check, f.Title, f.Where) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r := res.Report
	t.Logf("%d findings, %d of %d operations reached, %d requests in %.1f s", len(r.Findings), r.Stats.Reached, r.Stats.Operations, r.Stats.Requests, r.Stats.Seconds)
	for _, p := range r.Stats.Phases {
		t.Logf("  %-12s %5d requests %6.1f s", p.Name, p.Requests, p.Seconds)
	}
	if *verbose {
		for _, c := range r.Stats.ByCheck {
			t.Logf("  %5d %s", c.Requests, c.Check)
		}
	}
	for _, a := range r.Actors {
		t.Logf("  %s: %s", a.Name, a.How)
	}
	for _, p := range r.Problems {
		t.Logf("  problem: %s %s (%s)", p.Who, p.What, p.Advice)
	}
	if r.Ended != "" {
		t.Logf("ended: %s", r.Ended)
	}
	if *verbose {
		for _, c := range r.Coverage {
			if !c.Reached {
				t.Logf("  not reached: %s %s: %s", c.Method, c.Path, c.Reason)
			}
		}
	}
	if dir := os.Getenv("CRENEL_SCAN_REPORTS"); dir != "" {
		text, err := json.MarshalIndent(r, "", " ")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "_")+".json"), text, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	return res
}

// matchHole finds the documented hole that a finding shows: the same operation,
// and the same weakness or the same item of the OWASP list.
func matchHole(f *finding.Finding, holes []harbour.Hole) string {
	for _, exact := range []bool{true, false} {
		for _, h := range holes {
			if f.Path == "" && h.CWE == f.CWE && h.OWASP == f.OWASP {
				return h.ID // of the API as a whole
			}
			if samePath(h.Where.Path, f.Path) && (h.Where.Method == f.Method || f.Method == "") && (h.CWE == f.CWE || !exact && h.OWASP == f.OWASP) {
				return h.ID
			}
		}
	}
	return ""
}

// samePath compares templates: variables may be called otherwise, and a query is no part of it.
func samePath(a, b string) bool {
	norm := func(p string) string {
		p, _, _ = strings.Cut(p, "?")
		parts := strings.Split(p, "/")
		for i, s := range parts {
			if strings.HasPrefix(s, "{") || strings.HasPrefix(s, "$") {
				parts[i] = "{}"
			}
		}
		return strings.Join(parts, "/")
	}
	return norm(a) == norm(b)
}

// score says which holes were found, which not, and what else there is.
func score(t *testing.T, res *Result, open []harbour.Hole) (found map[string]bool, other []*finding.Finding) {
	t.Helper()
	found = map[string]bool{}
	for _, f := range res.Report.Findings {
		if id := matchHole(f, open); id != "" {
			found[id] = true
		} else {
			other = append(other, f)
		}
	}
	var missed []string
	for _, h := range open {
		if !found[h.ID] {
			missed = append(missed, h.ID)
		}
	}
	slices.SortFunc(missed, cmp.Compare[string])
	t.Logf("%d of %d holes found; missed: %s", len(found), len(open), strings.Join(missed, " "))
	for _, f := range other {
		t.Logf("no documented hole: %s %s: %s", f.Severity, f.Check, f.Title)
	}
	return found, other
}

// What is promised of a scan of Harbour with all its holes open, beside 120 s: a
// busy machine takes longer.
const (
	leastFound   = 0.9 // of the documented holes
	mostRequests = 8000
)

// TestHarbourOpen scans Harbour with all its holes open.
func TestHarbourOpen(t *testing.T) {
	holes := harbour.Holes()
	var ids []string
	for _, h := range holes {
		ids = append(ids, h.ID)
	}
	o := sample(t, ids)
	o.Actors = accounts(t)
	partners(o)
	res := scanned(t, o)
	found, _ := score(t, res, holes)
	if *onlyRun != "" {
		return // some checks alone cannot find all
	}
	if float64(len(found)) < leastFound*float64(len(holes)) {
		t.Errorf("%d of %d holes found, want at least %.0f %%", len(found), len(holes), 100*leastFound)
	}
	if n := res.Report.Stats.Requests; n > mostRequests {
		t.Errorf("%d requests, want at most %d", n, mostRequests)
	}
}

// TestHarbourClosed scans Harbour with all its holes closed: whatever is
// reported as medium or graver is a false alarm.
func TestHarbourClosed(t *testing.T) {
	o := sample(t, nil)
	o.Actors = accounts(t)
	partners(o)
	res := scanned(t, o)
	for _, f := range res.Report.Counted(finding.Medium, false) {
		t.Errorf("a false alarm: %s %s [%s]: %s", f.Severity, f.Title, f.Where, f.Description)
	}
}

// TestHarbourWithoutConfig scans Harbour as somebody would who has only its
// description: the run makes its own accounts.
func TestHarbourWithoutConfig(t *testing.T) {
	o := sample(t, nil)
	o.Mode = "default"
	res := scanned(t, o)
	for _, f := range res.Report.Counted(finding.Medium, false) {
		t.Errorf("a false alarm: %s %s [%s]: %s", f.Severity, f.Title, f.Where, f.Description)
	}
}
