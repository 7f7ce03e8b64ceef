// Package finding holds the one type for what is wrong with an API, whoever
// found it: the scanner, a review, the inventory, the traffic.
//
// In: what a room has proven. Out: Findings with a stable fingerprint, a
// severity that follows from a CVSS v4 vector, and places in OWASP's, MITRE's
// and the WSTG's lists; baselines, suppressions and the difference of two runs.
//
// A fingerprint must be the same for the same hole in every run, on every host,
// and different for different holes: it is made of the check, the operation and
// the place in the request, never of values, addresses or times. A finding must
// never carry a credential.
package finding
