// Package call makes requests of an operation: ones that its document allows,
// and near misses that break it in one stated way.
//
// In: an operation of a spec.API, a source of randomness, Options. Out: whole
// requests (path, query, headers, cookies, body in a media type), each written
// and then read back as a server would, so that none is handed out that is not
// what its label says. The same source gives the same requests.
//
// It knows nothing of credentials: whoever sends a request adds them. It must
// never send anything itself.
package call
