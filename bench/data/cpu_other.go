//go:build !unix

package main

import "time"

var begun = time.Now()

// worked is the time on the clock, where no better is to be had.
func worked() time.Duration { return time.Since(begun) }
