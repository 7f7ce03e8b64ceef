package waf

import (
	"strconv"
	"strings"
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

// large is a JSON POST of about 10 KB whose texts are each request's own.
func large(b testing.TB, n int) *exchange.Exchange {
	var body strings.Builder
	body.WriteString(`{"items":[`)
	for i := 0; body.Len() < 10_000; i++ {
		if i > 0 {
			body.WriteByte(',')
		}
		s := strconv.Itoa(n*1000 + i)
		body.WriteString(`{"title":"A plain note ` + s + `","text":"Meet at 10, bring the blue folder ` + s + ` and the keys of the old shed","n":7}`)
	}
	body.WriteString(`]}`)
	return request(b, 0, "", body.String())
}

// prose is a JSON POST of about 10 KB of texts as people write them, each request's own.
func prose(b testing.TB, n int) *exchange.Exchange {
	texts := []string{
		"It's the third time (since May) that the lamp in room # flickers; could someone have a look?",
		"Delivered to 12 Main Street, Springfield - left with the neighbour at 9:30. Order #.",
		`She said "see you on Monday" and took parcel # along.`,
		"Überraschung: Zoë bekommt # Äpfel, 50 % davon rot.",
		"Photos are at https://photos.example.com/albums/#/cover.jpg, the password isn't needed.",
		"alice.#@example.com", "Mon/Tue/Wed, 24/7, and/or on call", "C# & Go: notes on lesson #",
	}
	var body strings.Builder
	body.WriteString(`{"items":[`)
	for i := 0; body.Len() < 10_000; i++ {
		if i > 0 {
			body.WriteByte(',')
		}
		text := strings.ReplaceAll(texts[i%len(texts)], "#", strconv.Itoa(n*1000+i))
		body.WriteString(`{"text":` + strconv.Quote(text) + `,"n":7}`)
	}
	body.WriteString(`]}`)
	return request(b, 0, "", body.String())
}

// get is a GET without arguments whose path is its own.
func get(b testing.TB, n int) *exchange.Exchange {
	x := path(b, strconv.Itoa(n))
	x.Request.RawPath = "/notes/" + strconv.Itoa(n)
	x.Request.Path = x.Request.RawPath
	return x
}

// The cost of a plain request must stay where it is: what allocates shows in every
// other request, too.
func TestSilentAllocates(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector allocates")
	}
	g := at(t, 1)
	const runs = 200
	list := make([]*exchange.Exchange, 0, runs+2)
	for i := range cap(list) {
		list = append(list, small(t, 1_000_000+i))
	}
	n := 0
	next := func() {
		if v := g.rule(t.Context(), list[n]); v.Action != exchange.Allow {
			t.Fatal(v)
		}
		n++
	}
	next()
	if got := testing.AllocsPerRun(runs, next); got > 20 {
		t.Errorf("%.0f allocations for a request whose texts are new, at most 20 are wanted", got)
	}
}

// BenchmarkSilent is what the guard costs where no rule matches. In "new" no text
// of a body has been seen before, nor in "10KB".
func BenchmarkSilent(b *testing.B) {
	for _, c := range []struct {
		name   string
		bodies int
		make   func(testing.TB, int) *exchange.Exchange
	}{{"new", 200_000_000, small}, {"seen", 1, small}, {"10KB", 200_000_000, large}, {"10KB-prose", 200_000_000, prose}, {"GET", 200_000_000, get}} {
		b.Run(c.name, func(b *testing.B) {
			g := at(b, 1)
			all := make([]*exchange.Exchange, 0, min(b.N+1, 1024))
			refill := func() {
				all = all[:0]
				for range cap(all) {
					all = append(all, c.make(b, drawn%c.bodies))
					drawn++
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

// drawn counts requests over all runs, so that a new text is one.
var drawn int

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
