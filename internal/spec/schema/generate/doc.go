// Package generate makes values from compiled schemas: ones that fit, and near
// misses that break one keyword each.
//
// In: a schema, a source of randomness, Options. Out: values, each checked
// against the schema before it is handed out, so that nobody tests with a value
// that is not what it is said to be. The same source gives the same values.
//
// It must never loop or recurse without a bound: a schema that it finds no
// value for is an error, which does not prove that there is none.
package generate
