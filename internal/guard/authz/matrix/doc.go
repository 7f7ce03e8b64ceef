// Package matrix derives who may do what: a table of actor × operation ×
// relation to the object, filled in by asking the policies.
//
// In: an API's document, its authz config and the policies with their data. Out:
// a Matrix, for a person to confirm once and for git to keep, and the cells in
// which two of them differ.
//
// The calls it asks about are made up: parameters and bodies by the document's
// schemas, callers by the roles and scopes that document, config and policies
// name, ownership by what the policies look at (owners in paths and bodies,
// tables of data, claims, answers). The upstream is never called. A cell that
// depends on more than that says on what; it must never be filled with a guess.
package matrix
