package value

import (
	"bytes"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds on the header of one part. Real ones have two or three lines.
const (
	maxPartHeader = 8 << 10
	maxPartLines  = 16
)

// Multipart decodes a body of media type multipart/form-data (RFC 7578).
//
// A part with a file name, or of a media type other than text/plain and JSON,
// is a file: it is in the list of Parts, and in the tree stands a String with
// File set and no Text. A JSON part becomes the value that JSON decodes. Any
// other part is an Untyped String. A field that comes again becomes an Array.
//
// Upstreams disagree on nearly everything else that RFC 2046 allows, and an
// attack that one parser sees as a file's content is a field for another. So
// refused are: a preamble, an epilogue, padding after a boundary, a boundary
// after a bare CR or LF or with more text behind it, folded or repeated header
// lines, a quoted name with a backslash, repeated or continued parameters, a
// filename* that says something else than filename, transfer and content
// encodings, charsets other than UTF-8, and a multipart inside the multipart.
//
// Limits.Keys bounds the parts as well as the names, Limits.String each text
// field and name. The content of files is bounded by the body alone. Strings
// may share src's memory. The error is always an *Error.
func Multipart(src []byte, boundary string, lim Limits) (*Value, []Part, error) {
	m := multipartDecoder{src: src, lim: lim.WithDefaults()}
	root, err := m.decode(boundary)
	if err != nil {
		return nil, nil, err
	}
	return root, m.files, nil
}

type multipartDecoder struct {
	src   []byte
	lim   Limits
	files []Part
	nodes int
	parts int
	group group
}

// partHeader is what a part says of itself.
type partHeader struct {
	name                string
	fileName            string
	hasFile             bool
	mediaType           string // lower case, "" when not said
	length              int    // its own Content-Length, -1 when not said
	disposition, typeAt int    // offsets, for errors
}

func (m *multipartDecoder) fail(fault Fault, at int, format string, args ...any) *Error {
	return &Error{Fault: fault, Offset: at, Detail: fmt.Sprintf(format, args...)}
}

func (m *multipartDecoder) decode(boundary string) (*Value, *Error) {
	if uint64(len(m.src)) >= 1<<32 {
		return nil, m.fail(FaultSyntax, 0, "a body of 4 GiB or more")
	}
	if !validBoundary(boundary) {
		return nil, m.fail(FaultSyntax, 0, "a boundary that RFC 2046 does not allow")
	}
	dash := []byte("--" + boundary)
	if !bytes.HasPrefix(m.src, dash) {
		return nil, m.fail(FaultSyntax, 0, "the body does not begin with the boundary")
	}
	m.nodes = 1
	for at := len(dash); ; {
		rest := m.src[at:]
		switch {
		case bytes.HasPrefix(rest, []byte("--")):
			if tail := rest[2:]; len(tail) > 0 && string(tail) != "\r\n" {
				return nil, m.fail(FaultTrailing, at+2, "data after the closing boundary")
			}
			return &Value{Kind: Object, Kids: m.group.kids, End: uint32(len(m.src))}, nil
		case !bytes.HasPrefix(rest, []byte("\r\n")):
			return nil, m.fail(FaultSyntax, at, "want CRLF or -- after a boundary")
		}
		if m.parts++; m.parts > m.lim.Keys {
			return nil, m.fail(FaultKeys, at, "more than %d parts", m.lim.Keys)
		}
		h, start, err := m.header(at + 2)
		if err != nil {
			return nil, err
		}
		end, err := m.content(start, dash)
		if err != nil {
			return nil, err
		}
		if err := m.part(h, start, end); err != nil {
			return nil, err
		}
		at = end + 2 + len(dash)
	}
}

// validBoundary follows RFC 2046 section 5.1.1.
func validBoundary(b string) bool {
	if b == "" || len(b) > 70 || b[len(b)-1] == ' ' {
		return false
	}
	for i := 0; i < len(b); i++ {
		c := b[i]
		if !(c-'0' <= 9 || c|0x20-'a' <= 25 && c < 0x80 || strings.IndexByte("'()+_,-./:=? ", c) >= 0) {
			return false
		}
	}
	return true
}

// content returns where the content that begins at start ends: before the CRLF
// of the next boundary. The blank line after the header is not that CRLF, so an
// empty content has one of its own.
func (m *multipartDecoder) content(start int, dash []byte) (int, *Error) {
	for from := start; ; {
		i := bytes.Index(m.src[from:], dash)
		if i < 0 {
			return 0, m.fail(FaultSyntax, len(m.src), "ends without the closing boundary")
		}
		at := from + i
		switch before := m.src[at-1]; { // at > 0: the header lies before
		case at-2 >= start && before == '\n' && m.src[at-2] == '\r':
			return at - 2, nil
		case before == '\n' || before == '\r':
			return 0, m.fail(FaultSyntax, at, "a boundary that does not stand after CRLF")
		}
		from = at + 1
	}
}

// header reads the header lines from at on and returns where the content begins.
func (m *multipartDecoder) header(at int) (partHeader, int, *Error) {
	h := partHeader{length: -1}
	begin := at
	var seen []string
	for {
		end := bytes.IndexByte(m.src[at:min(len(m.src), begin+maxPartHeader)], '\n')
		if end < 0 {
			return h, 0, m.fail(FaultSyntax, at, "a part's header without end, or longer than %d bytes", maxPartHeader)
		}
		line := m.src[at : at+end]
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return h, 0, m.fail(FaultSyntax, at+end, "a header line that does not end in CRLF")
		}
		line = line[:len(line)-1]
		if len(line) == 0 {
			at += 2
			break
		}
		name, text, err := m.headerLine(line, at)
		if err != nil {
			return h, 0, err
		}
		for _, s := range seen {
			if s == name {
				return h, 0, m.fail(FaultSyntax, at, "a header line twice in one part")
			}
		}
		if seen = append(seen, name); len(seen) > maxPartLines {
			return h, 0, m.fail(FaultSyntax, at, "more than %d header lines in a part", maxPartLines)
		}
		if err := m.field(&h, name, text, at); err != nil {
			return h, 0, err
		}
		at += end + 1
	}
	if h.disposition == 0 {
		return h, 0, m.fail(FaultSyntax, begin, "a part without Content-Disposition")
	}
	return h, at, nil
}

