package signals_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
)

var discard = slog.New(slog.DiscardHandler)

func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func polling(t testing.TB) *stand {
	s := newStand(t, func(tr *config.Transmitter) {
		tr.Poll = &config.SignalsPoll{URL: tr.Issuer + "/poll", Token: config.NewSecret("poll-token"), Wait: time.Second, Most: 3}
	}, nil)
	return s
}

func TestPoll(t *testing.T) {
	s := polling(t)
	put := func(id, text string) {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		s.p.queue[id] = text
	}
	var ids []string
	for i := range 7 {
		c := s.p.set(caep+"session-revoked", obj{"format": "iss_sub", "iss": s.p.URL, "sub": fmt.Sprint("u", i)}, nil)
		ids = append(ids, c["jti"].(string))
		put(c["jti"].(string), s.p.sign(t, c))
	}
	put("broken", "not a token")
	c := s.p.set(caep+"session-revoked", nil, nil)
	c["aud"] = "another"
	put("misdirected", s.p.sign(t, c))
	// The transmitter is down at first, and answers rubbish then.
	s.p.fail = []func(http.ResponseWriter){
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) },
		func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) },
	}
	s.r.Start()
	wait(t, "failing is told", func() bool { return s.r.Statuses()[0].Failing != "" })
	wait(t, "all is acknowledged", func() bool {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		return len(s.p.queue) == 0
	})
	s.p.mu.Lock()
	slices.Sort(s.p.acks)
	slices.Sort(ids)
	if !slices.Equal(s.p.acks, ids) || s.p.errs["broken"] != "invalid_request" || s.p.errs["misdirected"] != "invalid_audience" || len(s.p.errs) != 2 {
		t.Errorf("acknowledged %v, reported %v", s.p.acks, s.p.errs)
	}
	s.p.mu.Unlock()
	past := time.Now().Add(-time.Hour)
	for i := range 7 {
		if !s.revoked(revocation.ForSubject(s.p.URL, fmt.Sprint("u", i)), past) {
			t.Errorf("u%d is not revoked", i)
		}
	}
	if st := s.r.Statuses()[0]; st.Failing != "" || st.Received != 7 || st.Refused != 2 {
		t.Errorf("%+v", st)
	}
	// An event that comes while a request waits is there at once.
	c = s.p.set(caep+"session-revoked", obj{"format": "iss_sub", "iss": s.p.URL, "sub": "late"}, nil)
	begin := time.Now()
	put(c["jti"].(string), s.p.sign(t, c))
	wait(t, "a late event", func() bool { return s.revoked(revocation.ForSubject(s.p.URL, "late"), past) })
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %s", took)
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for _, q := range s.p.polls {
		if n, _ := q["maxEvents"].(float64); n != 3 && n != 0 {
			t.Errorf("asked %v", q)
		}
	}
	if n := len(s.p.polls); n > 40 {
		t.Errorf("%d requests", n)
	}
}

// An answer that is too large or has more tokens than were asked for is not read.
func TestPollBounds(t *testing.T) {
	s := polling(t)
	s.p.fail = []func(http.ResponseWriter){
		func(w http.ResponseWriter) {
			_, _ = fmt.Fprint(w, `{"sets":{"a":"`)
			for range 1 << 10 {
				_, _ = w.Write(make([]byte, 1<<10))
			}
		},
		func(w http.ResponseWriter) { _, _ = fmt.Fprint(w, `{"sets":{"a":"","b":"","c":"","d":""}}`) },
		func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		},
	}
	s.r.Start()
	var seen []string
	wait(t, "it recovers", func() bool {
		f := s.r.Statuses()[0].Failing
		if f != "" && !slices.Contains(seen, f) {
			seen = append(seen, f)
		}
		return len(seen) == 3 && f == ""
	})
	if st := s.r.Statuses()[0]; st.Received+st.Refused != 0 {
		t.Errorf("%+v", st)
	}
}

func FuzzPush(f *testing.F) {
	s := newStand(f, nil, nil)
	ann := obj{"format": "iss_sub", "iss": s.p.URL, "sub": "ann"}
	f.Add(s.p.sign(f, s.p.set(caep+"session-revoked", ann, nil)))
	f.Add("a.b.c")
	f.Add("")
	f.Add("eyJ0eXAiOiJzZWNldmVudCtqd3QiLCJhbGciOiJub25lIn0.e30.")
	past := time.Now().Add(-time.Hour)
	f.Fuzz(func(t *testing.T, body string) {
		s.t = t
		status, _ := s.push(body)
		if status != 202 && status != 400 {
			t.Fatal(status)
		}
		if status == 400 && s.revoked(revocation.ForSubject(s.p.URL, "eve"), past) {
			t.Fatal("something was carried out")
		}
	})
}

// FuzzClaims signs whatever claims: only the shape of the event is unknown.
func FuzzClaims(f *testing.F) {
	s := newStand(f, nil, nil)
	f.Add(caep+"session-revoked", "iss_sub", "sub", "ann", int64(5))
	f.Add(risc+"account-disabled", "complex", "user", "x", int64(-1))
	f.Add(caep+"device-compliance-change", "opaque", "id", "d", int64(1<<60))
	f.Add(ssf+"verification", "aliases", "identifiers", "", int64(0))
	f.Fuzz(func(t *testing.T, kind, format, name, text string, at int64) {
		s.t = t
		c := s.p.set(kind, obj{"format": format, name: text, "iss": s.p.URL}, claims{"event_timestamp": at, name: text})
		if status, _ := s.push(s.p.sign(t, c)); status != 202 && status != 400 {
			t.Fatal(status)
		}
	})
}
