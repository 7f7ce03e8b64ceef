package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
)

// stages are the guards in the order in which they are added, one after the
// other: what a stage costs more than the one before it is its guard's.
var stages = []string{"(none)", "contract", "authn", "authz", "limit", "upload", "waf"}

// cost is what one request costs inside the chain.
type cost struct {
	micros, allocations, bytes float64
}

// guardsTable measures what each guard adds to a request, in process, without
// network, data plane or event file.
func guardsTable(ctx context.Context, dir string) (string, error) {
	costs := map[string][]cost{}
	for n := range stages {
		h, closeIt, err := chain(ctx, dir, stages[1:n+1])
		if err != nil {
			return "", err
		}
		for _, m := range methods {
			c, err := costOf(h, m)
			if err != nil {
				return "", fmt.Errorf("with %s: %w", stages[n], err)
			}
			costs[m] = append(costs[m], c)
		}
		if err := closeIt(); err != nil {
			return "", err
		}
	}
	var b strings.Builder
	b.WriteString("\n## What each guard adds to a request\n\nIn process, without network, data plane and event file: one goroutine, the same requests as above. " +
		"The first row is the gateway's\nown work: normalising, the exchange, the records.\n\n" +
		"| guard | GET µs | GET allocations | GET bytes | POST µs | POST allocations | POST bytes |\n|---|---:|---:|---:|---:|---:|---:|\n")
	for n, name := range stages {
		fmt.Fprintf(&b, "| %s |", name)
		for _, m := range methods {
			c := costs[m][n]
			if n > 0 {
				before := costs[m][n-1]
				c.micros -= before.micros
				c.allocations -= before.allocations
				c.bytes -= before.bytes
			}
			fmt.Fprintf(&b, " %.1f | %.0f | %.0f |", c.micros, c.allocations, c.bytes)
		}
		b.WriteString("\n")
	}
	return b.String(), nil
}

// chain makes a gateway with only some guards on.
func chain(ctx context.Context, dir string, on []string) (http.Handler, func() error, error) {
	cfg, err := config.Parse([]byte(settings), filepath.Join(dir, "crenel.yaml"), config.Options{
		Env: func(name string) (string, bool) {
			return map[string]string{"BENCH_LISTEN": "127.0.0.1:1", "BENCH_UPSTREAM": "http://127.0.0.1:2", "BENCH_SECRET": secret}[name], true
		},
		Override: func(c *config.Config) {
			for name, g := range c.APIs[0].Guards.All() {
				g.Mode = "off"
				for _, want := range on {
					if name == want {
						g.Mode = "enforce"
					}
				}
			}
		},
	})
	if err != nil {
		return nil, nil, err
	}
	gw, err := gateway.New(ctx, cfg, gateway.Deps{Trail: noTrail{}})
	if err != nil {
		return nil, nil, err
	}
	return gw.Handler(func(string) gateway.Upstream {
		return func(w http.ResponseWriter, r *http.Request) error {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return err
			}
			w.Header().Set("Content-Type", "application/json")
			_, err := w.Write([]byte(`{"id":1}`))
			return err
		}
	}), gw.Close, nil
}

// noTrail has room for everything and keeps nothing.
type noTrail struct{}

func (noTrail) Admit() bool                                      { return true }
func (noTrail) Decide(context.Context, *exchange.Decision) error { return nil }
func (noTrail) Complete(*exchange.Completion)                    {}

// blank is a client that only looks at the status.
type blank struct {
	header http.Header
	status int
}

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }
func (b *blank) WriteHeader(status int)      { b.status = status }

// costOf runs the workload's requests of one method through a handler.
func costOf(h http.Handler, method string) (cost, error) {
	var requests []*http.Request
	var posts [][]byte
	for i := range bodies {
		r, err := http.NewRequest(method, "http://127.0.0.1"+path(i), http.NoBody) //nolint:noctx // it goes nowhere
		if err != nil {
			return cost{}, err
		}
		var post []byte
		if method == http.MethodPost {
			if post, err = body(i); err != nil {
				return cost{}, err
			}
			r.URL.Path, r.URL.RawQuery = "/v1/parcels", ""
		}
		posts = append(posts, post)
		r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:4711"
		r.Header.Set("Authorization", token(i))
		requests = append(requests, r)
	}
	failed := 0
	res := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for n := range b.N {
			r := requests[n%bodies].Clone(context.Background())
			if post := posts[n%bodies]; post != nil {
				r.Header.Set("Content-Type", "application/json")
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(post)), int64(len(post))
			}
			w := blank{header: http.Header{}}
			h.ServeHTTP(&w, r)
			if w.status != 0 && w.status != http.StatusOK {
				failed = w.status
			}
		}
	})
	if failed != 0 {
		return cost{}, fmt.Errorf("%s is answered with %d", method, failed)
	}
	return cost{float64(res.NsPerOp()) / 1e3, float64(res.AllocsPerOp()), float64(res.AllocedBytesPerOp())}, nil
}
