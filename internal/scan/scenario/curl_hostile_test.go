package scenario

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCurlScriptHostile: a target chooses what it calls its headers and cookies and what
// it puts into answers. The script that shows a finding runs none of it, reads no file
// for it, and sends what the scenario sends.
func TestCurlScriptHostile(t *testing.T) {
	for _, tool := range []string{"curl", "jq", "sed"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	const header, cookie = "X-Glaze'`touch$IFS''ran-header`'", "glaze'`touch$IFS''ran-cookie`'"
	var got []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, r.URL.RequestURI()+" "+string(b))
		w.Header()[header] = []string{"celadon"}
		w.Header().Set("Set-Cookie", cookie+"=tenmoku; Path=/")
		_, _ = io.WriteString(w, `{"shelf": "a/;e touch ran-body #", "note": "@/etc/hostname"}`)
	}))
	defer s.Close()
	sc := &Scenario{Name: "kiln\ntouch ran-title", Steps: []Step{
		{ID: "make", Note: "a pot\ntouch ran-note", Send: &Send{Method: "GET", Path: "/pots", Query: []Pair{{Name: "page[size]", Value: "1"}}},
			Save: []Save{{As: "one", Header: header}, {As: "two", Cookie: cookie}, {As: "shelf", At: "/shelf"}, {As: "note", At: "/note"}}},
		{ID: "names", Send: &Send{Method: "GET", Path: "/${one}/${two}"}},
		{ID: "text", Send: &Send{Method: "POST", Path: "/pots", Body: "${note}", Type: "text/plain"}},
		{ID: "file", Send: &Send{Method: "POST", Path: "/pots", Base64: base64.StdEncoding.EncodeToString([]byte("[${shelf}]")), Fill: true, Type: "image/png"}},
	}}
	dir := t.TempDir()
	file := filepath.Join(dir, "proof.sh")
	if err := os.WriteFile(file, []byte(sc.Curl(s.URL, "", sc.Name, nil)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "sh", file)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "ran-") {
			t.Errorf("the script ran what the target said: %s", f.Name())
		}
	}
	want := []string{"/pots?page[size]=1 ", "/celadon/tenmoku ", "/pots @/etc/hostname", "/pots [a/;e touch ran-body #]"}
	if !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}
