package scenario

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/icholy/digest"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Where a credential is computed for each request, the script lets curl compute it, and
// takes values from the answer that comes after the challenge.
func TestCurlScriptDigest(t *testing.T) {
	for _, tool := range []string{"curl", "jq", "awk"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	ask := digest.Challenge{Realm: "kiln", Nonce: "n1", Algorithm: "SHA-256", QOP: []string{"auth"}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
		if err == nil {
			var want *digest.Credentials
			want, err = digest.Digest(&ask, digest.Options{Method: r.Method, URI: r.RequestURI, Count: given.Nc, Cnonce: given.Cnonce, Username: "ida", Password: "clay & glaze"})
			if err == nil && want.Response == given.Response {
				_, _ = io.WriteString(w, `{"vase": "v`+strings.TrimPrefix(r.URL.Path, "/")+`"}`)
				return
			}
		}
		w.Header().Set("WWW-Authenticate", ask.String())
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	defer s.Close()
	sc := &Scenario{Name: "two in a row", Steps: []Step{
		{ID: "make", As: "user", Send: &Send{Method: "POST", Path: "/7", Body: `{}`}, Save: []Save{{As: "vase", At: "/vase"}}},
		{ID: "look", As: "user", Send: &Send{Method: "GET", Path: "/${vase}"}},
	}}
	script := sc.Curl(s.URL, "", sc.Name, func(string) []actor.Part {
		return []actor.Part{{In: "header", Name: "Authorization", Prefix: target.DigestPrefix, Value: "ida:clay & glaze"}}
	})
	file := filepath.Join(t.TempDir(), "proof.sh")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", file)
	cmd.Env = append(os.Environ(), "USER_CREDENTIAL=ida:clay & glaze")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"vase": "vv7"`) || strings.Contains(string(out), "401") || strings.Contains(script, "clay") {
		t.Errorf("%v\n%s\n%s", err, script, out)
	}
}
