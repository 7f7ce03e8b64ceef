package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/scantest"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// notesOptions scan the notes, open or closed.
func notesOptions(t *testing.T, api *scantest.Notes) *Options {
	t.Helper()
	srv := httptest.NewServer(api)
	t.Cleanup(srv.Close)
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	return &Options{Spec: spec, Target: srv.URL, Seed: 1}
}

// A check in YAML finds what is open, and nothing where it is closed.
func TestWrittenCheck(t *testing.T) {
	for _, open := range []bool{true, false} {
		o := notesOptions(t, &scantest.Notes{Open: open})
		o.ChecksDir, o.Checks = "../../docs/examples/checks", []string{"my-read-by-another", "my-deleted-by-another", "my-page-size"}
		res, err := Run(t.Context(), o, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if res.Report.Findings == nil || res.Report.Checks == nil {
			t.Error("a list is null in JSON")
		}
		var got []string
		for _, f := range res.Report.Findings {
			got = append(got, f.Check+" "+f.Method+" "+f.Path)
			if f.Title != "Another user's /notes/{id} can be read" || len(f.Evidence) == 0 || f.Reproduce == "" || f.Place == nil {
				t.Errorf("%+v", f)
			}
		}
		want := ""
		if open {
			want = "my-read-by-another GET /notes/{id}"
		}
		if strings.Join(got, "|") != want {
			t.Errorf("open %v: found %q, want %q", open, got, want)
		}
		tried := map[string]string{}
		for _, c := range res.Report.Checks {
			tried[c.Check+" "+c.Path] = string(c.State)
		}
		wantState := "clean"
		if open {
			wantState = "open"
		}
		if tried["my-deleted-by-another /notes/{id}"] != "clean" || tried["my-read-by-another /notes/{id}"] != wantState {
			t.Errorf("open %v: %v", open, tried)
		}
	}
}

func TestWrittenCheckUnknown(t *testing.T) {
	o := notesOptions(t, &scantest.Notes{})
	o.ChecksDir, o.Checks = "../../docs/examples/checks", []string{"my-misspelt"}
	if _, err := Run(t.Context(), o, Events{}); err == nil || !strings.Contains(err.Error(), `no check "my-misspelt"`) {
		t.Errorf("%v", err)
	}
}

// A finding's file proves it again, and is refuted once the hole is closed.
func TestRegressions(t *testing.T) {
	api := &scantest.Notes{Open: true}
	o := notesOptions(t, api)
	o.Checks = []string{"bola-read"}
	var record bytes.Buffer
	o.Record = &record
	res, err := Run(t.Context(), o, Events{})
	if err != nil {
		t.Fatal(err)
	}
	var har struct {
		Log struct{ Entries []json.RawMessage }
	}
	if err := json.Unmarshal(record.Bytes(), &har); err != nil || int64(len(har.Log.Entries)) != res.Report.Stats.Requests {
		t.Errorf("%d requests recorded of %d: %v", len(har.Log.Entries), res.Report.Stats.Requests, err)
	}
	o.Record = nil
	dir := filepath.Join(t.TempDir(), "findings")
	n, err := WriteRegressions(dir, res)
	if err != nil || n != 1 {
		t.Fatalf("%d files: %v", n, err)
	}
	list, err := ReadRegressions([]string{dir})
	if err != nil || len(list) != 1 || list[0].File != filepath.FromSlash(res.Report.Findings[0].Regression) {
		t.Fatalf("%+v: %v", list, err)
	}
	text, err := os.ReadFile(list[0].File)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"Bearer t0", "password\":\"", "credential: t"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the file holds %q: %s", secret, text)
		}
	}
	o.Checks = nil
	for _, open := range []bool{true, false} {
		again := notesOptions(t, &scantest.Notes{Open: open}) // another target, other accounts
		got, _, err := Verify(t.Context(), again, list, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := scenario.Refuted
		if open {
			want = scenario.Proven
		}
		if len(got) != 1 || got[0].Verdict != want || got[0].Seconds > 1 || open != (len(got[0].Evidence) > 0) || !open && got[0].Step != "attack" {
			t.Errorf("open %v: %+v, want %s", open, got, want)
		}
	}
}

