// Package automaton finds out in one pass over a text which of many regular
// expressions match it.
//
// In: expressions as package regexp reads them, and texts. Out: the expressions
// that match, the very ones that regexp would say, on any bytes: what is no UTF-8
// is read as U+FFFD, or, by request, each byte as a character.
//
// The expressions' programs (regexp/syntax) are run side by side; the sets of places
// they can be in are states, made when a text first leads to them and kept. So a
// byte of a text costs one look into a table, nothing is allocated, and nobody waits
// for anybody who only reads. How many states are kept and how many one text may
// make is bounded; a text that would make more is given up, and it is for the caller
// to decide otherwise about it. It must never report less than matches.
package automaton
