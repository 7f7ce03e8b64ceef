package wire

import (
	"bytes"
	"testing"
	"time"
)

// frame is the head of a frame with a payload of zeros.
func frame(kind, flags byte, size int) []byte {
	return append([]byte{byte(size >> 16), byte(size >> 8), byte(size), kind, flags, 0, 0, 0, 1}, make([]byte, size)...)
}

func TestFrames(t *testing.T) {
	open, reset := frame(frameHeaders, flagEndHeaders|flagEnd, 40), frame(frameReset, 0, 4)
	repeat := func(n int, list ...[]byte) []byte { return bytes.Repeat(bytes.Join(list, nil), n) }
	for name, c := range map[string]struct {
		sent []byte
		bad  bool
	}{
		"requests":                     {repeat(5000, open), false},
		"requests with bodies":         {repeat(500, frame(frameHeaders, flagEndHeaders, 40), frame(frameData, 0, 16384), frame(frameData, flagEnd, 0)), false},
		"a page that is closed":        {append(repeat(100, open), repeat(100, reset)...), false},
		"one in four is cancelled":     {repeat(1000, open, open, open, open, reset), false},
		"rapid reset":                  {repeat(101, open, reset), true},
		"rapid reset among requests":   {repeat(400, open, reset, open, reset, open, reset, open), true},
		"a large head in three frames": {append(frame(frameHeaders, flagEnd, 16384), append(frame(frameContinuation, 0, 16384), frame(frameContinuation, flagEndHeaders, 100)...)...), false},
		"continuation flood":           {append(frame(frameHeaders, 0, 1), repeat(40, frame(frameContinuation, 0, 1))...), true},
		"a head of a megabyte":         {append(frame(frameHeaders, 0, 16384), repeat(30, frame(frameContinuation, 0, 16384))...), true},
		"empty frames":                 {append(frame(frameHeaders, flagEndHeaders, 20), repeat(1100, frame(frameData, 0, 0))...), true},
		"pings":                        {repeat(1100, frame(framePing, 0, 8)), true},
		"some pings":                   {repeat(100, frame(framePing, 0, 8), open), false},
		"settings":                     {repeat(1100, frame(frameSettings, 0, 6)), true},
	} {
		t.Run(name, func(t *testing.T) {
			sent := append(bytes.Repeat([]byte("P"), preface), c.sent...)
			now := time.Unix(1_700_000_000, 0)
			whole := frames2{most: 80 << 10}
			fault := whole.feed(sent, now)
			if (fault != "") != c.bad {
				t.Fatalf("says %q", fault)
			}
			for _, size := range []int{1, 7, 1000} { // however it falls into reads
				pieces, got := frames2{most: 80 << 10}, ""
				for rest := sent; len(rest) > 0 && got == ""; {
					n := min(size, len(rest))
					got = pieces.feed(rest[:n], now)
					rest = rest[n:]
				}
				if got != fault {
					t.Fatalf("in pieces of %d: %q, whole %q", size, got, fault)
				}
			}
		})
	}
}

// What is much in ten seconds is little in an hour.
func TestFramesForget(t *testing.T) {
	f := frames2{}
	now := time.Unix(1_700_000_000, 0)
	if fault := f.feed(bytes.Repeat([]byte("P"), preface), now); fault != "" {
		t.Fatal(fault)
	}
	for range 5000 {
		now = now.Add(time.Second)
		if fault := f.feed(append(frame(frameHeaders, flagEndHeaders|flagEnd, 40), frame(frameReset, 0, 4)...), now); fault != "" {
			t.Fatal(fault)
		}
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, sent []byte, cut int) {
		now := time.Unix(1_700_000_000, 0)
		var whole, pieces frames2
		want := whole.feed(sent, now)
		cut = min(max(cut, 0), len(sent))
		got := pieces.feed(sent[:cut], now)
		if got == "" {
			got = pieces.feed(sent[cut:], now)
		}
		if got != want {
			t.Fatalf("whole %q, in pieces %q", want, got)
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	sent := bytes.Repeat(append(frame(frameHeaders, flagEndHeaders, 60), frame(frameData, flagEnd, 240)...), 10)
	var f frames2
	now := time.Now()
	f.feed(make([]byte, preface), now)
	b.ReportAllocs()
	for b.Loop() {
		f.feed(sent, now)
	}
}
