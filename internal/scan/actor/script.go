package actor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// script runs the user's command and reads the credentials that it prints.
func (p *People) script(ctx context.Context, sc *Script) (*Session, error) {
	limit := sc.Timeout
	if limit <= 0 {
		limit = 30 * time.Second
	}
	own, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(own, sc.Command[0], sc.Command[1:]...) //nolint:gosec // the user's own command
	cmd.Dir = p.cfg.Dir
	cmd.Env = os.Environ()
	for _, n := range slices.Sorted(maps.Keys(sc.Env)) {
		v, err := sc.Env[n].reveal(p.cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("script.env.%s: %w", n, err)
		}
		p.c.Secrets().Add(v) // scripts that fail like to print their commands
		cmd.Env = append(cmd.Env, n+"="+v)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ranOut(ctx, own) {
			err = fmt.Errorf("it was ended after %s, which script.timeout sets", limit)
		}
		if said := strings.TrimSpace(p.c.Secrets().Text(stderr.String())); said != "" {
			err = fmt.Errorf("%w (it said: %s)", err, clip(said, 300))
		}
		return nil, fmt.Errorf("%w: the script %s: %w", ErrCannotLogin, sc.Command[0], err)
	}
	s, err := printed(stdout.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: the script %s: %w", ErrCannotLogin, sc.Command[0], err)
	}
	return s, nil
}

// printed reads what a script printed: JSON, or header lines.
func printed(out []byte) (*Session, error) {
	s := &Session{Opened: time.Now()}
	text := strings.TrimSpace(string(out))
	if strings.HasPrefix(text, "{") {
		var m struct {
			Headers   map[string]string `json:"headers"`
			Cookies   map[string]string `json:"cookies"`
			Query     map[string]string `json:"query"`
			Token     string            `json:"token"`
			ExpiresIn float64           `json:"expires_in"`
		}
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return nil, fmt.Errorf("what it printed is no JSON: %w", err)
		}
		if m.Token != "" {
			s.Parts = append(s.Parts, Part{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: headerText(m.Token)})
		}
		for _, l := range []struct {
			in string
			m  map[string]string
		}{{"header", m.Headers}, {"cookie", m.Cookies}, {"query", m.Query}} {
			for _, n := range slices.Sorted(maps.Keys(l.m)) {
				s.Parts = append(s.Parts, splitPart(l.in, n, headerText(l.m[n])))
			}
		}
		if m.ExpiresIn > 0 && m.ExpiresIn < 1e9 {
			s.Expires = s.Opened.Add(time.Duration(m.ExpiresIn * float64(time.Second)))
		}
	} else {
		for line := range strings.SplitSeq(text, "\n") {
			name, v, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				continue
			}
			s.Parts = append(s.Parts, splitPart("header", name, headerText(strings.TrimSpace(v))))
		}
	}
	if len(s.Parts) == 0 {
		return nil, errors.New("it printed no credential; it should print JSON with headers, cookies, query or token, or lines \"Name: value\"")
	}
	if s.Expires.IsZero() {
		s.Expires = expiryOf(s.Parts[0].Value, nil, s.Opened)
	}
	return s, nil
}
