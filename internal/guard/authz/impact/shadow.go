package impact

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
)

// ShadowOptions are what a shadow is made from.
type ShadowOptions struct {
	API string
	// Active returns what decides now, and Candidate what decides beside it.
	Active, Candidate func() Decider
	Sample            float64 // share of decisions
	Queue             int     // decisions that may wait
	CPU               float64 // share of one processor, 0.01 to 1
}

// Shadow decides beside the active policy, on live decisions. It is safe for
// concurrent use.
type Shadow struct {
	o       ShadowOptions
	queue   chan *Case
	left    atomic.Uint64
	stop    context.CancelFunc
	done    chan struct{}
	started time.Time

	mu    sync.Mutex // guards what follows
	tally *tally
	fault string
}

var _ authz.Recorder = (*Shadow)(nil)

// ShadowReport is what a shadow has seen so far.
type ShadowReport struct {
	API     string    `json:"api"`
	Since   time.Time `json:"since"`
	LeftOut uint64    `json:"left_out"` // decisions for which there was no time
	Waiting int       `json:"waiting"`
	Fault   string    `json:"fault,omitempty"` // why the candidate could not be asked
	Report
}

// NewShadow starts a shadow.
func NewShadow(o ShadowOptions) *Shadow {
	if o.Queue <= 0 {
		o.Queue = 1024
	}
	if o.CPU <= 0 || o.CPU > 1 {
		o.CPU = 0.25
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Shadow{o: o, queue: make(chan *Case, o.Queue), stop: cancel, done: make(chan struct{}), started: time.Now(), tally: newTally(3)}
	go s.run(ctx)
	return s
}

// Wants reports whether a call is in the sample.
func (s *Shadow) Wants(id string) (allowed, denied bool) {
	in := decisionlog.Sampled(id, s.o.Sample)
	return in, in
}

// Record hands a decision over. It never waits and never refuses: when there is no
// room the candidate is not asked.
func (s *Shadow) Record(r *authz.Record) error {
	if r.Policy == nil && r.Verdict.Action != exchange.Allow {
		return nil // the document decided: another policy would not be asked either
	}
	select {
	case s.queue <- liveCase(s.o.API, r):
	default:
		s.left.Add(1)
	}
	return nil
}

func (s *Shadow) run(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-s.queue:
			begin := time.Now()
			active, candidate := s.o.Active(), s.o.Candidate()
			s.mu.Lock()
			if err := s.tally.compare(ctx, c, active, candidate, 2); err != nil && ctx.Err() == nil {
				s.fault = err.Error()
			}
			s.mu.Unlock()
			s.rest(ctx, time.Since(begin))
		}
	}
}

// rest sleeps so long that what was just done stays within the share.
func (s *Shadow) rest(ctx context.Context, worked time.Duration) {
	if s.o.CPU >= 1 {
		return
	}
	timer := time.NewTimer(time.Duration(float64(worked) * (1/s.o.CPU - 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// Report is what was seen so far.
func (s *Shadow) Report() *ShadowReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &ShadowReport{API: s.o.API, Since: s.started.UTC(), LeftOut: s.left.Load(), Waiting: len(s.queue), Fault: s.fault, Report: *s.tally.report()}
}

// Close ends the shadow.
func (s *Shadow) Close() {
	s.stop()
	<-s.done
}
