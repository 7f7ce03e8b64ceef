// Package race tells tests whether the race detector is on. With it a program takes
// five to ten times as long: what runs whole without it may run in part with it.
package race
