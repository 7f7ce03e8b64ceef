// Package guard runs an API's guards over an exchange, step by step.
//
// In: the Steps of all guards in the order of the walk, and for each API and
// operation the mode of each guard. Out: for a phase of an exchange one Verdict,
// with every step's ruling recorded on the Exchange.
//
// A Step is one guard's work in one phase. The first enforced denial ends the
// run. A guard that is only monitored is run and recorded, and never ends it. A
// guard that cannot decide denies unless its config says fail: open, and a guard
// that panics denies always.
//
// The chain must never let a request pass because something inside failed, and
// guards must never import one another: what one learns and another needs
// travels on the Exchange.
package guard
