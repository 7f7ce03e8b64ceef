package server

import (
	"os"
	"runtime"
	"runtime/debug"
)

// headroom is how much garbage may gather before it is collected. The gateway's
// live heap is small and its requests make much short-lived garbage: with Go's
// default (as much garbage as there is live heap) it would collect many times a
// second, for about a tenth of its processor time.
const headroom = 128 << 20

// tuneCollector sets the collector so that it starts after headroom bytes of
// garbage, whatever the live heap is, and gives back to the system what loading
// a config took. From half of what bodies may take (limits.memory) on, it collects
// as often as it must to keep what the process takes in bounds: an attack makes much
// garbage, which else would stay the process's. GOGC and GOMEMLIMIT, when set, are
// the operator's word.
func tuneCollector(bodies int64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent(m.HeapAlloc))
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(m.HeapAlloc, bodies))
	}
	debug.FreeOSMemory()
}

// memoryLimit is what the heap, its garbage and stacks may take before the
// collector runs all the time it may.
func memoryLimit(live uint64, bodies int64) int64 { return int64(live) + headroom/2 + bodies/2 }

// collectorPercent is how much garbage, in percent of the live heap, is headroom.
func collectorPercent(live uint64) int {
	const least, most = 100, 1000
	return int(min(max(headroom*100/max(live, 1<<20), least), most))
}
