// Package value holds the one tree that every guard reads, and the strict
// decoders that make it: JSON, forms, multipart, XML and text in, a tree of
// Values out.
//
// A body is decoded once. Parsers disagree on duplicate keys, invalid UTF-8,
// trailing data, lone surrogates and huge numbers, and attackers live on that
// disagreement, so each of these is an error here and never a guess.
//
// The package knows nothing of schemas, guards or HTTP messages. It never reads
// beyond its Limits and never recurses without a bound.
package value
