package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// bodyLimits bound one message body.
type bodyLimits struct {
	buffered int64 // bytes of a body that is held whole
	streamed int64 // bytes of a body that is passed on as it comes
	ratio    int64 // how many times larger decompression may make it
	values   value.Limits
}

// peekBytes is how much of a streamed body guards see: enough for every file
// type's signature.
const peekBytes = 16 << 10

// memory is the budget for all bodies held at once, so that many large bodies
// together cannot take the process down.
type memory struct {
	left atomic.Int64
}

func (m *memory) take(n int64) bool {
	if m.left.Add(-n) < 0 {
		m.left.Add(n)
		return false
	}
	return true
}

func (m *memory) give(n int64) { m.left.Add(n) }

// bodyFault is why a body was not read. It is a denial's code and reason.
type bodyFault struct {
	code   string
	reason string
}

func (e *bodyFault) Error() string { return e.code + ": " + e.reason }

// form is what a media type's content is decoded as.
type form uint8

const (
	formBinary form = iota // no tree
	formJSON
	formURLEncoded
	formMultipart
	formXML
	formText
)

// formOf says how a media type (lower case, without parameters) is decoded.
func formOf(mediaType string) form {
	switch mediaType {
	case "application/json", "text/json":
		return formJSON
	case "application/x-www-form-urlencoded":
		return formURLEncoded
	case "multipart/form-data":
		return formMultipart
	case "application/xml", "text/xml":
		return formXML
	case "application/graphql", "application/yaml", "application/x-yaml", "application/javascript", "application/x-ndjson":
		return formText
	}
	switch {
	case strings.HasSuffix(mediaType, "+json"):
		return formJSON
	case strings.HasSuffix(mediaType, "+xml") && mediaType != "image/svg+xml":
		return formXML
	case strings.HasPrefix(mediaType, "text/"):
		return formText
	}
	return formBinary
}

