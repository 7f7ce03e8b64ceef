// Package schema compiles JSON Schemas once and validates decoded values
// against them on the hot path.
//
// In: schema documents as value trees, in the dialect of OpenAPI 2.0 and 3.0
// (close to draft 4) or 3.1 (draft 2020-12). Out: an immutable Schema whose
// Validate walks a value once, without allocating unless it finds a fault, and a
// list of Problems: each keyword that cannot be used is left out and reported,
// nothing is loosened in silence, and a $ref that leads nowhere accepts anything
// and is Fatal at its place, for the caller to decide.
//
// Beyond JSON Schema it knows what a gateway needs: the direction of the
// message (readOnly, writeOnly), who may write what (x-crenel-writable-by), and
// strict objects: a property that no applicable subschema declares is refused
// although JSON Schema would let it pass, which is what stops mass assignment
// (CWE-915). None of these changes which alternative of oneOf or anyOf applies.
//
// For other rooms it shows what it compiled: merged views, Rules, and Shapes,
// which say of a place in a body whether it is declared and whether its form
// alone makes it harmless, and which strip answers as they stream by (Filter).
//
// It must never fetch anything, never panic on any schema or value, and never
// let a pattern run, or work grow, without a limit: what cannot be decided in
// time is refused.
package schema
