// Package triage finds out, cheaply and exactly, that no rule of a rule set can
// match a request, so that the engine need not be asked.
//
// In: the rules as the engine has loaded them (their raw text), and for each
// request the texts that the engine would be given. Out: whether the engine must
// be asked, and because of which texts.
//
// Every rule that can count is turned into a condition that must hold for it to
// match: its pattern, behind its transformations, matches one of its targets.
// The patterns of rules with like transformations are one RE2 set, scanned in
// one pass over all texts of a request joined by line ends; joining can only make
// more match. What a set finds is then checked text by text with the engine's own
// operators and transformations. Conditions on how a message travels (method,
// names and values of transport fields) are not evaluated at all: a combination
// that the engine has found silent once is remembered.
//
// It may be wrong only towards asking too often: a rule that cannot be expressed,
// a text that is not valid UTF-8, a set that gives up, all go to the engine. It
// must never take a rule for one that cannot match because it did not
// understand it.
package triage
