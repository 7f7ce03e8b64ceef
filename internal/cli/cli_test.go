package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/control"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/race"
	"github.com/crenel-project/crenel/internal/scan/scantest"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/trail"
)

var update = flag.Bool("update", false, "rewrite generated files")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"crenel": func() { os.Exit(Execute()) },
	})
}

// TestScripts runs the commands as a user does: testdata/script/*.txtar.
func TestScripts(t *testing.T) {
	dir, files := "testdata/script", []string(nil)
	if race.Enabled {
		// Each command is a process, which takes seconds to start with the race detector:
		// with it those that do many things at once, and all without it.
		for _, name := range []string{"gateway", "revoke", "signals", "decisions", "scan"} {
			files = append(files, dir+"/"+name+".txtar")
		}
		dir = ""
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, Files: files,
		// A command that hangs fails its script, not the whole run.
		Deadline: time.Now().Add(12 * time.Minute),
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			e.Setenv("CONTROL", "evil\x1b[2Jcommand")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":   exits,
			"control": serveControl,
			"events":  writeEvents,
			"serving": serving,
			"call":    call,
			"shows":   shows,
			"lacks":   lacks,
			"revoked": revoked,
			"notes":   serveNotes,
			"until":   until,

			"transmitter": transmitter,
			"recorded":    inTrail,
		},
	})
}

