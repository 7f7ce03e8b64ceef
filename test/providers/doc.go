// Package providers runs OpenID providers that are not ours, so that tests can
// log in with them: oidc-provider (certified, npm) and oauth2-mock-server (npm).
//
// In: a Spec (clients, resources, lifetimes). Out: a running provider on
// loopback, whose keys can be rotated and which can be stopped and started again
// at the same address. `make providers` installs them and the Node.js that they
// want into $CRENEL_PROVIDERS, else the user's cache; without them a test is skipped, unless
// CRENEL_PROVIDERS is set: then it fails.
//
// It must never leave a process behind: each ends with its test, and by itself
// when the test's process is gone.
package providers
