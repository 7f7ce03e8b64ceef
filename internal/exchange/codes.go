package exchange

import "sort"

//go:generate go test . -run ^TestGenerated$ -update

// Code is one documented way in which a request or an answer is refused.
type Code struct {
	Code   string // stable: clients and tests may lean on it
	Status int    // HTTP status of the denial
	Title  string // what the client is told
	Means  string // for the documentation
}

// codes is the one table of denial codes and statuses: docs/codes.md is made
// from it. A guard's own codes start with the guard's name.
var codes = map[string]Code{}

// register adds codes at package initialisation. A code registered twice is a
// mistake of ours, found at start.
func register(cs ...Code) {
	for _, c := range cs {
		if _, dup := codes[c.Code]; dup {
			panic("exchange: code registered twice: " + c.Code)
		}
		codes[c.Code] = c
	}
}

// LookupCode returns the entry of a code. An unknown code is served as an
// internal error, so that a forgotten entry denies and never lets pass.
func LookupCode(code string) (Code, bool) {
	c, ok := codes[code]
	if !ok {
		c = codes["gateway.internal"]
	}
	return c, ok
}

// AllCodes returns the table, sorted by code.
func AllCodes() []Code {
	out := make([]Code, 0, len(codes))
	for _, c := range codes {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Code < out[j].Code })
	return out
}

