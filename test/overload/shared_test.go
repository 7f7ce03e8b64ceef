package overload

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/limit"
	"github.com/crenel-project/crenel/internal/state/statetest"
	"github.com/crenel-project/crenel/internal/trail"
)

// One caller's 100/s over three gateways that share a Redis, offered 1,000 calls a
// second: together they admit no more than burst + rate × time, and no less than
// 99 % of it. CRENEL_SHARED_RATE is for how long, 3s without it.
func TestSharedRate(t *testing.T) {
	const rate, burst, offer = 100, 100, 1000
	length := 3 * time.Second
	if text := os.Getenv("CRENEL_SHARED_RATE"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	server := statetest.StartServer(t)
	var reached atomic.Int64
	up := func(string) gateway.Upstream {
		return func(w http.ResponseWriter, _ *http.Request) error {
			reached.Add(1)
			w.Header().Set("Content-Type", "application/json")
			_, err := io.WriteString(w, `[{"a":"b"}]`)
			return err
		}
	}
	var urls []string
	alone := func() uint64 { return 0 } // calls for which Redis did not answer in time
	for i := range 3 {
		counters, before := limit.NewMemory(0, time.Now()), alone
		alone = func() uint64 { return before() + counters.Local() }
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("OVERLOAD_SECRET", secret)
		cfg, err := config.Parse([]byte(fmt.Sprintf("version: 1\nstate: {redis: %q}\napis:\n- name: t\n  spec: api.yaml\n  upstream: {urls: [\"http://127.0.0.1:1\"]}\n  guards:\n"+
			"    authn: {methods: [{jwt: {issuer: \"https://issuer.test\", secret: \"${OVERLOAD_SECRET}\", audience: [t]}}]}\n"+
			"    waf: {mode: \"off\"}\n    limit: {rates: [{by: address, rate: 1000/s}, {by: identity, rate: %d/s, burst: %d}], away_share: 0.333}\n", server.URL(), rate, burst)),
			filepath.Join(dir, "crenel.yaml"), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		records, err := trail.Open(trail.Options{File: filepath.Join(dir, "events.jsonl"), Queue: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		gw, err := gateway.New(t.Context(), cfg, gateway.Deps{Log: slog.New(slog.DiscardHandler), Trail: records, State: server.Open(t, "shared", nil), Buckets: counters})
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(gw.Handler(up))
		urls = append(urls, s.URL)
		t.Cleanup(func() {
			s.Close()
			if err := gw.Close(); err != nil {
				t.Errorf("gateway %d: %v", i, err)
			}
			if err := records.Close(); err != nil {
				t.Logf("gateway %d: %v", i, err)
			}
		})
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	bearer := "Bearer " + token(t, "alice")
	var limited, wrong atomic.Int64
	call := func(url string) int {
		req, err := http.NewRequest(http.MethodGet, url+"/things", nil)
		if err != nil {
			return 0
		}
		req.Header.Set("Authorization", bearer)
		res, err := client.Do(req)
		if err != nil {
			return 0
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.StatusCode
	}
	var calls sync.WaitGroup
	begin := time.Now()
	offered := 0
	for ; ; offered++ {
		due := begin.Add(time.Duration(offered) * time.Second / offer)
		if due.Sub(begin) >= length {
			break
		}
		time.Sleep(time.Until(due))
		url := urls[offered%len(urls)]
		calls.Go(func() {
			switch status := call(url); status {
			case http.StatusOK:
			case http.StatusTooManyRequests:
				limited.Add(1)
			default:
				wrong.Add(1)
				t.Logf("status %d", status)
			}
		})
	}
	offering := time.Since(begin)
	calls.Wait()
	took := time.Since(begin)
	admitted := reached.Load()
	most := int64(burst + rate*took.Seconds())
	least := int64(0.99 * (burst + rate*offering.Seconds()))
	t.Logf("%d calls offered to three gateways in %s: %d admitted, %d refused, %d ruled on without Redis; burst + rate × time is %d, of which that is %.2f %%",
		offered, took.Round(time.Millisecond), admitted, limited.Load(), alone(), most, 100*float64(admitted)/float64(most))
	if admitted > most {
		t.Errorf("%d admitted, more than %d", admitted, most)
	}
	if admitted < least {
		t.Errorf("%d admitted, less than 99 %% of what there was: %d", admitted, least)
	}
	if wrong.Load() > 0 {
		t.Errorf("%d calls were answered otherwise", wrong.Load())
	}
}
