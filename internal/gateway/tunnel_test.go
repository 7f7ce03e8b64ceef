package gateway

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// frame makes a frame with a payload of a length.
func frame(opcode byte, masked bool, payload []byte) []byte {
	f := []byte{0x80 | opcode}
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		f = append(f, mask|byte(n))
	case n <= 0xffff:
		f = binary.BigEndian.AppendUint16(append(f, mask|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, mask|127), uint64(n))
	}
	if masked {
		f = append(f, 1, 2, 3, 4)
	}
	return append(f, payload...)
}

// However frames are cut into pieces, a new one can be begun exactly between two.
func TestFrames(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var all []byte
		ends := map[int]bool{}
		f := &frames{before: rapid.Bool().Draw(r, "head")}
		if f.before {
			all = append(all, "HTTP/1.1 101 Switching Protocols\r\nA: \r\r\n\r\n"...)
		}
		ends[len(all)] = true
		for range rapid.IntRange(0, 6).Draw(r, "frames") {
			n := rapid.SampledFrom([]int{0, 1, 125, 126, 127, 300, 65535, 65536, 70000}).Draw(r, "length")
			all = append(all, frame(byte(rapid.SampledFrom([]int{0, 1, 2, 9, 10}).Draw(r, "opcode")), rapid.Bool().Draw(r, "masked"), make([]byte, n))...)
			ends[len(all)] = true
		}
		for at := 0; at < len(all); {
			n := rapid.IntRange(1, 40000).Draw(r, "piece")
			if at < 60 {
				n = rapid.IntRange(1, 5).Draw(r, "small piece")
			}
			n = min(n, len(all)-at)
			f.pass(all[at : at+n])
			at += n
			if f.between() != ends[at] {
				r.Fatalf("at %d of %d: between %v", at, len(all), f.between())
			}
		}
	})
	f := &frames{}
	f.pass(frame(8, false, []byte{3, 232}))
	if f.between() {
		t.Error("a frame behind a close frame")
	}
}

// A tunnel that is cut says why between two frames, and says nothing within one.
func TestTunnelCut(t *testing.T) {
	for name, c := range map[string]struct {
		sent  []byte
		close bool
	}{
		"before any frame": {nil, true},
		"between frames":   {frame(1, false, []byte("hello")), true},
		"within a frame":   {frame(1, false, []byte("hello"))[:4], false},
		"within a head":    {frame(1, false, make([]byte, 300))[:2], false},
		"after the close":  {frame(8, false, []byte{3, 232}), false},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			client, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			tun := &tunnel{Conn: conn}
			if _, err := tun.Write(c.sent); err != nil {
				t.Fatal(err)
			}
			read := make(chan error, 1)
			go func() {
				_, err := tun.Read(make([]byte, 10))
				read <- err
			}()
			// What the client still sends must not cost it the close frame.
			if _, err := client.Write(bytes.Repeat([]byte("x"), 5)); err != nil {
				t.Fatal(err)
			}
			<-read
			go func() {
				_, err := tun.Read(make([]byte, 10))
				read <- err
			}()
			time.Sleep(10 * time.Millisecond)
			tun.cut("authn.revoked")
			if err := <-read; err == nil {
				t.Error("the reader goes on")
			}
			if _, err := tun.Write([]byte("more")); err == nil {
				t.Error("the writer goes on")
			}
			if _, err := client.Write(bytes.Repeat([]byte("x"), 5)); err != nil {
				t.Fatal(err)
			}
			closed := make(chan struct{})
			go func() { defer close(closed); _ = tun.Close() }()
			got, err := io.ReadAll(client)
			if err != nil {
				t.Fatal(err)
			}
			want := c.sent
			if c.close {
				want = append(bytes.Clone(want), "\x88\x0f\x03\xf0authn.revoked"...)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the client read %q, want %q", got, want)
			}
			_ = client.Close()
			<-closed
		})
	}
}

// A client that does not read holds nothing up.
func TestTunnelCutWhileWriting(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	tun := &tunnel{Conn: conn}
	written := make(chan error, 1)
	go func() {
		for {
			if _, err := tun.Write(frame(2, false, make([]byte, 1<<20))); err != nil {
				written <- err
				return
			}
		}
	}()
	time.Sleep(50 * time.Millisecond)
	begin := time.Now()
	tun.cut("authn.revoked")
	<-written
	if err := tun.Close(); err != nil {
		t.Log(err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}
