package smuggling

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// refused is the answers of a request that never became one.
const refused = "400 closed"

// probe is a request that would be answered if it were taken for one.
const probe = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

// shape is one way of writing requests. In send and saw, lines are as on the wire.
type shape struct {
	name string
	send string   // "¦" divides writes that arrive apart
	want string   // statuses of the answers; "closed" when the connection is then closed
	saw  []string // what the upstream was sent, without the fields that the gateway adds
	// brokenOff is set where the fault comes after a good head: the upstream may
	// have seen what begins so, and never its end.
	brokenOff string
}

const chunked = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

// sawHead is how its head is passed on.
const sawHead = chunked

// sawChunked is how a chunked body is passed on, whatever its chunks were.
func sawChunked(body string) []string {
	return []string{"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body}
}

var shapes = []shape{
	// What is well-formed passes.
	{"GET", "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", "200", []string{"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"POST", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}, ""},
	{"POST in pieces", "POST /a HT¦TP/1.1\r¦\nHost: x\r\nContent-Le¦ngth: 3\r\n\r¦\na¦bc", "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}, ""},
	{"chunks", chunked + "3\r\nabc\r\n0\r\n\r\n", "200", sawChunked("3\r\nabc\r\n0\r\n\r\n"), ""},
	{"chunks in pieces", chunked + "¦3¦\r\n¦ab¦c\r¦\n0\r\n¦\r\n", "200", sawChunked("3\r\nabc\r\n0\r\n\r\n"), ""},
	{"pipelining", "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n", "200 200", []string{"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET /2 HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"HTTP/1.0", "GET /a HTTP/1.0\r\nHost: x\r\n\r\n", "200 closed", []string{"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"white space round a value", "GET /a HTTP/1.1\r\nHost: x\r\nA:  \t b \t \r\n\r\n", "200", []string{"GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"}, ""},
	{"one field twice", "GET /a HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\n\r\n", "200", []string{"GET /a HTTP/1.1\r\nHost: x\r\nA: 1\r\nA: 2\r\n\r\n"}, ""},
	{"a body with a GET", "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: " + length(probe) + "\r\n\r\n" + probe, "200",
		[]string{"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: " + length(probe) + "\r\n\r\n" + probe}, ""},

	// Both lengths.
	{"CL.TE", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", refused, nil, ""},
	{"TE.CL", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"CL.TE that agree", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"CL: 0 and TE", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + probe, refused, nil, ""},

	// Content-Length.
	{"two lengths that differ", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", refused, nil, ""},
	{"two lengths that agree", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", refused, nil, ""},
	{"a list of lengths", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", refused, nil, ""},
	{"length with a plus", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", refused, nil, ""},
	{"negative length", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\nabc", refused, nil, ""},
	{"hexadecimal length", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", refused, nil, ""},
	{"length with a space inside", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3 4\r\n\r\nabc", refused, nil, ""},
	{"empty length", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nabc", refused, nil, ""},
	{"length that overflows", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551619\r\n\r\nabc", refused, nil, ""},
	{"length with a decimal point", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3.0\r\n\r\nabc", refused, nil, ""},
	{"length in quotes", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: \"3\"\r\n\r\nabc", refused, nil, ""},
	{"length in an underscored field", "POST /a HTTP/1.1\r\nHost: x\r\nContent_Length: 40\r\nContent-Length: 3\r\n\r\nabc", "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}, ""},
	{"length with zeros before it", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 003\r\n\r\nabc", "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}, ""},

	// Transfer-Encoding.
	{"TE: xchunked", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE: chunked, identity", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE: gzip, chunked", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE: identity", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", refused, nil, ""},
	{"TE: cow", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE empty", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n\r\n" + probe, refused, nil, ""},
	{"TE twice", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE twice, one unknown", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE in capitals", "POST /a HTTP/1.1\r\nHost: x\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n1\r\na\r\n0\r\n\r\n", "200", sawChunked("1\r\na\r\n0\r\n\r\n"), ""},
	{"TE behind a tab", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\tchunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "200", sawChunked("1\r\na\r\n0\r\n\r\n"), ""},
	{"TE behind a vertical tab", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE with a space before the colon", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE in a folded line", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE behind a space", "POST /a HTTP/1.1\r\nHost: x\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE in the value of another field", "POST /a HTTP/1.1\r\nHost: x\r\nA: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE in HTTP/1.0", "POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE in quotes", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE with a parameter", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", refused, nil, ""},
	{"TE in an underscored field", "POST /a HTTP/1.1\r\nHost: x\r\nTransfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"}, ""},

	// Lines.
	{"LF after the request line", "GET /a HTTP/1.1\nHost: x\r\n\r\n", refused, nil, ""},
	{"LF after a field", "GET /a HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", refused, nil, ""},
	{"LF at the end of the head", "GET /a HTTP/1.1\r\nHost: x\r\n\n", refused, nil, ""},
	{"LF everywhere", "GET /a HTTP/1.1\nHost: x\n\n", refused, nil, ""},
	{"CR in a value", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", refused, nil, ""},
	{"CR CR LF", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n", refused, nil, ""},
	{"folded field", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", refused, nil, ""},
	{"folded field with a tab", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\n\tc\r\n\r\n", refused, nil, ""},
	{"folded first field", "GET /a HTTP/1.1\r\n Host: x\r\nHost: y\r\n\r\n", refused, nil, ""},
	{"empty lines first", "\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},

	// Fields.
	{"NUL in a value", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", refused, nil, ""},
	{"NUL in a name", "GET /a HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n", refused, nil, ""},
	{"control character in a value", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\x07c\r\n\r\n", refused, nil, ""},
	{"space before the colon", "GET /a HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", refused, nil, ""},
	{"space in a name", "GET /a HTTP/1.1\r\nHost: x\r\nA B: b\r\n\r\n", refused, nil, ""},
	{"no colon", "GET /a HTTP/1.1\r\nHost: x\r\nA\r\n\r\n", refused, nil, ""},
	{"no name", "GET /a HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", refused, nil, ""},
	{"name that is not ASCII", "GET /a HTTP/1.1\r\nHost: x\r\nÄ: b\r\n\r\n", refused, nil, ""},
	{"control character in a name", "GET /a HTTP/1.1\r\nHost: x\r\nA\x0b: b\r\n\r\n", refused, nil, ""},
	{"name in brackets", "GET /a HTTP/1.1\r\nHost: x\r\n[A]: b\r\n\r\n", refused, nil, ""},
	{"connection names a field", "GET /a HTTP/1.1\r\nHost: x\r\nA: b\r\nConnection: close, A\r\n\r\n", "200 closed", []string{"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},

	// Host and target.
	{"no Host", "GET /a HTTP/1.1\r\n\r\n", refused, nil, ""},
	{"empty Host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", "400", nil, ""},
	{"two Hosts", "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", refused, nil, ""},
	{"two Hosts that agree", "GET /a HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", refused, nil, ""},
	{"Host with a path", "GET /a HTTP/1.1\r\nHost: x/evil\r\n\r\n", refused, nil, ""},
	{"Host with a space", "GET /a HTTP/1.1\r\nHost: x y\r\n\r\n", refused, nil, ""},
	{"Host of dots", "GET /a HTTP/1.1\r\nHost: ...\r\n\r\n", "400", nil, ""},
	{"absolute target", "GET http://x/a HTTP/1.1\r\nHost: x\r\n\r\n", "200", []string{"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"absolute target with another host", "GET http://evil/a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"absolute target with user and host", "GET http://x@evil/a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"absolute target without Host", "GET http://evil/a HTTP/1.1\r\n\r\n", refused, nil, ""},
	{"absolute target of another scheme", "GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"target without a slash", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"target of an at sign", "GET @evil/a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"two slashes", "GET //evil/a HTTP/1.1\r\nHost: x\r\n\r\n", "200", []string{"GET //evil/a HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"fragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n", "200", []string{"GET /a%23b HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"NUL in the target", "GET /a\x00b HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"control character in the target", "GET /a\x01b HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"broken percent-encoding", "GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},

	// Request line.
	{"tab in the request line", "GET\t/a\tHTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"two spaces", "GET  /a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"space behind", "GET /a HTTP/1.1 \r\nHost: x\r\n\r\n", refused, nil, ""},
	{"space before", " GET /a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"no version", "GET /a\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"HTTP/0.9", "GET /a HTTP/0.9\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"HTTP/1.2", "GET /a HTTP/1.2\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"HTTP/2.0 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused, nil, ""},
	{"version in small letters", "GET /a http/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"method in small letters", "get /a HTTP/1.1\r\nHost: x\r\n\r\n", "200", []string{"get /a HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"method that is no token", "G(T /a HTTP/1.1\r\nHost: x\r\n\r\n", refused, nil, ""},
	{"TRACE", "TRACE /a HTTP/1.1\r\nHost: x\r\n\r\n", "405", nil, ""},
	{"CONNECT", "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n", "405", nil, ""},
	{"GET *", "GET * HTTP/1.1\r\nHost: x\r\n\r\n", "400", nil, ""},
	{"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "200", nil, ""},

	// Chunks.
	{"chunk extension", chunked + "3;a=b\r\nabc\r\n0\r\n\r\n", "200", sawChunked("3\r\nabc\r\n0\r\n\r\n"), ""},
	{"chunk extension with CR", chunked + "3;a\rb\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"chunk extension with LF", chunked + "3;a\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"chunk extension that is long", chunked + "3;" + strings.Repeat("a", 5000) + "\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"space behind a chunk size", chunked + "3 \r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"space before a chunk size", chunked + " 3\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"chunk size with 0x", chunked + "0x3\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"chunk size with a plus", chunked + "+3\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"negative chunk size", chunked + "-3\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"empty chunk size", chunked + "\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"chunk size that overflows", chunked + "10000000000000003\r\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"zeros before a chunk size", chunked + "0003\r\nabc\r\n000\r\n\r\n", "200", sawChunked("3\r\nabc\r\n0\r\n\r\n"), ""},
	{"no CRLF behind a chunk", chunked + "3\r\nabc0\r\n\r\n", "400 closed", nil, sawHead},
	{"LF behind a chunk", chunked + "3\r\nabc\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"LF behind a chunk size", chunked + "3\nabc\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"chunk longer than its size", chunked + "3\r\nabcd\r\n0\r\n\r\n", "400 closed", nil, sawHead},
	{"last chunk with LF", chunked + "3\r\nabc\r\n0\n\n", "400 closed", nil, sawHead},
	{"trailers with forbidden names", "POST /a HTTP/1.1\r\nHost: x\r\nTrailer: X-Ok\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nContent-Length: 0\r\nHost: evil\r\nAuthorization: x\r\n\r\n", "200", sawChunked("3\r\nabc\r\n0\r\n\r\n"), ""},
	{"Trailer names a framing field", "POST /a HTTP/1.1\r\nHost: x\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", refused, nil, ""},
	{"trailer with LF", chunked + "3\r\nabc\r\n0\r\nA: b\n\r\n", "400 closed", nil, sawHead},
	{"folded trailer", chunked + "3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n", "400 closed", nil, sawHead},
	{"trailer without a name", chunked + "3\r\nabc\r\n0\r\n: b\r\n\r\n", "400 closed", nil, sawHead},

	// A second request.
	{"second request is odd", "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\nHost: x\n\n", "200 400 closed", []string{"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"second request is rubbish", "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01\x02\x00\n", "200 400 closed", []string{"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"second request behind a body is odd", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", "200 400 closed", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}, ""},
	{"second request behind chunks is odd", chunked + "3\r\nabc\r\n0\r\n\r\nGET /2  HTTP/1.1\r\nHost: x\r\n\r\n", "200 400 closed", sawChunked("3\r\nabc\r\n0\r\n\r\n"), ""},
	{"a body that is short", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", "408", nil, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n"},

	// Expectations and upgrades.
	{"Expect: 100-continue", "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n¦abc", "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}, ""},
	{"odd Expect", "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue-y\r\nContent-Length: 3\r\n\r\nabc", refused, nil, ""},
	{"Expect with more", "POST /a HTTP/1.1\r\nHost: x\r\nExpect: y 100-continue\r\nContent-Length: 3\r\n\r\nabc", refused, nil, ""},
	{"Upgrade: h2c", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", "200", []string{"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
	{"Upgrade: websocket, refused upstream", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + probe, "200 200",
		[]string{"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"}, ""},
}

func length(s string) string {
	n := len(s)
	return string([]byte{byte('0' + n/10), byte('0' + n%10)})
}

func TestShapes(t *testing.T) {
	for _, mode := range []string{"off", "local"} {
		t.Run(mode, func(t *testing.T) {
			tg := run(t, mode)
			for _, s := range shapes {
				t.Run(s.name, func(t *testing.T) { s.check(t, tg) })
			}
		})
	}
}

// stricter is what the whole gateway makes of shapes that the data plane lets pass.
var stricter = map[string]shape{
	"two slashes":             {want: "200", saw: []string{"GET /evil/a HTTP/1.1\r\nHost: x\r\n\r\n"}},
	"method in small letters": {want: "400"},
}

// The same bytes through the whole gateway: what the data plane refuses stays
// refused, and what it lets pass reaches the upstream the same way, or stricter.
func TestShapesThroughTheGateway(t *testing.T) {
	tg := whole(t)
	for _, s := range shapes {
		if other, ok := stricter[s.name]; ok {
			other.name, other.send = s.name, s.send
			s = other
		}
		t.Run(s.name, func(t *testing.T) { s.check(t, tg) })
	}
}

func (s *shape) check(t *testing.T, tg *target) {
	tg.rec.reset()
	want := strings.Fields(s.want)
	answers := 0
	for _, w := range want {
		if w != "closed" {
			answers++
		}
	}
	got := tg.exchange(t, strings.Split(s.send, "¦"), answers, slices.Contains(want, "closed"))
	if i := slices.Index(want, "any"); i >= 0 { // refused in whatever manner
		want, got = want[:i], got[:min(i, len(got))]
	}
	if !slices.Equal(got, want) {
		t.Errorf("answers %q, want %q", got, want)
	}
	time.Sleep(5 * time.Millisecond) // the upstream may still be reading
	if strings.HasSuffix(s.want, "400 closed") {
		select { // the operator is told, and why
		case r := <-tg.refusals:
			if r.Reason == "" || r.Status != 400 && r.Status != 501 && r.Status != 505 {
				t.Errorf("told of %+v", r)
			}
		case <-time.After(time.Second):
			t.Error("the refusal was not told")
		}
	}
	for len(tg.refusals) > 0 {
		t.Errorf("told of %+v besides", <-tg.refusals)
	}
	saw := tg.rec.saw(t)
	switch {
	case s.saw != nil:
		if !slices.Equal(saw, s.saw) {
			t.Errorf("the upstream saw\n%q, want\n%q", saw, s.saw)
		}
	case s.brokenOff != "":
		// The head was well, so the call had begun: it must not have come to an end.
		for _, r := range saw {
			if !strings.HasPrefix(r, s.brokenOff) || strings.HasSuffix(r, "0\r\n\r\n") {
				t.Errorf("the upstream saw %q, want what begins %q and does not end", r, s.brokenOff)
			}
		}
	case len(saw) != 0:
		t.Errorf("the upstream saw %q, want nothing", saw)
	}
}
