package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// DNS is how the listener answers for names. A target that is given it as its
// resolver, or a zone that is delegated to it, tells by a lookup alone that it
// worked with a name: also where nothing else gets out of its network.
type DNS struct {
	// Address is where it listens, UDP and TCP: "10.0.0.5:53".
	Address string
	// Zone is what its names end in; "" is "oob.crenel.test" (RFC 6761: of nobody).
	Zone string
	// Forward is a resolver that is asked for all other names, so that the target
	// can go on with its own: "10.0.0.2:53". "" refuses them.
	Forward string
}

const (
	defaultZone = "oob.crenel.test"
	maxForwards = 64 // at once
	maxPorts    = 16 // that are tried until one is free for both
)

// names is the DNS side of a Listener.
type names struct {
	zone    string // "oob.crenel.test."
	forward string
	slots   chan struct{}
	servers []*dns.Server
	wg      sync.WaitGroup
}

// ServeNames begins to answer for names. It is called once, before addresses are given out.
func (l *Listener) ServeNames(o DNS) error {
	n := &names{zone: strings.ToLower(dns.Fqdn(o.Zone)), forward: o.Forward, slots: make(chan struct{}, maxForwards)}
	if o.Zone == "" {
		n.zone = dns.Fqdn(defaultZone)
	}
	if _, ok := dns.IsDomainName(n.zone); !ok || dns.CountLabel(n.zone) < 2 {
		return fmt.Errorf("listening for lookups: the zone %q should be a name such as %s", o.Zone, defaultZone)
	}
	if n.forward != "" {
		if _, _, err := net.SplitHostPort(n.forward); err != nil {
			return fmt.Errorf("listening for lookups: forward: %w", err)
		}
	}
	pc, ln, err := listenBoth(o.Address)
	if err != nil {
		return fmt.Errorf("listening for lookups at %s: %w", o.Address, err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { l.answer(n, w, q) })
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: ln, Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		n.servers = append(n.servers, s)
		n.wg.Go(func() { _ = s.ActivateAndServe() }) // ends when it is shut down
		<-ready
	}
	l.names = n
	return nil
}

// listenBoth listens on one port for UDP and TCP. A port that the system chose
// for one may be somebody else's in the other: then another is chosen.
func listenBoth(address string) (net.PacketConn, net.Listener, error) {
	_, port, _ := net.SplitHostPort(address)
	for try := 1; ; try++ {
		pc, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", address)
		if err != nil {
			return nil, nil, err
		}
		ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln, nil
		}
		_ = pc.Close()
		if port != "0" || try == maxPorts || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, nil, err
		}
	}
}

// NamesAt is where lookups are heard, "" when they are not.
func (l *Listener) NamesAt() string {
	if l.names == nil {
		return ""
	}
	return l.names.servers[0].PacketConn.LocalAddr().String()
}

func (n *names) close() error {
	var wrong []error
	for _, s := range n.servers {
		wrong = append(wrong, s.Shutdown())
	}
	n.wg.Wait()
	return errors.Join(wrong...)
}

// Name is the name that belongs to an address, "" where lookups are not heard.
func (l *Listener) Name(address string) string {
	if l.names == nil {
		return ""
	}
	return l.key(address) + "." + strings.TrimSuffix(l.names.zone, ".")
}

// LookedUp waits until somebody looks up the name of an address, at most so long.
// A call of the address is none: an honest server may resolve a name in order
// to refuse it, and so a lookup alone says less than a call.
func (l *Listener) LookedUp(ctx context.Context, address string, within time.Duration) bool {
	l.mu.Lock()
	m := l.keys[l.key(address)]
	l.mu.Unlock()
	if m == nil || l.names == nil {
		return false
	}
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-m.sought:
		return true
	case <-ctx.Done():
	case <-t.C:
	}
	return false
}

// answer answers one query.
func (l *Listener) answer(n *names, w dns.ResponseWriter, q *dns.Msg) {
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery || q.Response {
		n.reply(w, q, dns.RcodeNotImplemented, nil)
		return
	}
	ask := q.Question[0]
	name := strings.ToLower(ask.Name)
	if !dns.IsSubDomain(n.zone, name) {
		n.pass(w, q)
		return
	}
	labels := dns.SplitDomainName(strings.TrimSuffix(strings.TrimSuffix(name, n.zone), "."))
	known := false
	for _, key := range labels { // what a payload puts before it, such as data, does no harm
		known = l.sought(key, Hit{When: time.Now(), Method: "DNS", Target: dns.TypeToString[ask.Qtype] + " " + name, From: w.RemoteAddr().String()}) || known
	}
	if !known && len(labels) > 0 {
		n.reply(w, q, dns.RcodeNameError, nil)
		return
	}
	var rr []dns.RR
	if ip := l.host(); ip != nil {
		head := dns.RR_Header{Name: ask.Name, Class: dns.ClassINET, Rrtype: ask.Qtype, Ttl: 0}
		switch {
		case ask.Qtype == dns.TypeA && ip.To4() != nil:
			rr = append(rr, &dns.A{Hdr: head, A: ip.To4()})
		case ask.Qtype == dns.TypeAAAA && ip.To4() == nil:
			rr = append(rr, &dns.AAAA{Hdr: head, AAAA: ip})
		}
	}
	n.reply(w, q, dns.RcodeSuccess, rr)
}

// sought notes a lookup of a key, and says whether there is such a key.
func (l *Listener) sought(key string, hit Hit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.keys[key]
	if m == nil {
		return false
	}
	if m.lookups == 0 {
		close(m.sought)
	}
	if m.lookups++; m.lookups <= maxHits {
		m.seen = append(m.seen, hit)
	}
	return true
}

// Lookups are the lookups of an address' name so far.
func (l *Listener) Lookups(address string) []Hit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.keys[l.key(address)]; m != nil {
		return append([]Hit(nil), m.seen...)
	}
	return nil
}

// host is the listener's own address, where it is one: what its names resolve to.
func (l *Listener) host() net.IP {
	u, err := url.Parse(l.base)
	if err != nil {
		return nil
	}
	return net.ParseIP(u.Hostname())
}

func (n *names) reply(w dns.ResponseWriter, q *dns.Msg, code int, rr []dns.RR) {
	m := new(dns.Msg)
	m.SetRcode(q, code)
	m.Authoritative = true
	m.Answer = rr
	_ = w.WriteMsg(m) // who asked may be gone
}

// pass asks another resolver for a name that is not the listener's own.
func (n *names) pass(w dns.ResponseWriter, q *dns.Msg) {
	if n.forward == "" {
		n.reply(w, q, dns.RcodeRefused, nil)
		return
	}
	select {
	case n.slots <- struct{}{}:
		defer func() { <-n.slots }()
	default:
		n.reply(w, q, dns.RcodeServerFailure, nil)
		return
	}
	network := "udp"
	if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
		network = "tcp"
	}
	c := &dns.Client{Net: network, Timeout: 4 * time.Second}
	answer, _, err := c.Exchange(q, n.forward)
	if err != nil {
		n.reply(w, q, dns.RcodeServerFailure, nil)
		return
	}
	_ = w.WriteMsg(answer)
}
