package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
)

func TestDependenciesRaiseAlarms(t *testing.T) {
	var got []string
	d := dependencies{raise: func(kind, message string) { got = append(got, kind+" "+message) }, remind: time.Minute}
	start := time.Unix(1_700_000_000, 0)
	issuer := map[string]string{"shop: authn": "no route"}
	both := map[string]string{"shop: authn": "no route", "shop: upstream a:1": "takes no requests"}
	upstream := map[string]string{"shop: upstream a:1": "takes no requests"}
	none := map[string]string{}
	for _, step := range []struct {
		at   time.Duration
		down map[string]string
		want []string
	}{
		{0, none, nil},
		{5 * time.Second, issuer, []string{"dependency.down shop: authn: no route"}},
		{10 * time.Second, issuer, nil},
		{15 * time.Second, both, []string{"dependency.down shop: authn: no route; shop: upstream a:1: takes no requests"}},
		{20 * time.Second, upstream, nil},
		{75 * time.Second, upstream, []string{"dependency.down shop: upstream a:1: takes no requests"}},
		{80 * time.Second, none, []string{"dependency.recovered all that was down is well again"}},
		{85 * time.Second, none, nil},
		{90 * time.Second, upstream, []string{"dependency.down shop: upstream a:1: takes no requests"}},
	} {
		got = nil
		d.look(start.Add(step.at), step.down)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.at, diff)
		}
	}
}

func TestRestartOnly(t *testing.T) {
	a, b := complete(t, ""), complete(t, "")
	if got := restartOnly(a, b); len(got) != 0 {
		t.Errorf("two readings of one config differ in %v", got)
	}
	if got := restartOnly(a, complete(t, "log: {level: debug}\n")); len(got) != 1 || got[0] != "log" {
		t.Errorf("another log level: %v", got)
	}
	if got := restartOnly(a, complete(t, "server: {limits: {depth: 7}}\n")); len(got) != 0 {
		t.Errorf("another limit: %v", got)
	}
}

// complete reads a config with more settings put before its API.
func complete(t *testing.T, more string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte("version: 1\n"+more+"apis:\n- {name: shop, upstream: {urls: [\"http://127.0.0.1:9\"]}, guards: {contract: {mode: \"off\"}}}\n"), "crenel.yaml", config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A change of any file that the running config was made of is noticed.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"secret": strings.Repeat("s", 32), "pets.yaml": "type: object\n",
		"api.yaml": `openapi: 3.1.0
info: {title: shop, version: "1"}
paths:
  /pets:
    post:
      requestBody: {content: {application/json: {schema: {$ref: pets.yaml}}}}
      responses: {"200": {description: ok}}
`,
		"crenel.yaml": `version: 1
apis:
- name: shop
  spec: api.yaml
  upstream: {urls: ["http://127.0.0.1:9"], sign: {key: "file:secret"}}
  guards: {waf: {mode: "off"}}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "crenel.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	gw, err := gateway.New(t.Context(), cfg, gateway.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer gw.Close()
	s := &Server{cfg: cfg, gw: gw}
	for _, name := range []string{"crenel.yaml", "api.yaml", "pets.yaml", "secret"} {
		if !slices.Contains(s.files(), filepath.Join(dir, name)) {
			t.Errorf("%s is not watched", name)
		}
	}
}
