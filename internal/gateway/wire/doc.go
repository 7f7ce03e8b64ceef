// Package wire watches the raw bytes of HTTP/1 connections and stops what
// net/http would silently repair or read in one of several ways.
//
// In: an accepted (and, with TLS, decrypted) net.Conn. Out: the same bytes to
// net/http as long as every request on the connection has exactly one reading:
// lines end in CRLF, no folded fields, one Content-Length of digits or one
// Transfer-Encoding "chunked" and never both, one Host, chunks as RFC 9112 has
// them. At the first fault the rest of the connection is replaced by bytes that
// net/http itself refuses, so that answers to earlier pipelined requests still
// come in order; its plain refusal is then sent as a problem document.
//
// Why: a proxy in front may have read the same bytes otherwise, and what it took
// for a body we would take for a request (CWE-444). It must never let a fault
// pass because of how the bytes fell into reads, and never hold a body.
package wire