// exits runs a command and holds it to its exit code: exits CODE COMMAND ARGS….
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	var failed interface{ ExitCode() int }
	if errors.As(err, &failed) {
		code = fmt.Sprint(failed.ExitCode())
	} else if err != nil {
		ts.Fatalf("running %v: %v", args[1:], err)
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// serving starts an API that answers every call, and finds a free address for a
// gateway: it sets UPSTREAM and LISTEN.
func serving(ts *testscript.TestScript, _ bool, _ []string) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"name":"Rex"}`)
	}))
	ts.Defer(api.Close)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv("LISTEN", free.Addr().String())
	ts.Check(free.Close())
	ts.Setenv("UPSTREAM", api.URL)
}

// serveNotes starts the scan tests' API, with its hole (notes open NAME) or
// without (notes closed NAME), writes its description to api.yaml and its address
// to NAME.
func serveNotes(ts *testscript.TestScript, _ bool, args []string) {
	mux := http.NewServeMux()
	mux.Handle("/", &scantest.Notes{Open: args[0] == "open"})
	mux.HandleFunc("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, scantest.Spec) })
	api := httptest.NewServer(mux)
	ts.Defer(api.Close)
	ts.Setenv(args[1], api.URL)
	ts.Check(os.WriteFile(ts.MkAbs("api.yaml"), []byte(scantest.Spec), 0o600))
}

// until waits for a file to hold a text so often: until FILE TIMES TEXT.
func until(ts *testscript.TestScript, _ bool, args []string) {
	times, err := strconv.Atoi(args[1])
	ts.Check(err)
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Count(string(text), args[2]) >= times {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not hold %s %d times: %v", args[0], args[2], times, err)
		}
	}
}

// call sends a request until somebody answers, and holds the answer to its status:
// call STATUS METHOD URL [BODY [FIELD…]]. The request's id goes to EVENT.
func call(ts *testscript.TestScript, _ bool, args []string) {
	var resp *http.Response
	// The race detector and a busy machine make a gateway's first call slow.
	client := &http.Client{Timeout: time.Minute}
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		body := ""
		if len(args) > 3 {
			body = args[3]
		}
		req, err := http.NewRequest(args[1], args[2], strings.NewReader(body))
		ts.Check(err)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		for _, field := range args[min(4, len(args)):] {
			name, text, _ := strings.Cut(field, ": ")
			req.Header.Set(name, text)
		}
		if resp, err = client.Do(req); err == nil {
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody answers: %v", err)
		}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Logf("%s %s", resp.Status, body)
	if fmt.Sprint(resp.StatusCode) != args[0] {
		ts.Fatalf("%s %s: %s %s, want %s", args[1], args[2], resp.Status, body, args[0])
	}
	var problem struct {
		ID string `json:"request_id"`
	}
	_ = json.Unmarshal(body, &problem) // an answer that is no problem document has no id
	ts.Setenv("EVENT", problem.ID)
	ts.Setenv("ANSWER", string(body))
}

// fake is a running gateway as far as its control socket shows.
type fake struct {
	mu      sync.Mutex
	reloads int
	err     error
	state   state.Store
}

func (f *fake) Status() any {
	f.mu.Lock()
	defer f.mu.Unlock()
	return map[string]any{"version": "test", "reloads": f.reloads, "apis": []string{"pets", "dogs"}}
}

func (f *fake) Reload(context.Context, string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.reloads++
	return nil
}

// Verbs revokes in the fakes' state, or fails as reloads do.
func (f *fake) Verbs() map[string]control.Verb {
	return map[string]control.Verb{revocation.VerbRevoke: func(_ context.Context, _ string, args json.RawMessage) (any, error) {
		var o revocation.Order
		if err := json.Unmarshal(args, &o); err != nil {
			return nil, err
		}
		if f.err != nil {
			return nil, f.err
		}
		return nil, o.Do(context.Background(), f.state)
	}, revocation.VerbList: func(_ context.Context, _ string, args json.RawMessage) (any, error) {
		var q revocation.Query
		if err := json.Unmarshal(args, &q); err != nil {
			return nil, err
		}
		return q.Do(context.Background(), f.state)
	}}
}

// revoked holds an entry to what it should be: revoked KEY "BEFORE? UNTIL? REASON".
func revoked(ts *testscript.TestScript, neg bool, args []string) {
	view, err := shared.View(context.Background(), revocation.Set)
	ts.Check(err)
	value, ok := view.Get(args[0])
	if ok == neg {
		ts.Fatalf("%s: revoked %v", args[0], ok)
	}
	if !neg {
		var e revocation.Entry
		ts.Check(json.Unmarshal(value, &e))
		if got := fmt.Sprintf("%v %v %s", e.Before != 0, e.Until != 0, e.Reason); got != args[1] {
			ts.Fatalf("%s is %q, want %q", args[0], got, args[1])
		}
	}
}

// shared is the state of all fakes.
var shared = state.NewMemory(nil)

// serveControl opens a control socket: control DIR [error of reloads].
func serveControl(ts *testscript.TestScript, _ bool, args []string) {
	f := &fake{state: shared}
	if len(args) > 1 {
		f.err = errors.New(args[1])
	}
	s, err := control.Listen(filepath.Join(ts.MkAbs(args[0]), "control.sock"), f, slog.New(slog.DiscardHandler))
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close(context.Background())) })
}

// writeEvents writes an event file by the trail itself: events FILE.
func writeEvents(ts *testscript.TestScript, _ bool, args []string) {
	log, err := trail.Open(trail.Options{File: ts.MkAbs(args[0])})
	ts.Check(err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, d := range []*exchange.Decision{
		{Type: "decision", ID: "ev-allowed", Time: at, API: "pets", Operation: "listPets", Method: "GET", Host: "api.example.com", Path: "/pets", Client: "192.0.2.1", Action: "allow", Micros: 900},
		{Type: "decision", ID: "ev-denied", Time: at, API: "pets", Operation: "updatePet", Method: "PATCH", Host: "api.example.com", Path: "/pets/{id}", Client: "192.0.2.7",
			Identity: &exchange.RecordedIdentity{Subject: "alice\x1b[31m", Issuer: "https://id.example.com", Method: "jwt", Verified: true, Roles: []string{"customer"}},
			Action:   "deny", Status: 422, Code: "contract.unknown_property", Guard: "contract", At: "/owner_id", Reason: "the schema does not declare owner_id", Micros: 1234,
			Rulings: []exchange.RecordedRuling{
				{Guard: "authn", Phase: "request_head", Mode: "enforce", Action: "allow", Micros: 41.5},
				{Guard: "contract", Phase: "request_body", Mode: "enforce", Action: "deny", Micros: 8.2, Code: "contract.unknown_property", At: "/owner_id", Reason: "the schema does not declare owner_id", Detail: map[string]any{"schema": "/components/schemas/Pet"}},
			}},
	} {
		if !log.Admit() {
			ts.Fatalf("the trail admits nothing")
		}
		ts.Check(log.Decide(context.Background(), d))
	}
	log.Complete(&exchange.Completion{Type: "completion", ID: "ev-denied", Time: at.Add(time.Millisecond), Status: 422, BytesIn: 20, BytesOut: 180, Micros: 1500})
	for _, c := range []*exchange.Completion{{Type: "completion", ID: "ev-kept", Time: at, Status: 502, Called: true, Upstream: 700, Micros: 1500, Refused: "contract.response", Stripped: []string{"/password"}}} {
		if !log.Admit() {
			ts.Fatalf("the trail admits nothing")
		}
		log.Complete(c)
	}
	ts.Check(log.Close())
}

// TestGatewayFlags: what the flags change, at start and at every reload.
func TestGatewayFlags(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "crenel.yaml")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("openapi.yaml", "openapi: 3.1.0\ninfo: {title: Pets, version: '1'}\npaths: {/pets: {get: {responses: {'200': {description: ok}}}}}\n")
	write("crenel.yaml", "server: {protocols: [h1, h3], tls: {mode: local, email: a@example.com}}\napis:\n- name: pets\n  spec: openapi.yaml\n  upstream: {urls: ['http://127.0.0.1:9000']}\n")

	old := runGateway
	t.Cleanup(func() { runGateway = old })
	var got *config.Config
	var load func() (*config.Config, error)
	runGateway = func(_ context.Context, cfg *config.Config, again func() (*config.Config, error), _ io.Writer) error {
		got, load = cfg, again
		return nil
	}
	var stderr bytes.Buffer
	if code := run(context.Background(), []string{"gateway", "-c", file, "--http", "--listen", "127.0.0.1:8081", "--data-dir", filepath.Join(dir, "data")}, io.Discard, &stderr); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr.String())
	}
	again, err := load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*config.Config{got, again} {
		if c.Server.TLS.Mode != "off" || strings.Join(c.Server.Listen, " ") != "127.0.0.1:8081" || c.Trail.File != filepath.Join(dir, "data", "events.jsonl") {
			t.Errorf("tls %s, listen %v, events %s", c.Server.TLS.Mode, c.Server.Listen, c.Trail.File)
		}
	}
	got = nil
	if code := run(context.Background(), []string{"gateway", "-c", file, "--listen", "nonsense"}, io.Discard, &stderr); code != exitUsage || got != nil {
		t.Errorf("a wrong --listen: exit %d, started %v", code, got != nil)
	}
	runGateway = func(context.Context, *config.Config, func() (*config.Config, error), io.Writer) error {
		return errors.New("address in use")
	}
	stderr.Reset()
	if code := run(context.Background(), []string{"gateway", "-c", file}, io.Discard, &stderr); code != exitProblem || stderr.String() != "crenel: address in use\n" {
		t.Errorf("exit %d: %q", code, stderr.String())
	}
}

// TestCommands: every command says what it does and shows how.
func TestCommands(t *testing.T) {
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		if c.Name() != "help" && c.Parent() != nil {
			if c.Short == "" || c.Example == "" {
				t.Errorf("%s: short %q, example %q", c.CommandPath(), c.Short, c.Example)
			}
			for line := range strings.Lines(c.Example) {
				if !strings.HasPrefix(line, "  ") {
					t.Errorf("%s: example %q is not indented", c.CommandPath(), line)
				}
			}
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(newRoot())
}

// TestDocs keeps docs/cli.md as the commands have it: -update writes it.
func TestDocs(t *testing.T) {
	const page = "../../docs/cli.md"
	var want bytes.Buffer
	if err := writeDocs(&want, newRoot()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(page, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(page); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is stale (%v): run go test ./internal/cli -run TestDocs -update", page, err)
	}
}

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"héllo →": "héllo →", "a\x1b[31mb": `a\u001b[31mb`, "a\nb\r": `a\u000ab\u000d`, "a\u009bb": `a\u009bb`, "a\u202eb": `a\u202eb`,
	} {
		if got := plain(in); got != want {
			t.Errorf("plain(%q) = %q, want %q", in, got, want)
		}
	}
}

// shows runs a command until it prints what is looked for: shows TEXT COMMAND ARGS….
func shows(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v does not print %q", args[1:], args[0])
		}
	}
}

// lacks runs a command until it no longer prints a text: lacks TEXT COMMAND ARGS….
func lacks(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[1], args[2:]...))
		if !strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%v still prints %q", args[1:], args[0])
		}
	}
}