func init() {
	register(
		Code{"gateway.internal", 500, "Internal error", "A guard failed in a way that it should not have; the request was refused."},
		Code{"gateway.bad_request", 400, "Bad request", "The request is not well-formed HTTP, or is ambiguous in a way that parsers disagree on."},
		Code{"gateway.ambiguous_path", 400, "Bad request", "The path holds encoded slashes, backslashes, dot segments, NUL or invalid encoding, or servers that ignore case, path parameters or extensions take it for another operation than the document does (CWE-436)."},
		Code{"gateway.unknown_host", 421, "Misdirected request", "No API of the config is served under this host and path."},
		Code{"gateway.uri_too_long", 414, "URI too long", "The request target is longer than limits.uri."},
		Code{"gateway.headers_too_large", 431, "Request header fields too large", "The header section is larger than limits.header_bytes or has more fields than limits.header_count."},
		Code{"gateway.origin_refused", 403, "Origin refused", "A WebSocket upgrade, or a write with credentials that browsers send by themselves (cookies, a client certificate, Basic), came from an origin that the config does not allow (CSRF, CWE-352)."},
		Code{"gateway.upstream_unreachable", 502, "Bad gateway", "No upstream accepted the connection, or its answer was not HTTP."},
		Code{"gateway.upstream_unavailable", 503, "Service unavailable", "Every upstream is marked down."},
		Code{"gateway.upstream_timeout", 504, "Gateway timeout", "The upstream did not answer in time."},
		Code{"gateway.token_refused", 403, "Forbidden", "The authorization server does not trade the caller's token for one of the upstream's, or the caller has none (RFC 8693)."},
		Code{"gateway.token_unavailable", 503, "Service unavailable", "The access token for the upstream cannot be had."},
		Code{"gateway.overloaded", 503, "Service unavailable", "A queue of the gateway is full, such as the audit queue."},
		Code{"gateway.client_gone", 499, "Client closed request", "The client went away before the answer."},
		Code{"gateway.timeout", 408, "Request timeout", "The request was not received whole in time."},

		Code{"body.too_large", 413, "Content too large", "The body is larger than its limit."},
		Code{"body.encoding", 415, "Unsupported content encoding", "Content-Encoding is not one that the gateway decodes."},
		Code{"body.decompression", 413, "Content too large", "The decompressed body is larger than its limit or its ratio is a bomb's (CWE-409)."},
		Code{"body.incomplete", 400, "Bad request", "The body ended before its declared length."},
		Code{"body.syntax", 400, "Malformed content", "The body is not a document of its media type."},
		Code{"body.trailing_data", 400, "Malformed content", "There is data after the document."},
		Code{"body.duplicate_key", 400, "Malformed content", "An object has the same name twice."},
		Code{"body.invalid_utf8", 400, "Malformed content", "Text is not valid Unicode."},
		Code{"body.number_range", 400, "Malformed content", "A number is out of range or has too many digits."},
		Code{"body.depth", 413, "Content too large", "The document nests too deeply."},
		Code{"body.keys", 413, "Content too large", "An object has too many members, or the document too many values."},
		Code{"body.items", 413, "Content too large", "An array has too many elements."},
		Code{"body.string_length", 413, "Content too large", "A string is too long."},
		Code{"body.dtd", 400, "Malformed content", "XML with a document type declaration (CWE-611, CWE-776)."},

		Code{"contract.unknown_path", 404, "Not found", "No operation of the API has this path (shadow call, API9:2023)."},
		Code{"contract.unknown_method", 405, "Method not allowed", "The path exists, the method does not (API5:2023)."},
		Code{"contract.media_type", 415, "Unsupported media type", "The operation does not take this content type."},
		Code{"contract.unknown_parameter", 422, "Unprocessable content", "A parameter that the operation does not declare."},
		Code{"contract.duplicate_parameter", 422, "Unprocessable content", "A single-valued parameter was sent more than once (parameter pollution, CWE-235)."},
		Code{"contract.missing_parameter", 422, "Unprocessable content", "A required parameter is missing."},
		Code{"contract.parameter", 422, "Unprocessable content", "A parameter is not what the document says."},
		Code{"contract.missing_body", 422, "Unprocessable content", "A required body is missing."},
		Code{"contract.unexpected_body", 422, "Unprocessable content", "The operation takes no body."},
		Code{"contract.body", 422, "Unprocessable content", "The body is not what its schema says."},
		Code{"contract.unknown_property", 422, "Unprocessable content", "A property that the schema does not declare (mass assignment, CWE-915, API3:2023)."},
		Code{"contract.read_only", 422, "Unprocessable content", "A readOnly property was sent (CWE-915)."},
		Code{"contract.not_writable", 403, "Forbidden", "A property that the caller's roles may not write (CWE-915)."},
		Code{"contract.pattern_timeout", 422, "Unprocessable content", "A pattern took too long on this value (CWE-1333)."},
		Code{"contract.response", 502, "Bad gateway", "The upstream's answer is not what the document says."},
		Code{"contract.response_unchecked", 502, "Bad gateway", "The upstream's answer came in a form that cannot be checked (compressed, ranged or multipart)."},

		Code{"authn.missing", 401, "Authentication required", "The operation needs credentials and none of the accepted kind were sent."},
		Code{"authn.invalid", 401, "Authentication failed", "The credentials do not verify."},
		Code{"authn.malformed", 401, "Authentication failed", "The credentials are not well formed."},
		Code{"authn.algorithm", 401, "Authentication failed", "The token's algorithm is not allowed (RFC 8725 section 3.1)."},
		Code{"authn.signature", 401, "Authentication failed", "The token's signature does not verify."},
		Code{"authn.unknown_key", 401, "Authentication failed", "No key of the issuer has the token's key id."},
		Code{"authn.issuer", 401, "Authentication failed", "The token is from an issuer that this API does not trust."},
		Code{"authn.audience", 401, "Authentication failed", "The token is for another audience (RFC 8725 section 3.9)."},
		Code{"authn.expired", 401, "Authentication failed", "The token has expired."},
		Code{"authn.not_yet_valid", 401, "Authentication failed", "The token is not valid yet."},
		Code{"authn.token_type", 401, "Authentication failed", "The token is of the wrong kind (RFC 8725 section 3.11)."},
		Code{"authn.too_large", 401, "Authentication failed", "The credentials are larger than the limit."},
		Code{"authn.revoked", 401, "Authentication failed", "The credential, its session or all that its holder was given was revoked."},
		Code{"authn.inactive", 401, "Authentication failed", "The authorization server says that the token is not active (RFC 7662): expired, revoked or never issued."},
		Code{"authn.step_up", 401, "Stronger authentication required", "The operation demands another or a fresher sign-in than the caller's (RFC 9470)."},
		Code{"authn.ambiguous", 400, "Bad request", "More than one credential of one kind was sent."},
		Code{"authn.binding", 401, "Authentication failed", "The token is bound to a key or a certificate that the caller did not prove to have (RFC 7800), or is bound to none where that is demanded."},
		Code{"authn.proof", 401, "Authentication failed", "The DPoP proof is missing, or does not hold for this call (RFC 9449)."},
		Code{"authn.proof_nonce", 401, "Authentication failed", "The DPoP proof lacks a nonce that is good now; the answer holds one in DPoP-Nonce (RFC 9449 section 9)."},
		Code{"authn.coverage", 401, "Authentication failed", "The signature does not cover what it must (RFC 9421), such as the method, the address or the content's digest."},
		Code{"authn.digest", 400, "Bad request", "The content is not what the signed Content-Digest says (RFC 9530), or cannot be checked before it is passed on."},
		Code{"authn.replay", 401, "Authentication failed", "The proof or the signed request was used before."},
		Code{"authn.unavailable", 503, "Authentication unavailable", "The issuer's keys cannot be had, or what was revoked cannot be known, so nobody can be let in."},

		Code{"authn.csrf", 403, "Cross-site request refused", "A call with a browser's session may be another site's doing: it comes from another origin, or a write lacks the session's X-CSRF-Token (CSRF, CWE-352)."},

		Code{"login.request", 400, "Bad request", "A request to a page of the login is not well formed."},
		Code{"login.state", 400, "Login not completed", "No login of this state is under way in this browser: it was finished before, took too long, or was begun elsewhere (RFC 9700 section 4.7)."},
		Code{"login.issuer", 400, "Login not completed", "The answer is not from the issuer that the login was sent to (mix-up, RFC 9207)."},
		Code{"login.refused", 403, "Login refused", "The issuer did not log the user in, or did not take the login's code."},
		Code{"login.token", 403, "Login refused", "A token of the login does not verify (OpenID Connect Core section 3.1.3.7)."},
		Code{"login.step_up", 403, "Login refused", "The authentication is not as fresh or as strong as was asked for (RFC 9470)."},
		Code{"login.too_large", 403, "Login refused", "The session is larger than its cookies can hold."},
		Code{"login.unavailable", 503, "Login unavailable", "The issuer or the shared state cannot be asked."},
		Code{"login.logout_token", 400, "Bad request", "A logout token does not verify (OpenID Connect Back-Channel Logout section 2.6)."},

		Code{"authz.scope", 403, "Insufficient scope", "The token lacks a scope that the operation demands."},
		Code{"authz.denied", 403, "Forbidden", "The policy does not allow this call."},
		Code{"authz.undefined", 403, "Forbidden", "The policy made no decision."},
		Code{"authz.error", 503, "Authorization unavailable", "The policy failed to evaluate."},
		Code{"authz.filter", 503, "Authorization unavailable", "The policy's condition on what the caller may see cannot be told to the upstream, or applied to the answer, without widening it."},
		Code{"authz.timeout", 503, "Authorization unavailable", "The policy took too long."},
		Code{"authz.unavailable", 503, "Authorization unavailable", "There is no policy that may decide: it has not been had yet, or what it is made of is older than the config allows."},
		Code{"authz.unrecorded", 503, "Authorization unavailable", "The decision cannot be recorded: the decision log cannot be written, and the config says that then nothing is let in."},
		Code{"authz.not_owner", 403, "Forbidden", "The answer holds an object that the policy does not let this caller see (API1:2023, CWE-639)."},
		Code{"authz.step_up", 401, "Stronger authentication required", "The policy demands a fresher or stronger authentication (RFC 9470)."},

		Code{"decision.credentials", 401, "Unauthorized", "The decision point was asked without a key that holds."},
		Code{"decision.forbidden", 403, "Forbidden", "The key's holder may not ask this of the decision point."},
		Code{"decision.not_found", 404, "Not found", "The decision point has no such path, or the policies cannot say what was searched for."},
		Code{"decision.request", 400, "Bad request", "The question to the decision point is not well formed."},
		Code{"decision.too_large", 413, "Content too large", "The question to the decision point is larger than its limits."},
		Code{"decision.failed", 500, "Internal error", "The policies failed to evaluate, or took too long: nothing was decided."},
		Code{"decision.unavailable", 503, "Service unavailable", "No policy may decide, or the decision point answers as many as it may at once."},

		Code{"limit.rate", 429, "Too many requests", "A rate limit was reached."},
		Code{"limit.login", 429, "Too many requests", "Too many tries of this account from here, or of too many accounts, have failed; the next may be made after a while (CWE-307)."},
		Code{"limit.challenge", 429, "Work required", "The call needs the answer to the challenge in Crenel-Challenge, in the field Crenel-Proof."},
		Code{"limit.flow", 403, "Forbidden", "A step of a flow without the step before it (API6:2023)."},
		Code{"limit.too_fast", 429, "Too many requests", "A step of a flow sooner after the one before than a person makes it (API6:2023)."},
		Code{"limit.page_size", 422, "Unprocessable content", "A parameter asks for more than may be had at once, which the document does not bound (API4:2023)."},
		Code{"limit.batch", 413, "Content too large", "An array of the body has more elements than may be sent at once, which the document does not bound (API4:2023)."},
		Code{"limit.unavailable", 503, "Service unavailable", "Whether an answer to a challenge was used before cannot be known."},
		Code{"limit.concurrent", 429, "Too many requests", "The caller has as many calls under way as it may."},
		Code{"limit.overloaded", 503, "Service unavailable", "The upstream is asked for as much as it can do; calls of less priority are refused first."},
		Code{"limit.breaker", 503, "Service unavailable", "Most calls of the upstream fail, so none are made for a while."},
		Code{"limit.quota", 429, "Too many requests", "A quota of the calendar is used up."},

		Code{"waf.attack", 403, "Forbidden", "The request matches attack signatures (OWASP Core Rule Set)."},
		Code{"waf.unavailable", 503, "Service unavailable", "The inspection failed or took too long."},
		Code{"waf.too_long", 413, "Content too large", "A value is longer than the inspection allows."},
		Code{"waf.too_many", 413, "Content too large", "The request holds more values than can be inspected in the time allowed."},
		Code{"waf.ssrf", 422, "Unprocessable content", "A URL in the request points into a private network (API7:2023, CWE-918)."},

		Code{"upload.type", 415, "Unsupported media type", "A file's content is not what its declared type or name says, or is of a kind that is not taken (CWE-434)."},
		Code{"upload.name", 422, "Unprocessable content", "A file's name could be taken for a path or for a program (CWE-22, CWE-434)."},
	)
}
