package pdp

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The decision point answers questions for documents as the real opa does, run
// as a server with the same policies and data.
func TestAnswersOfTheRealOPA(t *testing.T) {
	program := os.Getenv("CRENEL_OPA")
	if program == "" {
		if built, err := filepath.Abs("../../bin/opa"); err == nil {
			if _, err := os.Stat(built); err == nil {
				program = built
			}
		}
	}
	if program == "" {
		program, _ = exec.LookPath("opa")
	}
	if program == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("the real opa is not there: run make opa")
		}
		t.Skip("NOT RUN: the real opa is not there: make opa builds it, or set CRENEL_OPA")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"other.rego": other, "users.json": usersJSON} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	cmd := exec.Command(program, "run", "--server", "--addr", addr, "--disable-telemetry", "--log-level", "error", filepath.Join(dir, "other.rego"), filepath.Join(dir, "users.json"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		client.CloseIdleConnections()
	})
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if resp, err := client.Get("http://" + addr + "/health"); err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal("opa does not come up")
		}
	}
	s := newStand(t, nil)
	for _, q := range []struct{ method, path, body string }{
		{"POST", "/v1/data/shop/orders/allow", `{"input": {"user": "alice"}}`},
		{"POST", "/v1/data/shop/orders/allow", `{"input": {"user": "bob"}}`},
		{"POST", "/v1/data/shop/orders/allow", `{}`},
		{"POST", "/v1/data/shop/orders/level", ``},
		{"POST", "/v1/data/shop/orders/level", `{"input": null}`},
		{"POST", "/v1/data/shop/orders/names", `{"input": {}}`},
		{"POST", "/v1/data/shop/orders", `{"input": {"user": "alice", "zero": 2}}`},
		{"GET", "/v1/data/shop/orders/level", ""},
		{"GET", "/v1/data/shop/orders/allow?input=%7B%22user%22%3A%22alice%22%7D", ""},
		{"GET", "/v1/data/users", ""},
		{"GET", "/v1/data/users/beth%40the-smiths.com/roles/0", ""},
		{"GET", "/v1/data/users/beth%40the-smiths.com/roles/1", ""},
		{"GET", "/v1/data/no/such/thing", ""},
		{"POST", "/v1/data/shop/orders/allow", `{"input": `},
		{"POST", "/v1/data/shop/orders/fails", `{"input": {"zero": 4}}`},
	} {
		r, err := http.NewRequest(q.method, "http://"+addr+q.path, bytes.NewReader([]byte(q.body)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		var want map[string]any
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%s: opa answered %q", q.path, data)
		}
		status, out := s.ask(s.keys["all"], q.method, q.path, q.body)
		got, _ := out.(map[string]any)
		for _, m := range []map[string]any{want, got} {
			delete(m, "decision_id")
			delete(m, "message") // the words of an error are each one's own
			delete(m, "errors")
		}
		if d := cmp.Diff(want, got); status != resp.StatusCode || d != "" {
			t.Errorf("%s %s %s: %d, opa %d (-opa +ours):\n%s", q.method, q.path, q.body, status, resp.StatusCode, d)
		}
	}
}
