// Package source turns whatever describes an API into a spec.API: an OpenAPI
// document (2.0, 3.0, 3.1) however sloppy, a Postman collection, a HAR file, a
// page that shows one of them, or nothing but an address to look at.
//
// In: a file, an address, or bytes; a function that fetches, given by the
// caller, so that its scope and budget hold. Out: the API, what kind of source
// it was, every repair with its place, and every address that was looked at.
//
// Captures (Postman, HAR) become an OpenAPI 3.1 document and take the same road
// as any other. A repair reads what the author evidently meant; what cannot be
// told is left as it is, for package spec to report. It must never fetch but by
// the caller's function, never leave the origin that it was given, never keep a
// credential of a capture, and never panic on any bytes.
package source
