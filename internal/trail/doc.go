// Package trail keeps the record of every exchange: one append-only file of
// JSON lines, a Decision written before the first byte of an answer and a
// Completion after the last.
//
// In: Decisions and Completions of exchanges that Admit let in. Out: the event
// file and its rotated predecessors, and a reader over them (Find). Copies that
// may be lost, such as metrics and the control socket's feed, are not its own:
// the gateway's Observer gets them.
//
// Callers encode their own record and append it to the pending batch; one writer
// goroutine swaps the batch out and writes it whole. In strict audit Decide
// returns only after the batch that holds the record is synced to disk, so the
// cost of one fsync is shared by all who wait (group commit).
//
// The state machine of the writer: writing ⇄ failing → closed. While failing,
// Admit refuses, strict Decide errors, and what is queued is kept and written
// when the disk takes it again.
//
// It must never drop the record of an admitted exchange, never split or reorder
// the two records of one, and never write to a file that another process writes.
package trail
