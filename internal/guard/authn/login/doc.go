// Package login logs the users of web front ends in at the gateway, with OpenID
// Connect, so that a page's calls need no token in the browser.
//
// A browser begins at /login: a flow (state, nonce, PKCE verifier, where to
// return to) goes into a sealed cookie of its own and the browser to the issuer.
// It comes back to /callback: state and iss are checked, the code is traded, the
// ID token verified, and a session begins. The session is sealed into cookies,
// or into the gateways' shared state with a key that only the cookie has. Each
// call that carries it is then put to the checks of time, revocation and
// cross-site origin; tokens are refreshed beside it. /logout, a logout token at
// /backchannel-logout and an issuer's frame at /frontchannel-logout end it on
// every gateway through the shared state.
//
// In: requests at those paths, and the cookies of any call. Out: redirects,
// cookies, an Identity with the claims of the user's tokens.
//
// It must never show a token to the browser or a log, never redirect to another
// origin than its own and the issuer's, never take a session for a write that
// another site may have caused, and never let a session live that was ended.
package login
