// Package spec turns OpenAPI documents (2.0, 3.0, 3.1) into one immutable model
// of an API that every room reads: the guards enforce it, the scanner attacks
// it, the inventory compares traffic with it.
//
// In: documents in YAML or JSON, one file or several. Out: an API with a router,
// typed parameters, compiled schemas, security requirements, object references,
// owner fields and data classes, and a list of every problem with its place.
//
// Documents in the wild are dirty: what can be loaded safely is loaded, the rest
// is reported, and nothing is loosened in silence. It must never panic on any
// document, never fetch a remote reference unless told to, and never make
// routing cost more than the length of the path.
//
// It reads the documents' trees itself. getkin/kin-openapi would load them too,
// but refuses a whole document for one bad field, knows no lines, and keeps
// nothing of what it could not type; here it is the tests' oracle.
package spec
