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
// a config took. GOGC, when set, is the operator's word.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		debug.SetGCPercent(collectorPercent(m.HeapAlloc))
	}
	debug.FreeOSMemory()
}

// collectorPercent is how much garbage, in percent of the live heap, is headroom.
func collectorPercent(live uint64) int {
	const least, most = 100, 1000
	return int(min(max(headroom*100/max(live, 1<<20), least), most))
}
