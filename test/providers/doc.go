// Package providers runs OpenID providers that are not ours, so that tests can
// log in with them and call with their tokens: oidc-provider (certified, npm),
// glewlwyd (C, Debian), which shares no code with it, and oauth2-mock-server (npm).
//
// In: a Spec (clients, resources, lifetimes). Out: a running provider on
// loopback, whose keys can be rotated and which can be stopped and started again
// at the same address. `make providers` installs those of npm and the Node.js that they
// want into $CRENEL_PROVIDERS, else the user's cache. Without a provider a test is
// skipped, unless CRENEL_PROVIDERS or CI=true is set: then it fails.
//
// Its tests also put gateways that are not ours, nginx and HAProxy with the
// configs of docs/gateways, in front of Crenel.
//
// It must never leave a process behind: each ends with its test, and by itself
// when the test's process is gone.
package providers
