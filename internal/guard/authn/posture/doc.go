// Package posture is what is known of the devices that callers use: the shared
// set "device", how security events come into it, and the step that puts it onto
// the Identity, where policies see it.
//
// In: CAEP's device-compliance-change and session-revoked of whole devices, by
// issuer and device id. Out: Identity.Device of every call whose credential names
// a device, and a denial where what was begun on the device has been taken back.
//
// It must never call a device compliant of which nothing was said, and never
// answer from a copy that is older than was allowed.
package posture
