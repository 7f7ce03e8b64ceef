package limit

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/guard/limit/hashcash"
)

// The page's examples solve challenges as they stand there.
func TestDocumentedClients(t *testing.T) {
	page, err := os.ReadFile("../../../docs/guards/limit.md")
	if err != nil {
		t.Fatal(err)
	}
	issuer := hashcash.NewIssuer(bytes.Repeat([]byte("k"), 32), time.Minute, nil)
	for _, c := range []struct{ language, binary, call string }{
		{"js", "node", "\nsolve(process.argv[2]).then(a => console.log(a));\n"},
		{"python", "python3", "\nimport sys\nprint(solve(sys.argv[1]))\n"},
	} {
		t.Run(c.language, func(t *testing.T) {
			code := regexp.MustCompile("(?s)```" + c.language + "\n(.*?)```").FindSubmatch(page)
			if code == nil {
				t.Fatal("the page has no example")
			}
			binary, err := exec.LookPath(c.binary)
			if err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatalf("%s is not on PATH", c.binary)
				}
				t.Skipf("SKIPPED: %s is not on PATH", c.binary)
			}
			file := t.TempDir() + "/solve." + c.language
			if c.language == "js" {
				file = strings.TrimSuffix(file, "js") + "mjs"
			}
			if err := os.WriteFile(file, append(code[1], c.call...), 0o600); err != nil {
				t.Fatal(err)
			}
			field := issuer.Challenge(10, "login", []byte("b")) + "; bits=10"
			out, err := exec.Command(binary, file, field).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if _, _, err := issuer.Verify(strings.TrimSpace(string(out)), "login", []byte("b"), 10); err != nil {
				t.Errorf("%s: %v", out, err)
			}
		})
	}
}
