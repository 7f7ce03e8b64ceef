// Package scantest holds a small API with a hole that can be open or closed, for
// the tests of what goes round a scan: its reports, its files, its commands.
//
// In: requests. Out: answers of notes that people sign up for, log in for and
// keep. It must stay so small that a whole scan of it takes a moment, and is no
// measure of what the scanner finds.
package scantest
