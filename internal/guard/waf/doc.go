// Package waf judges a request's values as the OWASP Core Rule Set does, with
// Coraza as its engine, in process; and refuses URLs that point into a private
// network (server-side request forgery).
//
// In: the values that the gateway has decoded already (path, query, headers,
// cookies, body leaves with their JSON pointers). Out: a Verdict waf.attack that
// names the rules, the anomaly score and the field that scored highest, or
// waf.ssrf.
//
// Nothing is parsed a second time: Coraza gets each decoded value as an argument
// and never sees a body. What CRS says of the transport (methods, content types,
// missing headers) is answered by the contract and the data plane, so CRS is told
// what these have already allowed.
//
// Config chooses between two inspections: exact is the rule set's own verdict on
// everything; tuned leaves out what the contract has settled, judges each value by
// itself and weighs rules by their class and by what they read (tuned.go).
//
// Its cost is bounded before it is spent: a value, a number of values or an
// estimated time beyond the limits refuses the request. It must never drop a
// value in silence, never record what a value held, and never let pass what it
// could not inspect.
package waf
