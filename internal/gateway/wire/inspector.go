package wire

import (
	"bytes"
	"strings"
)

// state is what the next byte belongs to.
type state uint8

const (
	requestLine state = iota
	fieldLine
	body
	chunkSize
	chunkData
	chunkEnd // the CRLF after a chunk's data
	trailerLine
	opaque // no longer HTTP/1: a tunnel, or HTTP/2
)

// maxLine bounds a line that is held because it came in pieces; net/http's own
// limit on the header section is reached before it.
const maxLine = 1 << 20

// maxChunkLine is the longest chunk-size line with its extensions.
const maxChunkLine = 256

// Inspector follows the requests of one HTTP/1 connection. The zero Inspector
// stands before the first.
type Inspector struct {
	state state
	left  uint64 // bytes of body or chunk still to come
	part  []byte // beginning of a line whose end has not come yet

	// of the head that is being read
	old           bool // HTTP/1.0
	lengths       int
	length        uint64
	encodings     int
	hosts         int
	host          string
	authority     string // of an absolute-form target
	authorityForm bool   // CONNECT
}

// Tunnel says that the connection has left HTTP: nothing more is inspected.
func (in *Inspector) Tunnel() { in.state, in.part = opaque, nil }

// Feed inspects the next bytes. It returns how many of them are well and, when
// that is not all, why the next one is not.
func (in *Inspector) Feed(p []byte) (ok int, fault string) {
	for i := 0; i < len(p); {
		switch in.state {
		case opaque:
			return len(p), ""
		case body, chunkData:
			n := uint64(len(p) - i)
			if n > in.left {
				n = in.left
			}
			in.left -= n
			i += int(n) // n is at most len(p)
			if in.left == 0 {
				if in.state == body {
					in.next()
				} else {
					in.state = chunkEnd
				}
			}
			continue
		}
		end := bytes.IndexByte(p[i:], '\n')
		if end < 0 {
			if fault := in.hold(p[i:]); fault != "" {
				return i, fault
			}
			return len(p), ""
		}
		line := p[i : i+end]
		if len(in.part) > 0 {
			in.part = append(in.part, line...)
			line = in.part
		}
		if fault := in.line(line); fault != "" {
			return i, fault
		}
		in.part = in.part[:0]
		i += end + 1
	}
	return len(p), ""
}

// hold keeps the beginning of a line.
func (in *Inspector) hold(piece []byte) string {
	limit := maxLine
	if in.state == chunkSize || in.state == chunkEnd {
		limit = maxChunkLine
	}
	if len(in.part)+len(piece) > limit {
		return "a line is too long"
	}
	in.part = append(in.part, piece...)
	if cap(in.part) > 64<<10 && len(in.part) < 4<<10 {
		in.part = append([]byte(nil), in.part...) // one long line must not cost the connection its memory for good
	}
	return ""
}

// line inspects one line, without its LF.
func (in *Inspector) line(l []byte) string {
	if len(l) == 0 || l[len(l)-1] != '\r' {
		return "a line ends in LF without CR"
	}
	l = l[:len(l)-1]
	if bytes.IndexByte(l, '\r') >= 0 {
		return "CR inside a line"
	}
	if bytes.IndexByte(l, 0) >= 0 {
		return "NUL"
	}
	switch in.state {
	case requestLine:
		if len(l) == 0 { // an empty line between requests may be ignored: RFC 9112 section 2.2
			return ""
		}
		return in.request(l)
	case fieldLine:
		if len(l) == 0 {
			return in.endOfHead()
		}
		return in.field(l)
	case chunkSize:
		return in.chunk(l)
	case chunkEnd:
		if len(l) != 0 {
			return "a chunk is longer than its size"
		}
		in.state = chunkSize
	case trailerLine:
		if len(l) == 0 {
			in.next()
			return ""
		}
		_, fault := fieldName(l)
		return fault
	}
	return ""
}

// request inspects a request line: method SP target SP version.
func (in *Inspector) request(l []byte) string {
	sp := bytes.IndexByte(l, ' ')
	last := bytes.LastIndexByte(l, ' ')
	if sp <= 0 || last == sp || bytes.IndexByte(l[sp+1:last], ' ') >= 0 || last == sp+1 {
		return "the request line is not method, target and version with one space between"
	}
	method, target, version := l[:sp], l[sp+1:last], string(l[last+1:])
	for _, c := range method {
		if !token[c] {
			return "the method is not a token"
		}
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return "control character in the request target"
		}
	}
	switch version {
	case "HTTP/1.1":
	case "HTTP/1.0":
		in.old = true
	default:
		return "the version is neither HTTP/1.1 nor HTTP/1.0"
	}
	in.authorityForm = string(method) == "CONNECT"
	if target[0] != '/' && string(target) != "*" && !in.authorityForm {
		scheme, rest, found := strings.Cut(string(target), "://")
		if !found || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
			return "the request target has no form that RFC 9112 knows"
		}
		in.authority = rest
		if end := strings.IndexAny(rest, "/?#"); end >= 0 {
			in.authority = rest[:end]
		}
		if in.authority == "" {
			return "the request target names no host"
		}
	}
	in.state = fieldLine
	return ""
}

