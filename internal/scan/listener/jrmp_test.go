package listener

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// remote is what a Java program says of references at addresses: of each its
// identifier's count, time and number, in that order.
func remote(addresses ...string) []byte {
	call := []byte{0x50, 0xac, 0xed, 0, 5, 0x77, 0x22}
	for _, a := range addresses {
		count, when, _ := RemoteKey(a)
		call = append(call, 0x73, 0x71, 0, 0x7e)
		call = binary.BigEndian.AppendUint16(call, count)
		call = binary.BigEndian.AppendUint64(call, when)
		call = binary.BigEndian.AppendUint32(call, RemoteMark)
	}
	return call
}

func TestJRMP(t *testing.T) {
	l, err := Start("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	before, now, other := l.Address(), l.Address(), l.Address()
	c, err := net.Dial("tcp", l.Base()[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = c.Write([]byte("JRMI\x00\x02\x4b"))
	ack := make([]byte, 1+2+len("127.0.0.1")+4)
	if _, err := io.ReadFull(c, ack); err != nil || ack[0] != 0x4e || string(ack[3:12]) != "127.0.0.1" {
		t.Fatalf("acknowledged by %q: %v", ack, err)
	}
	_, _ = c.Write(remote(before, now))
	for _, a := range []string{before, now} {
		if !l.Called(t.Context(), a, 3*time.Second) || l.Hits(a)[0].Method != "JRMP" {
			t.Errorf("%s was not called: %+v", a, l.Hits(a))
		}
	}
	if len(l.Hits(other)) != 0 {
		t.Error("another address was called")
	}
}

func TestRemoteKeyRefuses(t *testing.T) {
	for _, a := range []string{"", "http://127.0.0.1:1/", "http://127.0.0.1:1/short", "http://127.0.0.1:1/0189018901890189"} {
		if _, _, ok := RemoteKey(a); ok {
			t.Errorf("%q has a key", a)
		}
	}
}

func FuzzJRMP(f *testing.F) {
	f.Add([]byte("JRMI\x00\x02\x4b"))
	f.Add(append([]byte("JRMI\x00\x02\x4b"), remote("http://127.0.0.1:1/aaaaaaaaaaaaaaaa")...))
	f.Add([]byte("JRMI\x00\x02\x4bcrNlcrNl"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &Listener{base: "http://127.0.0.1:1", keys: map[string]*mailbox{}}
		mine, theirs := net.Pipe()
		done := make(chan struct{})
		go func() { defer close(done); _, _ = io.Copy(io.Discard, theirs) }()
		l.jrmp(&spoken{mine, data}, bufio.NewReader(&spoken{mine, data}))
		_ = mine.Close()
		<-done
	})
}

// spoken is a connection whose caller has said all that it says.
type spoken struct {
	net.Conn
	rest []byte
}

func (s *spoken) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// RemoteAddr is one of TCP: a pipe's has no port.
func (s *spoken) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9} }
