package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hardened is a config without a warning; each case below weakens it in one place.
const hardened = `
apis:
- name: pets
  hosts: [api.example.com]
  spec: files/openapi.yaml
  upstream:
    urls: [https://127.0.0.1:9000]
  guards:
    authn:
      methods:
      - jwt: {issuer: "https://id.example.com", audience: [pets]}
`

func TestWarnings(t *testing.T) {
	if err := os.Chmod("testdata/files/key.pem", 0o644); err != nil { // whatever the check-out's umask was
		t.Fatal(err)
	}
	if w := parse(t, hardened, Options{}).Warnings(); len(w) > 0 {
		t.Fatalf("the hardened config is warned of: %v", w)
	}
	jwt := `jwt: {issuer: "https://id.example.com", audience: [pets]}`
	api := "  hosts: [api.example.com]\n"
	for name, c := range map[string]struct{ old, new, path string }{
		"every host":        {api, "", "apis[0].hosts"},
		"no audience":       {", audience: [pets]", "", "apis[0].guards.authn.methods[0].jwt.audience"},
		"no issuer":         {`issuer: "https://id.example.com"`, "jwks: files/jwks.json", "apis[0].guards.authn.methods[0].jwt.issuer"},
		"tokens for ever":   {"audience: [pets]", "audience: [pets], require_exp: false", "apis[0].guards.authn.methods[0].jwt.require_exp"},
		"own":               {jwt, "own: {header: X-Token}", "apis[0].guards.authn.methods[0].own"},
		"key in the query":  {jwt, "api_key: {file: files/jwks.json, query: key}", "apis[0].guards.authn.methods[0].api_key.query"},
		"skip verify":       {"urls: [https://127.0.0.1:9000]\n", "urls: [https://127.0.0.1:9000]\n    tls: {insecure_skip_verify: true}\n", "apis[0].upstream.tls.insecure_skip_verify"},
		"guard off":         {"  guards:\n", "  guards:\n    waf: {mode: \"off\"}\n", "apis[0].guards.waf.mode"},
		"guard monitors":    {"  guards:\n", "  guards:\n    contract: {mode: monitor}\n", "apis[0].guards.contract.mode"},
		"fails open":        {"  guards:\n", "  guards:\n    authz: {fail: open}\n", "apis[0].guards.authz.fail"},
		"unknown allowed":   {"  guards:\n", "  guards:\n    contract: {unknown_properties: allow}\n", "apis[0].guards.contract.unknown_properties"},
		"shadow calls":      {"  guards:\n", "  guards:\n    contract: {undocumented: allow}\n", "apis[0].guards.contract.undocumented"},
		"operation off":     {api, api + "  operations: [{operation: x, mode: \"off\"}]\n", "apis[0].operations[0].mode"},
		"guard off for one": {api, api + "  operations: [{operation: x, modes: {waf: monitor}}]\n", "apis[0].operations[0].modes.waf"},
		"any origin":        {api, api + "  cors: {origins: [\"*\"]}\n", "apis[0].cors.origins[0]"},
		"unsigned bundle":   {"  guards:\n", "  guards:\n    authz: {bundles: [{name: rules, url: \"https://policies.example.com/rules.tar.gz\"}]}\n", "apis[0].guards.authz.bundles[0].signing"},
		"remote refs":       {api, api + "  remote_refs: true\n", "apis[0].remote_refs"},
		"spec in the clear": {"files/openapi.yaml", "http://specs.example.com/openapi.yaml", "apis[0].spec"},
		"plain http":        {"apis:\n", "server: {tls: {mode: \"off\"}}\napis:\n", "server.listen[0]"},
		"trust everybody":   {"apis:\n", "server: {trusted_proxies: [\"0.0.0.0/0\"]}\napis:\n", "server.trusted_proxies[0]"},
		"open admin":        {"apis:\n", "admin: {listen: \":9901\"}\napis:\n", "admin.listen"},
		"webhook":           {"apis:\n", "alarms: {webhook: \"http://hooks.example.com/x\"}\napis:\n", "alarms.webhook"},
		"key file":          {"apis:\n", "server: {tls: {mode: files, certificates: [{cert: files/cert.pem, key: files/key.pem}]}}\napis:\n", "server.tls.certificates[0].key"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(hardened, c.old) {
				t.Fatalf("%q is not in the config", c.old)
			}
			var got []string
			for _, w := range parse(t, strings.Replace(hardened, c.old, c.new, 1), Options{}).Warnings() {
				got = append(got, w.Path)
				if w.Fix == "" || w.File == "" {
					t.Errorf("%s does not say what would be right, or where: %+v", w.Path, w)
				}
			}
			if diff := cmp.Diff([]string{c.path}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	// A mode for the whole API is said once for each guard that it weakens.
	if w := parse(t, strings.Replace(hardened, "  hosts", "  mode: monitor\n  hosts", 1), Options{}).Warnings(); len(w) != len(GuardNames()) || w[0].Line != 4 {
		t.Errorf("warnings of mode: monitor: %v", w)
	}
	if w := parse(t, "server: {listen: [\"127.0.0.1:8080\"], tls: {mode: \"off\"}}"+hardened, Options{}).Warnings(); len(w) > 0 {
		t.Errorf("plain HTTP on loopback is warned of: %v", w)
	}
}

// TestTooDeep: a file cannot use up the parser's stack or time.
func TestTooDeep(t *testing.T) {
	const n = 200_000
	for name, text := range map[string]string{
		"open":   "a: " + strings.Repeat("[", n),
		"closed": "a: " + strings.Repeat("[", n) + strings.Repeat("]", n),
		"braces": strings.Repeat("{a: ", n),
		"lists":  strings.Repeat("- ", n) + "a",
		"keys":   strings.Repeat("? ", n),
		"anchor": "a: " + strings.Repeat("&a ", n),
		"large":  strings.Repeat("#", maxFile+1),
		"blocks": func() string {
			var b strings.Builder
			for i := range 1000 {
				b.WriteString(strings.Repeat(" ", i) + "a:\n")
			}
			return b.String()
		}(),
		"laughs": "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\napis: [*b, *b, *b, *b, *b, *b, *b, *b]\n",
	} {
		var list Errors
		if _, err := Parse([]byte(text), "crenel.yaml", Options{Env: env}); !errors.As(err, &list) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if at := tooDeep([]byte("a:\n- 'x[x[x'\n" + strings.Repeat("b: [1, [2]]\n", 1000))); at != 0 {
		t.Errorf("an ordinary file is too deep in line %d", at)
	}
}
