// Package revocation is how credentials are taken back before they expire: the
// format of the shared set "revoked", how entries come into it, and the check
// that each call is put to.
//
// In: a credential by its digest, a token id, a session or a subject of an
// issuer, from an operator, a security event or a logout. Out: whether an
// Identity still holds, on every gateway that shares the [state.Store], from the
// moment in which its view has the entry.
//
// It must never hold a credential (only a digest of it), never forget an entry
// before what it revokes has expired, and never let anyone in while the view has
// been out of touch for longer than was allowed.
package revocation
