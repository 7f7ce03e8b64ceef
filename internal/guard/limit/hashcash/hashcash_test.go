package hashcash

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestProofOfWork(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	clock := func() time.Time { return now }
	i := NewIssuer([]byte("0123456789abcdef0123456789abcdef"), time.Minute, clock)
	c := i.Challenge(10, "login", []byte("192.0.2.1"))
	answer, err := Solve(c)
	if err != nil {
		t.Fatal(err)
	}
	number, end, err := i.Verify(answer, "login", []byte("192.0.2.1"), 10)
	if err != nil || number == "" || !end.Equal(now.Add(time.Minute)) {
		t.Fatalf("%q until %s: %v", number, end, err)
	}
	var wrong string
	for n := 0; ; n++ { // an answer that took no work
		wrong = c + "." + strings.Repeat("x", n%60+1)
		if _, _, err := i.Verify(wrong, "login", []byte("192.0.2.1"), 10); err != nil {
			break
		}
	}
	easy, _ := Solve(i.Challenge(1, "login", []byte("192.0.2.1")))
	other := NewIssuer([]byte("another key 89abcdef0123456789ab"), time.Minute, clock)
	for name, err := range map[string]struct {
		want error
		run  func() error
	}{
		"no work":         {ErrCheap, func() error { _, _, err := i.Verify(wrong, "login", []byte("192.0.2.1"), 10); return err }},
		"an easier one":   {ErrCheap, func() error { _, _, err := i.Verify(easy, "login", []byte("192.0.2.1"), 10); return err }},
		"another purpose": {ErrForeign, func() error { _, _, err := i.Verify(answer, "order", []byte("192.0.2.1"), 10); return err }},
		"another client":  {ErrForeign, func() error { _, _, err := i.Verify(answer, "login", []byte("192.0.2.2"), 10); return err }},
		"another gateway": {ErrForeign, func() error { _, _, err := other.Verify(answer, "login", []byte("192.0.2.1"), 10); return err }},
		"the difficulty changed": {ErrForeign, func() error {
			b := []byte(answer)
			b[2] ^= 1
			_, _, err := i.Verify(string(b), "login", []byte("192.0.2.1"), 1)
			return err
		}},
		"nothing":           {ErrMalformed, func() error { _, _, err := i.Verify("", "login", nil, 0); return err }},
		"no solution":       {ErrMalformed, func() error { _, _, err := i.Verify(c+".", "login", nil, 0); return err }},
		"a long one":        {ErrMalformed, func() error { _, _, err := i.Verify(c+"."+strings.Repeat("x", 65), "login", nil, 0); return err }},
		"a challenge alone": {ErrMalformed, func() error { _, _, err := i.Verify(c, "login", nil, 0); return err }},
	} {
		if got := err.run(); !errors.Is(got, err.want) {
			t.Errorf("%s: %v, want %v", name, got, err.want)
		}
	}
	now = now.Add(time.Minute)
	if _, _, err := i.Verify(answer, "login", []byte("192.0.2.1"), 10); !errors.Is(err, ErrLate) {
		t.Errorf("too late: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	// Each of the fuzzer's processes has a key of its own: an answer to a challenge
	// of another's is made up, too.
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	i := NewIssuer(key, time.Minute, nil)
	c := i.Challenge(4, "p", []byte("b"))
	answer, _ := Solve(c)
	f.Add(answer)
	f.Add(c + ".x")
	f.Fuzz(func(t *testing.T, s string) {
		if _, _, err := i.Verify(s, "p", []byte("b"), 4); err == nil && !strings.HasPrefix(s, c) {
			t.Fatalf("%q holds", s)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	i := NewIssuer([]byte("0123456789abcdef0123456789abcdef"), time.Minute, nil)
	answer, _ := Solve(i.Challenge(8, "p", []byte("b")))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := i.Verify(answer, "p", []byte("b"), 8); err != nil {
			b.Fatal(err)
		}
	}
}
