package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What the page tells partners to type is what works: its commands are run, with
// the real openssl and curl.
func TestPartnersExample(t *testing.T) {
	for _, tool := range []string{"bash", "openssl", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %s is not there; the example of docs/guards/proof.md was not run", tool)
		}
	}
	page, err := os.ReadFile("../../docs/guards/proof.md")
	if err != nil {
		t.Fatal(err)
	}
	var scripts []string
	for _, part := range strings.Split(string(page), "```sh\n")[1:] {
		script, _, _ := strings.Cut(part, "```")
		scripts = append(scripts, script)
	}
	if len(scripts) != 2 {
		t.Fatalf("%d scripts on the page", len(scripts))
	}
	dir := t.TempDir()
	run := func(script string, env ...string) string {
		cmd := exec.CommandContext(t.Context(), "bash", "-ec", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	run(scripts[0])
	g := newTestGateway(t, "  guards:\n    waf: {mode: \"off\"}\n    authn: {methods: [{signature: {tag: petshop, keys: [{id: acme-2026, subject: acme, public_key: "+filepath.Join(dir, "acme.pem")+"}]}}]}\n", "")
	got := ""
	server := httptest.NewServer(g.Handler(func(string) Upstream {
		return func(w http.ResponseWriter, r *http.Request) error {
			b, err := io.ReadAll(r.Body)
			got = r.Header.Get("X-Crenel-Subject") + " " + string(b)
			w.WriteHeader(http.StatusNoContent)
			return err
		}
	}))
	defer server.Close()
	out := run(scripts[1], "URL="+server.URL+"/items", `BODY={"a":1}`)
	if !strings.Contains(out, "204 No Content") || got != `acme {"a":1}` {
		t.Errorf("the upstream got %q: %s", got, out)
	}
	// The same by another key, with all else as it was.
	run("mv acme.key mine.key; " + scripts[0])
	if out := run(scripts[1], "URL="+server.URL+"/items", `BODY={"a":1}`); !strings.Contains(out, "authn.signature") {
		t.Errorf("by another key: %s", out)
	}
}
