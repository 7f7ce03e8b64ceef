package gateway

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func TestReadBody(t *testing.T) {
	lim := bodyLimits{buffered: 1000, streamed: 100_000, ratio: 10, values: value.Limits{}.WithDefaults()}
	const octets = "application/octet-stream"
	big := strings.Repeat("abcdefghij", 5000) // 50 kB
	for name, c := range map[string]struct {
		mediaType, encoding, body string
		length                    int64 // -1: chunked, 0: the body's own
		broken                    error // behind the body
		want                      string
		partial                   bool
		sent                      string // what the upstream can read; "" means body
		late                      string // the fault that shows only while the upstream reads
	}{
		"json":                         {mediaType: "application/json", body: `{"a":1}`},
		"json, chunked":                {mediaType: "application/json", body: `{"a":1}`, length: -1},
		"json, shorter than declared":  {mediaType: "application/json", body: `{"a":1}`, length: 9, want: "body.incomplete"},
		"json, declared too large":     {mediaType: "application/json", body: `{}`, length: 1001, want: "body.too_large"},
		"json, too large":              {mediaType: "application/json", body: big, length: -1, want: "body.too_large"},
		"json at the limit":            {mediaType: "application/json", body: `"` + big[:998] + `"`},
		"json over the limit by one":   {mediaType: "application/json", body: `"` + big[:999] + `"`, length: -1, want: "body.too_large"},
		"json, breaks off":             {mediaType: "application/json", body: `{"a"`, length: -1, broken: io.ErrUnexpectedEOF, want: "body.incomplete"},
		"json, times out":              {mediaType: "application/json", body: `{"a"`, length: -1, broken: os.ErrDeadlineExceeded, want: "gateway.timeout"},
		"gzip":                         {mediaType: "application/json", encoding: "gzip", body: zipped(`{"a":1}`), sent: `{"a":1}`},
		"gzip in capitals":             {mediaType: "application/json", encoding: " GZIP", body: zipped(`{"a":1}`), sent: `{"a":1}`},
		"gzip cut short":               {mediaType: "application/json", encoding: "gzip", body: zipped(`{"a":1}`)[:20], want: "body.incomplete"},
		"gzip with a wrong checksum":   {mediaType: "application/json", encoding: "gzip", body: zipped(`{"a":1}`)[:len(zipped(`{"a":1}`))-8] + "12345678", want: "body.syntax"},
		"gzip of two members":          {mediaType: "application/json", encoding: "gzip", body: zipped(`{"a":1`) + zipped(`}`), want: "body.trailing_data"},
		"gzip and rubbish behind":      {mediaType: "application/json", encoding: "gzip", body: zipped(`{"a":1}`) + "x", want: "body.trailing_data"},
		"gzip too large":               {mediaType: "application/json", encoding: "gzip", body: zipped(big), want: "body.decompression"},
		"gzip of nothing":              {mediaType: "application/json", encoding: "gzip", body: "", length: -1, want: "body.incomplete"},
		"deflate":                      {mediaType: "application/json", encoding: "deflate", body: deflated(`{"a":1}`), sent: `{"a":1}`},
		"deflate and rubbish behind":   {mediaType: "application/json", encoding: "deflate", body: deflated(`{"a":1}`) + "x", want: "body.trailing_data"},
		"deflate without its header":   {mediaType: "application/json", encoding: "deflate", body: deflated(`{"a":1}`)[2:], want: "body.syntax"},
		"brotli":                       {mediaType: "application/json", encoding: "br", body: "x", want: "body.encoding"},
		"an empty encoding":            {mediaType: "application/json", encoding: ",", body: "{}", want: "body.encoding"},
		"bytes":                        {mediaType: octets, body: "abc"},
		"bytes, chunked":               {mediaType: octets, body: "abc", length: -1},
		"bytes of the peek's size":     {mediaType: octets, body: big[:peekBytes]},
		"bytes of that, chunked":       {mediaType: octets, body: big[:peekBytes], length: -1, partial: true},
		"bytes of one more":            {mediaType: octets, body: big[:peekBytes+1], partial: true},
		"bytes of one less, chunked":   {mediaType: octets, body: big[:peekBytes-1], length: -1},
		"many bytes":                   {mediaType: octets, body: big, partial: true},
		"bytes, declared too large":    {mediaType: octets, body: "abc", length: 100_001, want: "body.too_large"},
		"bytes, shorter than declared": {mediaType: octets, body: "abc", length: 5, want: "body.incomplete"},
		"bytes, break off":             {mediaType: octets, body: "abc", length: -1, broken: io.ErrUnexpectedEOF, want: "body.incomplete"},
		"many bytes, break off":        {mediaType: octets, body: big, length: -1, broken: io.ErrUnexpectedEOF, partial: true, late: "body.incomplete"},
		"many bytes, too many":         {mediaType: octets, body: big + big + big, length: -1, partial: true, late: "body.too_large"},
		"zipped bytes":                 {mediaType: octets, encoding: "gzip", body: zipped(big[:100]), sent: big[:100]},
		"zipped bytes cut short":       {mediaType: octets, encoding: "gzip", body: zipped(big[:100])[:30], want: "body.incomplete"},
		"a bomb of bytes":              {mediaType: octets, encoding: "gzip", body: zipped(strings.Repeat("\x00", 90_000)), partial: true, late: "body.decompression"},
		"zipped bytes over the limit":  {mediaType: octets, encoding: "gzip", body: zipped(big + big + big), partial: true, late: "body.decompression"},
	} {
		for _, slow := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				var src io.Reader = strings.NewReader(c.body)
				if c.broken != nil {
					src = io.MultiReader(src, iotest.ErrReader(c.broken))
				}
				if slow {
					src = iotest.OneByteReader(src)
				}
				r := httptest.NewRequest(http.MethodPost, "/", src)
				r.Body = io.NopCloser(src)
				if r.ContentLength = c.length; c.length == 0 {
					r.ContentLength = int64(len(c.body))
				}
				r.Header.Set("Content-Type", c.mediaType)
				if c.encoding != "" {
					r.Header.Set("Content-Encoding", c.encoding)
				}
				var mem memory
				mem.left.Store(1 << 20)
				b, held, err := readBody(r, &lim, &mem, nil)
				if 1<<20-mem.left.Load() != held {
					t.Errorf("%d bytes taken, %d said to be held", 1<<20-mem.left.Load(), held)
				}
				if code := faultCode(err); code != c.want {
					t.Fatalf("%v, want %q", err, c.want)
				}
				if c.want != "" {
					if held != 0 || b != nil {
						t.Errorf("a refused body holds %d bytes", held)
					}
					return
				}
				sent, err := io.ReadAll(r.Body)
				if code := faultCode(err); code != c.late {
					t.Fatalf("while it is passed on: %v, want %q", err, c.late)
				}
				want := c.sent
				if want == "" {
					want = c.body
				}
				if b.Partial != c.partial || c.late == "" && string(sent) != want || !strings.HasPrefix(want, string(b.Bytes)) && c.late == "" {
					t.Errorf("partial %v, sent %d bytes, seen %d", b.Partial, len(sent), len(b.Bytes))
				}
				if !b.Partial && (r.ContentLength != int64(len(sent)) || string(b.Bytes) != string(sent)) {
					t.Errorf("length %d, %d bytes seen, %d sent", r.ContentLength, len(b.Bytes), len(sent))
				}
				if r.Header.Get("Content-Encoding") != "" {
					t.Error("still said to be encoded")
				}
				if c.encoding != "" && r.Header.Get("Content-Length") != "" {
					t.Error("the compressed length is still said")
				}
			})
		}
	}
}

