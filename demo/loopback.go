package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// loopback is an HTTP server on a free loopback port. What it serves can be
// changed, and it can be stopped and started again at the same address.
type loopback struct {
	addr    string
	handler atomic.Pointer[http.Handler]
	server  *http.Server
	ended   chan struct{}
}

func newLoopback(h http.Handler) (*loopback, error) {
	l := &loopback{addr: "127.0.0.1:0"}
	l.serve(h)
	err := l.start()
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (l *loopback) url() string { return "http://" + l.addr }

// serve changes what is served.
func (l *loopback) serve(h http.Handler) { l.handler.Store(&h) }

func (l *loopback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*l.handler.Load()).ServeHTTP(w, r)
}

func (l *loopback) start() error {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", l.addr)
	if err != nil {
		return fmt.Errorf("listening on loopback: %w", err)
	}
	l.addr = ln.Addr().String()
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	server, ended := l.server, make(chan struct{})
	l.ended = ended
	go func() {
		defer close(ended)
		_ = server.Serve(ln) // always ErrServerClosed, after stop
	}()
	return nil
}

// stop ends the server and its connections. It may be called again.
func (l *loopback) stop() error {
	if l == nil || l.server == nil {
		return nil
	}
	err := l.server.Close()
	<-l.ended
	l.server = nil
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("stopping a server: %w", err)
	}
	return nil
}

// freePort finds a loopback address that nobody listens on at this moment.
func freePort() (string, error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	addr := ln.Addr().String()
	err = ln.Close()
	if err != nil {
		return "", fmt.Errorf("finding a free port: %w", err)
	}
	return addr, nil
}
