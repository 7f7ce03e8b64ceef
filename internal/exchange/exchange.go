package exchange

import (
	"crypto/x509"
	"net/http"
	"net/netip"
	"time"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
	"github.com/crenel-project/crenel/internal/value/rewrite"
)

// Phase is the part of an exchange that a Step rules on.
type Phase uint8

// The phases, in the order in which they happen.
const (
	RequestHead Phase = iota
	RequestBody
	ResponseHead
	ResponseBody
	Phases // how many there are
)

func (p Phase) String() string {
	switch p {
	case RequestHead:
		return "request_head"
	case RequestBody:
		return "request_body"
	case ResponseHead:
		return "response_head"
	case ResponseBody:
		return "response_body"
	}
	return "invalid"
}

// Need says how much of the phase's message body a Step needs.
type Need uint8

// None never causes a body to be read; Buffered reads it whole, within its
// limit; Streamed sees it pass.
const (
	None Need = iota
	Buffered
	Streamed
)

// Exchange is one request and its answer.
type Exchange struct {
	ID    string    // request id, unique, sortable by time
	Start time.Time // when the head had been read
	API   string    // name of the API in the config
	Spec  *spec.API // its model; nil when the API has no document
	// Endpoint is set instead of an operation where the gateway itself answers: "signals", "login".
	Endpoint string

	Client netip.Addr // true client address, behind trusted proxies only
	Peer   netip.Addr // address of the connection
	// PeerCert is the verified client certificate of the connection, or nil.
	PeerCert *x509.Certificate
	// PeerChain is PeerCert and the certificates between it and its authority, as
	// they were verified; the authority's is the last.
	PeerChain []*x509.Certificate
	// PeerFault says why a certificate that a trusted proxy passed on was not taken.
	PeerFault string

	Request  Request
	Response Response

	Operation *spec.Operation // set by contract; nil before, and for shadow calls
	Identity  Identity        // set by authn
	// Token is the access token by which the caller was verified, for what trades it
	// for one of the upstream's. Set by authn; never recorded, "" when there is none.
	Token string
	// Params are the declared parameters found in the request, decoded and typed,
	// in the order of Operation.Parameters. Set by contract.
	Params []Param

	Risk float64 // 0 (none) to 1, set by behaviour models

	// Unvalidated says that contract found a fault in the request but its mode let
	// it pass: no later guard may lean on the contract having held.
	Unvalidated bool

	Rulings     []Ruling    // every step that ran, in order
	Obligations Obligations // what authz demands of the answer and of the upstream call
	// Allowances are what the caller's rates have left, for the answer's RateLimit fields.
	Allowances []Allowance
	// Ends are told when the exchange has ended, in order.
	Ends []Ender
	// AnswerHeader are fields that guards add to the answer, allowed or denied.
	// Nil when there are none.
	AnswerHeader map[string]string
	// AnswerCookies are Set-Cookie fields that guards add to the answer, allowed or denied.
	AnswerCookies []string
}

// Request is the client's half.
type Request struct {
	Method string
	Scheme string // "https" or "http", as the client sees it
	Host   string // lower case, without port
	// Authority is Host as the client wrote it, with its port; from X-Forwarded-Host
	// behind trusted proxies.
	Authority string
	// Target is path and query exactly as sent, for proofs and signatures over them;
	// behind trusted proxies it begins with X-Forwarded-Prefix.
	Target  string
	Path    string // normalised once: decoded, no dot segments, no empty segments
	RawPath string // normalised but still percent-encoded: what is sent upstream
	// Relative is RawPath below the API's base path: what the document's
	// templates are matched with.
	Relative string
	Query    string // raw query
	Proto    string // "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"
	// Header are the client's header fields with hop-by-hop and spoofable ones
	// removed. Guards read it, and change it only to alter what the upstream sees.
	Header http.Header
	Length int64 // Content-Length, -1 when unknown
	// MediaType is the Content-Type's, lower case, without parameters; "" when
	// there is none or it cannot be read.
	MediaType string
	Upgrade   string // lower-case protocol of an Upgrade request, "" otherwise

	PathParams []string // raw values of the template's variables, decoded, in order

	// Credentials are the places that carried credentials, so that they can be kept
	// from the upstream (StripCredentials). Set by authn; shared and read only.
	Credentials []CredentialPlace

	// Content, when a guard sets it, is shown the body as the client sent it, while it
	// is read.
	Content *ContentCheck

	// Body is set when a step needed it and it was read; nil before.
	Body *Body
}

// Body is a message body that was read whole, within its limit, and decoded once.
type Body struct {
	Bytes     []byte
	MediaType string // lower case, without parameters
	// Declared is the content entry that the contract pinned the body to, or nil.
	Declared *spec.MediaType
	// Root is the decoded tree, nil when the media type has none (binary) or
	// decoding failed and the contract is only monitored.
	Root *value.Value
	// Parts are the file parts of a multipart body; their content is in no tree.
	Parts []value.Part
	// Err is why decoding failed, nil when it did not.
	Err *value.Error
	// Partial says that Bytes are only the beginning of a body that is streamed:
	// its media type has no tree (binary), and it is never held whole.
	Partial bool
}

// CredentialPlace is where in a request a credential stood.
type CredentialPlace struct {
	In   string // "header", "cookie" or "query"
	Name string
	// Rejected says that what stood here did not verify, though the call was let
	// through: the operation is public, or another credential held. The upstream must
	// not see it where authn is enforced: it might believe what the gateway did not.
	Rejected bool
	// Unproven says that nothing verified what stood here: the API checks it for
	// itself, or no method reads it.
	Unproven bool
}

// Response is the upstream's half.
type Response struct {
	Status int
	Header http.Header // as the upstream sent it; guards change what the client sees
	Length int64
	Body   *Body // when a step needed it buffered
	// Filters rewrite a JSON answer as it streams: what the contract strips, what
	// a policy masks. Set by steps of the response head.
	Filters []rewrite.Filter
	// Unchecked says that the answer came in a form that could not be read, such
	// as compressed or in ranges; why is for the record.
	Unchecked string
}

// Param is one parameter's decoded value.
type Param struct {
	Spec  *spec.Parameter
	Raw   string      // as received, percent-decoded
	Value value.Value // typed by its schema
}

// Param returns the decoded parameter, or nil. in is "path", "query", "header" or "cookie".
func (x *Exchange) Param(in, name string) *Param {
	for i := range x.Params {
		if p := &x.Params[i]; p.Spec.In == in && p.Spec.Name == name {
			return p
		}
	}
	return nil
}
