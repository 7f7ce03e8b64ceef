package wire

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// Whatever comes and goes, there are never more connections than allowed, nor of
// one address; and who has fewer than the busiest is let in.
func TestAdmission(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{Most: rapid.IntRange(1, 12).Draw(t, "most"), PerAddress: rapid.IntRange(1, 8).Draw(t, "per address")}
		var a admission
		open := map[netip.Addr][]*conn{}
		total := func() (n, top int) {
			for _, list := range open {
				n += len(list)
				top = max(top, len(list))
			}
			return n, top
		}
		for range rapid.IntRange(1, 80).Draw(t, "events") {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(1, 5).Draw(t, "address"))})
			if list := open[addr]; len(list) > 0 && rapid.IntRange(0, 2).Draw(t, "leaves") == 0 {
				i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
				a.leave(list[i])
				a.leave(list[i]) // twice is once
				open[addr] = append(list[:i:i], list[i+1:]...)
				continue
			}
			n, top := total()
			have := len(open[addr])
			c := &conn{}
			victim, why := a.admit(c, addr, &l)
			switch {
			case have >= l.PerAddress:
				if why != manyOfAddress {
					t.Fatalf("connection %d of one address: %q", have+1, why)
				}
			case n >= l.Most && have+1 >= top:
				if why != manyAtAll {
					t.Fatalf("all %d places taken, the busiest has %d, the newcomer %d: %q", n, top, have, why)
				}
			case why != "":
				t.Fatalf("%d of %d taken, the busiest has %d, the newcomer %d: %q", n, l.Most, top, have, why)
			case (victim != nil) != (n >= l.Most):
				t.Fatalf("%d of %d taken, victim %v", n, l.Most, victim)
			}
			if victim != nil {
				from := victim.peer.addr
				if len(open[from]) != top || open[from][0] != victim {
					t.Fatalf("the victim is not the oldest of the busiest")
				}
				open[from] = open[from][1:]
			}
			if why == "" {
				open[addr] = append(open[addr], c)
			}
			if n, _ := total(); n > l.Most || a.n != n {
				t.Fatalf("%d connections, counted as %d, at most %d", n, a.n, l.Most)
			}
		}
		for addr, list := range open {
			for _, c := range list {
				a.leave(c)
			}
			delete(open, addr)
		}
		if a.n != 0 || a.top != 0 || len(a.peers) != 0 || len(a.levels) != 0 {
			t.Fatalf("after all have gone: %+v", a)
		}
	})
}

// A proxy that brings many callers is bounded by the number of places alone.
func TestTrustedProxiesHaveNoBound(t *testing.T) {
	var a admission
	l := Limits{Most: 10, PerAddress: 2, Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
	for i := range 10 {
		if _, why := a.admit(&conn{}, netip.MustParseAddr("10.0.0.1"), &l); why != "" {
			t.Fatalf("connection %d: %s", i, why)
		}
	}
	if victim, why := a.admit(&conn{}, netip.MustParseAddr("192.0.2.1"), &l); why != "" || victim == nil {
		t.Fatalf("a caller of his own finds no place: %q", why)
	}
}