func (m *multipartDecoder) headerLine(line []byte, at int) (name, text string, err *Error) {
	for i, c := range line {
		if (c < 0x20 && c != '\t') || c == 0x7F {
			return "", "", m.fail(FaultSyntax, at+i, "a control character in a header line")
		}
	}
	if !utf8.Valid(line) {
		return "", "", m.fail(FaultInvalidUTF8, at, "a header line that is not UTF-8")
	}
	if line[0] == ' ' || line[0] == '\t' {
		return "", "", m.fail(FaultSyntax, at, "a folded header line")
	}
	before, after, found := strings.Cut(string(line), ":")
	if !found || !isToken(before) {
		return "", "", m.fail(FaultSyntax, at, "not a header line")
	}
	return strings.ToLower(before), strings.Trim(after, " \t"), nil
}

// field takes in one header line. Lines that RFC 7578 section 4.8 says to
// ignore are ignored, unless some server is known to heed them.
func (m *multipartDecoder) field(h *partHeader, name, text string, at int) *Error {
	switch name {
	case "content-disposition":
		h.disposition = at
		return m.contentDisposition(h, text, at)
	case "content-type":
		h.typeAt = at
		return m.contentType(h, text, at)
	case "content-transfer-encoding":
		switch strings.ToLower(text) {
		case "7bit", "8bit", "binary":
		default:
			return m.fail(FaultSyntax, at, "a Content-Transfer-Encoding other than 7bit, 8bit and binary")
		}
	case "content-encoding":
		if !strings.EqualFold(text, "identity") {
			return m.fail(FaultSyntax, at, "a part with a Content-Encoding")
		}
	case "content-length":
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return m.fail(FaultSyntax, at, "a part's Content-Length is not a number")
		}
		h.length = int(n)
	}
	return nil
}

