// Package relation keeps the data that policies read (who has which role, who
// owns which object) in a small part of the memory that OPA's own store needs.
//
// In: documents, written once through a Builder and changed row by row through
// an Edit. Out: a Table that unmodified Rego reads by path; a read finds its value
// in the compact form and makes OPA's values of that alone.
//
// A Document never changes. Its objects of many members are hash tables of
// shards of some 64 KiB, each one run of bytes without pointers; an edit writes
// the shards that it touches anew and shares all others. Values that repeat
// (role names, role lists, owners) are kept once, in a vocabulary.
//
// A value made for one read is counted, and one that would be too large is an
// error and not a lack of memory. What is wrong with a source is not known here;
// absent data must never look like empty data (package source sees to it).
package relation
