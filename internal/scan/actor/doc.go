// Package actor makes the people of a run and keeps them logged in: two users
// of the same role, one in another tenant where there are tenants, an admin if
// credentials are given, and nobody.
//
// In: credentials from the configuration, or nothing but an API with operations
// to register and to log in. Out: Actors, whose Session says exactly which
// header fields, cookies or query parameters make a request theirs.
//
// A login is judged by what its session can do, never by its status; a verdict
// leans on a session only after Alive has said yes. It must never print a
// secret, never lock an account by guessing, and never use one actor's
// credentials for another.
package actor
