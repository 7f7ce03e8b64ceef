package caddy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	caddycore "github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// keptNetwork is the network of Caddy's listen addresses whose sockets stay open
// over configs. Caddy's own opens a second socket with SO_REUSEPORT and closes
// the first, and with it every connection that waits in the first one's queue.
const keptNetwork = "crenel"

func init() {
	caddycore.RegisterNetwork(keptNetwork, listenKept)
	caddyhttp.RegisterNetworkHTTP3(keptNetwork, "udp")
}

// openSockets are the sockets that some config listens on, by address.
var (
	socketsMu   sync.Mutex
	openSockets = map[string]*socket{}
)

// socket is one listening socket. Where the servers of an old and a new config
// overlap, new connections are the newest's: net/http drops what it reads on any
// connection once its server has been told to shut down.
type socket struct {
	net.Listener
	address string
	closed  chan struct{}

	// Guarded by socketsMu.
	leases  []*lease      // the oldest first; never empty while the socket is open
	changed chan struct{} // closed, and replaced, when leases changes
}

// lease is one config's use of a socket.
type lease struct {
	socket *socket
	accept chan net.Conn
	ended  chan struct{}
	once   sync.Once
}

var _ net.Listener = (*lease)(nil)

// listenKept opens a socket, or leases the one that is open.
func listenKept(ctx context.Context, _, host, portRange string, offset uint, config net.ListenConfig) (any, error) {
	port, err := strconv.ParseUint(portRange, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: %w", portRange, err)
	}
	address := net.JoinHostPort(host, strconv.FormatUint(port+uint64(offset), 10))
	socketsMu.Lock()
	defer socketsMu.Unlock()
	s := openSockets[address]
	if s == nil {
		ln, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		s = &socket{Listener: ln, address: address, closed: make(chan struct{}), changed: make(chan struct{})}
		openSockets[address] = s
		go s.run()
	}
	l := &lease{socket: s, accept: make(chan net.Conn), ended: make(chan struct{})}
	s.change(append(slices.Clone(s.leases), l))
	return l, nil
}

// change replaces the leases; socketsMu is held.
func (s *socket) change(leases []*lease) {
	s.leases = leases
	close(s.changed)
	s.changed = make(chan struct{})
}

// newest returns the lease whose server takes new connections, nil without one,
// and a channel that is closed when that is no longer so.
func (s *socket) newest() (*lease, <-chan struct{}) {
	socketsMu.Lock()
	defer socketsMu.Unlock()
	if len(s.leases) == 0 {
		return nil, s.changed
	}
	return s.leases[len(s.leases)-1], s.changed
}

// acceptPause is how long nothing is accepted after it has failed.
const acceptPause = 10 * time.Millisecond

// run accepts until the socket is closed. A connection that arrives between two
// servers waits for the next.
func (s *socket) run() {
	for {
		c, err := s.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// A connection that was gone before it was taken, or no descriptor is left.
			select {
			case <-time.After(acceptPause):
			case <-s.closed:
			}
			continue
		}
		s.hand(c)
	}
}

// hand gives a connection to the newest server.
func (s *socket) hand(c net.Conn) {
	for {
		l, changed := s.newest()
		if l == nil {
			_ = c.Close() // nobody is left to serve it
			return
		}
		select {
		case l.accept <- c:
			return
		case <-changed:
		}
	}
}

// Accept returns the socket's next connection.
func (l *lease) Accept() (net.Conn, error) {
	select {
	case <-l.ended:
		return nil, l.over()
	default:
	}
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.ended:
		return nil, l.over()
	}
}

func (l *lease) over() error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

// Addr is where the socket listens.
func (l *lease) Addr() net.Addr { return l.socket.Addr() }

// Close ends the lease, and with the last one closes the socket.
func (l *lease) Close() (err error) {
	l.once.Do(func() {
		close(l.ended)
		socketsMu.Lock()
		defer socketsMu.Unlock()
		s := l.socket
		s.change(slices.DeleteFunc(slices.Clone(s.leases), func(o *lease) bool { return o == l }))
		if len(s.leases) == 0 {
			delete(openSockets, s.address)
			close(s.closed)
			err = s.Listener.Close()
		}
	})
	return err
}
