package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func fetch(t *testing.T, url, host string) (int, string) {
	t.Helper()
	req, _ := http.NewRequest(http.MethodGet, url, nil)
	if host != "" {
		req.Host = host
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestListener(t *testing.T) {
	var checks atomic.Pointer[[]gateway.Check]
	l, err := Listen("127.0.0.1:0", NewMetrics("1.2.3"), func() []gateway.Check { return *checks.Load() }, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	url := "http://" + l.Addr().String()
	checks.Store(&[]gateway.Check{{Name: "trail"}, {Name: "issuer", Error: "no route"}})
	for _, tt := range []struct {
		path, host string
		status     int
		says       string
	}{
		{"/healthz", "", 200, "ok"},
		{"/readyz", "", 503, `"error": "no route"`},
		{"/metrics", "", 200, "crenel_build_info"},
		{"/metrics", "localhost:1", 200, "go_goroutines"},
		{"/metrics", "[::1]:1", 200, "process_open_fds"},
		{"/metrics", "evil.example", http.StatusMisdirectedRequest, "Host"},
		{"/readyz", "127.0.0.1.evil.example", http.StatusMisdirectedRequest, "Host"},
		{"/debug/pprof/", "", 404, ""},
		{"/", "", 404, ""},
	} {
		if status, body := fetch(t, url+tt.path, tt.host); status != tt.status || !strings.Contains(body, tt.says) {
			t.Errorf("%s as %q: %d %.200s", tt.path, tt.host, status, body)
		}
	}
	checks.Store(&[]gateway.Check{{Name: "trail"}})
	if status, body := fetch(t, url+"/readyz", ""); status != 200 || !strings.Contains(body, `"ready": true`) {
		t.Errorf("readyz: %d %s", status, body)
	}
	if _, err := Listen(l.Addr().String(), NewMetrics("x"), nil, nil, quiet); err == nil {
		t.Error("listened on an address in use")
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics("1.2.3")
	m.Gauge("crenel_test", "A figure.", func() float64 { return 7 })
	x := &exchange.Exchange{API: "shop", Operation: &spec.Operation{ID: "getPet"}, Rulings: []exchange.Ruling{
		{Guard: "authn", Mode: "enforce", Duration: time.Microsecond},
		{Guard: "waf", Mode: "monitor", Duration: time.Microsecond, Verdict: exchange.Refuse("waf.attack", "", "")},
	}}
	for range 2 {
		m.Done(x, &exchange.Decision{}, &exchange.Completion{Status: 200, Micros: 2000, Called: true, Upstream: 1000})
	}
	m.Done(x, &exchange.Decision{Code: "authn.missing"}, &exchange.Completion{Status: 401})
	m.Done(x, &exchange.Decision{}, &exchange.Completion{Status: 502, Called: true, Refused: "contract.response"})
	m.Done(&exchange.Exchange{}, nil, &exchange.Completion{Status: 503})
	m.Refused(400)
	m.Reloaded(nil)
	m.Reloaded(errors.New("x"))
	l, err := Listen("127.0.0.1:0", m, nil, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	_, got := fetch(t, "http://"+l.Addr().String()+"/metrics", "")
	for _, want := range []string{
		`crenel_requests_total{api="shop",code="",operation="getPet"} 2`,
		`crenel_requests_total{api="shop",code="authn.missing",operation="getPet"} 1`,
		`crenel_requests_total{api="shop",code="contract.response",operation="getPet"} 1`,
		`crenel_requests_total{api="",code="gateway.overloaded",operation=""} 1`,
		`crenel_responses_total{api="shop",class="2xx"} 2`,
		`crenel_responses_total{api="shop",class="4xx"} 1`,
		`crenel_request_duration_seconds_count{api="shop"} 4`,
		`crenel_upstream_duration_seconds_count{api="shop"} 3`,
		`crenel_guard_verdicts_total{action="allow",api="shop",code="",guard="authn",mode="enforce"} 4`,
		`crenel_guard_verdicts_total{action="deny",api="shop",code="waf.attack",guard="waf",mode="monitor"} 4`,
		`crenel_guard_duration_seconds_count{api="shop",guard="authn"} 4`,
		`crenel_connections_refused_total{status="4xx"} 1`,
		`crenel_reloads_total{result="done"} 1`, `crenel_reloads_total{result="refused"} 1`,
		`crenel_config_loaded_timestamp_seconds`, `crenel_test 7`, `version="1.2.3"`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing %s", want)
		}
	}
}

func TestAlarms(t *testing.T) {
	got := make(chan alarm, 16)
	var fail atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a alarm
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil || r.Method != http.MethodPost {
			t.Errorf("%s %v", r.Method, err)
		}
		if fail.Add(-1) >= 0 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		got <- a
	}))
	defer hook.Close()
	defer func(w []time.Duration) { retryWait = w }(retryWait)
	retryWait = []time.Duration{time.Millisecond, time.Millisecond}
	m := NewMetrics("x")
	var log strings.Builder
	a := NewAlarms(hook.URL, time.Minute, m, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Unix(1000, 0)
	a.now = func() time.Time { return now }
	next := func() alarm {
		t.Helper()
		select {
		case x := <-got:
			return x
		case <-time.After(5 * time.Second):
			t.Fatal("the webhook is not called")
			panic("unreachable")
		}
	}
	fail.Store(2) // a redirect is not followed, but tried again
	a.Raise("config.refused", "a new config was refused")
	if x := next(); x.Kind != "config.refused" || x.Message != "a new config was refused" || x.Held != 0 {
		t.Errorf("%+v", x)
	}
	for range 5 {
		a.Raise("config.refused", "again")
	}
	a.Raise("trail.write", "another kind")
	if x := next(); x.Kind != "trail.write" {
		t.Errorf("%+v", x)
	}
	now = now.Add(time.Minute)
	a.Raise("config.refused", "later")
	if x := next(); x.Held != 5 || x.Message != "later" {
		t.Errorf("%+v", x)
	}
	a.Close()
	now = now.Add(time.Hour)
	a.Raise("config.refused", "when all is over")
	if n := strings.Count(log.String(), "msg=alarm"); n != 4 {
		t.Errorf("%d log lines:\n%s", n, &log)
	}
	if len(got) != 0 {
		t.Error("the webhook was called after Close")
	}
	l, err := Listen("127.0.0.1:0", m, nil, nil, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(context.Background())
	if _, got := fetch(t, "http://"+l.Addr().String()+"/metrics", ""); !strings.Contains(got, `crenel_alarms_total{kind="config.refused"} 8`) {
		t.Error("alarms that were held back are not counted")
	}
}

func TestAlarmsNeverBlock(t *testing.T) {
	release := make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hook.Close()
	a := NewAlarms(hook.URL, time.Minute, NewMetrics("x"), quiet)
	begin := time.Now()
	for i := range 1000 {
		a.Raise(fmt.Sprint("kind", i), "x")
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("raising took %s", d)
	}
	close(release)
	a.Close()
}

func TestTracing(t *testing.T) {
	got := make(chan string, 8)
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		has := func(s string) bool { return strings.Contains(string(b), s) }
		got <- fmt.Sprint(r.URL.Path, " ", has("GET /pets/{id}"), has("req-7"), has("authn"), has("/pets/17"))
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer collector.Close()
	tr, err := NewTracer(context.Background(), config.Tracing{Endpoint: collector.URL, Sample: 1}, "1")
	if err != nil {
		t.Fatal(err)
	}
	const id = "0af7651916cd43dd8448eb211c80319c"
	r := httptest.NewRequest(http.MethodGet, "/pets/17", nil)
	r.Header.Set("Traceparent", "00-"+id+"-b7ad6b7169203331-00")
	x := &exchange.Exchange{ID: "req-7", Operation: &spec.Operation{ID: "getPet", Path: "/pets/{id}"}, Rulings: []exchange.Ruling{{Guard: "authn"}}}
	x.Request.Method = http.MethodGet
	end := tr.Start(r, x)
	if h := r.Header.Get("Traceparent"); !strings.HasPrefix(h, "00-"+id+"-") || strings.Contains(h, "b7ad6b7169203331") || !strings.HasSuffix(h, "-01") {
		t.Errorf("the upstream is sent %s", h)
	}
	end(&exchange.Decision{}, &exchange.Completion{Status: 200})
	if err := tr.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if g := <-got; g != "/v1/traces true true true false" {
		t.Errorf("the collector got %s", g)
	}
	collector.CloseClientConnections()
}

// A client must not be able to have its requests traced by asking for it.
func TestTracingCannotBeForced(t *testing.T) {
	tr, err := NewTracer(context.Background(), config.Tracing{Endpoint: "http://127.0.0.1:1", Sample: 0}, "1")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	tr.Start(r, &exchange.Exchange{})(nil, &exchange.Completion{})
	if h := r.Header.Get("Traceparent"); !strings.HasSuffix(h, "-00") {
		t.Errorf("sampled: %s", h)
	}
	if err := tr.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestTracingOff(t *testing.T) {
	tr, err := NewTracer(context.Background(), config.Tracing{}, "1")
	if err != nil || tr != nil {
		t.Fatal(tr, err)
	}
	if err := tr.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := NewTracer(context.Background(), config.Tracing{Endpoint: "http://a b"}, "1"); err == nil {
		t.Error("an endpoint that is no URL was taken")
	}
}

func BenchmarkDone(b *testing.B) {
	m := NewMetrics("x")
	x := &exchange.Exchange{API: "shop", Operation: &spec.Operation{ID: "getPet"}, Rulings: []exchange.Ruling{{Guard: "authn", Mode: "enforce"}, {Guard: "authz", Mode: "enforce"}}}
	d, c := &exchange.Decision{}, &exchange.Completion{Status: 200, Called: true}
	b.ReportAllocs()
	for b.Loop() {
		m.Done(x, d, c)
	}
}
