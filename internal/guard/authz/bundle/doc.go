// Package bundle gives authz the policies and data of OPA bundles.
//
// In: the config's bundles: archives on an HTTP server, in an OCI registry or in
// a file. Out: parts for an authz.Engine, each read, bounded, verified and
// parsed; when there is news, another one, and in between the word that there is
// none. A delta bundle patches the part that it was made for.
//
// Fetchers live in a Pool that outlives reloads, so that a new config does not ask
// every server again. The last bundle that was activated is kept on disk with the
// time at which its server last confirmed it; it is verified anew when it is
// read, and its age counts on.
//
// It must never hand out what is not signed where a signature is demanded, nor
// unpack more than it was told, nor take silence or rubbish for the word that
// nothing has changed. It knows nothing of calls: what decides while a bundle is
// kept out is the engine's.
package bundle
