// Package ridepool scans a sample API of another style than Harbour: Node.js and
// Express, cookies, numbers as identifiers, names that do not agree with each other,
// and a description (openapi.yaml) with the mistakes that such descriptions have.
//
// In: `make ridepool`, which installs the API's libraries beside it. Out: each hole of
// holes.json is exploited by hand, open and closed (exploit_test.go), and the scanner
// is measured by them (scan_test.go). The scanner gets the description and the
// address, nothing else: holes.json is read by the tests and by the API alone, and
// nothing in the scanner may know a name of this API.
package ridepool
