package listener

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"regexp"
	"sync"
	"time"
)

// A logger that works out ${jndi:ldap://…} speaks LDAP, not HTTP, to the address
// that it was given. It binds, which says nothing of the address, and then asks
// for the path: for that it is answered, in as few words as LDAP has.
//
// In: connections. Out: those that begin as HTTP does go on to the HTTP server.

// peeked is a connection whose first bytes have been looked at.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (c *peeked) Read(b []byte) (int, error) { return c.r.Read(b) }

// sorter hands on the connections that speak HTTP, and hears the others itself.
type sorter struct {
	net.Listener
	ldap func(c net.Conn, r *bufio.Reader)
	jrmp func(c net.Conn, r *bufio.Reader)
	out  chan net.Conn
	end  chan struct{}
	once sync.Once
	wg   sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]bool
}

func sorted(ln net.Listener, ldap, jrmp func(c net.Conn, r *bufio.Reader)) *sorter {
	s := &sorter{Listener: ln, ldap: ldap, jrmp: jrmp, out: make(chan net.Conn), end: make(chan struct{}), open: map[net.Conn]bool{}}
	s.wg.Go(s.accept)
	return s
}

func (s *sorter) accept() {
	for {
		c, err := s.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				s.stop()
				return
			}
			select { // too many open files, a connection that was given up: it passes
			case <-s.end:
				return
			case <-time.After(10 * time.Millisecond):
				continue
			}
		}
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		s.wg.Go(func() { s.sort(c) })
	}
}

// sort looks at a connection's first byte: an LDAP message is a SEQUENCE (RFC
// 4511, section 5.1), and no HTTP method begins with a zero; JRMP begins with its
// name, and no HTTP method begins with J.
func (s *sorter) sort(c net.Conn) {
	r := bufio.NewReaderSize(c, 8<<10)
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	first, err := r.Peek(1)
	_ = c.SetReadDeadline(time.Time{})
	switch {
	case err != nil:
		_ = c.Close()
	case first[0] == 0x30:
		s.ldap(c, r)
		_ = c.Close()
	case first[0] == 'J':
		s.jrmp(c, r)
		_ = c.Close()
	default:
		s.forget(c) // it is the HTTP server's now
		select {
		case s.out <- &peeked{c, r}:
			return
		case <-s.end:
			_ = c.Close()
		}
	}
	s.forget(c)
}

func (s *sorter) forget(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// Accept gives the next connection that speaks HTTP.
func (s *sorter) Accept() (net.Conn, error) {
	select {
	case c := <-s.out:
		return c, nil
	case <-s.end:
		return nil, net.ErrClosed
	}
}

func (s *sorter) stop() { s.once.Do(func() { close(s.end) }) }

// Close ends it, and what it hears.
func (s *sorter) Close() error {
	err := s.Listener.Close()
	s.stop()
	s.mu.Lock()
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

const maxLDAP = 8 << 10 // bytes of a conversation that are read

var reKey = regexp.MustCompile(`[a-z2-7]{16}`)

// ldap hears one conversation: binding is granted, and the first message that
// names a known address is a call of it.
func (l *Listener) ldap(c net.Conn, r *bufio.Reader) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 4<<10)
	for total := 0; total < maxLDAP; {
		n, err := r.Read(buf)
		total += n
		if n > 0 {
			msg := buf[:n]
			for _, key := range reKey.FindAllString(string(bytes.ToLower(msg)), 8) {
				if l.heard(key, Hit{When: time.Now(), Method: "LDAP", Target: "/" + key, Body: bytes.Clone(msg), From: c.RemoteAddr().String()}) {
					_, _ = c.Write(ldapResult(msg, 0x65, 32)) // searchResDone, noSuchObject
					return
				}
			}
			if _, err := c.Write(ldapResult(msg, 0x61, 0)); err != nil { // bindResponse, success
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// ldapResult is an answer to a message: an LDAPResult of one kind (RFC 4511,
// section 4.1.9), with its message's number.
func ldapResult(msg []byte, kind, code byte) []byte {
	id := byte(1)
	if i := bytes.Index(msg, []byte{0x02, 0x01}); i >= 0 && i <= 6 && i+2 < len(msg) {
		id = msg[i+2]
	}
	return []byte{0x30, 0x0c, 0x02, 0x01, id, kind, 0x07, 0x0a, 0x01, code, 0x04, 0x00, 0x04, 0x00}
}

// heard notes a call of a key, and says whether there is such a key.
func (l *Listener) heard(key string, hit Hit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.keys[key]
	if m == nil {
		return false
	}
	if len(m.hits) == 0 {
		close(m.heard)
	}
	if len(m.hits) < maxHits {
		m.hits = append(m.hits, hit)
	}
	return true
}
