package caddy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
)

// Clients that connect anew for each request notice nothing of a reload that
// changes the listeners: none is reset in a queue, none meets a generation that
// has ended.
func TestANewFrameDropsNoConnection(t *testing.T) {
	up := echo(t)
	cfg := plain(t, up.URL)
	p := start(t, cfg, &passing{mark: "0"})
	addr := cfg.Server.Listen[0]

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var served atomic.Int64
	var mu sync.Mutex
	var failures []error
	for range 4 {
		wg.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
			for ctx.Err() == nil {
				if err := once(client, "http://"+addr+"/"); err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
				served.Add(1)
			}
		})
	}
	for i := range 30 {
		next := *cfg
		next.Server.Listen = []string{addr}
		if i%2 == 0 {
			next.Server.Listen = append(next.Server.Listen, freeport.Address(t))
		}
		before := served.Load()
		if err := p.Load(&next, &passing{mark: fmt.Sprint(i + 1)}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return served.Load() >= before+20 }, func() string { return "no more requests are served" })
	}
	cancel()
	wg.Wait()
	if len(failures) > 0 {
		t.Fatalf("%d of %d requests failed, the first: %v", len(failures), served.Load(), failures[0])
	}
}

func once(client *http.Client, url string) error {
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("X-Mark") == "" {
		return errors.New(res.Status + " by no generation")
	}
	return nil
}
