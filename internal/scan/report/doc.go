// Package report writes what a scan found in the forms that people, pipelines
// and other tools read.
//
// In: a scan.Report, and for pictures its graph. Out: a summary for a terminal,
// SARIF 2.1.0, JUnit XML, Markdown for a pull request, one HTML page, HAR 1.2
// of the proofs, a Web Fuzzing Commons report, and the difference of two
// reports.
//
// Every text of a report may come from the target: it must never be obeyed by
// what shows it, be that a terminal, a browser, a Markdown renderer or an XML
// reader. A page must never ask the network for anything. No form may leave out
// that a run ended early, or which operations it did not reach.
package report
