package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// gateway is crenel gateway, running as a process of its own, as a user runs it.
type gateway struct {
	crenel string // the binary
	dir    string // holds crenel.yaml and the data directory
	env    []string
	listen string // where the API is served
	admin  string

	rootCA string // file of the local authority's certificate
	client *http.Client

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	log    *logLines
}

const (
	startWithin = 40 * time.Second
	stopWithin  = 10 * time.Second
)

// newGateway finds ports for a gateway. Its config is dir/crenel.yaml.
func newGateway(crenel, dir string, env ...string) (*gateway, error) {
	g := &gateway{crenel: crenel, dir: dir}
	var err error
	if g.listen, err = freePort(); err == nil {
		g.admin, err = freePort()
	}
	if err != nil {
		return nil, err
	}
	g.env = append([]string{"CRENEL_ADMIN=" + g.admin}, env...)
	return g, nil
}

func (g *gateway) config() string  { return filepath.Join(g.dir, "crenel.yaml") }
func (g *gateway) dataDir() string { return filepath.Join(g.dir, "crenel-data") }
func (g *gateway) events() string  { return filepath.Join(g.dataDir(), "events.jsonl") }

// url is where clients reach the API.
func (g *gateway) url() string {
	_, port, _ := net.SplitHostPort(g.listen) // freePort made it
	return "https://localhost:" + port
}

// run runs another command of the binary to its end and returns what it printed.
func (g *gateway) run(ctx context.Context, args ...string) (string, error) {
	return g.runWith(ctx, "", args...)
}

// runWith is run with a text on standard input.
func (g *gateway) runWith(ctx context.Context, in string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, g.crenel, args...) //nolint:gosec // the binary that the user named, with our arguments
	cmd.Dir, cmd.Env = g.dir, append(os.Environ(), g.env...)
	cmd.Stdin = strings.NewReader(in)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	if err != nil {
		return out.String(), fmt.Errorf("crenel %s: %w: %s", args[0], err, strings.TrimSpace(problem.String()))
	}
	return out.String(), nil
}

// start runs the process and waits until it serves.
func (g *gateway) start(ctx context.Context) error {
	// The context ends waiting and not the process: stop does that, gracefully.
	g.cmd = exec.CommandContext(context.WithoutCancel(ctx), g.crenel, "gateway", "-c", g.config(), "--listen", g.listen) //nolint:gosec // the binary that the user named, with our arguments
	g.cmd.Dir, g.cmd.Env = g.dir, append(os.Environ(), g.env...)
	g.log = &logLines{}
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	err := g.cmd.Start()
	if err != nil {
		return fmt.Errorf("starting the gateway: %w", err)
	}
	exited := make(chan struct{})
	g.exited = exited
	go func() {
		defer close(exited)
		_ = g.cmd.Wait() // how it ended is in its log
	}()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for !g.healthy(ctx) {
		select {
		case <-exited:
			return fmt.Errorf("the gateway ended at once:\n%s", g.log.tail(20))
		case <-ctx.Done():
			return fmt.Errorf("the gateway did not start: %w\n%s", ctx.Err(), g.log.tail(20))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return g.trust(ctx)
}

// healthy says whether the operator's listener answers, which opens last.
func (g *gateway) healthy(ctx context.Context) bool {
	if g.log.since(0, "crenel is up") == "" {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.admin+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// trust makes a client that trusts the local authority that the gateway names.
func (g *gateway) trust(ctx context.Context) error {
	out, err := g.run(ctx, "status", "--data-dir", g.dataDir(), "--json")
	if err != nil {
		return err
	}
	var status struct {
		RootCA string `json:"root_certificate"`
	}
	err = json.Unmarshal([]byte(out), &status)
	if err != nil {
		return fmt.Errorf("reading the gateway's status: %w", err)
	}
	pem, err := os.ReadFile(status.RootCA)
	if err != nil {
		return fmt.Errorf("reading the local authority's certificate: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", status.RootCA)
	}
	g.rootCA = status.RootCA
	if g.client != nil {
		g.client.CloseIdleConnections()
	}
	g.client = &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true,
			// localhost may be ::1 first, where nobody listens.
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, network, g.listen)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

// stop ends the process: gracefully, and after a while by force.
func (g *gateway) stop() error {
	if g == nil || g.cmd == nil || g.cmd.Process == nil {
		return nil
	}
	if g.client != nil {
		g.client.CloseIdleConnections()
	}
	err := g.cmd.Process.Signal(os.Interrupt)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping the gateway: %w", err)
	}
	select {
	case <-g.exited:
	case <-time.After(stopWithin):
		_ = g.cmd.Process.Kill() // it has ended meanwhile if this fails
		<-g.exited
	}
	g.cmd = nil
	return nil
}
