package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryHoleIsExpected(t *testing.T) {
	expected, err := readExpected(embedded("expected.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	stopped := 0
	for _, id := range harbour.HoleIDs() {
		e, ok := expected[id]
		if !ok {
			t.Errorf("%s is not listed", id)
		}
		if e.Open == "" {
			stopped++
		}
		delete(expected, id)
	}
	for id := range expected {
		t.Errorf("%s is listed, and Harbour does not have it", id)
	}
	if stopped < fewestStopped {
		t.Errorf("%d holes are stopped, %d should be", stopped, fewestStopped)
	}
}

func TestExpectedIsHeldTo(t *testing.T) {
	for name, c := range map[string]struct {
		want expectation
		got  outcome
		met  bool
	}{
		"refused":                      {expectation{Refused: []string{"a.b"}}, outcome{Code: "a.b"}, true},
		"refused, one of two":          {expectation{Refused: []string{"c.d", "a.b"}}, outcome{Code: "a.b"}, true},
		"refused otherwise":            {expectation{Refused: []string{"a.b"}}, outcome{Code: "c.d"}, false},
		"refused, but open":            {expectation{Refused: []string{"a.b"}}, outcome{Open: true}, false},
		"open":                         {expectation{Open: "why"}, outcome{Open: true}, true},
		"open, but refused":            {expectation{Open: "why"}, outcome{Code: "a.b"}, false},
		"stripped":                     {expectation{Stripped: []string{"/x"}}, outcome{Stripped: []string{"/y", "/x"}}, true},
		"stripped of something else":   {expectation{Stripped: []string{"/x"}}, outcome{Stripped: []string{"/y"}}, false},
		"stripped, but open":           {expectation{Stripped: []string{"/x"}}, outcome{Open: true, Stripped: []string{"/x"}}, false},
		"headers":                      {expectation{Headers: true}, outcome{Guard: "headers"}, true},
		"headers, but refused":         {expectation{Headers: true}, outcome{Code: "a.b"}, false},
		"headers, but open":            {expectation{Headers: true}, outcome{Open: true}, false},
		"an expectation of nothing":    {expectation{}, outcome{Code: "a.b"}, false},
		"an expectation of no opening": {expectation{}, outcome{Open: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if why, met := c.want.met(c.got); met != c.met || met == (why != "") {
				t.Errorf("met %v (%q), want %v", met, why, c.met)
			}
		})
	}
}

func TestExpectedSaysOneThing(t *testing.T) {
	for _, text := range []string{"a: {}", "a: {open: x, headers: true}", "a: {refusd: [x]}", "a: [", "a: {refused: []}"} {
		if _, err := readExpected([]byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestDenial(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"the gateway's":           {403, `{"type":"urn:crenel:code:authz.denied","code":"authz.denied"}`, "authz.denied"},
		"the API's own":           {403, `{"type":"https://harbour.example/problems/forbidden","code":"forbidden"}`, ""},
		"a code of nobody's":      {403, `{"type":"urn:crenel:code:x.y","code":"x.y"}`, ""},
		"a success that looks so": {200, `{"type":"urn:crenel:code:authz.denied","code":"authz.denied"}`, ""},
		"no JSON":                 {502, `bad gateway`, ""},
	} {
		if got := denial(exchangeOf(c.status, c.body)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestPolicyTestsPass(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	results, err := authz.Test(t.Context(), []string{filepath.Join(dir, "policies")}, []string{filepath.Join(dir, "policies", "owners.yaml")})
	if err != nil {
		t.Fatal(err)
	}
	if len(results) == 0 {
		t.Error("there are no tests")
	}
	for _, r := range results {
		if !r.Passed {
			t.Errorf("%s %s: %s", r.Place, r.Name, r.Error)
		}
	}
}

// The second gateway's config is the first's, with other modes and nothing else.
func TestWithoutOthers(t *testing.T) {
	text, err := withoutOthers(string(embedded("crenel.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	added := without(code(text), code(string(embedded("crenel.yaml"))))
	slices.Sort(added)
	if want := []string{`mode: "monitor"`, `mode: "off"`, `mode: "off"`, `upload: {mode: "off"}`}; !slices.Equal(added, want) {
		t.Errorf("added %q, want %q", added, want)
	}
	if lost := without(code(string(embedded("crenel.yaml"))), code(text)); len(lost) > 0 {
		t.Errorf("lost %q", lost)
	}
	if _, err := withoutOthers("apis: []"); err == nil {
		t.Error("a config without the guards was taken")
	}
}

// What authn and authz are said to stop alone is stopped at all, and is about identity.
func TestAloneIsStopped(t *testing.T) {
	expected, err := readExpected(embedded("expected.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for id, e := range expected {
		hole, ok := harbour.HoleByID(id)
		if !ok || !e.ofIdentity() {
			continue
		}
		n++
		item, _, _ := strings.Cut(hole.OWASP, ":")
		if e.Open != "" || !slices.Contains(identityItems, item) {
			t.Errorf("%s of %s cannot be stopped by authn and authz alone", id, item)
		}
	}
	if n < 17 {
		t.Errorf("%d holes are stopped by authn and authz alone, 17 should be", n)
	}
}

func TestMistakesApply(t *testing.T) {
	for _, m := range mistakes {
		if n := strings.Count(string(embedded(m.file)), m.from); n == 0 {
			t.Errorf("%s does not hold %q", m.file, m.from)
		}
	}
}

func TestLogLines(t *testing.T) {
	var l logLines
	_, _ = io.WriteString(&l, "one\ntwo par") // a logLines takes everything
	if l.since(0, "two") != "" {
		t.Error("half a line was seen")
	}
	_, _ = io.WriteString(&l, "t\n")
	mark := l.mark()
	for range mostLines {
		_, _ = io.WriteString(&l, "filler\n")
	}
	_, _ = io.WriteString(&l, `level=ERROR msg="reload refused" error="a \"b\"\nc" n=1`+"\n")
	if l.since(0, "one") != "" {
		t.Error("more lines are kept than should be")
	}
	line, err := l.wait(t.Context(), mark, "reload refused", time.Second)
	if err != nil || field(line, "error") != "a \"b\"\nc" || field(line, "n") != "1" || field(line, "none") != "" {
		t.Errorf("%q %v", line, err)
	}
	if _, err := l.wait(t.Context(), l.mark(), "reload refused", 30*time.Millisecond); err == nil {
		t.Error("a line before the mark was found")
	}
}

func TestRuleCount(t *testing.T) {
	mine := code("a: 1 # why\n\n# b\n  c: 2\n  c: 2\n")
	if !slices.Equal(mine, []string{"a: 1", "c: 2", "c: 2"}) {
		t.Errorf("%q", mine)
	}
	if got := without(mine, []string{"c: 2"}); !slices.Equal(got, []string{"a: 1", "c: 2"}) {
		t.Errorf("%q", got)
	}
}

// TestHonestCallsKeepToTheLimits shows that the compressed day needs no more than
// crenel.yaml's slow rates allow at once, however fast it is played.
func TestHonestCallsKeepToTheLimits(t *testing.T) {
	const tries, payouts = 10, 1 // bursts in crenel.yaml
	used := map[string]int{}
	for _, c := range honestCalls() {
		host, _, err := net.SplitHostPort(c.Remote)
		if err != nil {
			t.Fatal(err)
		}
		switch c.Path {
		case "/v2/login", "/v2/register", "/v2/password/reset", "/v2/password/change":
			if used[host+c.Path]++; used[host+c.Path] > tries {
				t.Errorf("%s calls %s %d times", host, c.Path, used[host+c.Path])
			}
		case "/v2/wallet/payouts":
			if used[c.Actor+c.Path]++; used[c.Actor+c.Path] > payouts {
				t.Errorf("%s is paid out %d times", c.Actor, used[c.Actor+c.Path])
			}
		}
	}
	if len(used) == 0 {
		t.Error("nobody logs in")
	}
	if earliest(paceBurst) != 0 || earliest(paceBurst+paceRate) != time.Second {
		t.Error("the pace is not kept")
	}
}

func TestPercentile(t *testing.T) {
	var d []time.Duration
	for n := range 200 {
		d = append(d, time.Duration(n+1))
	}
	for n, want := range map[int]time.Duration{0: 1, 50: 100, 99: 198, 100: 200} {
		if got := percentile(d, n); got != want {
			t.Errorf("p%d is %d, want %d", n, got, want)
		}
	}
}

func TestFirstID(t *testing.T) {
	for text, want := range map[string]string{
		`[{"id":7},{"id":8}]`:                     "7",
		`{"page":1,"items":[{"parcel_id":"p1"}]}`: "p1",
		`{"id":"x","items":[{"id":2}]}`:           "x",
		`[]`:                                      "",
		`{"items":[]}`:                            "",
		`{"id":{"a":1}}`:                          "",
		`"text"`:                                  "",
	} {
		root, err := value.JSON([]byte(text), value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if id := firstID(root, "parcel"); id != nil {
			got = id.Text
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestInterrupted(t *testing.T) {
	if err := (options{once: true}).interrupted(); err == nil {
		t.Error("a tour that was not held to its end counts as held")
	}
	if err := (options{}).interrupted(); err != nil {
		t.Error(err)
	}
}

func TestCounts(t *testing.T) {
	if got := counts(map[string]int{"b": 2, "a": 2, "c": 9}); got != "c 9, a 2, b 2" {
		t.Error(got)
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[2Jb\u009bc\n", 10); got != "a [2Jb c " {
		t.Errorf("%q", got)
	}
	if got := printable("åäö", 2); got != "å…" {
		t.Errorf("%q", got)
	}
}

func TestCalledWrongly(t *testing.T) {
	for name, args := range map[string][]string{
		"no target":          {"--spec", "x.yaml"},
		"no document":        {"--target", "http://127.0.0.1:1"},
		"half a consent":     {"--spec", "x.yaml", "--target", "http://127.0.0.1:1", "--attack", "yes"},
		"consent and no own": {"--attack", consent},
		"a path":             {"--spec", "x.yaml", "--target", "http://127.0.0.1:1/api"},
		"not a URL":          {"--spec", "x.yaml", "--target", "127.0.0.1:1"},
	} {
		t.Run(name, func(t *testing.T) {
			c := command()
			c.SetArgs(args)
			if err := c.ExecuteContext(context.Background()); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestLoopbackStopsAndStarts(t *testing.T) {
	l, err := newLoopback(http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		status, _, _, err := get(t.Context(), client, l.url(), "")
		if err != nil || status != http.StatusNotFound {
			t.Fatal(status, err)
		}
		if err := l.stop(); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := get(t.Context(), client, l.url(), ""); err == nil {
			t.Error("it answers though it was stopped")
		}
		if err := l.start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestReadmeCounts holds what the README says of the tour to what is expected of it.
func TestReadmeCounts(t *testing.T) {
	expected, err := readExpected(embedded("expected.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, e := range expected {
		if e.Open != "" {
			open++
		}
	}
	policy := len(code(string(embedded("policies/authz.rego"))))
	for file, texts := range map[string][]string{
		"../README.md": {
			fmt.Sprintf("%d documented holes", len(expected)), fmt.Sprintf("%d of the holes", len(expected)-open),
			fmt.Sprintf("%d are still open", open), fmt.Sprintf("%d lines of policy", policy),
		},
		"../docs/getting-started.md": {fmt.Sprintf("%d\ndocumented holes", len(expected)), fmt.Sprintf("%d lines of Rego", policy)},
	} {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if !strings.Contains(string(raw), text) {
				t.Errorf("%s does not say %q", file, text)
			}
		}
	}
}
