package scan

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
)

func prints(list []*finding.Finding) []string {
	var out []string
	for _, f := range list {
		out = append(out, f.Check+" "+f.Method+" "+f.Path+" "+f.Where)
	}
	slices.Sort(out)
	return out
}

func attackRequests(r *Report) int64 {
	for _, p := range r.Stats.Phases {
		if p.Name == "attack" {
			return p.Requests
		}
	}
	return 0
}

// A run that is broken off again and again finds what one that is not finds, and
// does not send again what it has done.
func TestResume(t *testing.T) {
	t.Parallel()
	options := func() *Options {
		srv := httptest.NewServer(newLedger(true))
		t.Cleanup(srv.Close)
		spec := filepath.Join(t.TempDir(), "api.yaml")
		if err := os.WriteFile(spec, []byte(ledgerSpec), 0o600); err != nil {
			t.Fatal(err)
		}
		return &Options{Spec: spec, Target: srv.URL, Seed: 1, Checks: ledgerChecks}
	}
	whole := scanned(t, options()).Report
	before := whole.Stats.Requests - attackRequests(whole)

	o := options()
	o.Resume = filepath.Join(t.TempDir(), "run.journal")
	var last *Report
	var attacked int64
	parts := 1
	for ; parts < 20; parts++ {
		o.Limits.MaxRequests = before + 150
		o.Seed = 1
		if parts > 1 {
			o.Seed = 0 // the journal knows
		}
		res, err := Run(t.Context(), o, Events{})
		if err != nil {
			t.Fatal(err)
		}
		last = res.Report
		attacked += attackRequests(last)
		for _, f := range last.Findings {
			if f.Evidence == nil || f.Reproduce == "" {
				t.Errorf("a finding was kept without its proof: %s", f.Title)
			}
		}
		if len(res.Proofs) != len(last.Findings) {
			t.Errorf("%d proofs of %d findings", len(res.Proofs), len(last.Findings))
		}
		if last.Ended == "" {
			break
		}
		if parts == 1 && last.Earlier != nil || parts > 1 && (last.Earlier == nil || len(last.Earlier.Runs) != parts-1 || last.Earlier.Requests == 0) {
			t.Errorf("part %d: earlier %+v", parts, last.Earlier)
		}
		// Kill -9 in the middle of a line.
		f, err := os.OpenFile(o.Resume, os.O_APPEND|os.O_WRONLY, 0)
		if err == nil {
			_, err = f.WriteString(`{"did":{"check":"bola-re`)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if last.Ended != "" || parts < 2 || last.Seed != 1 {
		t.Fatalf("after %d parts: %q, seed %d", parts, last.Ended, last.Seed)
	}
	if got, want := prints(last.Findings), prints(whole.Findings); !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	// What was under way when a part ended is sent again: at most what eight
	// elements had sent by then.
	t.Logf("%d parts, %d requests of attacks; whole %d", parts, attacked, attackRequests(whole))
	if attacked > attackRequests(whole)*2 {
		t.Errorf("%d requests of attacks in parts, %d in one run", attacked, attackRequests(whole))
	}
	secrets := []string{`"password":"`, "Bearer "}
	text, err := os.ReadFile(o.Resume)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if bytes.Contains(text, []byte(s)) {
			t.Errorf("the journal holds %s", s)
		}
	}
	if info, err := os.Stat(o.Resume); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}

	// It came to its end: the next run begins anew.
	o.Limits.MaxRequests = 0
	if r := scanned(t, o).Report; r.Earlier != nil {
		t.Errorf("a run that was done was resumed: %+v", r.Earlier)
	}
}

func TestJournalOfAnother(t *testing.T) {
	name := filepath.Join(t.TempDir(), "j")
	b := beginning{Format: 1, Run: "r1", Target: "http://a", Spec: "s", Mode: "default", Seed: 4}
	j, err := openJournal(name, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.close(false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(b *beginning)
		want   string
	}{
		{func(b *beginning) { b.Target = "http://b" }, `its target was "http://a", this one's is "http://b"`},
		{func(b *beginning) { b.Mode = "safe" }, "its mode was"},
		{func(b *beginning) { b.Spec = "t" }, "the description has changed"},
		{func(b *beginning) { b.Seed = 5 }, "begun with --seed 4"},
		{func(b *beginning) { b.Format = 2 }, "its format was"},
	} {
		other := b
		c.change(&other)
		if _, err := openJournal(name, other); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if err := os.WriteFile(name, []byte("openapi: 3.0.0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(name, b); !errors.Is(err, ErrJournal) || !strings.Contains(err.Error(), "no journal") {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "openapi: 3.0.0\n" {
		t.Errorf("a file that is no journal was written to: %q %v", text, err)
	}
	dir := t.TempDir()
	if j, err = openJournal(dir, b); err != nil {
		t.Fatal(err)
	}
	if err := j.close(true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, journalName)); err != nil {
		t.Error(err)
	}
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"begin":{"format":1,"run":"a","target":"t","spec":"s","mode":"default","seed":1}}` + "\n" + `{"did":{"check":"c","part":"whole"}}` + "\n" + `{"figure":{"run":"a","requests":3}}` + "\n" + `{"cell":{"check":`))
	f.Add([]byte(`{"proof":{}}` + "\n"))
	f.Add([]byte(`{"begin":{"format":1,"target":"t","spec":"s","mode":"default"}}` + "\n" + `{"whole":true}` + "\n"))
	b := beginning{Format: 1, Target: "t", Spec: "s", Mode: "default"}
	f.Fuzz(func(t *testing.T, data []byte) {
		j := newJournal()
		keep, err := j.read(data, b)
		if err != nil {
			return
		}
		if keep < 0 || keep > int64(len(data)) || keep > 0 && data[keep-1] != '\n' {
			t.Fatalf("keeps %d of %d bytes", keep, len(data))
		}
		again := newJournal()
		if kept, err := again.read(data[:keep], b); err != nil || kept != keep || len(again.done) != len(j.done) || len(again.proofs) != len(j.proofs) {
			t.Fatalf("what was kept reads otherwise: %v", err)
		}
	})
}