// Where a control does not go as expected, nothing is said of the hole.
func TestVerifyControl(t *testing.T) {
	text := "version: 1\nfingerprint: " + strings.Repeat("a", 32) + "\ncheck: x\ntitle: t\nseverity: high\nscenario: {name: n, steps: [{id: own, part: control, as: user, send: {method: GET, path: /notes/424242}, expect: [{status: 2xx}]}, {id: attack, as: peer, send: {method: GET, path: /notes/424242}, expect: [{status: 2xx}]}]}\n"
	g, err := ParseRegression([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := Verify(t.Context(), notesOptions(t, &scantest.Notes{}), []*Regression{g}, nil)
	if err != nil || len(got) != 1 || got[0].Verdict != scenario.Inconclusive || got[0].Step != "own" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A target that is not there is no closed hole.
func TestVerifyWithoutTarget(t *testing.T) {
	t.Parallel() // waits for the target to come back
	list := []*Regression{{Fingerprint: strings.Repeat("a", 32)}}
	gone := notesOptions(t, &scantest.Notes{})
	gone.Target = "http://127.0.0.1:1"
	if _, _, err := Verify(t.Context(), gone, list, nil); !errors.Is(err, ErrTarget) {
		t.Errorf("a target that is not there: %v", err)
	}
}

func TestParseRegression(t *testing.T) {
	good := "version: 1\nfingerprint: " + strings.Repeat("a", 32) + "\ncheck: x\ntitle: t\nseverity: high\nscenario: {name: n, steps: [{id: a, send: {method: GET, path: /}, expect: [{status: 2xx}]}]}\n"
	if _, err := ParseRegression([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, to, want string }{
		"version":     {"version: 1", "version: 2", "version is 2"},
		"fingerprint": {strings.Repeat("a", 32), "aa", "32 hexadecimal"},
		"severity":    {"high", "dire", "severity \"dire\""},
		"unknown":     {"check: x", "chekc: x", "unknown field"},
		"no story":    {"expect: [{status: 2xx}]", "note: x", "would prove everything"},
	} {
		if _, err := ParseRegression([]byte(strings.Replace(good, c.old, c.to, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %q", name, err, c.want)
		}
	}
}

// What is not found any more is gone only where it could have been found.
func TestCompare(t *testing.T) {
	f := func(fingerprint, path string, s finding.Severity) *finding.Finding {
		return &finding.Finding{Fingerprint: fingerprint, Check: "c", Method: "GET", Path: path, Severity: s}
	}
	report := func(ended, reached, cells string, list ...*finding.Finding) *Report {
		r := &Report{Run: "r", Findings: list, Ended: ended}
		text := `{"coverage": [` + reached + `], "checks": [` + cells + `]}`
		if err := json.Unmarshal([]byte(text), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	const a, cellA = `{"method":"GET","path":"/a","reached":true}`, `{"check":"c","method":"GET","path":"/a","state":"clean"}`
	const noA = `{"method":"GET","path":"/a","reached":false}`
	was := report("", a, cellA, f("1", "/a", finding.High))
	for name, c := range map[string]struct {
		is   *Report
		want string
	}{
		"same":        {report("", a, cellA, f("1", "/a", finding.High)), "new 0 gone 0 moved 0 unknown 0 same 1 lost 0"},
		"graver":      {report("", a, cellA, f("1", "/a", finding.Critical)), "new 0 gone 0 moved 1 unknown 0 same 0 lost 0"},
		"mended":      {report("", a, cellA), "new 0 gone 1 moved 0 unknown 0 same 0 lost 0"},
		"another":     {report("", a, cellA, f("2", "/a", finding.High)), "new 1 gone 1 moved 0 unknown 0 same 0 lost 0"},
		"not reached": {report("", noA, cellA), "new 0 gone 0 moved 0 unknown 1 same 0 lost 1"},
		"not tried":   {report("", a, ""), "new 0 gone 0 moved 0 unknown 1 same 0 lost 0"},
		"ended":       {report("killed", a, cellA), "new 0 gone 0 moved 0 unknown 1 same 0 lost 0"},
	} {
		d := Compare(was, c.is)
		got := sprint(len(d.New), len(d.Gone), len(d.Moved), len(d.Unknown), d.Same, len(d.Lost))
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func sprint(n ...int) string {
	var b strings.Builder
	for i, w := range []string{"new ", " gone ", " moved ", " unknown ", " same ", " lost "} {
		b.WriteString(w + string(rune('0'+n[i])))
	}
	return b.String()
}

// A suppression counts until its day, and no longer.
func TestSuppressionExpires(t *testing.T) {
	o := notesOptions(t, &scantest.Notes{Open: true})
	o.Checks = []string{"bola-read"}
	fingerprint := finding.Print("bola-read", "GET", "/notes/{id}", "path.id")
	for expires, want := range map[string]int{"2000-01-01": 1, time.Now().AddDate(1, 0, 0).Format(time.DateOnly): 0} {
		o.Suppress = []finding.Suppression{{Fingerprint: fingerprint, Reason: "known", Expires: expires}}
		res, err := Run(t.Context(), o, Events{})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(res.Report.Counted(finding.Info, false)); got != want || len(res.Report.Idle) != want {
			t.Errorf("until %s: %d count, want %d; idle %v", expires, got, want, res.Report.Idle)
		}
	}
}
