package signals_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/posture"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/signals"
	"github.com/crenel-project/crenel/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	caep     = "https://schemas.openid.net/secevent/caep/event-type/"
	risc     = "https://schemas.openid.net/secevent/risc/event-type/"
	ssf      = "https://schemas.openid.net/secevent/ssf/event-type/"
	audience = "https://api.test/signals"
	bearer   = "a-bearer-token-of-the-transmitter"
)

// idp is a transmitter with its keys and metadata.
type idp struct {
	*httptest.Server
	key  *ecdsa.PrivateKey
	down atomic.Bool

	mu    sync.Mutex
	queue map[string]string           // of tokens to be polled
	acks  []string                    // what was acknowledged
	errs  map[string]string           // what was reported: jti to err
	polls []map[string]any            // what was asked
	fail  []func(http.ResponseWriter) // the next answers, instead of events
}

func newIDP(t testing.TB) *idp {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key, queue: map[string]string{}, errs: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/ssf-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/jwks"})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		pub, err := jwk.Import(p.key.Public())
		if err != nil {
			panic(err)
		}
		_ = pub.Set("kid", "k1")
		_ = pub.Set("use", "sig")
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{pub}})
	})
	mux.HandleFunc("POST /poll", p.poll)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *idp) poll(w http.ResponseWriter, r *http.Request) {
	var q struct {
		MaxEvents         int
		ReturnImmediately bool
		Ack               []string
		SetErrs           map[string]struct{ Err, Description string }
	}
	body, _ := io.ReadAll(r.Body)
	var raw map[string]any
	if json.Unmarshal(body, &q) != nil || json.Unmarshal(body, &raw) != nil || r.Header.Get("Authorization") != "Bearer poll-token" {
		http.Error(w, "bad", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	p.polls = append(p.polls, raw)
	for _, id := range q.Ack {
		p.acks = append(p.acks, id)
		delete(p.queue, id)
	}
	for id, e := range q.SetErrs {
		p.errs[id] = e.Err
		delete(p.queue, id)
	}
	if len(p.fail) > 0 {
		f := p.fail[0]
		p.fail = p.fail[1:]
		p.mu.Unlock()
		f(w)
		return
	}
	p.mu.Unlock()
	end := time.Now().Add(300 * time.Millisecond)
	for {
		p.mu.Lock()
		sets := map[string]string{}
		for _, id := range slices.Sorted(maps.Keys(p.queue)) {
			if len(sets) < q.MaxEvents {
				sets[id] = p.queue[id]
			}
		}
		more := len(p.queue) > len(sets)
		p.mu.Unlock()
		if len(sets) > 0 || q.ReturnImmediately || time.Now().After(end) || r.Context().Err() != nil {
			_ = json.NewEncoder(w).Encode(map[string]any{"sets": sets, "moreAvailable": more})
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

type claims = map[string]any

var serial atomic.Int64

// set makes the claims of a token with one event.
func (p *idp) set(kind string, subject any, payload claims) claims {
	if payload == nil {
		payload = claims{}
	}
	c := claims{
		"iss": p.URL, "aud": audience, "iat": time.Now().Unix(), "jti": fmt.Sprint("jti-", serial.Add(1)),
		"events": claims{kind: payload},
	}
	if subject != nil {
		c["sub_id"] = subject
	}
	return c
}

func (p *idp) sign(t testing.TB, c claims) string { return signWith(t, c, p.key, "k1", "secevent+jwt") }

func signWith(t testing.TB, c claims, key *ecdsa.PrivateKey, kid, typ string) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	h := jws.NewHeaders()
	_ = h.Set("kid", kid)
	if typ != "" {
		_ = h.Set("typ", typ)
	}
	out, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), key, jws.WithProtectedHeaders(h)))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// stand is a receiver of one transmitter's events.
type stand struct {
	t       testing.TB
	p       *idp
	store   state.Store
	r       *signals.Receiver
	mu      sync.Mutex
	records []signals.Record
	alarms  []string
	broken  atomic.Bool // the trail takes nothing
}

func newStand(t testing.TB, change func(*config.Transmitter), store state.Store) *stand {
	t.Helper()
	s := &stand{t: t, p: newIDP(t), store: store}
	if store == nil {
		s.store = state.NewMemory(nil)
		t.Cleanup(func() { _ = s.store.Close() })
	}
	tr := config.Transmitter{
		Name: "idp", Issuer: s.p.URL, Audience: []string{audience},
		Push: &config.SignalsPush{Path: "/signals", Token: config.NewSecret(bearer)},
	}
	if change != nil {
		change(&tr)
	}
	keys := authn.NewKeyStore(nil, discard, time.Now)
	r, err := signals.New(signals.Options{
		Config: config.Signals{Transmitters: []config.Transmitter{tr}, Keep: time.Hour}, Store: s.store, Keys: keys,
		Record: func(_ context.Context, r *signals.Record) error {
			if s.broken.Load() {
				return errors.New("the disk is full")
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records = append(s.records, *r)
			return nil
		},
		Raise: func(kind, message string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.alarms = append(s.alarms, kind+" "+message)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.r = r
	t.Cleanup(r.Close)
	return s
}

// push delivers a body and returns status and error code.
func (s *stand) push(body string, change ...func(*http.Request)) (int, string) {
	s.t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/signals", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Authorization", "Bearer "+bearer)
	for _, c := range change {
		c(req)
	}
	w := httptest.NewRecorder()
	s.r.Endpoints()[0].Handler.ServeHTTP(w, req)
	var f struct{ Err, Description string }
	if w.Code != http.StatusAccepted {
		if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil || w.Header().Get("Content-Type") != "application/json" || f.Description == "" {
			s.t.Errorf("answer %d %q: %v", w.Code, w.Body, err)
		}
	} else if w.Body.Len() > 0 {
		s.t.Errorf("202 with a body: %q", w.Body)
	}
	return w.Code, f.Err
}

// revoked reports whether somebody whose token was issued at a time is refused.
func (s *stand) revoked(key string, issued time.Time) bool {
	s.t.Helper()
	v, err := s.store.View(context.Background(), revocation.Set)
	if err != nil {
		s.t.Fatal(err)
	}
	_, yes := revocation.Look(v, &exchange.Identity{Revocable: []string{key}, Issued: issued})
	return yes
}

func (s *stand) last() signals.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.records) == 0 {
		s.t.Fatal("nothing was recorded")
	}
	return s.records[len(s.records)-1]
}

type obj = map[string]any

// The events, with subjects in every format, and what comes of them.
func TestEvents(t *testing.T) {
	s := newStand(t, func(tr *config.Transmitter) { tr.Issuers = []string{"https://users.test", "https://more.test"} }, nil)
	const iss, more = "https://users.test", "https://more.test"
	ann := obj{"format": "iss_sub", "iss": iss, "sub": "ann"}
	now := time.Now()
	before, after := now.Add(-time.Minute), now.Add(time.Minute)
	for i, c := range []struct {
		kind    string
		subject any
		payload claims
		did     string
		keys    []string
		later   bool // what is issued later is refused too
	}{
		{caep + "session-revoked", ann, nil, "revoked", []string{revocation.ForSubject(iss, "ann")}, false},
		{caep + "session-revoked", obj{"format": "complex", "user": ann, "session": obj{"format": "opaque", "id": "s1"}}, nil, "revoked", []string{revocation.ForSession(iss, "s1"), revocation.ForSession(more, "s1")}, false},
		{caep + "session-revoked", obj{"user": ann, "session": obj{"format": "iss_sub", "iss": iss, "sub": "s2"}}, nil, "revoked", []string{revocation.ForSession(iss, "s2")}, false},
		{caep + "session-revoked", obj{"format": "complex", "user": obj{"format": "iss_sub", "iss": iss, "sub": "bob"}, "tenant": obj{"format": "opaque", "id": "t"}, "session": obj{"format": "saml_assertion_id", "issuer": "x", "assertion_id": "y"}}, nil, "revoked", []string{revocation.ForSubject(iss, "bob")}, false},
		{caep + "session-revoked", obj{"format": "jwt_id", "iss": iss, "jti": "t1"}, nil, "revoked", []string{revocation.ForID(iss, "t1")}, false},
		{caep + "token-claims-change", obj{"format": "opaque", "id": "carl"}, claims{"claims": obj{"role": "user"}}, "revoked", []string{revocation.ForSubject(iss, "carl"), revocation.ForSubject(more, "carl")}, false},
		{caep + "credential-change", obj{"format": "email", "email": "Dora@Example.com"}, claims{"credential_type": "password", "change_type": "revoke"}, "revoked", []string{revocation.ForEmail(iss, "dora@example.com"), revocation.ForEmail(more, "dora@example.com")}, false},
		{caep + "credential-change", obj{"format": "iss_sub", "iss": iss, "sub": "emil"}, claims{"credential_type": "fido2-roaming", "change_type": "create"}, "recorded", nil, false},
		{caep + "assurance-level-change", obj{"format": "iss_sub", "iss": iss, "sub": "fay"}, claims{"current_level": "nist-aal1", "previous_level": "nist-aal2", "change_direction": "decrease"}, "revoked", []string{revocation.ForSubject(iss, "fay")}, false},
		{caep + "assurance-level-change", obj{"format": "iss_sub", "iss": iss, "sub": "gus"}, claims{"change_direction": "increase"}, "recorded", nil, false},
		{risc + "account-disabled", obj{"format": "account", "uri": "acct:hal@example.com"}, claims{"reason": "hijacking"}, "disabled", []string{revocation.ForEmail(iss, "hal@example.com"), revocation.ForEmail(more, "hal@example.com")}, true},
		{risc + "account-purged", obj{"subject_type": "iss-sub", "iss": iss, "sub": "ida"}, nil, "disabled", []string{revocation.ForSubject(iss, "ida")}, true},
		{risc + "sessions-revoked", obj{"format": "did", "url": "did:example:jon"}, nil, "revoked", []string{revocation.ForSubject(iss, "did:example:jon"), revocation.ForSubject(more, "did:example:jon")}, false},
		{risc + "credential-compromise", obj{"format": "aliases", "identifiers": []any{obj{"format": "email", "email": "kim@x.test"}, obj{"format": "iss_sub", "iss": iss, "sub": "kim"}}}, nil, "revoked", []string{revocation.ForEmail(iss, "kim@x.test"), revocation.ForEmail(more, "kim@x.test"), revocation.ForSubject(iss, "kim")}, false},
		{risc + "identifier-changed", obj{"format": "phone_number", "phone_number": "+12065550100"}, claims{"new-value": "+1"}, "revoked", []string{revocation.ForPhone(iss, "+12065550100"), revocation.ForPhone(more, "+12065550100")}, false},
		{risc + "recovery-activated", obj{"format": "iss_sub", "iss": iss, "sub": "leo"}, nil, "recorded", nil, false},
		{caep + "session-revoked", obj{"format": "iss_sub", "iss": "https://others.test", "sub": "max"}, nil, "ignored", nil, false},
		{caep + "session-revoked", obj{"format": "ip-addresses", "ip-addresses": []any{"10.0.0.1"}}, nil, "ignored", nil, false},
		{"https://example.com/an-event-of-theirs", obj{"format": "iss_sub", "iss": iss, "sub": "ned"}, nil, "ignored", nil, false},
	} {
		t.Run(fmt.Sprint(i, " ", c.kind[strings.LastIndex(c.kind, "/")+1:]), func(t *testing.T) {
			if status, code := s.push(s.p.sign(t, s.p.set(c.kind, c.subject, c.payload))); status != 202 {
				t.Fatal(status, code)
			}
			rec := s.last()
			if len(rec.Outcomes) != 1 || rec.Outcomes[0].Did != c.did || !slices.Equal(rec.Outcomes[0].Keys, c.keys) {
				t.Fatalf("recorded %+v", rec)
			}
			for _, key := range c.keys {
				if !s.revoked(key, before) {
					t.Errorf("%s is not revoked", key)
				}
				if s.revoked(key, after) != c.later {
					t.Errorf("%s: what is issued later is refused: %v", key, !c.later)
				}
			}
		})
	}
	for _, name := range []string{"emil", "gus", "leo", "max", "ned"} {
		for _, by := range []string{iss, "https://others.test"} {
			if s.revoked(revocation.ForSubject(by, name), before) {
				t.Errorf("%s is revoked", name)
			}
		}
	}
}

// Events and tokens tell the time in whole seconds: a token of the event's own second
// is refused, one of the next is not.
func TestEventOfTheSameSecond(t *testing.T) {
	s := newStand(t, nil, nil)
	key := revocation.ForSubject(s.p.URL, "ann")
	at := time.Now().Add(-time.Minute).Truncate(time.Second)
	payload := claims{"event_timestamp": at.Unix()}
	if status, code := s.push(s.p.sign(t, s.p.set(caep+"session-revoked", obj{"format": "iss_sub", "iss": s.p.URL, "sub": "ann"}, payload))); status != 202 {
		t.Fatal(status, code)
	}
	for issued, want := range map[time.Time]bool{at.Add(-time.Second): true, at: true, at.Add(time.Second): false} {
		if got := s.revoked(key, issued); got != want {
			t.Errorf("issued %s after the event: refused %v, want %v", issued.Sub(at), got, want)
		}
	}
}

// An account comes back when it is enabled later than it was disabled, and not
// when the news come in another order.
func TestAccountEnabled(t *testing.T) {
	s := newStand(t, nil, nil)
	subject := obj{"format": "iss_sub", "iss": s.p.URL, "sub": "ann"}
	key := revocation.ForSubject(s.p.URL, "ann")
	now := time.Now()
	send := func(name string, at time.Time) {
		t.Helper()
		if status, code := s.push(s.p.sign(t, s.p.set(risc+name, subject, claims{"event_timestamp": at.Unix()}))); status != 202 {
			t.Fatal(status, code)
		}
	}
	is := func(want bool) {
		t.Helper()
		if got := s.revoked(key, now.Add(time.Minute)); got != want {
			t.Fatalf("a new token is refused: %v", got)
		}
	}
	send("account-disabled", now.Add(-30*time.Second))
	is(true)
	send("account-enabled", now.Add(-40*time.Second)) // comes late
	is(true)
	send("account-enabled", now.Add(-20*time.Second))
	is(false)
	if !s.revoked(key, now.Add(-25*time.Second)) {
		t.Error("a token from before it was enabled holds")
	}
	send("account-disabled", now.Add(-35*time.Second)) // comes late
	is(false)
	send("account-disabled", now.Add(-10*time.Second))
	is(true)
	// An operator's own revocation is not lifted.
	if err := revocation.Put(t.Context(), s.store, key, revocation.Entry{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	send("account-enabled", now)
	is(true)
}

func TestDevice(t *testing.T) {
	s := newStand(t, nil, nil)
	g := posture.New("device.id", s.store, time.Minute)
	call := func(id string, issued time.Time) (*exchange.Device, exchange.Verdict) {
		x := &exchange.Exchange{Identity: exchange.Identity{Verified: true, Issuer: s.p.URL, Issued: issued, Claims: map[string]any{"device": map[string]any{"id": id}}}}
		v := g.Rule(t.Context(), x)
		return x.Identity.Device, v
	}
	now := time.Now()
	device := obj{"format": "complex", "device": obj{"format": "opaque", "id": "d1"}, "user": obj{"format": "email", "email": "a@x.test"}}
	send := func(kind string, subject any, payload claims) {
		t.Helper()
		if status, code := s.push(s.p.sign(t, s.p.set(kind, subject, payload))); status != 202 {
			t.Fatal(status, code)
		}
	}
	if d, v := call("d1", now); d == nil || d.Compliant || d.Status != "" || v.Action != exchange.Allow {
		t.Fatalf("an unknown device: %+v %+v", d, v)
	}
	if d, v := call("", now); d != nil || v.Action != exchange.Allow {
		t.Fatalf("no device: %+v %+v", d, v)
	}
	at := now.Add(-time.Minute).Unix()
	send(caep+"device-compliance-change", device, claims{"current_status": "compliant", "previous_status": "not-compliant", "event_timestamp": at})
	if d, _ := call("d1", now); !d.Compliant || d.Status != "compliant" || d.Since.Unix() != at {
		t.Fatalf("%+v", d)
	}
	send(caep+"device-compliance-change", device, claims{"current_status": "not-compliant", "event_timestamp": at + 10})
	send(caep+"device-compliance-change", device, claims{"current_status": "compliant", "event_timestamp": at + 5}) // comes late
	if d, _ := call("d1", now); d.Compliant || d.Status != "not-compliant" {
		t.Fatalf("%+v", d)
	}
	send(caep+"device-compliance-change", obj{"format": "opaque", "id": "d2"}, claims{"current_status": "compliant"})
	if d, _ := call("d2", now); !d.Compliant {
		t.Fatalf("%+v", d)
	}
	// All sessions of a device.
	send(caep+"session-revoked", obj{"format": "complex", "device": obj{"format": "opaque", "id": "d2"}}, nil)
	if d, v := call("d2", now.Add(-time.Hour)); v.Code != "authn.revoked" || !d.Compliant {
		t.Fatalf("%+v %+v", d, v)
	}
	if _, v := call("d2", now.Add(time.Minute)); v.Action != exchange.Allow {
		t.Fatalf("%+v", v)
	}
	if status, code := s.push(s.p.sign(t, s.p.set(caep+"device-compliance-change", device, nil))); status != 400 || code != "invalid_request" {
		t.Fatal(status, code)
	}
}

func TestStream(t *testing.T) {
	s := newStand(t, nil, nil)
	if status, _ := s.push(s.p.sign(t, s.p.set(ssf+"verification", obj{"format": "opaque", "id": "stream"}, claims{"state": "abc"}))); status != 202 {
		t.Fatal(status)
	}
	if status, _ := s.push(s.p.sign(t, s.p.set(ssf+"stream-updated", obj{"format": "opaque", "id": "stream"}, claims{"status": "paused", "reason": "too many\nerrors"}))); status != 202 {
		t.Fatal(status)
	}
	st := s.r.Statuses()[0]
	if st.State != "abc" || st.Verified.IsZero() || st.Stream != "paused" || st.Received != 2 {
		t.Errorf("%+v", st)
	}
	if len(s.alarms) != 1 || !strings.Contains(s.alarms[0], "signals.stream idp has paused") || strings.Contains(s.alarms[0], "\n") {
		t.Errorf("alarms %q", s.alarms)
	}
}

// Every token that is not what it must be is refused with its code, and nothing
// of it is carried out.
func TestRefused(t *testing.T) {
	s := newStand(t, nil, nil)
	another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ann := obj{"format": "iss_sub", "iss": s.p.URL, "sub": "ann"}
	with := func(change func(claims)) string {
		c := s.p.set(caep+"session-revoked", ann, nil)
		change(c)
		return s.p.sign(t, c)
	}
	good := func() string { return with(func(claims) {}) }
	none := func() string {
		parts := strings.Split(good(), ".")
		return "eyJ0eXAiOiJzZWNldmVudCtqd3QiLCJhbGciOiJub25lIn0." + parts[1] + "."
	}
	now := time.Now()
	deep := any("x")
	for range 40 {
		deep = obj{"a": deep}
	}
	for name, c := range map[string]struct {
		body   string
		change func(*http.Request)
		status int
		code   string
	}{
		"no authorization":      {good(), func(r *http.Request) { r.Header.Del("Authorization") }, 401, "authentication_failed"},
		"a wrong bearer token":  {good(), func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, 401, "authentication_failed"},
		"two authorizations":    {good(), func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, 401, "authentication_failed"},
		"basic":                 {good(), func(r *http.Request) { r.Header.Set("Authorization", "Basic "+bearer) }, 401, "authentication_failed"},
		"another content type":  {good(), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, 400, "invalid_request"},
		"no content type":       {good(), func(r *http.Request) { r.Header.Del("Content-Type") }, 400, "invalid_request"},
		"an empty body":         {"", nil, 400, "invalid_request"},
		"no token":              {"hello", nil, 400, "invalid_request"},
		"too large":             {with(func(c claims) { c["txn"] = strings.Repeat("a", 20_000) }), nil, 400, "invalid_request"},
		"cut off":               {good()[:100], nil, 400, "invalid_request"},
		"two tokens":            {good() + "\n" + good(), nil, 400, "invalid_request"},
		"unsigned":              {none(), nil, 400, "invalid_key"},
		"another's key":         {signWith(t, s.p.set(caep+"session-revoked", ann, nil), another, "k1", "secevent+jwt"), nil, 400, "invalid_key"},
		"an unknown key id":     {signWith(t, s.p.set(caep+"session-revoked", ann, nil), s.p.key, "k2", "secevent+jwt"), nil, 400, "invalid_key"},
		"an access token":       {signWith(t, s.p.set(caep+"session-revoked", ann, nil), s.p.key, "k1", "at+jwt"), nil, 400, "invalid_request"},
		"no typ":                {signWith(t, s.p.set(caep+"session-revoked", ann, nil), s.p.key, "k1", ""), nil, 400, "invalid_request"},
		"another issuer":        {with(func(c claims) { c["iss"] = "https://evil.test" }), nil, 400, "invalid_issuer"},
		"no issuer":             {with(func(c claims) { delete(c, "iss") }), nil, 400, "invalid_issuer"},
		"another audience":      {with(func(c claims) { c["aud"] = "https://other.test" }), nil, 400, "invalid_audience"},
		"no audience":           {with(func(c claims) { delete(c, "aud") }), nil, 400, "invalid_audience"},
		"exp":                   {with(func(c claims) { c["exp"] = now.Add(time.Hour).Unix() }), nil, 400, "invalid_request"},
		"sub":                   {with(func(c claims) { c["sub"] = "ann" }), nil, 400, "invalid_request"},
		"no jti":                {with(func(c claims) { delete(c, "jti") }), nil, 400, "invalid_request"},
		"no iat":                {with(func(c claims) { delete(c, "iat") }), nil, 400, "invalid_request"},
		"from the future":       {with(func(c claims) { c["iat"] = now.Add(time.Hour).Unix() }), nil, 400, "invalid_request"},
		"from long ago":         {with(func(c claims) { c["iat"] = now.Add(-40 * 24 * time.Hour).Unix() }), nil, 400, "invalid_request"},
		"no events":             {with(func(c claims) { delete(c, "events") }), nil, 400, "invalid_request"},
		"empty events":          {with(func(c claims) { c["events"] = obj{} }), nil, 400, "invalid_request"},
		"an event that is none": {with(func(c claims) { c["events"] = obj{caep + "session-revoked": "x"} }), nil, 400, "invalid_request"},
		"an event of tomorrow": {with(func(c claims) {
			c["events"] = obj{caep + "session-revoked": obj{"event_timestamp": now.Add(24 * time.Hour).Unix()}}
		}), nil, 400, "invalid_request"},
		"a time that is none":    {with(func(c claims) { c["events"] = obj{caep + "session-revoked": obj{"event_timestamp": "now"}} }), nil, 400, "invalid_request"},
		"no subject":             {with(func(c claims) { delete(c, "sub_id") }), nil, 400, "invalid_request"},
		"a subject of no format": {with(func(c claims) { c["sub_id"] = obj{"sub": "ann"} }), nil, 400, "invalid_request"},
		"a subject without sub":  {with(func(c claims) { c["sub_id"] = obj{"format": "iss_sub", "iss": s.p.URL} }), nil, 400, "invalid_request"},
		"aliases in aliases": {with(func(c claims) {
			c["sub_id"] = obj{"format": "aliases", "identifiers": []any{obj{"format": "aliases", "identifiers": []any{ann}}}}
		}), nil, 400, "invalid_request"},
		"a subject that is a list": {with(func(c claims) { c["sub_id"] = []any{ann} }), nil, 400, "invalid_request"},
		"deeply nested":            {with(func(c claims) { c["x"] = deep }), nil, 400, "invalid_request"},
		"one good and one bad event": {with(func(c claims) {
			delete(c, "sub_id")
			c["events"] = obj{caep + "session-revoked": obj{"subject": ann}, risc + "account-disabled": obj{"subject": "x"}}
		}), nil, 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			var change []func(*http.Request)
			if c.change != nil {
				change = append(change, c.change)
			}
			if status, code := s.push(c.body, change...); status != c.status || code != c.code {
				t.Errorf("%d %s, want %d %s", status, code, c.status, c.code)
			}
		})
	}
	if s.revoked(revocation.ForSubject(s.p.URL, "ann"), now.Add(-time.Hour)) {
		t.Error("something was carried out")
	}
	// The stand itself lets pass.
	if status, code := s.push(good()); status != 202 || !s.revoked(revocation.ForSubject(s.p.URL, "ann"), now.Add(-time.Hour)) {
		t.Errorf("%d %s", status, code)
	}
}

// A copy is acknowledged, as RFC 8935 has it, and changes nothing; another token
// with the same jti is refused.
func TestReplay(t *testing.T) {
	s := newStand(t, nil, nil)
	ann := obj{"format": "iss_sub", "iss": s.p.URL, "sub": "ann"}
	c := s.p.set(caep+"session-revoked", ann, nil)
	text := s.p.sign(t, c)
	for i := range 3 {
		if status, code := s.push(text); status != 202 {
			t.Fatal(status, code)
		}
		if rec := s.last(); rec.Repeated != (i > 0) {
			t.Errorf("%d: %+v", i, rec)
		}
	}
	c["sub_id"] = obj{"format": "iss_sub", "iss": s.p.URL, "sub": "bob"}
	if status, code := s.push(s.p.sign(t, c)); status != 400 || code != "invalid_request" {
		t.Error(status, code)
	}
	if s.revoked(revocation.ForSubject(s.p.URL, "bob"), time.Now().Add(-time.Hour)) {
		t.Error("another token with the same jti was carried out")
	}
	if st := s.r.Statuses()[0]; st.Received != 1 || st.Repeated != 2 || st.Refused != 1 {
		t.Errorf("%+v", st)
	}
}

// away is a store that fails.
type away struct {
	state.Store
	marks, puts atomic.Bool
}

func (a *away) First(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if a.marks.Load() {
		return false, errors.New("connection refused")
	}
	return a.Store.First(ctx, key, ttl)
}

func (a *away) PutIf(ctx context.Context, set, key string, was, value []byte, expires time.Time) (bool, error) {
	if a.puts.Load() {
		return false, errors.New("connection refused")
	}
	return a.Store.PutIf(ctx, set, key, was, value, expires)
}

// What could not be carried out or recorded is not acknowledged, and is carried
// out when it comes again.
func TestDependenciesFail(t *testing.T) {
	m := state.NewMemory(nil)
	defer m.Close()
	store := &away{Store: m}
	s := newStand(t, nil, store)
	ann := obj{"format": "iss_sub", "iss": s.p.URL, "sub": "ann"}
	text := s.p.sign(t, s.p.set(caep+"session-revoked", ann, nil))
	past := time.Now().Add(-time.Hour)
	key := revocation.ForSubject(s.p.URL, "ann")
	is := func(want int, carriedOut bool) {
		t.Helper()
		if status, code := s.push(text); status != want || code != "" {
			t.Errorf("%d %s, want %d", status, code, want)
		}
		if s.revoked(key, past) != carriedOut {
			t.Errorf("carried out: %v", !carriedOut)
		}
	}
	store.marks.Store(true)
	is(503, false)
	store.marks.Store(false)
	store.puts.Store(true)
	is(503, false)
	store.puts.Store(false)
	s.broken.Store(true)
	is(503, true)
	s.broken.Store(false)
	is(202, true)

	// Keys that were never there: nobody can be believed, and the transmitter is told to try again.
	s2 := newStand(t, func(tr *config.Transmitter) { tr.JWKS = "http://127.0.0.1:1/jwks" }, nil)
	if status, _ := s2.push(s2.p.sign(t, s2.p.set(caep+"session-revoked", ann, nil))); status != 503 {
		t.Error(status)
	}
	if s2.r.Ready()["idp"] == nil {
		t.Error("ready without keys")
	}
}

func TestSettings(t *testing.T) {
	s := newStand(t, func(tr *config.Transmitter) {
		tr.Events = map[string]string{"session-revoked": "record", "recovery-activated": "revoke", "credential-change": "revoke"}
		tr.Subjects = map[string]string{"opaque": "email"}
	}, nil)
	past := time.Now().Add(-time.Hour)
	for i, c := range []struct {
		kind    string
		payload claims
		want    bool
	}{
		{caep + "session-revoked", nil, false},
		{risc + "recovery-activated", nil, true},
		{caep + "credential-change", claims{"change_type": "create"}, true},
	} {
		who := fmt.Sprint("who", i)
		if status, code := s.push(s.p.sign(t, s.p.set(c.kind, obj{"format": "opaque", "id": who}, c.payload))); status != 202 {
			t.Fatal(status, code)
		}
		if s.revoked(revocation.ForEmail(s.p.URL, who), past) != c.want {
			t.Errorf("%s: revoked %v", c.kind, !c.want)
		}
	}
}
