package scenario

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// plainSender sends by net/http.
type plainSender struct{ origin string }

func (p plainSender) Do(ctx context.Context, as string, q *target.Request) (*target.Exchange, error) {
	r, err := http.NewRequestWithContext(ctx, q.Method, p.origin+q.Path+"?"+q.Query, bytes.NewReader(q.Body))
	if err != nil {
		return nil, err
	}
	for _, f := range q.Header {
		r.Header.Add(f.Name, f.Value)
	}
	start := time.Now()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return &target.Exchange{As: as, Request: q, Err: err}, nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return &target.Exchange{As: as, Request: q, Status: resp.StatusCode, Header: resp.Header, Body: body, Duration: time.Since(start)}, err
}

func (p plainSender) DoTogether(ctx context.Context, as string, qs []*target.Request) ([]*target.Exchange, error) {
	out := make([]*target.Exchange, len(qs))
	errs := make([]error, len(qs))
	var wg sync.WaitGroup
	for i, q := range qs {
		wg.Go(func() { out[i], errs[i] = p.Do(ctx, as, q) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

type people map[string]*actor.Actor

func (p people) Get(name string) *actor.Actor { return p[name] }
func (p people) Fresh(context.Context) (*actor.Actor, error) {
	return nil, fmt.Errorf("this API registers nobody")
}

func (p people) Login(_ context.Context, a *actor.Actor) (*actor.Session, error) {
	return a.Session, nil
}

func person(name string) *actor.Actor {
	return &actor.Actor{Name: name, Facts: map[string]string{"email": name + "@example.org"},
		Session: &actor.Session{Parts: []actor.Part{{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: "secret-of-" + name}}}}
}

// shop is an API with orders; careful says whether it looks whose they are.
func shop(t *testing.T, careful bool) *httptest.Server {
	var mu sync.Mutex
	type order struct{ owner, note string }
	var orders []order
	mux := http.NewServeMux()
	who := func(w http.ResponseWriter, r *http.Request) string {
		name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer secret-of-")
		if !ok {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return name
	}
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		name := who(w, r)
		if name == "" {
			return
		}
		var in struct{ Note string }
		if json.NewDecoder(r.Body).Decode(&in) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		orders = append(orders, order{name, in.Note})
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"data":{"id":%d}}`, len(orders))
	})
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		name := who(w, r)
		if name == "" {
			return
		}
		var id int
		_, err := fmt.Sscan(r.PathValue("id"), &id)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || id < 1 || id > len(orders) || careful && orders[id-1].owner != name {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"error":"no such order"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": id, "note": orders[id-1].note})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

const foreignRead = `
name: another customer reads an order
steps:
  - {id: unused, part: setup, as: user, send: {method: POST, path: /orders, body: '{"note":"unused"}'}, save: [{as: other, at: /data/id}]}
  - {id: make, part: setup, as: user, send: {method: POST, path: /orders, body: '{"note":"for ${canary.note}"}'}, save: [{as: order, at: /data/id}], expect: [{status: 2xx}]}
  - {id: own, part: control, as: user, send: {method: GET, path: "/orders/${order}"}, expect: [{status: "200", contains: ["${canary.note}"]}]}
  - {id: nobody, part: control, send: {method: GET, path: "/orders/${order}"}, expect: [{lacks: ["${canary.note}"]}]}
  - {id: absent, part: control, as: peer, send: {method: GET, path: /orders/999999}, expect: [{status: "!2xx"}]}
  - {id: attack, as: peer, note: the peer reads it, send: {method: GET, path: "/orders/${order}"}, expect: [{status: "200", contains: ["${canary.note}"], unlike: absent}]}
`

func TestRun(t *testing.T) {
	sc, err := Parse([]byte(foreignRead))
	if err != nil {
		t.Fatal(err)
	}
	all := people{"user": person("user"), "peer": person("peer")}
	for _, c := range []struct {
		name    string
		careful bool
		people  people
		steps   *Scenario
		want    Verdict
		step    string
	}{
		{"open", false, all, sc, Proven, ""},
		{"open, reduced", false, all, Reduce(sc), Proven, ""},
		{"closed", true, all, sc, Refuted, "attack"},
		{"nobody to attack", false, people{"user": all["user"]}, sc, Inconclusive, "absent"},
		{"not logged in", false, people{"user": {Name: "user"}, "peer": all["peer"]}, sc, Inconclusive, "unused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := shop(t, c.careful)
			stage := &Stage{Sender: plainSender{s.URL}, People: c.people, RunID: "r1"}
			out, err := stage.Run(t.Context(), c.steps, c.name)
			if err != nil {
				t.Fatal(err)
			}
			if out.Verdict != c.want || out.Step != c.step {
				t.Errorf("%s at %q (%s); want %s at %q", out.Verdict, out.Step, out.Why, c.want, c.step)
			}
			text, _ := json.Marshal(out.Evidence(s.URL))
			if strings.Contains(string(text), "secret-of-") {
				t.Errorf("a credential is in the evidence: %s", text)
			}
		})
	}
	if r := Reduce(sc); len(r.Steps) != len(sc.Steps)-1 || r.Steps[0].ID != "make" {
		t.Errorf("reduced to %+v", r.Steps)
	}
	back, err := sc.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse(back); err != nil || len(again.Steps) != len(sc.Steps) {
		t.Errorf("written and read back: %v\n%s", err, back)
	}
}

func TestExpectations(t *testing.T) {
	str := func(s string) *string { return &s }
	one := func(n int) *int { return &n }
	x := &target.Exchange{Status: 200, Header: http.Header{"Location": {"/orders/7"}}, Body: []byte(`{"items":[{"id":1,"n":"a\u0062c"},{"id":2.0,"n":null}],"total":2}`)}
	for _, c := range []struct {
		e    Expect
		want bool
	}{
		{Expect{Status: "200"}, true},
		{Expect{Status: "2xx|404"}, true},
		{Expect{Status: "!2xx"}, false},
		{Expect{Contains: []string{"abc"}}, true},
		{Expect{Contains: []string{"abd"}}, false},
		{Expect{Lacks: []string{"abc"}}, false},
		{Expect{At: "/items/*/id", Equals: str("2")}, true},
		{Expect{At: "/items/*/id", Equals: str("3")}, false},
		{Expect{At: "/items/0/id", Differs: str("1")}, false},
		{Expect{At: "/items/*/id", Differs: str("1")}, true},
		{Expect{At: "/nothing"}, false},
		{Expect{At: "/total"}, true},
		{Expect{At: "/nothing", Equals: str("x")}, false},
		{Expect{At: "/nothing", Missing: true}, true},
		{Expect{At: "/total", Missing: true}, false},
		{Expect{At: "/items", MinItems: 2}, true},
		{Expect{At: "/items", MinItems: 3}, false},
		{Expect{At: "/items", MaxItems: one(1)}, false},
		{Expect{At: "/items/0/n", Matches: "^a.c$"}, true},
		{Expect{Header: "location", Matches: "/orders/[0-9]+"}, true},
		{Expect{Header: "Location", Missing: true}, false},
		{Expect{Header: "X-None"}, false},
		{Expect{Matches: `"total":2`}, true},
		{Expect{AtLeast: 2}, false},
		{Expect{Status: "2xx", AtMost: one(0)}, false},
	} {
		r := &run{stage: &Stage{}, out: &Outcome{}, vars: map[string]any{}, marks: map[string]bool{}}
		why, err := r.expect(t.Context(), &c.e, &Result{Step: &Step{}, Exchanges: []*target.Exchange{x}})
		if err != nil {
			t.Fatal(err)
		}
		if (why == "") != c.want {
			t.Errorf("%+v: %q; want it to hold: %v", c.e, why, c.want)
		}
	}
}

func TestAlike(t *testing.T) {
	x := func(status int, body string) *target.Exchange {
		return &target.Exchange{Status: status, Body: []byte(body)}
	}
	for _, c := range []struct {
		a, b *target.Exchange
		vary []string
		want bool
	}{
		{x(404, `{"error":"no such order","at":"2026-01-01T10:00:00Z"}`), x(404, `{"error":"no such order","at":"2026-01-02T11:01:00Z"}`), nil, true},
		{x(404, `{"id":"5b7a4d5e-0000-4000-8000-123456789abc"}`), x(404, `{"id":"5b7a4d5e-0000-4000-8000-123456789abd"}`), nil, true},
		{x(404, `order 17 not found`), x(404, `order 99999 not found`), nil, false},
		{x(404, `order 17 not found`), x(404, `order 99999 not found`), []string{"99999", "17"}, true},
		{x(404, `x`), x(403, `x`), nil, false},
	} {
		if got := Alike(c.a, c.b, c.vary...); got != c.want {
			t.Errorf("%s and %s alike: %v, want %v", c.a.Body, c.b.Body, got, c.want)
		}
	}
}

func TestBadScenarios(t *testing.T) {
	for text, want := range map[string]string{
		"name: x": "no steps",
		"name: x\nsteps: [{id: a, send: {method: GET, path: /}}]":                                                             "would prove everything",
		"name: x\nsteps: [{send: {method: GET, path: /}, expect: [{status: any}]}]":                                           "has no id",
		"name: x\nsteps: [{id: a, part: magic, send: {method: GET, path: /}}]":                                                "want setup",
		"name: x\nsteps: [{id: a, send: {method: GET, path: x}, expect: [{status: any}]}]":                                    "begins with /",
		"name: x\nsteps: [{id: a, send: {method: GET, path: /x}, expect: [{like: b}]}]":                                       "does not come before",
		"name: x\nsteps: [{id: a, times: 1000000000, send: {method: GET, path: /x}, expect: [{status: any}]}]":                "up to 10000",
		"name: x\nsteps: [{id: a, wait: 1000h, send: {method: GET, path: /x}, expect: [{status: any}]}]":                      "up to 1h",
		"name: x\nsteps: [{id: a, sent: {}}]":                                                                                 "sent",
		"name: x\nsteps: [{id: a, send: {method: GET, path: /x}, expect: [{status: any}]}, {id: a, expect: [{status: any}]}]": "same id",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

// The script that a finding carries does with curl what the scenario did.
func TestCurlScript(t *testing.T) {
	for _, tool := range []string{"curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	sc, err := Parse([]byte(foreignRead))
	if err != nil {
		t.Fatal(err)
	}
	s := shop(t, false)
	all := people{"user": person("user"), "peer": person("peer")}
	script := sc.Curl(s.URL, "", sc.Name, func(name string) []actor.Part { return all[name].Session.Snapshot() })
	if strings.Contains(script, "secret-of-") {
		t.Fatalf("a credential is in the script:\n%s", script)
	}
	file := filepath.Join(t.TempDir(), "proof.sh")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", file)
	cmd.Env = append(os.Environ(), "USER_CREDENTIAL=secret-of-user", "PEER_CREDENTIAL=secret-of-peer")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	answers := strings.Split(string(out), "HTTP/1.1 ")
	last := answers[len(answers)-1]
	if len(answers) != 7 || !strings.HasPrefix(last, "200") || !strings.Contains(last, `"note":"for cr`) {
		t.Errorf("%d answers, the last %s\n%s", len(answers)-1, last, script)
	}
}

// The script's own work with bytes and patterns is done by a shell, as a reader would.
func TestCurlScriptBytesAndPatterns(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "jq", "base64", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	got := make(chan string, 4)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		got <- r.URL.Path + " " + string(raw)
		w.Header().Set("Location", "/things/41?x=1")
		_, _ = io.WriteString(w, `{"a":"n1","id":7}`)
	}))
	defer srv.Close()
	sc := &Scenario{Name: "bytes", Steps: []Step{
		{ID: "a", Send: &Send{Method: "POST", Path: "/things", Base64: base64.StdEncoding.EncodeToString([]byte("\x89\x00${canary.x}\xff")), Fill: true, Type: "image/png"},
			Save: []Save{{As: "t.id", Header: "Location", Pattern: `([^/?#]+)/?(?:[?#].*)?$`}, {As: "t.n", Pattern: `"a":"n1","id":(\d+)`}}},
		{ID: "b", Send: &Send{Method: "GET", Path: "/things/${t.id}/${t.n}"}},
	}}
	script := sc.Curl(srv.URL, "", "bytes", nil)
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	if first := <-got; !strings.HasPrefix(first, "/things \x89\x00cr") || !strings.HasSuffix(first, "x\xff") {
		t.Errorf("sent %q\n%s", first, script)
	}
	if second := <-got; second != "/things/41/7 " {
		t.Errorf("sent %q\n%s", second, script)
	}
}

