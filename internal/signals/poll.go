package signals

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	retryFirst = time.Second
	retryMost  = time.Minute
	// pollGap is the least time between two requests, whatever the transmitter does.
	pollGap = 100 * time.Millisecond
)

// question and reply are those of RFC 8936 sections 2.2 and 2.3.
type question struct {
	MaxEvents         int                `json:"maxEvents"`
	ReturnImmediately bool               `json:"returnImmediately"`
	Ack               []string           `json:"ack,omitempty"`
	SetErrs           map[string]failure `json:"setErrs,omitempty"`
}

type reply struct {
	Sets          map[string]string `json:"sets"`
	MoreAvailable bool              `json:"moreAvailable"`
}

// poll fetches tokens until ctx ends. A token is acknowledged when it has been
// carried out, and reported when it is refused; one that could not be carried out
// is neither, and comes again.
func (t *transmitter) poll(ctx context.Context) {
	var q question
	wait := retryFirst
	for ctx.Err() == nil {
		began := time.Now()
		q.MaxEvents = t.cfg.Poll.Most
		next, more, err := t.ask(ctx, &q)
		if ctx.Err() != nil {
			// What was carried out is told before leaving, where that is quick.
			t.leave(ctx, next)
			return
		}
		pause := time.Duration(0)
		var after *retryAfter
		switch {
		case errors.As(err, &after) && after.wait > 0:
			pause = min(after.wait, retryMost)
		case err != nil:
			pause = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // only so that gateways do not ask together
			wait = min(2*wait, retryMost)
		case !more && time.Since(began) < pollGap:
			pause = pollGap
		}
		t.polled(err)
		if err == nil {
			wait = retryFirst
			q = next
			// With acknowledgements to give, an answer without new tokens should not be waited for.
			q.ReturnImmediately = false
		}
		if pause > 0 {
			timer := time.NewTimer(pause)
			select {
			case <-ctx.Done():
				timer.Stop()
			case <-timer.C:
			}
		}
	}
}

// polled notes how polling goes.
func (t *transmitter) polled(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil && t.status.Failing != "":
		t.log.Info("security events can be polled again", "transmitter", t.name)
		t.status.Failing, t.status.Since = "", time.Time{}
	case err != nil:
		if t.status.Failing == "" {
			t.status.Since = t.now()
			t.log.Warn("security events cannot be polled", "transmitter", t.name, "error", err)
		}
		t.status.Failing = err.Error()
	}
}

// leave tells what was carried out and is not yet acknowledged.
func (t *transmitter) leave(ctx context.Context, q question) {
	if len(q.Ack)+len(q.SetErrs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	q.ReturnImmediately = true
	if _, err := t.send(ctx, &question{MaxEvents: 0, ReturnImmediately: true, Ack: q.Ack, SetErrs: q.SetErrs}); err != nil {
		t.log.Info("security events could not be acknowledged: they come again", "transmitter", t.name, "error", err)
	}
}

// ask sends one request and takes what it brings. next is what is to be told with
// the next one.
func (t *transmitter) ask(ctx context.Context, q *question) (next question, more bool, err error) {
	limited, cancel := context.WithTimeout(ctx, t.cfg.Poll.Wait+15*time.Second)
	defer cancel()
	// Acknowledgements are not held back by waiting for events.
	hold := *q
	hold.ReturnImmediately = len(q.Ack)+len(q.SetErrs) > 0
	r, err := t.send(limited, &hold)
	if err != nil {
		return *q, false, err
	}
	var failed error
	for _, id := range slices.Sorted(maps.Keys(r.Sets)) {
		switch f := t.take(ctx, "poll", r.Sets[id]); {
		case f == nil:
			next.Ack = append(next.Ack, id)
		case f.code == "":
			failed = errors.New("a token could not be taken: " + f.reason)
		default:
			if next.SetErrs == nil {
				next.SetErrs = map[string]failure{}
			}
			next.SetErrs[id] = failure{f.code, f.reason}
		}
	}
	if failed != nil {
		if len(next.Ack)+len(next.SetErrs) > 0 {
			t.leave(ctx, next)
		}
		return question{}, false, failed
	}
	return next, r.MoreAvailable || len(r.Sets) > 0, nil
}

// retryAfter is a transmitter that asks for patience.
type retryAfter struct {
	status string
	wait   time.Duration
}

func (e *retryAfter) Error() string { return "the transmitter answered " + e.status }

func (t *transmitter) send(ctx context.Context, q *question) (*reply, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.cfg.Poll.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if !t.cfg.Poll.Token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+t.cfg.Poll.Token.Reveal())
	}
	res, err := t.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("polling: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		e := &retryAfter{status: strconv.Itoa(res.StatusCode)}
		if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
			e.wait = time.Duration(s) * time.Second
		}
		return nil, e
	}
	most := int64(t.cfg.Poll.Most)*(maxSET+1<<10) + 64<<10
	data, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading the transmitter's answer: %w", err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("the transmitter's answer is larger than %d bytes", most)
	}
	var r reply
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, errors.New("the transmitter's answer is not what RFC 8936 says")
	}
	if len(r.Sets) > t.cfg.Poll.Most && q.MaxEvents > 0 {
		return nil, fmt.Errorf("the transmitter sent %d tokens where %d were asked for", len(r.Sets), t.cfg.Poll.Most)
	}
	return &r, nil
}
