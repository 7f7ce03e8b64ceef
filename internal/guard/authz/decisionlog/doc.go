// Package decisionlog keeps the decisions of the authz guard, each with all that
// it was made on, so that it can be made again: with another policy, without a
// scope, or with a trace for a person who asks why.
//
// In: Entries, handed over by the guard without waiting. Out: a folder of sealed
// segments and a Reader over them; events in Open Policy Agent's decision log
// format (EventV1), masked, for an export or a log server (Sink).
//
// What lies on disk is whole and sealed: XChaCha20-Poly1305 under a key of the
// segment's own, derived (HKDF-SHA-256) from a key of the config. A chunk that
// was changed, moved, copied or left out is found, and so is a segment that is
// missing between others, cut short, or missing at the end: a sealed head file
// says how far the log had come when it was last synced. Whoever can write to the
// folder can put all of it back to an earlier state; what has left by export or
// Sink shows that, and nothing in the folder can.
//
// One goroutine writes. Its state machine: writing ⇄ failing → closed. While it
// fails (the disk is full) it tries again every second, the queue fills, and what
// does not fit is counted and the count written, or the calls are refused: as the
// config says. It never holds a call up, never keeps more than its bounds in
// memory, never writes a secret outside a sealed segment, and never lets an event
// leave that could not be masked.
package decisionlog
