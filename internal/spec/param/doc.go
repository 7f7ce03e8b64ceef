// Package param reads parameters from a request, and writes them into one, by
// the styles of OpenAPI (3.0 and 3.1, and 2.0's collection formats).
//
// In: a declared parameter and where requests carry values: path variables,
// query pairs, headers, cookies. Out: one value tree, its texts typed by the
// parameter's schema, which then judges it; or why there can be none.
//
// Text is percent-decoded before it is taken apart, as nearly all frameworks
// do, so an encoded delimiter is a delimiter: "a%2Cb" is two elements of a list.
// A single value that came twice is an error and never a choice, since servers
// choose differently (CWE-235).
//
// It must never put a value into an error, and never read what no limit bounds.
package param
