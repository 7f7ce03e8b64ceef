package listener

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func startNames(t *testing.T, public string, o DNS) *Listener {
	t.Helper()
	l, err := Start("127.0.0.1:0", public)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if err := l.ServeNames(o); err != nil {
		t.Fatal(err)
	}
	return l
}

func ask(t *testing.T, network, at, name string, kind uint16) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), kind)
	answer, _, err := (&dns.Client{Net: network, Timeout: 3 * time.Second}).Exchange(m, at)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestLookups(t *testing.T) {
	l := startNames(t, "", DNS{})
	for _, network := range []string{"udp", "tcp"} {
		a, quiet := l.Address(), l.Address()
		name := l.Name(a)
		if !strings.HasSuffix(name, ".oob.crenel.test") {
			t.Fatalf("name %q", name)
		}
		// Resolvers ask in mixed case, and payloads put data before the name.
		m := ask(t, network, l.NamesAt(), "DaTa."+strings.ToUpper(name), dns.TypeA)
		if m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "127.0.0.1" {
			t.Errorf("%s: answer %v", network, m)
		}
		if !l.LookedUp(t.Context(), a, time.Second) || len(l.Lookups(a)) != 1 || l.Lookups(a)[0].Method != "DNS" {
			t.Errorf("%s: lookups %+v", network, l.Lookups(a))
		}
		if l.Called(t.Context(), a, time.Millisecond) || l.LookedUp(t.Context(), quiet, time.Millisecond) {
			t.Error("a lookup is a call, or one of another name")
		}
	}
	if m := ask(t, "udp", l.NamesAt(), l.Name(l.Address()), dns.TypeAAAA); m.Rcode != dns.RcodeSuccess || len(m.Answer) != 0 {
		t.Errorf("an address of another family: %v", m)
	}
	if m := ask(t, "udp", l.NamesAt(), "aaaaaaaaaaaaaaaa.oob.crenel.test", dns.TypeA); m.Rcode != dns.RcodeNameError {
		t.Errorf("a name that was not given out: %v", m)
	}
	if m := ask(t, "udp", l.NamesAt(), "example.com", dns.TypeA); m.Rcode != dns.RcodeRefused {
		t.Errorf("somebody else's name: %v", m)
	}
	a := l.Address()
	for range 2 * maxHits {
		ask(t, "udp", l.NamesAt(), l.Name(a), dns.TypeTXT)
	}
	if n := len(l.Lookups(a)); n != maxHits {
		t.Errorf("%d lookups kept, want %d", n, maxHits)
	}
}

// Other names are asked of the resolver that the target would have asked.
func TestForwardedNames(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	other := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(ready) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(192, 0, 2, 7)}}
		_ = w.WriteMsg(m)
	})}
	done := make(chan error, 1)
	go func() { done <- other.ActivateAndServe() }()
	<-ready
	l := startNames(t, "http://192.0.2.1:80", DNS{Zone: "x.example", Forward: pc.LocalAddr().String()})
	if m := ask(t, "udp", l.NamesAt(), "db.internal", dns.TypeA); len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.7" {
		t.Errorf("%v", m)
	}
	if m := ask(t, "udp", l.NamesAt(), l.Name(l.Address()), dns.TypeA); len(m.Answer) != 1 || m.Answer[0].(*dns.A).A.String() != "192.0.2.1" {
		t.Errorf("%v", m)
	}
	if err := other.Shutdown(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if m := ask(t, "udp", l.NamesAt(), "db.internal", dns.TypeA); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("the other resolver is gone: %v", m)
	}
}

func TestServeNamesRefuses(t *testing.T) {
	l, err := Start("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, o := range []DNS{{Address: "256.0.0.1:53"}, {Address: "127.0.0.1:0", Zone: "test"}, {Address: "127.0.0.1:0", Forward: "nowhere"}} {
		if err := l.ServeNames(o); err == nil {
			t.Errorf("taken: %+v", o)
		}
	}
	if l.Name(l.Address()) != "" || l.NamesAt() != "" || l.LookedUp(t.Context(), l.Address(), time.Millisecond) {
		t.Error("names where none are heard")
	}
}

func FuzzNames(f *testing.F) {
	q := new(dns.Msg)
	q.SetQuestion("a.oob.crenel.test.", dns.TypeA)
	wire, err := q.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wire)
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var m dns.Msg
		if m.Unpack(data) != nil {
			return
		}
		l := &Listener{base: "http://127.0.0.1:1", keys: map[string]*mailbox{}}
		w := &kept{}
		l.answer(&names{zone: "oob.crenel.test.", slots: make(chan struct{}, 1)}, w, &m)
		if w.m == nil {
			t.Fatal("no answer")
		}
	})
}

// kept is a writer that keeps the answer.
type kept struct {
	dns.ResponseWriter
	m *dns.Msg
}

func (k *kept) WriteMsg(m *dns.Msg) error { k.m = m; return nil }
func (k *kept) RemoteAddr() net.Addr      { return &net.UDPAddr{} }
