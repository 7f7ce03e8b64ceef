//go:build unix

package main

import (
	"syscall"
	"time"
)

// worked is how long the process has had a core so far, collecting garbage too.
// Unlike the time on the clock it does not grow while others have the cores.
func worked() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it has no way to fail
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
