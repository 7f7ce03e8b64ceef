package decisionlog

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// opaEvent is EventV1 as OPA's plugins/logs declares it, member by member: a
// server that reads OPA's logs reads ours. (The package itself needs a server's
// worth of modules.)
type opaEvent struct {
	Labels         map[string]string                    `json:"labels"`
	DecisionID     string                               `json:"decision_id"`
	Bundles        map[string]struct{ Revision string } `json:"bundles,omitempty"`
	Path           string                               `json:"path,omitempty"`
	Input          *any                                 `json:"input,omitempty"`
	Result         *any                                 `json:"result,omitempty"`
	NDBuiltinCache *any                                 `json:"nd_builtin_cache,omitempty"`
	Erased         []string                             `json:"erased,omitempty"`
	Masked         []string                             `json:"masked,omitempty"`
	Error          any                                  `json:"error,omitempty"`
	RequestedBy    string                               `json:"requested_by,omitempty"`
	Timestamp      time.Time                            `json:"timestamp"`
	Metrics        map[string]any                       `json:"metrics,omitempty"`
	RequestID      uint64                               `json:"req_id,omitempty"`
	Custom         map[string]any                       `json:"custom,omitempty"`
}

// logServer takes uploads as OPA's log servers do.
type logServer struct {
	*httptest.Server
	status atomic.Int32
	calls  atomic.Int32

	mu     sync.Mutex
	events []opaEvent
	sizes  []int
	auth   string
}

func newLogServer(t *testing.T) *logServer {
	s := &logServer{}
	s.status.Store(200)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		if st := s.status.Load(); st != 200 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(int(st))
			return
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/logs" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s %s %v %v", r.Method, r.URL, r.Header, err)
		}
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			t.Error(err)
			return
		}
		d := json.NewDecoder(z)
		d.DisallowUnknownFields()
		var batch []opaEvent
		if err := d.Decode(&batch); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.events = append(s.events, batch...)
		s.sizes = append(s.sizes, len(raw))
		s.auth = r.Header.Get("Authorization")
	}))
	t.Cleanup(s.Close)
	return s
}

func sink(t *testing.T, s *logServer, o SinkOptions) *Sink {
	t.Helper()
	m, err := NewMasker(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.URL, o.Mask = s.URL+"/logs", m
	if o.Every == 0 {
		o.Every = 5 * time.Millisecond
	}
	return NewSink(o)
}

func TestSink(t *testing.T) {
	srv := newLogServer(t)
	l := open1(t, Options{Sink: sink(t, srv, SinkOptions{Token: "sink-token", Upload: 4 << 10}), Labels: map[string]string{"id": "gw"}})
	for i := range 300 {
		e := entry(i)
		e.Policy = &Policy{Identify: func() (string, string) { return "p", "d" }, Bundles: map[string]string{"main": "r7"}}
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if len(srv.events) != 300 || srv.auth != "Bearer sink-token" || l.Stats().Sink.Sent != 300 {
		t.Fatalf("%d events, %q, %+v", len(srv.events), srv.auth, l.Stats().Sink)
	}
	for _, n := range srv.sizes {
		if n > 4<<10 {
			t.Errorf("an upload has %d bytes", n)
		}
	}
	e := srv.events[7]
	in := (*e.Input).(map[string]any)
	if e.DecisionID != "call-000007" || e.Bundles["main"].Revision != "r7" || in["identity"].(map[string]any)["subject"] != "alice" || e.Labels["id"] != "gw" || e.Path != "crenel/authz/decision" || *e.Result != false || e.NDBuiltinCache == nil {
		t.Errorf("event %+v", e)
	}
	if !reflect.DeepEqual(e.Erased, []string{"/input/identity/claims"}) || strings.Contains(fmt.Sprint(in), "a-session-of-alice") {
		t.Errorf("erased %v of %v", e.Erased, in)
	}
}

// A server that is down is tried again, later and later; nothing is lost while
// the buffer lasts, and a redirect is not followed.
func TestSinkBacksOff(t *testing.T) {
	srv := newLogServer(t)
	srv.status.Store(307)
	s := sink(t, srv, SinkOptions{Token: "t", Backoff: 200 * time.Millisecond})
	l := open1(t, Options{Sink: s})
	for i := range 20 {
		if err := l.Record(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "a failure", func() bool { return l.Stats().Sink.Failing })
	time.Sleep(300 * time.Millisecond)
	if n := srv.calls.Load(); n > 10 {
		t.Errorf("%d calls to a server that is down", n)
	}
	srv.status.Store(200)
	wait(t, "the server", func() bool { return l.Stats().Sink.Sent == 20 })
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSinkIsBounded(t *testing.T) {
	srv := newLogServer(t)
	srv.status.Store(500)
	s := sink(t, srv, SinkOptions{Buffer: 10_000, Every: time.Hour, Upload: 1 << 20})
	for i := range 100 {
		s.offer(strings.Repeat("x", 1000), nil)
		_ = i
	}
	if st := s.Stats(); st.Waiting != 10 || st.Lost != 90 {
		t.Errorf("%+v", st)
	}
	begin := time.Now()
	if err := s.Close(t.Context()); err != nil {
		t.Logf("said: %v", err)
	}
	if time.Since(begin) > 8*time.Second {
		t.Error("a server that is down holds the stop up")
	}
	if st := s.Stats(); st.Withheld != 10 {
		t.Errorf("lines that are no events were not withheld: %+v", st)
	}
}

// What cannot be masked does not leave.
func TestSinkWithholds(t *testing.T) {
	srv := newLogServer(t)
	l := open1(t, Options{Sink: sink(t, srv, SinkOptions{})})
	e := entry(1)
	e.Policy = &Policy{Rules: rules{mask: func(ast.Value) (ast.Value, error) { return ast.Boolean(true), nil }}}
	if err := l.Record(e); err != nil {
		t.Fatal(err)
	}
	if err := l.Record(entry(2)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := l.Stats().Sink; st.Withheld != 1 || st.Sent != 1 || len(srv.events) != 1 || srv.events[0].DecisionID != "call-000002" {
		t.Errorf("%+v %+v", st, srv.events)
	}
}
