package wire

import (
	"container/list"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Limits bound connections. 0 is without bound.
type Limits struct {
	Most       int            // at once
	PerAddress int            // of one IPv4 address or IPv6 /64 at once
	Trusted    []netip.Prefix // proxies, which bring many callers: no bound of their own
	HeadBytes  int            // of one HTTP/2 header block, in frames
}

// admission counts connections by address. When all places are taken, whoever
// has the most of them gives one up for a newcomer with fewer: so that slow or
// idle connections of one address can be opened without end and keep nobody else
// out (CWE-400, CWE-410). It is guarded by Connections.mu.
type admission struct {
	peers map[netip.Addr]*peer
	// levels are the addresses that have so many connections; top is the highest
	// that has any.
	levels map[int]map[*peer]struct{}
	top    int
	n      int
}

// peer is one address and its connections, the oldest first.
type peer struct {
	addr  netip.Addr
	conns list.List
	// shaking has a place for each TLS handshake under way; nil: without bound.
	shaking chan struct{}
}

// mostHandshakes of one address are made at once. A handshake costs the gateway
// more than the client: a thousand at once would keep those from being accepted
// who wait behind them.
const mostHandshakes = 16

// turned says why a connection is not taken, "" when it is.
type turned string

const (
	manyOfAddress turned = "too many connections of one address"
	manyAtAll     turned = "too many connections"
)

// admit takes a connection's place. victim is one to be closed for it, or nil.
func (a *admission) admit(c *conn, addr netip.Addr, l *Limits) (victim *conn, why turned) {
	p := a.peers[addr]
	trusted := false
	for _, prefix := range l.Trusted {
		trusted = trusted || prefix.Contains(addr)
	}
	if p == nil {
		p = &peer{addr: addr}
		if !trusted {
			p.shaking = make(chan struct{}, mostHandshakes)
		}
	}
	n := p.conns.Len()
	if l.PerAddress > 0 && n >= l.PerAddress && !trusted {
		return nil, manyOfAddress
	}
	if l.Most > 0 && a.n >= l.Most {
		if n+1 >= a.top && !trusted {
			return nil, manyAtAll
		}
		for busiest := range a.levels[a.top] {
			victim = busiest.conns.Front().Value.(*conn)
			break
		}
		if victim == nil || victim.peer == p {
			return nil, manyAtAll
		}
		a.leave(victim)
	}
	if a.peers == nil {
		a.peers, a.levels = map[netip.Addr]*peer{}, map[int]map[*peer]struct{}{}
	}
	a.peers[addr] = p
	c.peer = p
	c.place = p.conns.PushBack(c)
	a.n++
	a.move(p, n, n+1)
	return victim, ""
}

// leave gives a connection's place up, once.
func (a *admission) leave(c *conn) {
	if c.place == nil {
		return
	}
	p := c.peer
	p.conns.Remove(c.place)
	c.place = nil
	a.n--
	n := p.conns.Len()
	a.move(p, n+1, n)
	if n == 0 {
		delete(a.peers, p.addr)
	}
}

// move notes that an address has so many connections now.
func (a *admission) move(p *peer, from, to int) {
	if set := a.levels[from]; set != nil {
		if delete(set, p); len(set) == 0 {
			delete(a.levels, from)
		}
	}
	if to > 0 {
		set := a.levels[to]
		if set == nil {
			set = map[*peer]struct{}{}
			a.levels[to] = set
		}
		set[p] = struct{}{}
	}
	if to > a.top {
		a.top = to
	}
	for a.top > 0 && a.levels[a.top] == nil {
		a.top--
	}
}

// addressOf is what connections are counted by: an IPv4 address, or the /64 of an
// IPv6 one.
func addressOf(remote net.Addr) netip.Addr {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	a := tcp.AddrPort().Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// TurnedAway is how many connections were not taken, or closed for another's.
type TurnedAway struct{ Address, All, Displaced, Flood uint64 }

type turnedAway struct {
	address, all, displaced, flood atomic.Uint64
	told                           atomic.Int64 // when it was last told of, in Unix seconds
}

// TurnedAway returns the counts.
func (cs *Connections) TurnedAway() TurnedAway {
	t := &cs.turned
	return TurnedAway{Address: t.address.Load(), All: t.all.Load(), Displaced: t.displaced.Load(), Flood: t.flood.Load()}
}

// tell reports a connection that was turned away, at most one a second: an attack
// must not write the log full.
func (cs *Connections) tell(o *Options, remote net.Addr, why string) {
	now := time.Now().Unix()
	if last := cs.turned.told.Load(); last == now || !cs.turned.told.CompareAndSwap(last, now) || o.OnTurnedAway == nil {
		return
	}
	o.OnTurnedAway(remote, why, cs.TurnedAway())
}
