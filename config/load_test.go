package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const minimal = `
apis:
- name: pets
  spec: files/openapi.yaml
  upstream:
    urls: [http://127.0.0.1:9000]
`

func parse(t *testing.T, yaml string, opts Options) *Config {
	t.Helper()
	if opts.Env == nil {
		opts.Env = env
	}
	c, err := Parse([]byte(yaml), "testdata/crenel.yaml", opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func abs(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefaults(t *testing.T) {
	c := parse(t, minimal, Options{})
	a := c.APIs[0]
	for what, pair := range map[string][2]any{
		"version":          {c.Version, 1},
		"data_dir":         {c.DataDir, abs(t, "testdata/crenel-data")},
		"trail.file":       {c.Trail.File, abs(t, "testdata/crenel-data/events.jsonl")},
		"listen":           {c.Server.Listen, []string{":8443"}},
		"protocols":        {c.Server.Protocols, []string{"h1", "h2", "h3"}},
		"read_header":      {c.Server.Timeouts.ReadHeader, 10 * time.Second},
		"write":            {c.Server.Timeouts.Write, time.Duration(0)},
		"uri":              {c.Server.Limits.URI, 8192},
		"body":             {a.Limits.Body, Bytes(1 << 20)},
		"mode":             {a.Guards.WAF.Mode, "enforce"},
		"fail":             {a.Guards.Authn.Fail, "closed"},
		"responses":        {a.Guards.Contract.Responses, "record"},
		"spec":             {a.Spec, abs(t, "testdata/files/openapi.yaml")},
		"rates":            {a.Guards.Limit.Rates, []Rate{{By: "address", Rate: "50/s", Burst: 200, Window: "rolling", IPv4: 24, IPv6: 64}, {By: "identity", Rate: "50/s", Burst: 200, Window: "rolling", IPv4: 24, IPv6: 64}}},
		"authz.body":       {*a.Guards.Authz.Body, true},
		"credentials":      {a.Upstream.Credentials, "pass"},
		"control socket":   {c.ControlSocket(), abs(t, "testdata/crenel-data/control.sock")},
		"tracing.sample":   {c.Tracing.Sample, 0.1},
		"upstream.balance": {a.Upstream.Balance, "round_robin"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestDerived(t *testing.T) {
	c := parse(t, `
server:
  tls: {mode: "off"}
  trusted_proxies: [192.0.2.7, "2001:db8::/32"]
  limits: {body: 2MiB, depth: 10}
tracing: {sample: 0}
apis:
- name: pets
  spec: files/openapi.yaml
  mode: monitor
  upstream: {urls: ["http://127.0.0.1:${PORT}"], host: "${NOPE:-a$$b.example}"}
  limits: {depth: 20}
  operations:
  - {operation: login, rates: [{rate: 5/m}]}
  guards:
    waf: {mode: enforce}
    limit: {rates: []}
    authn:
      methods:
      - jwt: {secret: "${LONG_SECRET}", header: X-Token}
      - jwt: {jwks: files/jwks.json}
`[1:], Options{Env: func(n string) (string, bool) {
		if n == "NOPE" {
			return "abc.example", true
		}
		return env(n)
	}})
	a := c.APIs[0]
	methods := a.Guards.Authn.Methods
	for what, pair := range map[string][2]any{
		"no h3 without tls": {c.Server.Protocols, []string{"h1", "h2"}},
		"prefixes":          {c.Server.TrustedProxies, []netip.Prefix{netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/32")}},
		"stated zero":       {c.Tracing.Sample, 0.0},
		"limit inherited":   {a.Limits.Body, Bytes(2 << 20)},
		"limit of its own":  {a.Limits.Depth, 20},
		"mode inherited":    {a.Guards.Authn.Mode, "monitor"},
		"mode of its own":   {a.Guards.WAF.Mode, "enforce"},
		"variable":          {a.Upstream.URLs[0], "http://127.0.0.1:9000"},
		"set beats default": {a.Upstream.Host, "abc.example"},
		"no rates":          {len(a.Guards.Limit.Rates), 0},
		"burst":             {a.Operations[0].Rates[0], Rate{By: "address", Rate: "5/m", Burst: 5, Window: "rolling", IPv4: 24, IPv6: 64}},
		"hmac algorithms":   {methods[0].JWT.Algorithms, []string{"HS256"}},
		"secret":            {methods[0].JWT.Secret.Reveal(), "ein-langes-geheimnis-von-mindestens-32-bytes"},
		"no prefix":         {*methods[0].JWT.Prefix, ""},
		"jwks algorithms":   {methods[1].JWT.Algorithms, []string{"RS256", "PS256", "ES256", "EdDSA"}},
		"bearer":            {methods[1].JWT.Header + " " + *methods[1].JWT.Prefix, "Authorization Bearer"},
		"claims":            {methods[1].JWT.Claims.Subject, "sub"},
		"require_exp":       {*methods[1].JWT.RequireExp, true},
		"own tokens pass":   {a.Upstream.Credentials, "pass"},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestCompleteInCode(t *testing.T) {
	read := parse(t, minimal, Options{})
	built := &Config{DataDir: abs(t, "testdata/crenel-data"), APIs: []API{{Name: "pets", Spec: abs(t, "testdata/files/openapi.yaml"), Upstream: Upstream{URLs: []string{"http://127.0.0.1:9000"}}}}}
	if err := built.Complete(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(read.Server, built.Server, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error("server:", diff)
	}
	if diff := cmp.Diff(read.APIs, built.APIs, cmp.AllowUnexported(Secret{})); diff != "" {
		t.Error("apis:", diff)
	}
	again := *built
	if err := again.Complete(); err != nil {
		t.Errorf("completing twice: %v", err)
	}
	var list Errors
	if err := (&Config{}).Complete(); !errors.As(err, &list) || len(list) != 1 || list[0].Path != "apis" {
		t.Errorf("an empty config: %v", err)
	}
}

func TestOverride(t *testing.T) {
	c := parse(t, minimal, Options{Override: func(c *Config) {
		c.Server.Listen = []string{"127.0.0.1:9999"}
		c.Server.TLS.Mode = "off"
		c.DataDir = "/var/lib/crenel"
	}})
	if got := c.Trail.File; got != "/var/lib/crenel/events.jsonl" {
		t.Errorf("trail.file is %s", got)
	}
	_, err := Parse([]byte(minimal), "testdata/crenel.yaml", Options{Override: func(c *Config) { c.Server.Listen = []string{"nonsense"} }})
	if err == nil || !strings.Contains(err.Error(), `"nonsense" is not an address`) {
		t.Errorf("a wrong override: %v", err)
	}
}

// TestEveryMistakeAtOnce: one mistake never hides another.
func TestEveryMistakeAtOnce(t *testing.T) {
	_, err := Parse([]byte(`versoin: 1
server:
  listen: ["8443"]
  timeouts: {idle: forever}
apis:
- name: pets
  mode: enforced
  upstream: {urls: ["http://127.0.0.1:9000"], colour: red}
`), "testdata/crenel.yaml", Options{Env: env})
	var list Errors
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		got = append(got, fmt.Sprintf("%d %s", m.Line, m.Path))
	}
	want := []string{"1 versoin", "3 server.listen[0]", "4 server.timeouts.idle", "6 apis[0].spec", "7 apis[0].mode", "8 apis[0].upstream.colour"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	const value = "0123456789abcdef0123456789abcdef"
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(value+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	yaml := strings.Replace(minimal, "files/openapi.yaml", "openapi.yaml", 1) + "    sign: {key: file:key}\n"
	if err := os.WriteFile(filepath.Join(dir, "openapi.yaml"), []byte("openapi: 3.1.0"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Parse([]byte(yaml), filepath.Join(dir, "crenel.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := c.APIs[0].Upstream.Sign.Key
	if key.Reveal() != value {
		t.Errorf("the secret is %q", key.Reveal())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, *c.APIs[0].Upstream.Sign); strings.Contains(got, value) || strings.Contains(got, "30313233") {
			t.Errorf("%s prints the secret: %s", verb, got)
		}
	}
	open := func() bool {
		for _, w := range c.Warnings() {
			if strings.Contains(w.What, "can be read by others") {
				return true
			}
		}
		return false
	}
	if !open() {
		t.Error("no warning of a secret file that others can read")
	}
	if err := os.Chmod(filepath.Join(dir, "key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = Parse([]byte(yaml), filepath.Join(dir, "crenel.yaml"), Options{}); err != nil || open() {
		t.Errorf("still warned (%v): %v", err, c.Warnings())
	}
}

func TestLoad(t *testing.T) {
	if _, err := Load("testdata/nowhere.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load("testdata"); err == nil {
		t.Error("a folder was read")
	}
	file := filepath.Join(t.TempDir(), "crenel.yaml")
	spec, err := filepath.Abs("testdata/files/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(minimal, "files/openapi.yaml", spec, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if c.Path() != file {
		t.Errorf("path %s", c.Path())
	}
	m := c.Mistake("apis[0].spec", "does not load", "")
	if m.Line != 4 || m.File != file {
		t.Errorf("a later mistake's place: %+v", m)
	}
}

func FuzzParse(f *testing.F) {
	names, _ := filepath.Glob("testdata/broken/*.txt")
	for _, n := range names {
		data, err := os.ReadFile(n)
		if err != nil {
			f.Fatal(err)
		}
		input, _, _ := strings.Cut(string(data), ruler)
		f.Add([]byte(input))
	}
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("apis: &a {x: *a}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		const canary = "Qz7canary-canary-canary-canary-canary"
		lookup := func(name string) (string, bool) { return canary, name != "NOT_SET" }
		c, err := Parse(data, "testdata/crenel.yaml", Options{Env: lookup})
		if err == nil {
			for _, w := range c.Warnings() {
				if len(c.APIs) == 0 || w.What == "" {
					t.Errorf("odd warning %+v", w)
				}
			}
			return
		}
		// A path of the config may hold what a variable expanded to only where it
		// names a file; a secret never stands in a message.
		for _, m := range err.(Errors) { //nolint:errorlint // as Load promises
			if strings.Contains(m.What+m.Fix, canary) && !strings.Contains(m.What, "cannot be read") && !strings.Contains(m.What, "is not a file") {
				t.Errorf("a variable's value is printed: %s", m)
			}
		}
	})
}

// What needs no secret is had where none is at hand: the parsed config, and where
// the events are. The form of a secret is still checked.
func TestWithoutSecrets(t *testing.T) {
	nothing := func(string) (string, bool) { return "", false }
	yaml := "decision_log: {keys: [\"${NO_KEY}\"]}\n" + minimal + `    sign: {key: "${NOT_SET_HERE}"}
  guards:
    authn:
      methods:
        - jwt: {issuer: "https://id.test", secret: "${NOR_THIS}", audience: [pets]}
        - api_key: {file: nowhere.yaml, header: X-API-Key}
`
	if _, err := Parse([]byte(yaml), "testdata/crenel.yaml", Options{Env: nothing}); err == nil || !strings.Contains(err.Error(), "NOT_SET_HERE") || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("with secrets: %v", err)
	}
	c, err := Parse([]byte(yaml), "testdata/crenel.yaml", Options{Env: nothing, WithoutSecrets: true})
	if err != nil {
		t.Fatal(err)
	}
	sign, jwt := c.APIs[0].Upstream.Sign.Key, c.APIs[0].Guards.Authn.Methods[0].JWT.Secret
	if sign.IsZero() || sign.Reveal() == jwt.Reveal() {
		t.Error("what stands in the place of one secret is that of another")
	}
	written := strings.Replace(yaml, `"${NOR_THIS}"`, "hunter2", 1)
	if _, err := Parse([]byte(written), "testdata/crenel.yaml", Options{Env: nothing, WithoutSecrets: true}); err == nil || !strings.Contains(err.Error(), "must not stand in the config") {
		t.Errorf("a secret in the file: %v", err)
	}

	dir := t.TempDir()
	file := filepath.Join(dir, "crenel.yaml")
	if err := os.WriteFile(file, []byte("data_dir: kept\ntrail: {file: all.jsonl}\n"+yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	for other, want := range map[string]string{"": filepath.Join(dir, "kept", "all.jsonl"), "/var/lib/crenel": "/var/lib/crenel/all.jsonl"} {
		if got, err := TrailFileOf(file, other); err != nil || got != want {
			t.Errorf("events are in %q, %v; want %q", got, err, want)
		}
	}
}
