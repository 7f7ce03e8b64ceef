package server

import (
	"testing"
	"time"
)

func TestLogLinesAreBounded(t *testing.T) {
	var s sampled
	now := time.Unix(1_700_000_000, 0)
	logged := 0
	for range 1000 {
		if _, ok := s.may(now); ok {
			logged++
		}
	}
	if logged != linesPerSecond {
		t.Errorf("%d of 1000 lines in a second are logged, want %d", logged, linesPerSecond)
	}
	if more, ok := s.may(now.Add(time.Second)); !ok || more != 1000-linesPerSecond {
		t.Errorf("the next second's first line: %v, %d not logged", ok, more)
	}
}
