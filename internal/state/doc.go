// Package state is what gateways share and need fast: revocations, replay
// caches, posture of devices, sessions that were ended.
//
// In: marks and entries, each with an end. Out: whether a mark was new, and
// views: local copies of a set of entries, looked up in nanoseconds and told of
// changes. Memory keeps all of it in this process, and in files that outlive it;
// Redis shares it between gateways: each follows a stream of versioned changes,
// sees a change within milliseconds and a missed one within a second or two.
//
// It must never answer "not there" because the other side is away: a Store that
// cannot be asked returns an error, and a View says for how long it has been out
// of touch. It must never grow without bound, and never hold a credential: keys
// are digests.
package state
