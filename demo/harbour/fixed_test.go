package harbour

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// bench is a fixed Harbour with a clock that only moves when it is told to.
type bench struct {
	*Server
	t   *testing.T
	now time.Time
}

func newBench(t *testing.T, opts Options) *bench {
	t.Helper()
	b := &bench{t: t, now: time.Date(2026, 3, 17, 9, 0, 0, 0, time.UTC)}
	opts.Clock, opts.PasswordRounds = func() time.Time { return b.now }, 10
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = s
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// call sends a request and decodes the answer.
func (b *bench) call(token, method, path, body string) (int, map[string]any) {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	var out map[string]any
	if w.Body.Len() > 0 && json.Unmarshal(w.Body.Bytes(), &out) != nil {
		b.t.Fatalf("%s %s: the answer is not JSON: %s", method, path, w.Body)
	}
	return w.Code, out
}

func (b *bench) login(name, password string) (int, string) {
	a, _ := AccountNamed(name)
	if password == "" {
		password = a.Password
	}
	status, out := b.call("", "POST", "/v2/login", fmt.Sprintf(`{"email":%q,"password":%q}`, a.Email, password))
	token, _ := out["access_token"].(string)
	return status, token
}

func (b *bench) want(what string, got, want int) {
	b.t.Helper()
	if got != want {
		b.t.Errorf("%s: status %d, want %d", what, got, want)
	}
}

func TestLoginPausesAndOpensAgain(t *testing.T) {
	b := newBench(t, Options{})
	for range 5 {
		status, _ := b.login("alice", "not-her-password")
		b.want("a wrong password", status, http.StatusUnauthorized)
	}
	status, _ := b.login("alice", "")
	b.want("the right password after five wrong ones", status, http.StatusTooManyRequests)
	status, _ = b.login("bob", "")
	b.want("somebody else", status, http.StatusOK)
	b.now = b.now.Add(15 * time.Minute)
	status, _ = b.login("alice", "")
	b.want("a quarter of an hour later", status, http.StatusOK)
}

func TestSessionsEnd(t *testing.T) {
	b := newBench(t, Options{})
	_, first := b.login("alice", "")
	_, second := b.login("alice", "")
	status, _ := b.call(first, "POST", "/v2/password/change", `{"old_password":"alice-likes-lighthouses","new_password":"alice-likes-harbours"}`)
	b.want("changing the password", status, http.StatusNoContent)
	for name, token := range map[string]string{"the session that changed it": first, "the other one": second} {
		status, _ = b.call(token, "GET", "/v2/me", "")
		b.want(name, status, http.StatusUnauthorized)
	}
	_, third := b.login("alice", "alice-likes-harbours")
	b.now = b.now.Add(sessionLife + time.Second)
	status, _ = b.call(third, "GET", "/v2/me", "")
	b.want("an hour later", status, http.StatusUnauthorized)
}

func TestSuspensionAndDemotionActAtOnce(t *testing.T) {
	b := newBench(t, Options{})
	_, grace := b.login("grace", "")
	_, carol := b.login("carol", "")
	status, _ := b.call(grace, "PATCH", "/v2/admin/users/103", `{"role":"courier"}`)
	b.want("making carol a courier", status, http.StatusOK)
	status, _ = b.call(carol, "GET", "/v2/parcels", "")
	b.want("carol with a customer's token", status, http.StatusForbidden)
	status, _ = b.call(grace, "PATCH", "/v2/admin/users/103", `{"status":"suspended"}`)
	b.want("suspending carol", status, http.StatusOK)
	status, _ = b.call(carol, "GET", "/v2/me", "")
	b.want("carol, suspended", status, http.StatusUnauthorized)
	status, _ = b.login("carol", "")
	b.want("carol, logging in", status, http.StatusUnauthorized)
}

func TestRegistrationDoesNotTellWhoIsKnown(t *testing.T) {
	b := newBench(t, Options{})
	status, fresh := b.call("", "POST", "/v2/register", `{"email":"zoe@post.example","password":"a-long-password","name":"Zoë"}`)
	b.want("a new address", status, http.StatusAccepted)
	status, known := b.call("", "POST", "/v2/register", `{"email":"Alice@northlight.example","password":"a-long-password","name":"Zoë"}`)
	b.want("a known address", status, http.StatusAccepted)
	if fmt.Sprint(fresh) != fmt.Sprint(known) {
		t.Errorf("the answers differ: %v, %v", fresh, known)
	}
}

func TestPasswordResetTokenWorksOnceAndLapses(t *testing.T) {
	b := newBench(t, Options{Holes: []string{"reset-token-leak"}})
	ask := func() string {
		_, out := b.call("", "POST", "/v2/password/forgot", `{"email":"alice@northlight.example"}`)
		token, _ := out["reset_token"].(string)
		return token
	}
	set := func(token string) int {
		status, _ := b.call("", "POST", "/v2/password/reset", fmt.Sprintf(`{"token":%q,"password":"another-password"}`, token))
		return status
	}
	token := ask()
	b.want("the first use", set(token), http.StatusNoContent)
	b.want("the second use", set(token), http.StatusUnprocessableEntity)
	token = ask()
	b.now = b.now.Add(31 * time.Minute)
	b.want("half an hour later", set(token), http.StatusUnprocessableEntity)
}

func TestWebhookTargets(t *testing.T) {
	s := &Server{opts: Options{WebhookAllow: []string{"127.0.0.1:9999"}}}
	for target, ok := range map[string]bool{
		"https://hooks.northlight.example/in":      true,
		"https://hooks.northlight.example:443/in":  true,
		"http://127.0.0.1:9999/allowed":            true,
		"http://hooks.northlight.example/in":       false,
		"https://hooks.northlight.example:8443/in": false,
		"https://127.0.0.1/":                       false,
		"https://[::1]/":                           false,
		"https://[::ffff:10.0.0.1]/":               false,
		"https://169.254.169.254/latest/meta-data": false,
		"https://localhost/":                       false,
		"https://intranet/":                        false,
		"https://user:pass@hooks.example/":         false,
		"file:///etc/passwd":                       false,
		"gopher://hooks.example/":                  false,
		"":                                         false,
	} {
		if err := s.checkTarget(target); (err == nil) != ok {
			t.Errorf("%q: %v", target, err)
		}
	}
	for text, want := range map[string]bool{"8.8.8.8": true, "10.1.2.3": false, "100.64.0.1": false, "fd00::1": false, "2001:4860:4860::8888": true, "0.0.0.0": false, "::": false} {
		if public(netip.MustParseAddr(text)) != want {
			t.Errorf("public(%s) is not %v", text, want)
		}
	}
}

// TestOutboundJudgesWhatItDials: a host name that passes the check of the URL
// and points at loopback is not called.
func TestOutboundJudgesWhatItDials(t *testing.T) {
	called := make(chan struct{}, 2)
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called <- struct{}{} }))
	defer web.Close()
	s := newBench(t, Options{}).Server
	for name, allow := range map[string][]string{"refused": nil, "allowed": {strings.TrimPrefix(web.URL, "http://")}} {
		s.opts.WebhookAllow = allow
		req, err := http.NewRequest(http.MethodPost, web.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := s.outbound(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if (err == nil) != (allow != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(called) != 1 {
		t.Errorf("the listener was called %d times", len(called))
	}
}

func TestPartnerIsJudged(t *testing.T) {
	for answer, want := range map[string]int{
		`{"country":"SE","duty_percent":12.5}`: http.StatusOK,
		`{"country":"SE","duty_percent":-3}`:   http.StatusBadGateway,
		`{"country":"SE","duty_percent":1e9}`:  http.StatusBadGateway,
		`{"country":"FR","duty_percent":5}`:    http.StatusBadGateway,
		`<html>`:                               http.StatusBadGateway,
	} {
		partner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		b := newBench(t, Options{PartnerURL: partner.URL, HTTPClient: partner.Client()})
		_, token := b.login("alice", "")
		status, _ := b.call(token, "POST", "/v2/quotes", `{"service":"economy","weight_grams":500,"country":"SE","declared_value_cents":1000}`)
		b.want(answer, status, want)
		partner.Close()
	}
}

func TestRequestsThatAreNotInTheContract(t *testing.T) {
	b := newBench(t, Options{})
	_, token := b.login("alice", "")
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/v2/quotes", `{"service":"economy","weight_grams":500,"country":"SE"} {}`, http.StatusBadRequest},
		{"POST", "/v2/quotes", `{"service":"economy"`, http.StatusBadRequest},
		{"POST", "/v2/quotes", `{"service":5}`, http.StatusUnprocessableEntity},
		{"POST", "/v2/quotes", `{"service":"economy","weight_grams":500,"country":"SE","x":1}`, http.StatusUnprocessableEntity},
		{"PATCH", "/v2/me", `{}`, http.StatusUnprocessableEntity},
		{"GET", "/v2/parcels?page_size=101", "", http.StatusUnprocessableEntity},
		{"GET", "/v2/parcels?limit=5", "", http.StatusUnprocessableEntity},
		{"GET", "/v2/parcels?page=1&page=2", "", http.StatusUnprocessableEntity},
		{"GET", "/v2/parcels/0", "", http.StatusUnprocessableEntity},
		{"GET", "/v2/parcels/5001%20OR%201=1", "", http.StatusUnprocessableEntity},
		{"PUT", "/v2/depots/1", `{"capacity":5}`, http.StatusMethodNotAllowed},
		{"GET", "/debug/config", "", http.StatusNotFound},
		{"GET", "/v1/parcels/5001", "", http.StatusNotFound},
		{"POST", "/v2/quotes", strings.Repeat(" ", maxBody+1), http.StatusRequestEntityTooLarge},
	} {
		status, _ := b.call(token, c.method, c.path, c.body)
		b.want(fmt.Sprintf("%s %s %.60s", c.method, c.path, c.body), status, c.want)
	}
}

// TestSeedRepeatsIDs: two Harbours of one seed give out the same ids.
func TestSeedRepeatsIDs(t *testing.T) {
	var got []string
	for range 2 {
		b := newBench(t, Options{Seed: 42})
		_, token := b.login("alice", "")
		_, out := b.call(token, "GET", "/v2/invoices", "")
		got = append(got, token+fmt.Sprint(out))
	}
	if got[0] != got[1] {
		t.Error("ids or tokens of one seed differ")
	}
}

func TestDatabaseFileIsKept(t *testing.T) {
	path := t.TempDir() + "/harbour.db"
	for _, want := range []int{http.StatusCreated, http.StatusConflict} {
		b := newBench(t, Options{DB: path})
		_, grace := b.login("grace", "")
		status, _ := b.call(grace, "POST", "/v2/admin/coupons", `{"code":"KEPT100","amount_cents":100,"valid_days":5}`)
		b.want("issuing the coupon", status, want)
		if err := b.Server.db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBatchLeavesOutWhatIsNotTheCallers(t *testing.T) {
	b := newBench(t, Options{})
	_, token := b.login("alice", "")
	status, out := b.call(token, "POST", "/v2/parcels/batch", `{"ids":[5001,5100,999999]}`)
	b.want("a batch", status, http.StatusOK)
	if items, _ := out["items"].([]any); len(items) != 1 {
		t.Errorf("%d parcels, want alice's one", len(items))
	}
}

// FuzzImport: whatever the XML is, the fixed import answers 201 or a client's
// mistake, and never with the planted secret.
func FuzzImport(f *testing.F) {
	f.Add(`<manifest><parcel><service>economy</service><weight_grams>5</weight_grams><recipient>A</recipient><line1>B</line1><city>C</city><postcode>12345</postcode><country>DE</country></parcel></manifest>`)
	f.Add(`<!DOCTYPE m [<!ENTITY x SYSTEM "file:///etc/harbour.conf">]><manifest><parcel><recipient>&x;</recipient></parcel></manifest>`)
	f.Add(`<manifest><![CDATA[x]]></manifest>`)
	s, err := New(Options{PasswordRounds: 10})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	token, err := s.IssueToken(f.Context(), "alice@northlight.example", time.Now(), time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/v2/parcels/import", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/xml")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !slices.Contains([]int{201, 400, 413, 422}, w.Code) || strings.Contains(w.Body.String(), plantedSecret) {
			t.Errorf("%q was answered %d: %s", body, w.Code, w.Body)
		}
	})
}