// fieldName returns a field line's name.
func fieldName(l []byte) (name []byte, fault string) {
	if l[0] == ' ' || l[0] == '\t' {
		return nil, "folded field line"
	}
	colon := bytes.IndexByte(l, ':')
	if colon <= 0 {
		return nil, "a field line without a name"
	}
	for _, c := range l[:colon] {
		if !token[c] {
			return nil, "a field name is not a token"
		}
	}
	return l[:colon], ""
}

// field inspects one field line of a head.
func (in *Inspector) field(l []byte) string {
	name, fault := fieldName(l)
	if fault != "" {
		return fault
	}
	switch len(name) { // of the few names that matter
	case len("Expect"):
		if equalFold(name, "expect") && !equalFold(bytes.Trim(l[len(name)+1:], " \t"), "100-continue") {
			return "Expect is not 100-continue"
		}
	case len("Host"):
		if equalFold(name, "host") {
			in.hosts++
			in.host = string(bytes.Trim(l[len(name)+1:], " \t"))
			if in.hosts > 1 {
				return "more than one Host"
			}
		}
	case len("Content-Length"):
		if equalFold(name, "content-length") {
			return in.contentLength(bytes.Trim(l[len(name)+1:], " \t"))
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "transfer-encoding") {
			in.encodings++
			if in.encodings > 1 {
				return "more than one Transfer-Encoding"
			}
			if !equalFold(bytes.Trim(l[len(name)+1:], " \t"), "chunked") {
				return "Transfer-Encoding is not chunked"
			}
		}
	}
	return ""
}

func (in *Inspector) contentLength(v []byte) string {
	in.lengths++
	if in.lengths > 1 {
		return "more than one Content-Length"
	}
	if len(v) == 0 || len(v) > 18 {
		return "Content-Length is not a number"
	}
	in.length = 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return "Content-Length is not a number"
		}
		in.length = in.length*10 + uint64(c-'0')
	}
	return ""
}

// endOfHead decides what follows the head.
func (in *Inspector) endOfHead() string {
	switch {
	case in.encodings > 0 && in.lengths > 0:
		return "both Content-Length and Transfer-Encoding"
	case in.encodings > 0 && in.old:
		return "Transfer-Encoding in HTTP/1.0"
	case in.hosts == 0 && !in.old:
		return "no Host"
	case in.authority != "" && in.hosts > 0 && !strings.EqualFold(in.authority, in.host):
		return "the request target and Host name different hosts"
	}
	switch {
	case in.encodings > 0:
		in.state = chunkSize
	case in.length > 0:
		in.state, in.left = body, in.length
	default:
		in.next()
	}
	return ""
}

// chunk inspects a chunk-size line.
func (in *Inspector) chunk(l []byte) string {
	if len(l) > maxChunkLine {
		return "a line is too long"
	}
	digits, size := 0, uint64(0)
	for digits < len(l) {
		d := hexDigit(l[digits])
		if d < 0 {
			break
		}
		size = size<<4 | uint64(d) // d is 0 to 15
		digits++
	}
	if digits == 0 || digits > 15 {
		return "a chunk size is not a hexadecimal number"
	}
	if rest := l[digits:]; len(rest) > 0 {
		if rest[0] != ';' { // nor white space before it, which RFC 9112 forbids senders
			return "a chunk size is not a hexadecimal number"
		}
		for _, c := range rest {
			if c < ' ' && c != '\t' || c == 0x7f {
				return "control character in a chunk extension"
			}
		}
	}
	if size == 0 {
		in.state = trailerLine
		return ""
	}
	in.state, in.left = chunkData, size
	return ""
}

// next stands before the next request.
func (in *Inspector) next() {
	*in = Inspector{part: in.part}
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// equalFold compares with a lower-case ASCII name.
func equalFold(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// token are the characters of RFC 9110 section 5.6.2.
var token = func() (t [256]bool) {
	for c := '0'; c <= 'z'; c++ {
		t[c] = c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a'
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()
