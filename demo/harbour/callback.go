package harbour

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
)

// Callback is a listener on loopback that records who calls it: the other end
// of server-side request forgery. Each request is kept as "METHOD URI\nbody".
type Callback struct {
	server *http.Server
	url    string
	done   chan struct{}

	mu   sync.Mutex
	seen []string
}

// NewCallback listens on a free loopback port until Close.
func NewCallback() (*Callback, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for callbacks: %w", err)
	}
	c := &Callback{url: "http://" + ln.Addr().String(), done: make(chan struct{})}
	c.server = &http.Server{Handler: c}
	go func() {
		defer close(c.done)
		_ = c.server.Serve(ln) // always ErrServerClosed, after Close
	}()
	return c, nil
}

// URL is the listener's address, without a path.
func (c *Callback) URL() string { return c.url }

// Saw says whether a request had the text in its address or body.
func (c *Callback) Saw(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.seen {
		if strings.Contains(one, text) {
			return true
		}
	}
	return false
}

func (c *Callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 4096)) // half a request is evidence too
	c.mu.Lock()
	if len(c.seen) < 1000 {
		c.seen = append(c.seen, r.Method+" "+r.RequestURI+"\n"+string(body))
	}
	c.mu.Unlock()
	_, _ = io.WriteString(w, "internal-service-answer") // the caller may be gone
}

// Close ends the listener.
func (c *Callback) Close() error {
	err := c.server.Close()
	<-c.done
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("closing the callback listener: %w", err)
	}
	return nil
}
