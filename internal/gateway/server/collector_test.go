package server

import "testing"

func TestCollectorPercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 1000, 1 << 20: 1000, 16 << 20: 800, 64 << 20: 200, 128 << 20: 100, 4 << 30: 100,
	} {
		if got := collectorPercent(live); got != want {
			t.Errorf("collectorPercent(%d MiB) = %d, want %d", live>>20, got, want)
		}
	}
}

func TestMemoryLimit(t *testing.T) {
	if got := memoryLimit(80<<20, 512<<20); got != 400<<20 {
		t.Errorf("%d MiB, want 400", got>>20)
	}
}