func (m *multipartDecoder) contentDisposition(h *partHeader, text string, at int) *Error {
	kind, params, err := m.parameters(text, at)
	if err != nil {
		return err
	}
	if !strings.EqualFold(kind, "form-data") {
		return m.fail(FaultSyntax, at, "a Content-Disposition other than form-data")
	}
	var extended string
	var hasName, hasExtended bool
	for _, p := range params {
		switch {
		case p.name == "name":
			h.name, hasName = p.text, true
		case p.name == "filename":
			h.fileName, h.hasFile = p.text, true
		case p.name == "filename*":
			if extended, hasExtended = extendedValue(p); !hasExtended {
				return m.fail(FaultSyntax, at, "a filename* that is not UTF-8 in the form of RFC 8187")
			}
		case strings.Contains(p.name, "*"):
			return m.fail(FaultSyntax, at, "a continued or extended parameter")
		}
	}
	if !hasName {
		return m.fail(FaultSyntax, at, "a part without a name")
	}
	if len(h.name) > m.lim.String || len(h.fileName) > m.lim.String {
		return m.fail(FaultString, at, "a name longer than %d bytes", m.lim.String)
	}
	if hasExtended {
		if h.hasFile && h.fileName != extended {
			// Some clients write the plain form of a name that is not ASCII as an encoded word.
			word, err := new(mime.WordDecoder).DecodeHeader(h.fileName)
			if err != nil || word != extended {
				return m.fail(FaultSyntax, at, "filename and filename* say different things")
			}
		}
		h.fileName, h.hasFile = extended, true
	}
	return nil
}

func (m *multipartDecoder) contentType(h *partHeader, text string, at int) *Error {
	kind, params, err := m.parameters(text, at)
	if err != nil {
		return err
	}
	major, minor, found := strings.Cut(kind, "/")
	if !found || !isToken(major) || !isToken(minor) {
		return m.fail(FaultSyntax, at, "a Content-Type that is none")
	}
	h.mediaType = strings.ToLower(kind)
	if strings.HasPrefix(h.mediaType, "multipart/") {
		return m.fail(FaultSyntax, at, "a multipart inside the multipart")
	}
	for _, p := range params {
		if p.name == "charset" && !strings.EqualFold(p.text, "utf-8") && !strings.EqualFold(p.text, "us-ascii") {
			return m.fail(FaultInvalidUTF8, at, "a charset other than UTF-8")
		}
	}
	return nil
}

// part puts one part into the tree.
func (m *multipartDecoder) part(h partHeader, start, end int) *Error {
	if h.length >= 0 && h.length != end-start {
		return m.fail(FaultSyntax, start, "a part's Content-Length is not its length")
	}
	if m.nodes++; m.nodes > m.lim.Nodes {
		return m.fail(FaultKeys, start, "more than %d values", m.lim.Nodes)
	}
	content := m.src[start:end]
	v := Value{Name: h.name, Kind: String, Start: uint32(start), End: uint32(end)}
	isJSON := h.mediaType == "application/json" || strings.HasSuffix(h.mediaType, "+json")
	switch {
	case h.hasFile || (h.mediaType != "" && h.mediaType != "text/plain" && !isJSON):
		v.File = true
		m.files = append(m.files, Part{Name: h.name, FileName: h.fileName, ContentType: h.mediaType, Start: start, End: end})
	case isJSON:
		lim := m.lim
		lim.Depth, lim.Nodes = below(lim.Depth, 1), below(lim.Nodes, m.nodes-1)
		doc, err := JSON(content, lim)
		if err != nil {
			e := err.(*Error) //nolint:errorlint // as JSON promises
			e.Offset += start
			e.Pointer = string(appendToken(nil, h.name)) + e.Pointer
			return e
		}
		m.nodes += shift(doc, uint32(start)) - 1
		v = *doc
		v.Name = h.name
	default:
		text, err := Text(content, m.lim)
		if err != nil {
			e := err.(*Error) //nolint:errorlint // as Text promises
			e.Offset += start
			e.Pointer = string(appendToken(nil, h.name))
			return e
		}
		v.Text, v.Untyped = text.Text, true
		if h.name == "_charset_" && !strings.EqualFold(v.Text, "utf-8") {
			return m.fail(FaultInvalidUTF8, start, "a _charset_ other than UTF-8")
		}
	}
	_, err := m.group.add(v, start, &m.lim)
	return err
}

// below is what is left of a limit; a zero would mean the default.
func below(limit, used int) int {
	if limit -= used; limit <= 0 {
		return -1
	}
	return limit
}

// shift moves the offsets of a tree and returns how many values it has.
func shift(v *Value, by uint32) int {
	v.Start += by
	v.End += by
	n := 1
	for i := range v.Kids {
		n += shift(&v.Kids[i], by)
	}
	return n
}
