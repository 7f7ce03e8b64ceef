// Package trace says how an evaluation of a policy came about, for a person: the
// rules that held, the expressions that did not, and its steps in order.
//
// In: the events that OPA's tracer was told of one evaluation. Out: those of them
// that explain it, the deciding rule first and the shipped library's last.
//
// It must never be on the way of a call: tracing is an order of magnitude slower
// than deciding.
package trace
