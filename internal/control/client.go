package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
)

// ErrNotRunning is returned when no gateway answers on the socket.
var ErrNotRunning = errors.New("no gateway is running")

// Client talks to a running gateway.
type Client struct {
	path string
	http *http.Client
}

// NewClient makes a client of the gateway whose socket has the path. Nothing is
// sent until it is used.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status returns what the gateway says of itself, as JSON.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	return c.call(ctx, http.MethodGet, "status", nil)
}

// Reload makes the gateway load its config anew. The error says why it kept the old one.
func (c *Client) Reload(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodPost, "reload", nil)
	return err
}

// Do asks for a Verb. args are encoded as JSON; what the gateway answers is
// decoded into out, which may be nil.
func (c *Client) Do(ctx context.Context, verb string, args, out any) error {
	body, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("encoding the request: %w", err)
	}
	answer, err := c.call(ctx, http.MethodPost, verb, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("reading the gateway's answer: %w", err)
	}
	return nil
}

// Events calls each for every event until ctx ends, the gateway stops (nil), or
// each returns an error.
func (c *Client) Events(ctx context.Context, each func(json.RawMessage) error) error {
	resp, err := c.send(ctx, http.MethodGet, "events", nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return refusal(resp)
	}
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading events: %w", err)
		}
		if err := each(line); err != nil {
			return err
		}
	}
}

func (c *Client) send(ctx context.Context, method, verb string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://gateway/v1/"+verb, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w (nothing answers on %s)", ErrNotRunning, c.path)
	case err != nil:
		return nil, fmt.Errorf("asking the gateway: %w", err)
	}
	return resp, nil
}

func (c *Client) call(ctx context.Context, method, verb string, args []byte) (json.RawMessage, error) {
	resp, err := c.send(ctx, method, verb, args)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's answer: %w", err)
	}
	return body, nil
}

func refusal(resp *http.Response) error {
	var f failure
	if json.NewDecoder(io.LimitReader(resp.Body, 4<<20)).Decode(&f) != nil || f.Error == "" {
		return fmt.Errorf("the gateway answered %s", resp.Status)
	}
	return errors.New(f.Error)
}
