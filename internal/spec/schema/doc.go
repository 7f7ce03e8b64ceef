// Package schema compiles JSON Schemas once and validates decoded values
// against them on the hot path.
//
// In: schema documents as value trees, in the dialect of OpenAPI 3.0 (close to
// draft 4) or 3.1 (draft 2020-12). Out: an immutable Schema whose Validate walks
// a value once, without allocating unless it finds a fault.
//
// Beyond JSON Schema it knows what a gateway needs: the direction of the
// message (readOnly, writeOnly), and strict objects: a property that no
// applicable subschema declares is refused although JSON Schema would let it
// pass, which is what stops mass assignment (CWE-915).
//
// It must never fetch anything, never panic on any schema or value, and never
// let a pattern run without a time limit.
package schema
