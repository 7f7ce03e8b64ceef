package finding

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPrint(t *testing.T) {
	a := Print("bola-read", "get", "/orders/{id}", "path.id")
	if b := Print("bola-read", "GET", "/orders/{id}", "path.id"); a != b {
		t.Errorf("the method's case changes the fingerprint: %s, %s", a, b)
	}
	if len(a) != 32 {
		t.Errorf("fingerprint %q: want 32 digits", a)
	}
	// Neighbouring parts must not run into one another.
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.StringMatching(`[A-Z:,0-9]{0,4}`), 4, 4).Draw(t, "x")
		y := rapid.SliceOfN(rapid.StringMatching(`[A-Z:,0-9]{0,4}`), 4, 4).Draw(t, "y")
		same := Print(x[0], x[1], x[2], x[3]) == Print(y[0], y[1], y[2], y[3])
		if same != cmp.Equal(x, y) {
			t.Fatalf("%q and %q: same fingerprint is %v", x, y, same)
		}
	})
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		vector string
		want   Severity
	}{
		{"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", Critical},
		{"CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N", High},
		{"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N", Medium},
		{"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", Info},
	} {
		score, got, err := Rate(c.vector)
		if err != nil || got != c.want {
			t.Errorf("Rate(%s) = %v, %s, %v; want %s", c.vector, score, got, err, c.want)
		}
	}
	if _, _, err := Rate("CVSS:3.1/AV:N"); err == nil {
		t.Error("a vector of version 3.1 was taken")
	}
}

func TestBaselineAndSuppressions(t *testing.T) {
	known, fresh := &Finding{Fingerprint: strings.Repeat("a", 32)}, &Finding{Fingerprint: strings.Repeat("b", 32)}
	b, err := ReadBaseline(strings.NewReader(`{"tool":"x","findings":[{"fingerprint":"` + known.Fingerprint + `"},{"fingerprint":"gone"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	gone := b.Mark([]*Finding{known, fresh})
	if *known.New || !*fresh.New || len(gone) != 1 || gone[0].Fingerprint != "gone" {
		t.Errorf("known new: %v, fresh new: %v, gone: %v", *known.New, *fresh.New, gone)
	}
	if _, err := ReadBaseline(strings.NewReader(`{"findings":[{}]}`)); err == nil {
		t.Error("a finding without a fingerprint was taken")
	}

	day := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	idle := Suppress([]*Finding{known, fresh}, []Suppression{
		{Fingerprint: known.Fingerprint, Reason: "accepted", Expires: "2026-11-23"},
		{Fingerprint: fresh.Fingerprint, Reason: "accepted", Expires: "2026-11-22"},
	}, day)
	if known.Suppressed == nil || fresh.Suppressed != nil || len(idle) != 1 {
		t.Errorf("suppressed: %v, %v; idle %v; want the first, not the second, one idle", known.Suppressed, fresh.Suppressed, idle)
	}
	for _, bad := range []Suppression{
		{},
		{Fingerprint: known.Fingerprint},
		{Fingerprint: known.Fingerprint, Reason: "r"},
		{Fingerprint: known.Fingerprint, Reason: "r", Expires: "soon"},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestSort(t *testing.T) {
	list := []*Finding{{Severity: Low, Path: "/a"}, {Severity: Critical, Path: "/b"}, {Severity: Critical, Path: "/a"}}
	Sort(list)
	if list[0].Path != "/a" || list[1].Path != "/b" || list[2].Severity != Low {
		t.Errorf("order: %+v %+v %+v", list[0], list[1], list[2])
	}
}
