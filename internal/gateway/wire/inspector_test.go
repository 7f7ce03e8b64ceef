package wire

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// judge feeds pieces and returns how many bytes were well and what was not.
func judge(pieces ...[]byte) (int, string) {
	var in Inspector
	total := 0
	for _, p := range pieces {
		ok, fault := in.Feed(p)
		total += ok
		if fault != "" {
			return total, fault
		}
	}
	return total, ""
}

func TestFaults(t *testing.T) {
	head := "POST / HTTP/1.1\r\nHost: x\r\n"
	tests := []struct{ send, fault string }{
		{head + "\r\n", ""},
		{head + "Content-Length: 3\r\n\r\nabc" + head + "\r\n", ""},
		{head + "Transfer-Encoding: chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nA: b\r\n\r\n" + head + "\r\n", ""},
		{"GET / HTTP/1.0\r\n\r\n", ""},
		{head + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "both Content-Length and Transfer-Encoding"},
		{head + "content-length: 1\r\nCONTENT-LENGTH: 1\r\n\r\n", "more than one Content-Length"},
		{head + "Content-Length: 1,1\r\n\r\n", "Content-Length is not a number"},
		{head + "Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding is not chunked"},
		{head + "Host: x\r\n\r\n", "more than one Host"},
		{"GET / HTTP/1.1\r\n\r\n", "no Host"},
		{"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "the request target and Host name different hosts"},
		{"GET http:///x HTTP/1.1\r\nHost: b\r\n\r\n", "the request target names no host"},
		{head + "A: b\n\r\n", "a line ends in LF without CR"},
		{head + "A: b\r\n c\r\n\r\n", "folded field line"},
		{head + "A: \rb\r\n\r\n", "CR inside a line"},
		{head + "A: \x00\r\n\r\n", "NUL"},
		{head + "Expect: 200-ok\r\n\r\n", "Expect is not 100-continue"},
		{head + "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc", "a chunk size is not a hexadecimal number"},
		{head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n", "a chunk is longer than its size"},
		{head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("0", 300), "a line is too long"},
	}
	for _, tt := range tests {
		if _, fault := judge([]byte(tt.send)); fault != tt.fault {
			t.Errorf("%q: fault %q, want %q", tt.send, fault, tt.fault)
		}
	}
}

// However the bytes fall into reads, the verdict is the same.
func TestPieces(t *testing.T) {
	parts := []string{"GET / HTTP/1.1\r\n", "Host: x\r\n", "POST /a HTTP/1.0\r\n", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n",
		"\r\n", "abc", "3\r\nabc\r\n", "0\r\n\r\n", "A: b\n", " c\r\n", "\r", "\n", "\x00", "A : b\r\n"}
	rapid.Check(t, func(t *rapid.T) {
		all := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 1, 12).Draw(t, "parts"), ""))
		whole, fault := judge(bytes.Clone(all))
		var pieces [][]byte
		for rest := all; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			pieces = append(pieces, bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		got, gotFault := judge(pieces...)
		if gotFault != fault {
			t.Fatalf("%q: in pieces %q, whole %q", all, gotFault, fault)
		}
		// What was held back may differ within the faulty line, never beyond it.
		if fault != "" && (got < whole || bytes.IndexByte(all[whole:got], '\n') >= 0) {
			t.Fatalf("%q: %d bytes passed in pieces, %d whole", all, got, whole)
		}
	})
}

// What passes, net/http frames the same way: the same number of requests and
// every one's body of the same length.
func FuzzInspector(f *testing.F) {
	head := "POST /a?b HTTP/1.1\r\nHost: x\r\n"
	for _, s := range []string{
		head + "\r\n", head + "Content-Length: 3\r\n\r\nabc" + head + "\r\n",
		head + "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\nGET / HTTP/1.1\r\nHost: y\r\n\r\n",
		head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n" + head + "\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var in Inspector
		if _, fault := in.Feed(bytes.Clone(data)); fault != "" || in.state != requestLine || len(in.part) != 0 {
			return // refused, or not whole
		}
		br := bufio.NewReader(bytes.NewReader(data))
		for {
			for { // empty lines before a request
				p, err := br.Peek(2)
				if err != nil || string(p) != "\r\n" {
					break
				}
				if _, err := br.Discard(2); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := br.Peek(1); err == io.EOF {
				return
			}
			req, err := http.ReadRequest(br)
			if err != nil {
				return // net/http refuses more than we do
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				t.Fatalf("%q passed, but net/http cannot read a body: %v", data, err)
			}
		}
	})
}

func BenchmarkFeed(b *testing.B) {
	req := []byte("POST /v2/customers/17/parcels?limit=10 HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer " + strings.Repeat("x", 700) +
		"\r\nContent-Type: application/json\r\nAccept: application/json\r\nUser-Agent: bench/1\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("y", 1024))
	var in Inspector
	b.ReportAllocs()
	b.SetBytes(int64(len(req)))
	for b.Loop() {
		if _, fault := in.Feed(req); fault != "" {
			b.Fatal(fault)
		}
	}
}
