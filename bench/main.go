package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	role        string
	listen      string
	upstream    string
	crenel      string
	out         string
	config      string
	duration    time.Duration
	rounds      int
	connections int
	least       float64
	only        string
	leastWAF    float64
}

func main() {
	var o options
	flag.StringVar(&o.role, "role", "", "used by bench itself: upstream, caddy or coraza")
	flag.StringVar(&o.listen, "listen", "", "used by bench itself")
	flag.StringVar(&o.upstream, "upstream", "", "used by bench itself")
	flag.StringVar(&o.crenel, "crenel", "bin/crenel", "the crenel binary")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "where the table is written; empty: nowhere")
	flag.StringVar(&o.config, "config", "", "a crenel.yaml to measure in place of the built-in one; ${BENCH_LISTEN}, ${BENCH_UPSTREAM} and ${BENCH_SECRET} are set for it")
	flag.DurationVar(&o.duration, "duration", 6*time.Second, "of one measurement")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each is measured; medians count")
	flag.IntVar(&o.connections, "connections", 32, "of the load generator")
	flag.Float64Var(&o.least, "least", 0.6, "fail when a ratio is below")
	flag.StringVar(&o.only, "only", "", "one section alone: gateway or waf")
	flag.Float64Var(&o.leastWAF, "least-waf", 8, "fail when Crenel has fewer times the throughput of nginx with ModSecurity")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch o.role {
	case "upstream":
		err = serveUpstream(ctx, o.listen)
	case "caddy":
		err = serveCaddy(ctx, o.listen, o.upstream)
	case "coraza":
		err = serveCoraza(ctx, o.listen, o.upstream)
	default:
		if o.only != "waf" {
			err = measure(ctx, &o)
		}
		if o.only != "gateway" {
			err = errors.Join(err, measureWAF(ctx, &o))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// target is one thing that is measured.
type target struct {
	name string
	url  string
}

func measure(ctx context.Context, o *options) (err error) {
	wrk, err := findWrk(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "crenel-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	l := load{post: "/v1/parcels", body: body}
	if err := l.write(dir); err != nil {
		return err
	}
	up, bare, full := freeAddr(), freeAddr(), freeAddr()
	targets := []target{{"upstream alone", "http://" + up}, {bareCaddy, "http://" + bare}, {"Crenel", "http://" + full}}

	p, stop := newProcesses(ctx)
	defer stop()
	config, err := writeConfig(dir, o.config)
	if err != nil {
		return err
	}
	env := []string{"BENCH_LISTEN=" + full, "BENCH_UPSTREAM=http://" + up, "BENCH_SECRET=" + secret}
	if err := errors.Join(p.start(nil, self, "-role", "upstream", "-listen", up), p.start(nil, self, "-role", "caddy", "-listen", bare, "-upstream", up),
		p.start(env, o.crenel, "gateway", "-c", config)); err != nil {
		return err
	}
	for _, t := range targets {
		if err := await(ctx, t, ""); err != nil {
			return err
		}
	}
	results, err := rounds(ctx, o, wrk, &l, targets)
	if err != nil {
		return err
	}
	table := render(o, targets, results)
	guards, err := guardsTable(ctx, dir)
	if err != nil {
		return err
	}
	table += guards
	fmt.Print("\n" + table)
	if o.out != "" {
		// What other benchmarks have written lies after it, between markers.
		if page, err := os.ReadFile(o.out); err == nil {
			if i := strings.Index(string(page), "<!-- bench-"); i >= 0 {
				table += "\n" + string(page[i:])
			}
		}
		if err := os.WriteFile(o.out, []byte(table), 0o644); err != nil { //nolint:gosec // it is documentation
			return err
		}
	}
	return judge(results, o.least)
}

// processes are what a measurement has started.
type processes struct {
	ctx     context.Context //nolint:containedctx // they end with it
	running []*exec.Cmd
}

func newProcesses(ctx context.Context) (p *processes, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	p = &processes{ctx: ctx}
	return p, func() {
		cancel()
		for _, c := range p.running {
			_ = c.Wait() // it was told to end
		}
	}
}

func (p *processes) start(env []string, name string, args ...string) error {
	c := exec.CommandContext(p.ctx, name, args...) //nolint:gosec // what this program names
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	c.WaitDelay = 10 * time.Second
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	p.running = append(p.running, c)
	return nil
}

// findWrk finds the load generator, and installs it where apt can.
func findWrk(ctx context.Context) (string, error) {
	if path, err := exec.LookPath("wrk"); err == nil {
		return path, nil
	}
	if out, err := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", "wrk").CombinedOutput(); err != nil {
		return "", fmt.Errorf("wrk is missing and cannot be installed: %w: %s", err, out)
	}
	return exec.LookPath("wrk")
}

func freeAddr() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		panic(err) // a machine without loopback
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// await waits until a target answers a request of the workload as it should.
func await(ctx context.Context, t target, host string) error {
	var last error
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url+path(0), nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", token(0))
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = res.Body.Close() // nothing of it is read
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(res.Status)
		}
		last = err
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer: %w", t.name, last)
}

// machine describes where it was measured.
func machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.SplitSeq(string(b), "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.Version())
}

func write(dir, name, text string) (string, error) {
	file := filepath.Join(dir, name)
	return file, os.WriteFile(file, []byte(text), 0o600) //nolint:gosec // in a folder of its own
}
