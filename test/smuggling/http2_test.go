package smuggling

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames is one way of asking in HTTP/2. Fields are "name: value" in order;
// pseudo-header fields keep their colon.
type frames struct {
	name     string
	fields   []string
	data     string   // body; "" ends the stream with the head
	trailers []string // sent behind the body
	want     string   // status, or "reset" when the stream or connection was ended; "|" where timing decides
	saw      []string
}

func ask(method, path string, more ...string) []string {
	return append([]string{":method: " + method, ":scheme: https", ":authority: x", ":path: " + path}, more...)
}

var streams = []frames{
	{"GET", ask("GET", "/a?b"), "", nil, "200", []string{"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"}},
	{"POST", ask("POST", "/a", "content-length: 3"), "abc", nil, "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"}},
	{"POST without a length", ask("POST", "/a"), "abc", nil, "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}},
	{"trailers", ask("POST", "/a"), "abc", []string{"x-crenel-identity: admin"}, "200", []string{"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"}},

	{"H2.TE", ask("POST", "/a", "transfer-encoding: chunked"), "0\r\n\r\n" + probe, nil, "400", nil},
	{"H2.CL too small", ask("POST", "/a", "content-length: 0"), probe, nil, "200|reset", nil},
	{"H2.CL smaller", ask("POST", "/a", "content-length: 2"), probe, nil, "reset", nil},
	{"H2.CL too large", ask("POST", "/a", "content-length: 300"), "abc", nil, "400", nil},
	{"two lengths", ask("POST", "/a", "content-length: 3", "content-length: 4"), "abc", nil, "400", nil},
	{"length with a plus", ask("POST", "/a", "content-length: +3"), "abc", nil, "any", nil},
	{"length that is no number", ask("POST", "/a", "content-length: x"), "", nil, "400", nil},
	{"connection", ask("GET", "/a", "connection: close"), "", nil, "400", nil},
	{"keep-alive", ask("GET", "/a", "keep-alive: 1"), "", nil, "400", nil},
	{"proxy-connection", ask("GET", "/a", "proxy-connection: close"), "", nil, "400", nil},
	{"upgrade", ask("GET", "/a", "upgrade: h2c"), "", nil, "400", nil},
	{"te: gzip", ask("GET", "/a", "te: gzip"), "", nil, "400", nil},
	{"te: trailers", ask("GET", "/a", "te: trailers"), "", nil, "200", []string{"GET /a HTTP/1.1\r\nHost: x\r\nTe: trailers\r\n\r\n"}},
	{"CRLF in a value", ask("GET", "/a", "a: b\r\nTransfer-Encoding: chunked"), "", nil, "reset", nil},
	{"LF in a value", ask("GET", "/a", "a: b\nc: d"), "", nil, "reset", nil},
	{"CR in a value", ask("GET", "/a", "a: b\rc"), "", nil, "reset", nil},
	{"NUL in a value", ask("GET", "/a", "a: b\x00c"), "", nil, "reset", nil},
	{"CRLF in a name", ask("GET", "/a", "a\r\nb: c"), "", nil, "reset", nil},
	{"space in a name", ask("GET", "/a", "a b: c"), "", nil, "reset", nil},
	{"capitals in a name", ask("GET", "/a", "A: b"), "", nil, "reset", nil},
	{"no name", ask("GET", "/a", "\x00: b"), "", nil, "reset", nil},
	{"CRLF in the path", ask("GET", "/a HTTP/1.1\r\nHost: evil\r\n\r\nGET /smuggled"), "", nil, "reset", nil},
	{"space in the path", ask("GET", "/a HTTP/1.1"), "", nil, "200", []string{"GET /a%20HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n"}},
	{"path without a slash", ask("GET", "a"), "", nil, "reset", nil},
	{"absolute path", ask("GET", "http://evil/a"), "", nil, "reset", nil},
	{"empty path", ask("GET", ""), "", nil, "reset", nil},
	{"path *", ask("GET", "*"), "", nil, "400", nil},
	{"OPTIONS *", ask("OPTIONS", "*"), "", nil, "200", nil},
	{"CRLF in the method", ask("GET /smuggled HTTP/1.1\r\nA: b", "/a"), "", nil, "reset", nil},
	{"space in the method", ask("GET /smuggled", "/a"), "", nil, "any", nil},
	{"no method", ask("GET", "/a")[1:], "", nil, "reset", nil},
	{"no path", ask("GET", "/a")[:3], "", nil, "reset", nil},
	{"two methods", append([]string{":method: POST"}, ask("GET", "/a")...), "", nil, "reset", nil},
	{"two paths", append(ask("GET", "/a"), ":path: /b"), "", nil, "reset", nil},
	{"unknown pseudo-header", append([]string{":evil: x"}, ask("GET", "/a")...), "", nil, "reset", nil},
	{"pseudo-header behind a field", append([]string{"a: b"}, ask("GET", "/a")...), "", nil, "reset", nil},
	{"pseudo-header in trailers", ask("POST", "/a"), "abc", []string{":path: /b"}, "reset", nil},
	{"authority with a path", []string{":method: GET", ":scheme: https", ":authority: x/evil", ":path: /a"}, "", nil, "reset", nil},
	{"authority with CRLF", []string{":method: GET", ":scheme: https", ":authority: x\r\nA: b", ":path: /a"}, "", nil, "reset", nil},
	{"CONNECT", []string{":method: CONNECT", ":authority: y:443"}, "", nil, "405", nil},
	{"TRACE", ask("TRACE", "/a"), "", nil, "405", nil},
}

