// Package triage finds out, cheaply and exactly, that no rule of a rule set can
// match a request, so that the engine need not be asked.
//
// In: the rules as the engine has loaded them (their raw text), and for each
// request the texts that the engine would be given. Out: whether the engine must
// be asked, and because of which texts.
//
// Every rule that can count is turned into a condition that must hold for it to
// match: its pattern, behind its transformations, matches one of its targets.
// The patterns of all rules that look at the same kinds of texts are one automaton
// (package automaton), which reads once each different thing that transformations
// make of a text: on a plain text most of them leave it as it is. What it finds is then
// checked with the engine's own
// operators and transformations. Conditions on how a message travels (method,
// names and values of transport fields) are not evaluated at all: a combination
// that the engine has found silent once is remembered.
//
// RE2's sets (wasilibs/go-re2) did this before: three times slower on short texts,
// not exact on what is no UTF-8, and with memory that only finalizers give back.
//
// It may be wrong only towards asking too often: a rule that cannot be expressed
// and an automaton that gives up go to the engine. It must never take a rule for
// one that cannot match because it did not understand it.
package triage
