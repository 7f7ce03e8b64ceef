package scantest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Process is an API that behaves as an operating system's process does: it can
// die, which ends its connections and forgets what it had in memory, be started
// again at the same address, and hang.
type Process struct {
	// New makes what serves, with empty memory.
	New func(p *Process) http.Handler
	// Again is how long after its death it is started again; 0: never.
	Again time.Duration

	mu     sync.Mutex
	addr   string
	srv    *http.Server
	ended  bool
	deaths int
	wg     sync.WaitGroup
	hung   chan struct{} // closed when it comes to itself; nil: it does not hang
}

// Start listens on loopback and returns the address.
func (p *Process) Start() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.serve("127.0.0.1:0"); err != nil {
		return "", err
	}
	return "http://" + p.addr, nil
}

// serve is called with p.mu held.
func (p *Process) serve(addr string) error {
	var l net.Listener
	var err error
	for range 100 { // the port may not be free at once
		if l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("starting the process: %w", err)
	}
	p.addr = l.Addr().String()
	h := p.New(p)
	p.srv = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		hung := p.hung
		p.mu.Unlock()
		if hung != nil {
			select {
			case <-hung:
			case <-r.Context().Done():
				return
			}
		}
		h.ServeHTTP(w, r)
	})}
	srv := p.srv
	p.wg.Go(func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic(err) // a listener on loopback does not fail by itself
		}
	})
	return nil
}

// Die ends the process, in the middle of whatever it does.
func (p *Process) Die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.srv == nil || p.ended {
		return
	}
	p.deaths++
	_ = p.srv.Close()
	p.srv = nil
	if p.Again == 0 {
		return
	}
	p.wg.Go(func() {
		time.Sleep(p.Again)
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.ended && p.srv == nil {
			if err := p.serve(p.addr); err != nil {
				panic(err)
			}
		}
	})
}

// Hang lets every request wait for so long.
func (p *Process) Hang(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hung != nil || p.ended {
		return
	}
	p.deaths++
	hung := make(chan struct{})
	p.hung = hung
	p.wg.Go(func() {
		time.Sleep(d)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.hung = nil
		close(hung)
	})
}

// Deaths is how often it died or hung.
func (p *Process) Deaths() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deaths
}

// Stop ends it for good.
func (p *Process) Stop() {
	p.mu.Lock()
	p.ended = true
	if p.srv != nil {
		_ = p.srv.Close()
		p.srv = nil
	}
	p.mu.Unlock()
	p.wg.Wait()
}
