// Package failclosed shows what becomes of a request when a limit is reached or
// something that the gateway leans on fails: one table, each row of which is run
// as a test against a real gateway, and from which docs/fail-closed.md is made
// (go test ./test/failclosed -update).
//
// In: for each row a config, a request, and what is broken. Out: the status, the
// code, and whether the upstream was called. No row may end with an answer of the
// upstream that was not checked, or with a call of it that was not ruled on.
package failclosed

//go:generate go test . -run ^TestDocument$ -update