func faultCode(err error) string {
	var f *bodyFault
	if errors.As(err, &f) {
		return f.code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestTheBudgetForBodiesIsShared(t *testing.T) {
	lim := bodyLimits{buffered: 1 << 20, streamed: 1 << 20, ratio: 10, values: value.Limits{}.WithDefaults()}
	for budget, want := range map[int64]string{4096: "gateway.overloaded", 50_000: "gateway.overloaded", 200_000: "gateway.overloaded", 2_000_000: ""} {
		var mem memory
		mem.left.Store(budget)
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Body = io.NopCloser(strings.NewReader("[" + strings.Repeat("1,", 5_000) + strings.Repeat(" ", 60_000) + "1]"))
		r.ContentLength = -1
		r.Header.Set("Content-Type", "application/json")
		_, held, err := readBody(r, &lim, &mem, nil)
		if faultCode(err) != want {
			t.Errorf("with %d bytes: %v, want %q", budget, err, want)
		}
		if mem.left.Load()+held != budget {
			t.Errorf("with %d bytes: %d held, %d left", budget, held, mem.left.Load())
		}
	}
}

// A tree never has more values than were paid for.
func TestTreesArePaidFor(t *testing.T) {
	lim := value.Limits{}.WithDefaults()
	var count func(v *value.Value) int64
	count = func(v *value.Value) int64 {
		n := int64(1)
		for i := range v.Kids {
			n += count(&v.Kids[i])
		}
		return n
	}
	one := treeCost(formBinary, nil, &lim)
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]form{formJSON, formURLEncoded, formXML}).Draw(t, "kind")
		alphabet := map[form]string{formJSON: `[]{},:"a1 `, formURLEncoded: "a=&1", formXML: `<></a b="1">`}[kind]
		text := rapid.StringOfN(rapid.SampledFrom([]rune(alphabet)), 0, 40, -1).Draw(t, "text")
		if kind == formXML {
			text = "<r " + strings.Repeat(` a="1"`, rapid.IntRange(0, 1).Draw(t, "attributes")) + ">" + strings.Repeat("<b><c>x</c></b>y", rapid.IntRange(0, 9).Draw(t, "children")) + "</r>"
		}
		b := &exchange.Body{Bytes: []byte(text)}
		decodeBody(b, kind, nil, lim, nil)
		if b.Root != nil && count(b.Root)*one > treeCost(kind, b.Bytes, &lim) {
			t.Fatalf("%q has %d values, paid for are %d", text, count(b.Root), treeCost(kind, b.Bytes, &lim)/one)
		}
	})
}

