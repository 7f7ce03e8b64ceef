package listener

import (
	"bufio"
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"time"
)

// A Java program that reads a remote reference out of a serialised object calls the
// reference's address by JRMP (Java Remote Method Protocol, chapter 10 of the RMI
// specification) to say that it holds it. The call names the object: for that the
// address' key is its number.
//
// In: connections. Out: nothing but the acknowledgement without which no call comes.

// RemoteMark stands behind the key in a reference's identifier, as the number that
// tells virtual machines apart.
const RemoteMark = 0x63724e6c

const maxJRMP = 4 << 10 // bytes of a call that are read

// RemoteKey is an address' key as the count and the time of a reference's identifier
// (java.rmi.server.UID), which are written in that order by one stream, and in the
// other by another.
func RemoteKey(address string) (count uint16, when uint64, ok bool) {
	key := strings.ToUpper(address[strings.LastIndexByte(address, '/')+1:])
	b, err := base32.StdEncoding.DecodeString(key)
	if err != nil || len(b) != 10 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint64(b[2:]), true
}

// jrmp hears one call.
func (l *Listener) jrmp(c net.Conn, r *bufio.Reader) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	head := make([]byte, 7) // "JRMI", version, kind of protocol
	if _, err := io.ReadFull(r, head); err != nil {
		return
	}
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return
	}
	ack := append([]byte{0x4e, 0, byte(len(host))}, host...) // ProtocolAck, and the caller as it is seen
	if _, err := c.Write(append(ack, 0, 0, 0, 0)); err != nil {
		return
	}
	mark := binary.BigEndian.AppendUint32(nil, RemoteMark)
	var all []byte
	buf := make([]byte, 1<<10)
	for seen := 0; len(all) < maxJRMP; {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		// A call names the references of calls that failed before, too. The fields of
		// each are in the order of their names: count, time, unique.
		for {
			i := bytes.Index(all[seen:], mark)
			if i < 0 {
				break
			}
			i += seen
			seen = i + len(mark)
			if i < 10 {
				continue
			}
			key := strings.ToLower(base32.StdEncoding.EncodeToString(all[i-10 : i]))
			l.heard(key, Hit{When: time.Now(), Method: "JRMP", Target: "/" + key, Body: bytes.Clone(all), From: c.RemoteAddr().String()})
			_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond)) // the rest is on its way, or there is none
		}
		if err != nil {
			return
		}
	}
}
