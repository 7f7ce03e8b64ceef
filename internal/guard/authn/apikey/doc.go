// Package apikey makes, stores and checks Crenel's own API keys.
//
// In: a key file, and keys as callers present them. Out: who holds a key, or why
// it does not hold; new keys, shown once.
//
// A key is crk_PREFIX_SECRET: the prefix finds its entry, the secret is 256
// random bits. The file holds only SHA-256 of the whole key, which is enough
// because the secret cannot be guessed; a key made elsewhere may be listed by its
// hash too, and is then only as strong as it is random.
//
// It must never write, log or return a key but in the one answer of Generate and
// Rotate, and never compare secrets in a time that tells how much was right.
package apikey
