package target

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"time"
)

// memoryConn is a connection whose other side has said all it will say.
type memoryConn struct {
	net.Conn
	r io.Reader
}

func (m memoryConn) Read(p []byte) (int, error)      { return m.r.Read(p) }
func (m memoryConn) SetReadDeadline(time.Time) error { return nil }

func memory(answer []byte) *conn {
	c := &conn{Conn: memoryConn{r: bytes.NewReader(answer)}}
	c.begin()
	c.br = bufio.NewReader(c)
	return c
}
