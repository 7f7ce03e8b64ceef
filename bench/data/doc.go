// Command data measures policies on much relation data: plain OPA with both of
// its stores in memory against Crenel's relation tables.
//
// It makes JSON of users, roles, owners and tenants (the same for the same
// -bytes), has each store read it in a process of its own, and measures there
// the heap that is left when all is loaded, and decisions a second of the same
// Rego on the same calls. The figures go into docs/benchmarks.md, between
// markers. It fails when Crenel needs more than -most of the heap of the better
// of OPA's stores, or decides less often a second than the faster of them.
package main