func TestBodiesInExchanges(t *testing.T) {
	g := newTestGateway(t, "", "{limits: {body: 2KiB, upload: 40KiB}}")
	long := strings.Repeat("x", 60_000)
	for name, c := range map[string]struct {
		r    func() *http.Request
		up   Upstream
		want int
		in   int64
	}{
		"a body":         {func() *http.Request { return post(`{"a":1}`) }, answering(204, "", ""), 204, 7},
		"refused":        {func() *http.Request { return post(`{"z":1}`) }, nil, 422, 7},
		"not JSON":       {func() *http.Request { return post(`{`) }, nil, 400, 1},
		"too large":      {func() *http.Request { return post(`"` + long + `"`) }, nil, 413, 0},
		"upstream fails": {func() *http.Request { return post(`{"a":1}`) }, func(http.ResponseWriter, *http.Request) error { return io.ErrUnexpectedEOF }, 502, 7},
		"upload": {func() *http.Request {
			r := httptest.NewRequest(http.MethodPut, "/blob", strings.NewReader(long[:30_000]))
			r.Header.Set("Content-Type", "application/octet-stream")
			return r
		}, answering(204, "", ""), 204, 30_000},
		"upload too large": {func() *http.Request {
			r := httptest.NewRequest(http.MethodPut, "/blob", strings.NewReader(long))
			r.ContentLength = -1
			r.Header.Set("Content-Type", "application/octet-stream")
			return r
		}, answering(204, "", ""), 413, 0},
	} {
		t.Run(name, func(t *testing.T) {
			*g.trail = records{}
			w, _ := g.do(c.up, c.r())
			_, done := g.trail.only(t)
			if w.Code != c.want || c.in != 0 && done.BytesIn != c.in {
				t.Errorf("status %d, %d bytes in: %s", w.Code, done.BytesIn, w.Body)
			}
			g.balanced(t)
		})
	}
}
