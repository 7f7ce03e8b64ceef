// Package signals runs real gateways and a real Redis, and measures how long it
// takes from a security event until every gateway refuses, and until open
// connections are cut.
package signals
