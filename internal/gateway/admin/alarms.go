package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Alarms tells a person that something needs them: a metric, a log line and,
// where one is configured, a call of a webhook. One kind is told at most once in
// an interval; what was held back is counted in the next.
type Alarms struct {
	url    string
	every  time.Duration
	log    *slog.Logger
	m      *Metrics
	client *http.Client
	now    func() time.Time
	queue  chan alarm
	done   chan struct{}

	closing atomic.Bool

	mu   sync.Mutex
	last map[string]*told
}

type told struct {
	at   time.Time
	held int
}

type alarm struct {
	Kind    string    `json:"kind"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
	Held    int       `json:"held_back,omitempty"` // alarms of this kind since the last that was told
}

// NewAlarms starts the sender. An empty url leaves the webhook out.
func NewAlarms(url string, every time.Duration, m *Metrics, log *slog.Logger) *Alarms {
	a := &Alarms{
		url: url, every: every, log: log, m: m, now: time.Now,
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
			// A webhook that has moved is a mistake to be mended, not to be followed.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		queue: make(chan alarm, 64), done: make(chan struct{}), last: map[string]*told{},
	}
	go a.send(a.queue)
	return a
}

// Raise tells of one event. It does not block. kind is stable and one of few
// ("trail.write", "config.refused"); message says what happened, and no secret.
func (a *Alarms) Raise(kind, message string) {
	a.m.alarms.WithLabelValues(kind).Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.last[kind]
	now := a.now()
	if t != nil && now.Sub(t.at) < a.every {
		t.held++
		return
	}
	al := alarm{Kind: kind, Message: message, Time: now}
	if t != nil {
		al.Held = t.held
	}
	a.last[kind] = &told{at: now}
	a.log.Error("alarm", "kind", kind, "message", message, "held_back", al.Held)
	if a.url == "" || a.queue == nil {
		return
	}
	select {
	case a.queue <- al:
	default: // the webhook is slower than 64 alarms; the log has them all
	}
}

// retryWait is the wait before the second and the third try to reach the webhook.
var retryWait = []time.Duration{time.Second, 3 * time.Second}

func (a *Alarms) send(queue <-chan alarm) {
	defer close(a.done)
	for al := range queue {
		err := a.post(al)
		for try := 0; err != nil && try < len(retryWait) && !a.closing.Load(); try++ {
			time.Sleep(retryWait[try])
			err = a.post(al)
		}
		if err != nil {
			a.log.Warn("alarm webhook failed", "kind", al.Kind, "error", err)
		}
	}
}

type statusError int

func (e statusError) Error() string { return "the webhook answered " + http.StatusText(int(e)) }

func (a *Alarms) post(al alarm) error {
	body, err := json.Marshal(al)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return statusError(resp.StatusCode)
	}
	return nil
}

// Close sends what waits and stops the sender. Later alarms are logged only.
func (a *Alarms) Close() {
	a.mu.Lock()
	queue := a.queue
	a.queue = nil
	a.mu.Unlock()
	if queue != nil {
		a.closing.Store(true)
		close(queue)
		<-a.done
		a.client.CloseIdleConnections()
	}
}
