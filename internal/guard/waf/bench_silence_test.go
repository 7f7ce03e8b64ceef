package waf

import (
	"strconv"
	"syscall"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
)

// small is a JSON POST of about 240 bytes whose texts are each request's own.
func small(b testing.TB, n int) *exchange.Exchange {
	s := strconv.Itoa(n)
	return request(b, 0, "", `{"title":"A plain note `+s+`","text":"Meet at 10, bring the blue folder `+s+`","owner":"alice`+s+`@example.com","tags":["home","todo `+s+
		`"],"due":"2026-01-02","ref":"7f3c2d1e-aaaa-4bbb-8ccc-1234567890ab","n":12,"address":"`+s+` Main Street, Springfield"}`,
		"Authorization", "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImlzcyI6Imh0dHBzOi8vaWQuZXhhbXBsZSIsImF1ZCI6ImFwaSIsImV4cCI6MTk5OTk5OTk5OX0.c2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJlc2lnbmF0dXJl")
}

// BenchmarkSilent is what the guard costs where no rule matches. In "new" no text
// of a body has been seen before.
func BenchmarkSilent(b *testing.B) {
	for _, c := range []struct {
		name   string
		bodies int
	}{{"new", 200_000}, {"seen", 1}} {
		b.Run(c.name, func(b *testing.B) {
			g := at(b, 1)
			all := make([]*exchange.Exchange, 0, 4096)
			n := 0
			refill := func() {
				all = all[:0]
				for range cap(all) {
					all = append(all, small(b, n%c.bodies))
					n++
				}
			}
			refill()
			g.rule(b.Context(), all[0])
			b.ReportAllocs()
			b.ResetTimer()
			var spent int64
			from := cpuTime(b)
			for i := 0; i < b.N; i++ {
				if i%len(all) == 0 && i > 0 {
					b.StopTimer()
					spent += cpuTime(b) - from
					refill()
					from = cpuTime(b)
					b.StartTimer()
				}
				if v := g.rule(b.Context(), all[i%len(all)]); v.Action != exchange.Allow {
					b.Fatal(v)
				}
			}
			spent += cpuTime(b) - from
			b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is what the process has used of processors, in nanoseconds: what other
// programs leave over does not show in it.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
