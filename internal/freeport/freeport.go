// Package freeport gives tests ports for servers that cannot be told to choose one
// themselves: other programs, and gateways whose configuration names the port.
//
// A port that the system chose and that was closed again is soon given to another
// test's connection. These lie below the range that Linux gives to those that do not
// care (32768 to 60999), and are drawn at random, so that tests of several packages
// that run side by side seldom draw the same.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

const (
	lowest  = 15000
	highest = 32000
	tries   = 100
)

// Port is a TCP and UDP port of 127.0.0.1 that nobody listens on now.
func Port(t testing.TB) int {
	t.Helper()
	var last error
	for range tries {
		port := lowest + rand.IntN(highest-lowest) //nolint:gosec // no secret
		if last = free(port); last == nil {
			return port
		}
	}
	t.Fatalf("no free port in %d tries: %v", tries, last)
	return 0
}

// Address is Port with its host: "127.0.0.1:15007".
func Address(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
}

func free(port int) error {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	ln, err := net.Listen("tcp", address) //nolint:noctx // it is closed at once
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	pc, err := net.ListenPacket("udp", address) //nolint:noctx // it is closed at once
	if err != nil {
		return err
	}
	return pc.Close()
}
