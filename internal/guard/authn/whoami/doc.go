// Package whoami asks an API who the holder of one of its own credentials is.
//
// In: a credential that the API issues and checks itself (an opaque key, a
// session cookie), and the place where it stood. Out: the Identity that the
// API's own "who am I" operation names, or that it does not hold.
//
// Answers are remembered for a stated time; many that ask at once about one
// credential cost one question, and only so many questions are under way.
// Refusals are remembered too, apart, so that strangers cannot push callers out.
//
// It must never take an answer for an identity that names nobody, never let a
// caller in because the API cannot be asked, and never follow a redirect: a page
// that asks to log in is no answer.
package whoami