// parseMediaType reads a Content-Type. One that is unreadable, or read in several
// ways, gives "".
func parseMediaType(h http.Header) (mediaType string, params map[string]string) {
	lines := h["Content-Type"]
	if len(lines) != 1 {
		return "", nil
	}
	if lines[0] == "application/json" {
		return lines[0], nil
	}
	mediaType, params, err := mime.ParseMediaType(lines[0])
	if err != nil || strings.Contains(lines[0], "*") {
		return "", nil // "boundary*=": extended and continued parameters are known to few servers
	}
	for _, text := range params {
		if strings.ContainsAny(text, `;"\`) {
			return "", nil // what is a parameter to who minds the quotes, and another to who does not
		}
	}
	return mediaType, params
}

// readBody reads the request's body for the guards: whole when its media type
// has a tree, else its beginning. r.Body is replaced so that the upstream gets
// exactly the bytes that the guards saw, decompressed. held is what must be
// given back to the memory budget at the end. shape says what the contract knows
// of an XML body's elements; it may be nil.
func readBody(r *http.Request, lim *bodyLimits, mem *memory, shape value.XMLShape) (b *exchange.Body, held int64, err error) {
	mediaType, params := parseMediaType(r.Header)
	kind := formOf(mediaType)
	body, encoded, err := decompress(r, lim)
	if err != nil {
		return nil, 0, err
	}
	if kind == formBinary {
		b, err := peekBody(r, body, encoded, lim)
		if b != nil {
			b.MediaType = mediaType
		}
		return b, 0, err
	}
	limit := lim.buffered
	if kind == formMultipart {
		limit = lim.streamed
	}
	if !encoded && r.ContentLength > limit {
		return nil, 0, &bodyFault{"body.too_large", "declared length is over the limit"}
	}
	data, held, err := readWhole(body, r.ContentLength, limit, mem)
	if err != nil {
		mem.give(held)
		var f *bodyFault
		if encoded && errors.As(err, &f) && f.code == "body.too_large" {
			err = &bodyFault{"body.decompression", "the decompressed body is over the limit"}
		}
		return nil, 0, err
	}
	if !encoded && r.ContentLength >= 0 && int64(len(data)) != r.ContentLength {
		mem.give(held)
		return nil, 0, &bodyFault{"body.incomplete", "the body is shorter than its declared length"}
	}
	// A tree is many times larger than its text: it is paid for before it grows.
	cost := treeCost(kind, data, &lim.values)
	if !mem.take(cost) {
		mem.give(held)
		return nil, 0, &bodyFault{"gateway.overloaded", "the memory for request bodies is used up"}
	}
	held += cost
	b = &exchange.Body{Bytes: data, MediaType: mediaType}
	decodeBody(b, kind, params, lim.values, shape)
	replaceBody(r, data)
	return b, held, nil
}

// treeCost is the most memory that the tree of a document can take.
func treeCost(kind form, data []byte, lim *value.Limits) int64 {
	nodes := 1
	switch kind {
	case formJSON:
		nodes += bytes.Count(data, []byte{','}) + bytes.Count(data, []byte{'['}) + bytes.Count(data, []byte{'{'})
	case formURLEncoded:
		nodes += bytes.Count(data, []byte{'&'}) + 1
	case formXML:
		nodes += bytes.Count(data, []byte{'<'}) + bytes.Count(data, []byte{'='})
	case formMultipart:
		nodes += bytes.Count(data, []byte("\r\n--"))
	case formBinary, formText:
	}
	if kind != formJSON {
		nodes += nodes / 2 // what repeats stands in a list of its own
	}
	return int64(min(nodes, lim.Nodes)) * int64(unsafe.Sizeof(value.Value{}))
}

// replaceBody makes data the request's whole body.
func replaceBody(r *http.Request, data []byte) {
	r.Body = io.NopCloser(bytes.NewReader(data))
	r.ContentLength = int64(len(data))
	r.TransferEncoding = nil
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// decodeBody fills b.Root, b.Parts or b.Err.
func decodeBody(b *exchange.Body, kind form, params map[string]string, lim value.Limits, shape value.XMLShape) {
	var err error
	if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") && !strings.EqualFold(cs, "us-ascii") {
		b.Err = &value.Error{Fault: value.FaultInvalidUTF8, Detail: "the charset is not UTF-8"}
		return
	}
	switch kind {
	case formJSON:
		b.Root, err = value.JSON(b.Bytes, lim)
	case formURLEncoded:
		b.Root, err = value.Form(b.Bytes, lim)
	case formMultipart:
		b.Root, b.Parts, err = value.Multipart(b.Bytes, params["boundary"], lim)
	case formXML:
		b.Root, err = value.XMLWith(b.Bytes, lim, shape)
	case formText:
		b.Root, err = value.Text(b.Bytes, lim)
	}
	if err != nil {
		b.Root, b.Parts = nil, nil
		var ve *value.Error
		if !errors.As(err, &ve) {
			ve = &value.Error{Fault: value.FaultSyntax, Detail: err.Error()}
		}
		b.Err = ve
	}
}

// decompress undoes the request's Content-Encoding (RFC 9110 section 8.4):
// gzip and deflate, once. Others are refused, so that no guard is passed unseen.
func decompress(r *http.Request, lim *bodyLimits) (body io.Reader, encoded bool, err error) {
	lines := r.Header["Content-Encoding"]
	if len(lines) == 0 {
		return r.Body, false, nil
	}
	name := ""
	if len(lines) == 1 {
		name = strings.ToLower(strings.TrimSpace(lines[0]))
	}
	switch name {
	case "identity":
		r.Header.Del("Content-Encoding")
		return r.Body, false, nil
	case "gzip", "x-gzip", "deflate":
	default:
		return nil, false, &bodyFault{"body.encoding", "the content encoding is not one of gzip, deflate"}
	}
	in := &countReader{r: r.Body}
	var z io.Reader
	if name == "deflate" {
		z, err = newZlib(in)
	} else {
		z, err = newGzip(in)
	}
	if err != nil {
		if f := readFault(err); f != nil {
			return nil, true, f
		}
		return nil, true, &bodyFault{"body.syntax", "the body is not what its content encoding says"}
	}
	r.Header.Del("Content-Encoding")
	r.Header.Del("Content-Length")
	r.Header.Del("Content-Digest")
	return &bombReader{z: z, in: in, ratio: lim.ratio}, true, nil
}

// newZlib reads one zlib stream, which is what "deflate" means.
func newZlib(in io.Reader) (io.Reader, error) {
	br := bufio.NewReader(in)
	z, err := zlib.NewReader(br)
	if err != nil {
		return nil, err
	}
	return &oneMember{z: z, rest: br}, nil
}

// newGzip refuses concatenated members' surprises by reading exactly one.
func newGzip(in io.Reader) (io.Reader, error) {
	br := bufio.NewReader(in)
	z, err := gzip.NewReader(br)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &oneMember{z: z, rest: br}, nil
}

// oneMember reads one compressed stream and fails when anything follows it.
type oneMember struct {
	z    io.Reader
	rest *bufio.Reader
}

var errTrailingData = errors.New("data after the compressed body")

func (m *oneMember) Read(p []byte) (int, error) {
	n, err := m.z.Read(p)
	if err == io.EOF {
		if _, e := m.rest.ReadByte(); e != io.EOF {
			return n, errTrailingData
		}
	}
	return n, err
}

type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bombReader fails when the decompressed size passes the allowed ratio (CWE-409).
type bombReader struct {
	z     io.Reader
	in    *countReader
	ratio int64
	n     int64
}

var errBomb = errors.New("decompressed size is over the allowed ratio")

// ratioFree is a size up to which no ratio counts: short bodies of repeated text
// compress very well and harm nobody.
const ratioFree = 64 << 10

func (b *bombReader) Read(p []byte) (int, error) {
	n, err := b.z.Read(p)
	b.n += int64(n)
	if b.n > ratioFree && b.n > b.in.n*b.ratio {
		return n, errBomb
	}
	return n, err
}

// readWhole reads to the end or to the limit, taking memory from the budget as
// it grows, so that a declared length alone reserves nothing.
func readWhole(r io.Reader, declared, limit int64, mem *memory) (data []byte, held int64, err error) {
	size := int64(4096)
	if declared >= 0 && declared < 64<<10 {
		size = declared + 1
	}
	if !mem.take(size) {
		return nil, 0, &bodyFault{"gateway.overloaded", "the memory for request bodies is used up"}
	}
	held = size
	buf := make([]byte, 0, size)
	for {
		if len(buf) == cap(buf) {
			grow := int64(cap(buf))
			if !mem.take(grow) {
				return nil, held, &bodyFault{"gateway.overloaded", "the memory for request bodies is used up"}
			}
			held += grow
			next := make([]byte, len(buf), int64(cap(buf))+grow)
			copy(next, buf)
			buf = next
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, held, &bodyFault{"body.too_large", "the body is over the limit"}
		}
		if err == io.EOF {
			return buf, held, nil
		}
		if err != nil {
			return nil, held, faultOf(err)
		}
	}
}

// peekBody reads the beginning of a body that is passed on as it comes.
func peekBody(r *http.Request, body io.Reader, encoded bool, lim *bodyLimits) (*exchange.Body, error) {
	if !encoded && r.ContentLength > lim.streamed {
		return nil, &bodyFault{"body.too_large", "declared length is over the limit for uploads"}
	}
	size := int64(peekBytes)
	if !encoded && r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	head := make([]byte, size)
	n, whole, err := readUpTo(body, head)
	if err != nil {
		return nil, faultOf(err)
	}
	head = head[:n]
	if !encoded && r.ContentLength >= 0 {
		if whole && int64(n) < r.ContentLength {
			return nil, &bodyFault{"body.incomplete", "the body is shorter than its declared length"}
		}
		whole = int64(n) == r.ContentLength
	}
	if whole {
		replaceBody(r, head)
		return &exchange.Body{Bytes: head}, nil
	}
	if encoded {
		r.ContentLength = -1
	}
	l := newLimitedBody(io.MultiReader(bytes.NewReader(head), body), r.Body, lim.streamed)
	if encoded {
		l.code = "body.decompression"
	}
	r.Body, r.GetBody = l, nil
	return &exchange.Body{Bytes: head, Partial: true}, nil
}

// readUpTo fills p as far as the body goes. Unlike io.ReadFull it tells a body
// that ends from one that breaks off.
func readUpTo(body io.Reader, p []byte) (n int, whole bool, err error) {
	for n < len(p) {
		m, err := body.Read(p[n:])
		n += m
		if err == io.EOF {
			return n, true, nil
		}
		if err != nil {
			return n, false, err
		}
	}
	return n, false, nil
}

// limitBody bounds a body that no guard reads.
func limitBody(r *http.Request, lim *bodyLimits) {
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = newLimitedBody(r.Body, r.Body, lim.streamed)
	}
}

// limitedBody fails at the limit; the failure aborts the upstream request, so a
// cut body is never taken for a whole one. The transport reads it in a goroutine
// of its own, which may outlive the call: hence the atomics.
type limitedBody struct {
	r     io.Reader
	c     io.Closer
	limit int64
	code  string // of a body over the limit
	n     atomic.Int64
	fault atomic.Pointer[bodyFault] // why reading failed, once it has
}

func newLimitedBody(r io.Reader, c io.Closer, limit int64) *limitedBody {
	return &limitedBody{r: r, c: c, limit: limit, code: "body.too_large"}
}

func (l *limitedBody) Read(p []byte) (int, error) {
	if f := l.fault.Load(); f != nil {
		return 0, f
	}
	n, err := l.r.Read(p)
	if f := l.fault.Load(); f != nil {
		return 0, f // it was cut meanwhile
	}
	if l.n.Add(int64(n)) > l.limit {
		err = &bodyFault{l.code, "the body is over the limit for uploads"}
		n = 0
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	fault := readFault(err)
	if fault == nil {
		fault = &bodyFault{"body.syntax", "the body is not what its encoding says"}
	}
	l.fault.CompareAndSwap(nil, fault)
	return n, fault
}

func (l *limitedBody) Close() error { return l.c.Close() }

// faultOf turns a read error into a denial's code.
func faultOf(err error) error {
	if f := readFault(err); f != nil {
		return f
	}
	return &bodyFault{"body.syntax", "the body is not what its content encoding says"}
}

func readFault(err error) *bodyFault {
	var tooLarge *http.MaxBytesError
	var own *bodyFault
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, errBomb):
		return &bodyFault{"body.decompression", errBomb.Error()}
	case errors.Is(err, errTrailingData):
		return &bodyFault{"body.trailing_data", errTrailingData.Error()}
	case errors.As(err, &tooLarge):
		return &bodyFault{"body.too_large", "the body is over the limit"}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return &bodyFault{"gateway.timeout", "the body did not arrive in time"}
	case errors.Is(err, context.Canceled):
		return &bodyFault{"gateway.client_gone", "the client went away"}
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return &bodyFault{"body.incomplete", "the body ended before its declared length"}
	}
	return nil
}

// DecodeBody reads a body as the gateway does, by the Content-Type of h, for tools
// that rule on a request without sending it. shape says what the contract knows of an
// XML body's elements; it may be nil. What cannot be decoded is in Err.
func DecodeBody(h http.Header, data []byte, lim value.Limits, shape func(mediaType string) value.XMLShape) *exchange.Body {
	mediaType, params := parseMediaType(h)
	b := &exchange.Body{Bytes: data, MediaType: mediaType}
	kind := formOf(mediaType)
	var xml value.XMLShape
	if kind == formXML && shape != nil {
		xml = shape(mediaType)
	}
	if kind != formBinary {
		decodeBody(b, kind, params, lim, xml)
	}
	return b
}
