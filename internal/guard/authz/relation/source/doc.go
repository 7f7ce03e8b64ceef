// Package source keeps data that policies read up to date from where it lives:
// SQL databases, HTTP, LDAP and files.
//
// In: the sources of a config. Out: authz.Feeds, which hand a relation.Table to
// the policy engine whenever there is news, say when a source was heard of and
// has none, and why it cannot be heard.
//
//	Pool ── one keeper a source, shared by APIs and generations ──► feeds ──► engines
//
// A look at a source either gives a whole new document, changes to the last one,
// or nothing new; what is refused (too many rows, too few, a column that is gone,
// a text that is no JSON) changes nothing, and the last good state goes on to
// decide until it is older than the source's max_age. Then the engine decides
// nothing: data that are absent must never look like data that are empty.
//
// Looks only read. What they are told is bounded in time, rows, bytes and depth.
// Credentials are in no error and no log.
package source
