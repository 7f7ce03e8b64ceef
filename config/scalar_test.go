package config

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]Bytes{"0": 0, "512": 512, "64KiB": 64 << 10, "1 MiB": 1 << 20, "2GB": 2e9, "3kB": 3000, "5B": 5, " 7TiB ": 7 << 40} {
		if got, err := ParseBytes(in); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "KiB", "-1", "+1", "1.5MiB", "1 mega", "0x10", "9999999TiB", "1_000", "MiB1"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("%q is taken for %d", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := Bytes(rapid.Int64Min(0).Draw(t, "bytes"))
		if got, err := ParseBytes(want.String()); err != nil || got != want {
			t.Fatalf("%s is read as %d, %v; want %d", want, got, err, int64(want))
		}
	})
}

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{"0s": 0, "500ms": 500 * time.Millisecond, "1d": day, "1d12h": day + 12*time.Hour, "36500d": 36500 * day, "-5s": -5 * time.Second} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%q is %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "30", "d", "-1d", "1d-2h", "1.5d", "99999999999d", "1d1d", "soon"} {
		if got, err := ParseDuration(in); err == nil {
			t.Errorf("%q is taken for %s", in, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, int64(1000*day)).Draw(t, "duration"))
		if got, err := ParseDuration(formatDuration(want)); err != nil || got != want {
			t.Fatalf("%s is read as %s, %v", formatDuration(want), got, err)
		}
	})
}

func TestParsePrefix(t *testing.T) {
	for in, want := range map[string]string{"10.0.0.0/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "::1": "::1/128", "2001:db8::/32": "2001:db8::/32", "::ffff:192.0.2.7": "192.0.2.7/32"} {
		if got, err := parsePrefix(in); err != nil || got != netip.MustParsePrefix(want) {
			t.Errorf("%q is %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "10.0.0/8", "10.1.2.3/8", "fe80::1%eth0", "example.com", "10.0.0.0/33"} {
		if got, err := parsePrefix(in); err == nil {
			t.Errorf("%q is taken for %s", in, got)
		}
	}
}

func TestRate(t *testing.T) {
	for in, want := range map[string]struct {
		n   int
		per time.Duration
	}{"5/s": {5, time.Second}, "300/m": {300, time.Minute}, "1/h": {1, time.Hour}, "10 / d": {10, 24 * time.Hour}} {
		if n, per, err := (Rate{Rate: in}).Parse(); err != nil || n != want.n || per != want.per {
			t.Errorf("%q is %d in %s, %v", in, n, per, err)
		}
	}
	for _, in := range []string{"", "5", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "99999999/s"} {
		if _, _, err := (Rate{Rate: in}).Parse(); err == nil {
			t.Errorf("%q is taken for a rate", in)
		}
	}
}

// TestExpandLeavesTextAlone: only ${…} and $$ mean anything, and escaping undoes itself.
func TestExpandLeavesTextAlone(t *testing.T) {
	d := newDecoder("")
	d.env = func(string) (string, bool) { return "${NOT_EXPANDED_AGAIN}", true }
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		got, ok := d.expand("x", strings.ReplaceAll(want, "$", "$$"))
		if !ok || got != want {
			t.Fatalf("%q became %q", want, got)
		}
	})
	for in, want := range map[string]string{"a$b": "a$b", "^x$": "^x$", "${A}": "${NOT_EXPANDED_AGAIN}", "a${A}b${A}": "a${NOT_EXPANDED_AGAIN}b${NOT_EXPANDED_AGAIN}", "$${A}": "${A}", "$": "$"} {
		if got, ok := d.expand("x", in); !ok || got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"listen", "limits", "timeouts", "tls"}
	for in, want := range map[string]string{"lisen": "listen", "limit": "limits", "timeout": "timeouts", "tsl": "tls", "Listen": "listen", "colour": "", "x": ""} {
		if got := nearest(in, words); got != want {
			t.Errorf("%q is nearest to %q, want %q", in, got, want)
		}
	}
}

func TestByteOrderMarkAndLineEnds(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(minimal, "\n", "\r\n")
	if c := parse(t, text, Options{}); c.APIs[0].Name != "pets" {
		t.Errorf("name %q", c.APIs[0].Name)
	}
}
