package decisionlog

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// SinkOptions are what a sink is made from.
type SinkOptions struct {
	// URL takes POST of a gzipped JSON array of events, as OPA's log servers do.
	URL   string
	Token string // sent as a bearer token; "" for none
	Mask  *Masker
	// Every is how often what waits is sent; default 10 s. More than Upload is sent
	// at once.
	Every time.Duration
	// Backoff is the longest wait after failures; default a minute.
	Backoff time.Duration
	Buffer  int64 // bytes that may wait; the oldest give way. Default 16 MiB
	Upload  int   // bytes of one body, compressed; default 1 MiB
	Client  *http.Client
	Log     *slog.Logger
	Alarm   func(kind, message string)
}

// Sink sends masked events to a log server. It is safe for concurrent use.
type Sink struct {
	o    SinkOptions
	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	waiting []offered
	bytes   int64
	closing bool
	stats   SinkStats
}

type offered struct {
	line   string
	policy *Policy
}

// SinkStats are counts since the start.
type SinkStats struct {
	Sent     uint64 // events taken by the server
	Lost     uint64 // events that gave way, since the server did not take them in time
	Withheld uint64 // events that could not be masked, or are larger than Upload
	Waiting  int
	Failing  bool
}

// Backing off starts with so long a wait, as OPA's does.
const firstBackoff = 100 * time.Millisecond

// NewSink starts a sink. It lives until its log is closed.
func NewSink(o SinkOptions) *Sink {
	if o.Every <= 0 {
		o.Every = 10 * time.Second
	}
	if o.Backoff <= 0 {
		o.Backoff = time.Minute
	}
	if o.Buffer <= 0 {
		o.Buffer = 16 << 20
	}
	if o.Upload <= 0 {
		o.Upload = 1 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Alarm == nil {
		o.Alarm = func(string, string) {}
	}
	client := &http.Client{Timeout: 30 * time.Second}
	if o.Client != nil {
		*client = *o.Client
	}
	// The token is for this server, and for no other that it may point to.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o.Client = client
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sink{o: o, wake: make(chan struct{}, 1), stop: cancel, done: make(chan struct{})}
	go s.run(ctx)
	return s
}

// Stats returns the counts.
func (s *Sink) Stats() SinkStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Waiting = len(s.waiting)
	return st
}

