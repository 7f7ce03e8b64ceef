package freeport

import (
	"net"
	"testing"
)

func TestTakenPortIsNotFree(t *testing.T) {
	port := Port(t)
	if err := free(port); err != nil {
		t.Fatalf("a free port: %v", err)
	}
	for _, network := range []string{"tcp", "udp"} {
		var closing func() error
		if network == "tcp" {
			ln, err := net.ListenTCP(network, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if err != nil {
				t.Fatal(err)
			}
			closing = ln.Close
		} else {
			pc, err := net.ListenUDP(network, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
			if err != nil {
				t.Fatal(err)
			}
			closing = pc.Close
		}
		if free(port) == nil {
			t.Errorf("%s: somebody listens at %d", network, port)
		}
		if err := closing(); err != nil {
			t.Fatal(err)
		}
	}
}
