// Package access says what an operation demands of its caller: nothing, some
// proof of identity, certain schemes and scopes, certain roles.
//
// In: the API's model and the config's overrides. Out: one immutable Demand for
// each operation, which authn (who is calling?) and authz (may they?) both read,
// so that the two can never differ on what is public.
//
// Whatever is unclear is demanded: a document that is silent on security while
// the config has methods, roles on an operation that the document calls public.
// It must never make an operation public that neither the document nor the
// config calls so.
package access
