// Command bench measures what Crenel costs: a bare Caddy reverse proxy against
// the whole chain, on one machine, in one run, with the same upstream, the same
// load generator (wrk) and the same requests: 1,000 different bodies and the
// tokens of 100 callers, over plain HTTP/1.1 on loopback.
//
// A second section measures web application firewalls the same way: nginx with
// ModSecurity, Caddy with Coraza, and Crenel with all its guards, all with the
// very same files of the Core Rule Set.
//
// It prints ratios and writes docs/benchmarks.md. Everything runs on the same
// cores, so absolute figures say little; rounds alternate, and the median counts.
package main
