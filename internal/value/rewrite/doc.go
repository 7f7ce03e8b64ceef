// Package rewrite changes JSON as it streams by: it drops members and items and
// replaces scalars, and passes every other byte on as it came.
//
// In: the bytes of an answer, in chunks cut anywhere, and Filters that rule on
// each value as it begins. Out: the same document without what was dropped, with
// what was replaced, and a Report of both. The guards that strip what a schema
// does not know, or mask what a policy hides, share this one pass.
//
// It holds one name, one scalar that a Filter looks at, and a stack as deep as
// the document; never the document. It must never pass on JSON that parsers
// disagree on: what package value refuses is an error here too, and then the
// caller must abort the answer, of which a part may have left.
package rewrite
