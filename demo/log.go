package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// logLines keeps the last lines of a process's log, and can be waited on.
type logLines struct {
	mu      sync.Mutex
	lines   []string
	dropped int // lines that are no longer kept
	rest    []byte
}

const mostLines = 1000

var _ io.Writer = (*logLines)(nil)

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			break
		}
		l.lines, l.rest = append(l.lines, string(line)), rest
	}
	if over := len(l.lines) - mostLines; over > 0 {
		l.lines = append([]string(nil), l.lines[over:]...)
		l.dropped += over
	}
	return len(b), nil
}

// mark is the place behind the last line.
func (l *logLines) mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped + len(l.lines)
}

// since returns the first line behind a mark that holds a text, or "".
func (l *logLines) since(mark int, text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines[min(max(0, mark-l.dropped), len(l.lines)):] {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

// wait waits for such a line.
func (l *logLines) wait(ctx context.Context, mark int, text string, most time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		if line := l.since(mark, text); line != "" {
			return line, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("the gateway's log says no %q: %w", text, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tail returns the last n lines.
func (l *logLines) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-n):], "\n")
}

// field reads a value of a line as log/slog writes it: name=value, quoted where need be.
func field(line, name string) string {
	_, after, ok := strings.Cut(line, " "+name+"=")
	if !ok {
		return ""
	}
	if quoted, err := strconv.QuotedPrefix(after); err == nil {
		if text, err := strconv.Unquote(quoted); err == nil {
			return text
		}
	}
	text, _, _ := strings.Cut(after, " ")
	return text
}