// offer hands an event over. It never waits.
func (s *Sink) offer(line string, p *Policy) {
	s.mu.Lock()
	s.waiting = append(s.waiting, offered{line, p})
	s.bytes += int64(len(line))
	s.yieldOldest()
	full := s.bytes >= int64(s.o.Upload)
	s.mu.Unlock()
	if full {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// yieldOldest keeps the buffer within its bound; mu is held.
func (s *Sink) yieldOldest() {
	n := 0
	for s.bytes > s.o.Buffer && n < len(s.waiting) {
		s.bytes -= int64(len(s.waiting[n].line))
		n++
	}
	if n > 0 {
		clear(s.waiting[:n])
		s.waiting = s.waiting[n:]
		s.stats.Lost += uint64(n)
	}
}

func (s *Sink) run(ctx context.Context) {
	defer close(s.done)
	var batch []string // masked
	failures := 0
	for s.pause(ctx, failures) {
		var err error
		batch, err = s.upload(ctx, batch)
		s.note(err, failures)
		if err != nil {
			failures++
		} else {
			failures = 0
		}
	}
	s.mu.Lock()
	s.stats.Lost += uint64(len(batch) + len(s.waiting))
	s.mu.Unlock()
}

// pause waits until there is something to do; false when it is over.
func (s *Sink) pause(ctx context.Context, failures int) bool {
	wait := s.o.Every
	if failures > 0 {
		wait = min(firstBackoff<<min(failures-1, 20), s.o.Backoff)
		wait = wait/2 + rand.N(wait/2+1) //nolint:gosec // spreads retries
	}
	s.mu.Lock()
	closing, empty := s.closing, len(s.waiting) == 0
	s.mu.Unlock()
	if closing && failures == 0 {
		return !empty && ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-s.wake:
			if failures == 0 {
				return true
			}
		}
	}
}

func (s *Sink) note(err error, failures int) {
	s.mu.Lock()
	s.stats.Failing = err != nil
	s.mu.Unlock()
	switch {
	case err != nil && failures == 0:
		s.o.Log.Warn("decisions could not be sent to the log server; trying again", "error", err)
	case err != nil && failures == 5:
		s.o.Alarm("decision_log.sink", "decisions have not reached the log server for a while: "+err.Error())
	case err == nil && failures > 0:
		s.o.Log.Info("decisions reach the log server again")
	}
}

// upload sends what is left of the last batch and then what waits. It returns
// what the server did not take.
func (s *Sink) upload(ctx context.Context, batch []string) ([]string, error) {
	for {
		if len(batch) == 0 {
			if batch = s.next(ctx); len(batch) == 0 {
				return nil, nil
			}
		}
		for len(batch) > 0 {
			n, body, err := s.pack(batch)
			if err != nil {
				return batch, err
			}
			if body == nil {
				s.withhold("an event is larger than an upload may be", nil)
				batch = batch[1:]
				continue
			}
			if err := s.post(ctx, body); err != nil {
				return batch, err
			}
			s.mu.Lock()
			s.stats.Sent += uint64(n)
			s.mu.Unlock()
			batch = batch[n:]
		}
	}
}

// next takes and masks about as many events as one upload holds.
func (s *Sink) next(ctx context.Context) []string {
	s.mu.Lock()
	n, size := 0, 0
	for n < len(s.waiting) && size < 8*s.o.Upload {
		size += len(s.waiting[n].line)
		n++
	}
	taken := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	s.bytes -= int64(size)
	s.mu.Unlock()
	out := make([]string, 0, n)
	for _, o := range taken {
		e := &Event{}
		err := json.Unmarshal([]byte(o.line), e)
		if err == nil {
			var rules Rules
			if o.policy != nil {
				rules = o.policy.Rules
			}
			err = s.o.Mask.Mask(ctx, e, rules)
		}
		var b []byte
		if err == nil {
			b, err = json.Marshal(e)
		}
		if err != nil {
			s.withhold("an event was not sent, because it could not be masked", err)
			continue
		}
		out = append(out, string(b))
	}
	return out
}

func (s *Sink) withhold(why string, err error) {
	s.mu.Lock()
	s.stats.Withheld++
	first := s.stats.Withheld == 1
	s.mu.Unlock()
	if first {
		s.o.Log.Error(why, "error", err)
		s.o.Alarm("decision_log.withheld", why)
	}
}

// pack makes the body of as many of the first events as fit, nil when not even
// one does.
func (s *Sink) pack(batch []string) (int, []byte, error) {
	for n := len(batch); n > 0; n /= 2 {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := io.WriteString(w, "["+strings.Join(batch[:n], ",")+"]")
		if err = errors.Join(err, w.Close()); err != nil {
			return 0, nil, err
		}
		if b.Len() <= s.o.Upload {
			return n, b.Bytes(), nil
		}
	}
	return 0, nil, nil
}

func (s *Sink) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Content-Encoding", "gzip")
	req.Header.Set("User-Agent", "crenel")
	if s.o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.o.Token)
	}
	resp, err := s.o.Client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the log server answered %s", resp.Status)
	}
	return nil
}

// Close sends what waits, but not longer than ctx.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	// A server that is down shall not hold the gateway's stop up.
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var err error
	select {
	case <-s.done:
	case <-ctx.Done():
		s.stop()
		<-s.done
	}
	s.stop()
	if st := s.Stats(); st.Waiting > 0 {
		err = fmt.Errorf("%d decisions did not reach the log server", st.Waiting)
	}
	return err
}
