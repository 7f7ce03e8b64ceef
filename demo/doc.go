// Command demo shows Crenel at work. It starts Harbour (a sample API with
// documented holes), a token issuer and the gateway in front of them, all on
// loopback, and walks through a printed tour: what an attack does straight and
// what becomes of it at the gateway, that honest calls all work, and what a
// sceptic asks next. With --spec and --target the gateway stands in front of the
// visitor's own API instead.
//
// In: the crenel binary, demo/crenel.yaml, demo/policies and demo/expected.yaml.
// Out: the tour's lines, each held against expected.yaml; the exit code is 1 when
// one is not as expected. It must never leave a process or a file behind, never
// contact anything but loopback and the target that the visitor named, and never
// attack that target unless told that it is the visitor's own.
package main