// What a step computes is computed before it is used: the script does not ask for it.
func TestCurlScriptComputes(t *testing.T) {
	for _, tool := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header.Get("X-Made") }))
	defer srv.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "crenel"), []byte("#!/bin/sh\necho \"made by $3 of $4\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	sc := &Scenario{Name: "made", Steps: []Step{{
		ID: "a", Compute: []Compute{{Set: "one", Do: "text.base64", Args: map[string]string{"text": "x"}}, {Set: "two", Do: "text.path", Args: map[string]string{"text": "${one}"}}},
		Send: &Send{Method: "GET", Path: "/", Header: []Pair{{Name: "X-Made", Value: "${two}"}}},
	}}}
	script := sc.Curl(srv.URL, "", "made", nil)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	if made := <-got; made != "made by text.path of text=made by text.base64 of text=x" {
		t.Errorf("sent %q\n%s", made, script)
	}
}

// What is computed reaches the target as it is, wherever it stands in a request.
func TestCurlScriptEncodes(t *testing.T) {
	for _, tool := range []string{"sh", "curl", "jq", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	const odd = `a' OR "7"=7+0 & <b>\n/%`
	type sent struct{ path, query, form, body string }
	got := make(chan sent, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(raw))
		got <- sent{r.URL.Path, r.URL.Query().Get("q"), form.Get("f"), string(raw)}
	}))
	defer srv.Close()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "crenel"), []byte("#!/bin/sh\nprintf '%s\\n' \"${4#text=}\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for media, body := range map[string]string{"application/json": `{"v": "${odd}!"}`, "application/x-www-form-urlencoded": "f=${odd}", "application/xml": "<v>${odd}</v>", "text/plain": "${odd}"} {
		sc := &Scenario{Name: "odd", Steps: []Step{{
			ID: "a", Compute: []Compute{{Set: "odd", Do: "text.set", Args: map[string]string{"text": odd}}},
			Send: &Send{Method: "POST", Path: "/x/${odd}", Query: []Pair{{Name: "q", Value: "${odd}"}}, Type: media, Body: body},
		}}}
		script := sc.Curl(srv.URL, "", "odd", nil)
		cmd := exec.CommandContext(t.Context(), "sh", "-c", script)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		x := <-got
		want := map[string]string{"application/json": jsonText(map[string]any{"v": odd + "!"}), "text/plain": odd, "application/xml": "<v>a' OR &quot;7&quot;=7+0 &amp; &lt;b&gt;\\n/%</v>"}[media]
		if media == "application/json" {
			var a, b any
			if json.Unmarshal([]byte(want), &a) != nil || json.Unmarshal([]byte(x.body), &b) != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("%s: sent %s", media, x.body)
			}
		} else if want != "" && x.body != want {
			t.Errorf("%s: sent %q, want %q", media, x.body, want)
		}
		if x.path != "/x/"+odd || x.query != odd || want == "" && x.form != odd {
			t.Errorf("%s: sent %+v\n%s", media, x, script)
		}
	}
}
