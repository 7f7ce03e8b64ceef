package scenario

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// someone is the only one of the people, or nobody is.
type someone struct {
	People
	a *actor.Actor
}

func (s someone) Get(name string) *actor.Actor {
	if s.a != nil && name == s.a.Name {
		return s.a
	}
	return nil
}

func rawScenario(lines []string, e ...Expect) *Scenario {
	return &Scenario{Name: "raw", Steps: []Step{{ID: "raw", Raw: &Raw{Lines: lines, Wait: time.Second, Answers: 2}, Expect: e}}}
}

func TestRawStep(t *testing.T) {
	var hosts, auth []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hosts, auth = append(hosts, r.Host), append(auth, r.Header.Get("X-Key")+"|"+r.Header.Get("X-Odd"))
		_, _ = fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	}))
	defer s.Close()
	cl, err := target.New(target.Options{Target: s.URL + "/v1", MaxRequests: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	var seen []*target.Exchange
	cl.OnExchange(func(x *target.Exchange) { seen = append(seen, x) })
	who := &actor.Actor{Name: "user", Session: &actor.Session{Parts: []actor.Part{{In: "header", Name: "X-Key", Value: "secretkey"}}}}
	two := 2
	sc := rawScenario([]string{"GET ${target.base}/a HTTP/1.1", "Host: ${target.host}", "${credentials}", `X-Odd: \x41\\n`, "", "GET /b HTTP/1.1", "Host: x", "", ""},
		Expect{Answers: &two}, Expect{Answer: 1, Status: "200", Matches: "^GET /v1/a$"}, Expect{Answer: 2, Matches: "^GET /b$"})
	sc.Steps[0].As = "user"
	if err := sc.Check(); err != nil {
		t.Fatal(err)
	}
	stage := &Stage{Sender: cl, People: someone{a: who}, RunID: "r"}
	out, err := stage.Run(t.Context(), sc, "n")
	if err != nil || out.Verdict != Proven {
		t.Fatal(err, out)
	}
	if auth[0] != `secretkey|A\n` || auth[1] != "|" || hosts[1] != "x" || hosts[0] != strings.TrimPrefix(s.URL, "http://") {
		t.Errorf("%q %q", hosts, auth)
	}
	ev := out.Evidence(s.URL)
	if len(ev) != 1 || ev[0].Request.Method != "RAW" || strings.Contains(ev[0].Request.Body, "secretkey") || strings.Count(ev[0].Response.Body, "HTTP/1.1 200 OK") != 2 {
		t.Errorf("%+v", ev)
	}
	if len(seen) != 1 || seen[0].As != "user" || seen[0].Seq != 1 {
		t.Errorf("the record has %+v", seen)
	}
	// Counts that do not hold refute; a budget that is spent is an error.
	sc.Steps[0].Expect = []Expect{{Answer: 3}}
	if out, err = stage.Run(t.Context(), sc, "n"); err != nil || out.Verdict != Refuted {
		t.Error(err, out)
	}
	one := 1
	sc.Steps[0].Expect = []Expect{{Answers: &one}}
	if out, err = stage.Run(t.Context(), sc, "n"); err != nil || out.Verdict != Refuted {
		t.Error(err, out)
	}
	if _, err = stage.Run(t.Context(), sc, "n"); err == nil {
		t.Error("more was sent than the budget has")
	}
}

func TestWireSteps(t *testing.T) {
	for name, sc := range map[string]*Scenario{
		"both":              {Steps: []Step{{ID: "a", Raw: &Raw{Lines: []string{"x"}}, Handshake: &Handshake{}, Expect: []Expect{{Status: "any"}}}}},
		"no lines":          {Steps: []Step{{ID: "a", Raw: &Raw{}, Expect: []Expect{{Status: "any"}}}}},
		"half an escape":    rawScenario([]string{`\x4`}, Expect{Status: "any"}),
		"an unknown escape": rawScenario([]string{`\q`}, Expect{Status: "any"}),
		"a version":         {Steps: []Step{{ID: "a", Handshake: &Handshake{Version: "TLS 7"}, Expect: []Expect{{Status: "any"}}}}},
		"ciphers alone":     {Steps: []Step{{ID: "a", Handshake: &Handshake{Ciphers: []string{"rc4"}}, Expect: []Expect{{Status: "any"}}}}},
		"together":          {Steps: []Step{{ID: "a", Together: true, Raw: &Raw{Lines: []string{"x"}}, Expect: []Expect{{Status: "any"}}}}},
	} {
		if sc.Check() == nil {
			t.Errorf("%s: nothing is wrong with it", name)
		}
	}
	// What sends ordinary requests alone cannot tell.
	out, err := (&Stage{Sender: plainSender{}, People: someone{}}).Run(t.Context(), rawScenario([]string{"x"}, Expect{Status: "any"}), "n")
	if err != nil || out.Verdict != Inconclusive {
		t.Error(err, out)
	}
}

// A raw step is the same after it was written to a file and read again.
func TestRawStepInYAML(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.OneOf(rapid.SampledFrom([]string{"", "0", "1", " x", "x ", "Content-Length : 4", `X: y\nTransfer-Encoding: chunked`, `\x0b\x00`, "GET / HTTP/1.1", "${credentials}", "null", "~", "- a", "a: b", "#", "'", `"`, "5\\r\\n", "? a", "a\r\nb", "\t"}), rapid.StringMatching(`[ -\[\]-~]{0,20}`))
		sc := rawScenario(rapid.SliceOfN(line, 1, 8).Draw(t, "lines"), Expect{Status: "any"})
		sc.Steps[0].Part = Attack
		text, err := sc.YAML()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(text)
		if err != nil || !reflect.DeepEqual(got, sc) {
			t.Fatalf("%v\n%s\n%q\n%q", err, text, got.Steps[0].Raw.Lines, sc.Steps[0].Raw.Lines)
		}
	})
}

// The script sends the bytes that the step does.
func TestRawStepAsScript(t *testing.T) {
	for _, tool := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not there")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		var all []byte
		buf := make([]byte, 4096)
		for !strings.Contains(string(all), "END") {
			n, err := c.Read(buf)
			if err != nil {
				break
			}
			all = append(all, buf[:n]...)
		}
		_, _ = c.Write([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
		_ = c.Close()
		got <- string(all)
	}()
	sc := rawScenario([]string{"POST ${target.base}/a%20b HTTP/1.1", "Host: ${target.host}", `X: \x0b"$y\nContent-Length : 3`, "", "0", "", "END"}, Expect{Status: "204"})
	script := sc.Curl("http://"+l.Addr().String(), "/v1", "raw", nil)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "204 No Content") {
		t.Fatalf("%v\n%s\n%s", err, out, script)
	}
	want := "POST /v1/a%20b HTTP/1.1\r\nHost: " + l.Addr().String() + "\r\nX: \x0b\"$y\nContent-Length : 3\r\n\r\n0\r\n\r\nEND"
	if all := <-got; all != want {
		t.Errorf("the script sent\n%q, want\n%q", all, want)
	}
}
