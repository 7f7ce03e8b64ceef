// Package mutation finds the rules of a policy that no test would miss.
//
// In: policies with their tests and data, and what a matrix is derived from. Out:
// for every small change of the policy (a condition dropped or negated, a
// comparison or a literal changed, a rule or an obligation removed) whether the
// policy's own tests or the matrix tell it from the policy as written.
//
// It changes copies of the parsed rules in memory, and must never touch a file
// or a policy that decides. What was not tried for lack of time is said to be so,
// and counts as neither.
package mutation
