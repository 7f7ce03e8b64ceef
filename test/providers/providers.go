package providers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// startWithin is how long a provider may take to be ready: it makes RSA keys.
const startWithin = 30 * time.Second

// Spec is what a provider is made of. See the head of oidc-provider.mjs.
type Spec struct {
	Port      int                 `json:"port,omitempty"`
	TLS       *TLS                `json:"tls,omitempty"`
	Clients   []map[string]any    `json:"clients,omitempty"`
	Resources map[string]Resource `json:"resources,omitempty"`
	Roles     map[string][]string `json:"roles,omitempty"` // of clients, in the tokens that they get for themselves
	TTL       map[string]int      `json:"ttl,omitempty"`   // seconds
	Rotate    *bool               `json:"rotate,omitempty"`
	PKCE      *bool               `json:"pkce,omitempty"`
	Features  map[string]any      `json:"features,omitempty"`
	Claims    map[string]any      `json:"claims,omitempty"` // of the mock server's tokens
	Keys      any                 `json:"keys,omitempty"`   // a provider that starts again keeps its own

	// TrustCA is a PEM file of authorities that the provider trusts when it calls
	// a client (back-channel logout).
	TrustCA string `json:"-"`
}

// TLS makes the provider serve https and take client certificates of CA. PEM.
type TLS struct {
	Key  string `json:"key"`
	Cert string `json:"cert"`
	CA   string `json:"ca"`
}

// Resource is an API that access tokens can be for (RFC 8707).
type Resource struct {
	Scope  string `json:"scope"`
	Format string `json:"accessTokenFormat,omitempty"` // default "jwt"; or "opaque"
	TTL    int    `json:"accessTokenTTL,omitempty"`    // seconds
}

// Provider is a running provider.
type Provider struct {
	Issuer string

	t      testing.TB
	script string
	spec   Spec
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan map[string]any
	ended  chan struct{}

	mu  sync.Mutex
	log []string
}

// Directory is where `make providers` installs, and whether that was said outright.
func Directory() (dir string, explicit bool) {
	if d := os.Getenv("CRENEL_PROVIDERS"); d != "" {
		return d, true
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", false
	}
	return filepath.Join(cache, "crenel", "providers"), false
}

// StartOIDC runs oidc-provider until the test ends.
func StartOIDC(t testing.TB, s Spec) *Provider { return start(t, "oidc-provider.mjs", s) }

// StartMock runs oauth2-mock-server until the test ends.
func StartMock(t testing.TB, s Spec) *Provider { return start(t, "mock-server.mjs", s) }

func start(t testing.TB, script string, s Spec) *Provider {
	t.Helper()
	p := &Provider{t: t, script: script, spec: s}
	p.Start()
	t.Cleanup(p.Stop)
	return p
}

// Start runs a provider that was stopped, at the same address.
func (p *Provider) Start() {
	p.t.Helper()
	dir, explicit := Directory()
	node := filepath.Join(dir, "node_modules", ".bin", "node")
	if _, err := os.Stat(node); err != nil {
		if explicit || os.Getenv("CI") == "true" {
			p.t.Fatalf("no provider in %s: run make providers", dir)
		}
		p.t.Skip("SKIPPED: no OpenID provider is installed: run make providers")
	}
	// Modules are looked for beside the script.
	source, err := scripts.ReadFile(p.script)
	if err != nil {
		p.t.Fatal(err)
	}
	script, err := os.CreateTemp(dir, "*-"+p.script)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = os.Remove(script.Name()) }()
	if _, err := script.Write(source); err != nil {
		p.t.Fatal(err)
	}
	if err := script.Close(); err != nil {
		p.t.Fatal(err)
	}
	argument, err := json.Marshal(p.spec)
	if err != nil {
		p.t.Fatal(err)
	}
	p.run(exec.CommandContext(context.Background(), node, script.Name(), string(argument))) //nolint:gosec // what make providers installed; Stop ends it
	ready := p.await("ready", startWithin)
	p.Issuer, _ = ready["ready"].(string)
	p.spec.Keys = ready["keys"]
	u, err := url.Parse(p.Issuer)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.spec.Port, err = strconv.Atoi(u.Port()); err != nil {
		p.t.Fatal(err)
	}
}

func (p *Provider) run(cmd *exec.Cmd) {
	p.t.Helper()
	cmd.Env = append(os.Environ(), "NODE_NO_WARNINGS=1")
	if p.spec.TrustCA != "" {
		cmd.Env = append(cmd.Env, "NODE_EXTRA_CA_CERTS="+p.spec.TrustCA)
	}
	cmd.Stderr = (*collect)(p)
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if p.in, err = cmd.StdinPipe(); err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.cmd, p.lines, p.ended = cmd, make(chan map[string]any, 16), make(chan struct{})
	go p.read(out)
}

// read passes on answers and keeps the rest as the provider's log, until the
// process ends.
func (p *Provider) read(out io.Reader) {
	defer close(p.ended)
	in := bufio.NewScanner(out)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var line map[string]any
		if json.Unmarshal(in.Bytes(), &line) == nil && (line["ready"] != nil || line["done"] != nil) {
			p.lines <- line
			continue
		}
		p.note(in.Text())
	}
}

func (p *Provider) note(line string) {
	p.mu.Lock()
	p.log = append(p.log, line)
	p.mu.Unlock()
}

// Log is what the provider has said so far: one JSON object or warning a line.
func (p *Provider) Log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.log...)
}

// collect takes standard error.
type collect Provider

func (c *collect) Write(b []byte) (int, error) {
	(*Provider)(c).note(strings.TrimSpace(string(b)))
	return len(b), nil
}

func (p *Provider) await(name string, within time.Duration) map[string]any {
	p.t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case line := <-p.lines:
		if line[name] == nil {
			p.t.Fatalf("the provider answered %v, not %s", line, name)
		}
		return line
	case <-p.ended:
		p.t.Fatalf("the provider ended: %s", strings.Join(p.Log(), "\n"))
	case <-timer.C:
		p.t.Fatalf("the provider did not say %s within %s: %s", name, within, strings.Join(p.Log(), "\n"))
	}
	return nil
}

// RotateKeys has the provider sign with new keys; the last ones stay published.
func (p *Provider) RotateKeys() { p.t.Helper(); p.command("rotate") }

// ReplaceKeys has the provider sign with new keys and publish no others.
func (p *Provider) ReplaceKeys() { p.t.Helper(); p.command("replace") }

func (p *Provider) command(cmd string) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, "{\"cmd\":%q}\n", cmd); err != nil {
		p.t.Fatal(err)
	}
	p.spec.Keys = p.await("done", startWithin)["keys"]
}

// Stop ends the process. What the provider knew is lost, its address and its keys
// are not.
func (p *Provider) Stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // that it has ended by itself is no mistake
	<-p.ended
	_ = p.cmd.Wait() // says that it was killed
	p.cmd = nil
}