func TestHTTP2(t *testing.T) {
	tg := run(t, "local")
	for _, s := range streams {
		t.Run(s.name, func(t *testing.T) {
			tg.rec.reset()
			got := tg.stream(t, &s)
			if s.want == "any" && (got == "reset" || got >= "400") {
				got = "any"
			}
			if !slices.Contains(strings.Split(s.want, "|"), got) {
				t.Errorf("answered %s, want %s", got, s.want)
			}
			time.Sleep(5 * time.Millisecond)
			saw := tg.rec.saw(t)
			if s.saw == nil && s.data != "" {
				// The head was well, so the call may have begun; it must not have ended.
				saw = slices.DeleteFunc(saw, func(r string) bool {
					return s.name == "H2.CL too small" && r == "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" || // what its head says; the rest is dropped
						strings.HasPrefix(r, "POST /a HTTP/1.1\r\nHost: x\r\n") && !strings.HasSuffix(r, "0\r\n\r\n") && !strings.Contains(r, "smuggled")
				})
			}
			if !slices.Equal(saw, s.saw) {
				t.Errorf("the upstream saw\n%q, want\n%q", saw, s.saw)
			}
		})
	}
}

// stream sends one request and returns its status, or "reset".
func (tg *target) stream(t testing.TB, s *frames) string {
	t.Helper()
	c := tg.dial(t, "h2")
	defer c.Close()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	fr.AllowIllegalWrites = true
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	encode := func(fields []string) []byte {
		block.Reset()
		for _, f := range fields {
			name, value, _ := strings.Cut(strings.TrimPrefix(f, ":"), ": ")
			if strings.HasPrefix(f, ":") {
				name = ":" + name
			}
			if name == "\x00" {
				name = ""
			}
			if err := enc.WriteField(hpack.HeaderField{Name: name, Value: value}); err != nil {
				t.Fatal(err)
			}
		}
		return bytes.Clone(block.Bytes())
	}
	send := func(err error) {
		if err != nil && !strings.Contains(err.Error(), "closed") && !strings.Contains(err.Error(), "broken pipe") && !strings.Contains(err.Error(), "reset") {
			t.Fatal(err)
		}
	}
	send(fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(s.fields), EndHeaders: true, EndStream: s.data == ""}))
	if s.data != "" {
		send(fr.WriteData(1, s.trailers == nil, []byte(s.data)))
	}
	if s.trailers != nil {
		send(fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encode(s.trailers), EndHeaders: true, EndStream: true}))
	}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			var stream http2.StreamError
			if errors.As(err, &stream) {
				return "reset"
			}
			return "reset" // the connection was ended
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if st := f.PseudoValue("status"); st != "100" {
				return st
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return "reset"
		case *http2.SettingsFrame:
			if !f.IsAck() {
				send(fr.WriteSettingsAck())
			}
		}
	}
}

// What a client may do at once on one connection is bounded.
func TestHTTP2Settings(t *testing.T) {
	tg := run(t, "local")
	c := tg.dial(t, "h2")
	defer c.Close()
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		s, ok := f.(*http2.SettingsFrame)
		if !ok || s.IsAck() {
			continue
		}
		for id, most := range map[http2.SettingID]uint32{http2.SettingMaxConcurrentStreams: 250, http2.SettingMaxHeaderListSize: 80 << 10} {
			if v, ok := s.Value(id); !ok || v > most {
				t.Errorf("%s is %s, want at most %d", id, fmt.Sprint(v, ok), most)
			}
		}
		return
	}
}
