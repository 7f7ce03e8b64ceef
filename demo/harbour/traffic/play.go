package traffic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Player sends a day's calls, one after the other.
type Player struct {
	// Do sends a request: InProcess(handler), or (*http.Client).Do of a client that follows no redirects.
	Do   func(*http.Request) (*http.Response, error)
	Base string // "http://harbour.example" when empty
	// Start is midnight of the day; SetClock is told the time before each call.
	Start    time.Time
	SetClock func(time.Time)
	// AccessToken gives a partner's OAuth2 access token, valid at the time of the call.
	AccessToken func(ctx context.Context, client string, scopes []string) (string, error)
	// Observe, when set, sees each call with its request and answer.
	Observe func(Call, *http.Request, Answer)
}

// Answer is what a call was answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Failure is a call that was not answered as it should be.
type Failure struct {
	Index  int
	Call   Call
	Status int
	Body   string // its first part
}

func (f Failure) String() string {
	return fmt.Sprintf("call %d at %s by %s: %s %s was answered %d, not %v: %s", f.Index, f.Call.At, f.Call.Actor, f.Call.Method, f.Call.Path, f.Status, f.Call.Want, f.Body)
}

// Report sums a played day up.
type Report struct {
	Calls    int
	ByStatus map[int]int
	ByKind   map[string]int
	Failures []Failure // the first hundred
	Failed   int
}

// InProcess sends requests to a handler without a network.
func InProcess(h http.Handler) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result(), nil
	}
}

const maxFailures = 100

// Play sends the calls and checks the answers. It returns an error only when it
// cannot go on; answers that are wrong are in the report.
func (p *Player) Play(ctx context.Context, calls []Call) (Report, error) {
	report := Report{ByStatus: map[int]int{}, ByKind: map[string]int{}}
	vars := map[string]string{}
	for i, c := range calls {
		if ctx.Err() != nil {
			return report, fmt.Errorf("playing call %d: %w", i, ctx.Err())
		}
		if p.SetClock != nil {
			p.SetClock(p.Start.Add(c.At))
		}
		status, body, err := p.one(ctx, c, vars)
		if errors.Is(err, errUnsaved) {
			status, body = 0, err.Error() // an earlier failure has this one in its train
		} else if err != nil {
			return report, fmt.Errorf("playing call %d (%s %s by %s): %w", i, c.Method, c.Path, c.Actor, err)
		}
		report.Calls++
		report.ByStatus[status]++
		report.ByKind[c.Kind]++
		if !slices.Contains(c.Want, status) {
			report.Failed++
			if len(report.Failures) < maxFailures {
				report.Failures = append(report.Failures, Failure{i, c, status, body[:min(len(body), 300)]})
			}
		}
	}
	return report, nil
}

// errUnsaved means that a call speaks of a value that no answer has brought.
var errUnsaved = errors.New("a value from an earlier answer is missing")

func (p *Player) one(ctx context.Context, c Call, vars map[string]string) (int, string, error) {
	req, err := p.request(ctx, c, vars)
	if err != nil {
		return 0, "", err
	}
	resp, err := p.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("sending: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", fmt.Errorf("reading the answer: %w", err)
	}
	if p.Observe != nil {
		p.Observe(c, req, Answer{resp.StatusCode, resp.Header, body})
	}
	if len(c.Save) > 0 && resp.StatusCode < 300 {
		var doc any
		err = json.Unmarshal(body, &doc)
		if err != nil {
			return 0, "", fmt.Errorf("decoding the answer: %w", err)
		}
		for name, pointer := range c.Save {
			if value, ok := at(doc, pointer); ok {
				vars[name] = value
			}
		}
	}
	return resp.StatusCode, string(body), nil
}

func (p *Player) request(ctx context.Context, c Call, vars map[string]string) (*http.Request, error) {
	path, err := fill(c.Path, vars)
	if err != nil {
		return nil, err
	}
	body, err := fill(c.Body, vars)
	if err != nil {
		return nil, err
	}
	base := p.Base
	if base == "" {
		base = "http://harbour.example"
	}
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, c.Method, base+path, reader)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header = c.Header.Clone()
	req.RemoteAddr = c.Remote
	token, err := p.token(ctx, c, vars)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return req, nil
}

func (p *Player) token(ctx context.Context, c Call, vars map[string]string) (string, error) {
	if c.Token == "session" {
		return fill(saved("token."+c.Actor), vars)
	}
	rest, ok := strings.CutPrefix(c.Token, "oauth:")
	if !ok {
		return "", nil
	}
	if p.AccessToken == nil {
		return "", errors.New("Player.AccessToken is not set")
	}
	client, scopes, _ := strings.Cut(rest, ":")
	token, err := p.AccessToken(ctx, client, strings.Fields(scopes))
	if err != nil {
		return "", fmt.Errorf("getting an access token for %s: %w", client, err)
	}
	return token, nil
}

var reSaved = regexp.MustCompile(`\$\{([a-z]+[0-9]*(?:\.[a-z0-9-]+)?)\}`)

func fill(text string, vars map[string]string) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var missing string
	out := reSaved.ReplaceAllStringFunc(text, func(m string) string {
		value, ok := vars[m[2:len(m)-1]]
		if !ok {
			missing = m
		}
		return value
	})
	if missing != "" {
		return "", fmt.Errorf("%w: %s", errUnsaved, missing)
	}
	return out, nil
}

func at(doc any, pointer string) (string, bool) {
	for _, key := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		switch v := doc.(type) {
		case map[string]any:
			doc = v[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v) {
				return "", false
			}
			doc = v[i]
		default:
			return "", false
		}
	}
	switch v := doc.(type) {
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return "", false
}
