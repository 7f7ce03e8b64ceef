// Package smuggling holds raw-socket tests: bytes on which HTTP parsers disagree
// are sent to the real data plane, and an upstream records what reaches it.
//
// Every row says what becomes of one shape: refused, with its status, or passed
// on, with the exact bytes that the upstream saw. Nothing of the shape itself may
// ever reach the upstream (CWE-444).
package smuggling
