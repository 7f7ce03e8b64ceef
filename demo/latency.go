package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

const (
	latencyRounds = 160 // of each caller: within the burst that crenel.yaml allows
	warmUp        = 10  // of them that are not counted
	latencyPath   = "/v2/depots/1"
)

// latency measures what the gateway adds, here and now.
func (t *tour) latency(ctx context.Context) error {
	t.section("What the gateway costs, measured now",
		"  One GET with a token, one after the other, over connections that are kept; straight over plain HTTP,",
		"  through the gateway over HTTPS, with every guard on. Straight and through take turns.")
	tokens := map[string]string{}
	for _, a := range harbour.Accounts() {
		token, err := t.logIn(ctx, a)
		if err != nil {
			return err
		}
		tokens[a.Name] = token
	}
	var straight, through []time.Duration
	for n, a := range harbour.Accounts() {
		client := from(t.gateway.client, fmt.Sprintf("198.51.100.%d", n+1))
		for round := range latencyRounds {
			one, err := timed(ctx, t.straight, t.harbour.url()+latencyPath, tokens[a.Name])
			if err != nil {
				return err
			}
			other, err := timed(ctx, client, t.gateway.url()+latencyPath, tokens[a.Name])
			if err != nil {
				return err
			}
			if round >= warmUp {
				straight, through = append(straight, one), append(through, other)
			}
		}
	}
	slices.Sort(straight)
	slices.Sort(through)
	row := func(name string, of func(int) time.Duration) []cell {
		return []cell{plainCell(name), plainCell(millis(of(50))), plainCell(millis(of(99)))}
	}
	t.table([][]cell{
		{plainCell(fmt.Sprintf("%d calls each", len(straight))), {"p50", t.dim}, {"p99", t.dim}},
		row("straight", func(n int) time.Duration { return percentile(straight, n) }),
		row("through the gateway", func(n int) time.Duration { return percentile(through, n) }),
		row("added", func(n int) time.Duration { return percentile(through, n) - percentile(straight, n) }),
	})
	t.linef("  Numbers for throughput, against a bare reverse proxy: make bench.")
	return nil
}

// percentile of sorted durations: the smallest that n percent do not exceed.
func percentile(sorted []time.Duration, n int) time.Duration {
	return sorted[max(0, (len(sorted)*n+99)/100-1)]
}

func millis(d time.Duration) string { return fmt.Sprintf("%6.2f ms", float64(d.Microseconds())/1000) }

func timed(ctx context.Context, client *http.Client, url, token string) (time.Duration, error) {
	began := time.Now()
	status, body, _, err := get(ctx, client, url, token)
	took := time.Since(began)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("measuring %s: status %d: %s", url, status, printable(body, 200))
	}
	return took, err
}

// get reads an address with a bearer token, if there is one.
func get(ctx context.Context, client *http.Client, url, token string) (status int, body string, header http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", nil, fmt.Errorf("making a request: %w", err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return send(client, req)
}

func send(client *http.Client, req *http.Request) (status int, body string, header http.Header, err error) {
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", nil, fmt.Errorf("calling: %w", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return 0, "", nil, fmt.Errorf("reading the answer of %s: %w", req.URL.Path, err)
	}
	return resp.StatusCode, string(raw), resp.Header, nil
}

// logIn gets a session token through the gateway.
func (t *tour) logIn(ctx context.Context, a harbour.Account) (string, error) {
	credentials, err := json.Marshal(map[string]string{"email": a.Email, "password": a.Password})
	if err != nil {
		return "", fmt.Errorf("logging in %s: %w", a.Name, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.gateway.url()+"/v2/login", strings.NewReader(string(credentials)))
	if err != nil {
		return "", fmt.Errorf("logging in %s: %w", a.Name, err)
	}
	req.Header.Set("Content-Type", "application/json")
	status, body, _, err := send(from(t.gateway.client, "198.51.100.200"), req)
	if err != nil {
		return "", err
	}
	var session struct {
		Token string `json:"access_token"`
	}
	err = json.Unmarshal([]byte(body), &session)
	if err != nil || session.Token == "" {
		return "", fmt.Errorf("logging in %s: status %d: %s", a.Name, status, printable(body, 200))
	}
	return session.Token, nil
}
