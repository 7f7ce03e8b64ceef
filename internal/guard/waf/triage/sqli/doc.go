// Package sqli finds out, without an allocation, that libinjection certainly sees no
// SQL in a text.
//
// In: libinjection's table of words, phrases and fingerprints, and texts. Out: whether
// a text is certainly silent; of any other the library itself must be asked.
//
// libinjection cuts a text into tokens (names, numbers, operators, words of its table),
// folds them to at most five, and looks up the sequence of their kinds, the fingerprint.
// It reads no further than it needs for five. So does this package, step by step as the
// library (https://github.com/corazawaf/libinjection-go, sqli.go and sqli_parse.go), but
// for what prose does not hold: comments, backslashes, backticks, dollars and prefixed
// strings, at which it gives up. Nor does it weigh whether a listed fingerprint may be harmless.
//
// It must never say silent where the library finds something: tests compare both on
// millions of texts.
package sqli
