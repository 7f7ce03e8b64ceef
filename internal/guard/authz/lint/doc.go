// Package lint finds what is wrong with a policy though it compiles.
//
// In: policies with their tests and data, the API's document and config. Out:
// Problems, each with a stable code, its place, why it matters and what would be
// right. OPA's own checker looks first, in strict mode and with the schema of the
// input, so that a misspelt field is found; then rules of what makes a policy
// allow more than its author meant.
//
// It must never change a policy, and never report what it cannot show the line of.
package lint
