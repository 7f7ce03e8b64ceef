package failclosed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
)

// keptDecisions are a gateway's decisions, kept with when_full: refuse.
type keptDecisions struct{ log *decisionlog.Log }

var _ gateway.Decisions = keptDecisions{}

func (d keptDecisions) Recorder(ac *config.API) authz.Recorder { return d.log.Recorder(ac.Name) }
func (d keptDecisions) Gates(*config.API) []authz.Gate         { return nil }
func (d keptDecisions) Admit(context.Context, *config.API, *authz.Guard) error {
	return nil
}

func (s *stand) keepDecisions() {
	keys, err := decisionlog.NewKeys(secret)
	if err != nil {
		s.t.Fatal(err)
	}
	log, err := decisionlog.Open(decisionlog.Options{Dir: filepath.Join(s.dir, "decisions"), Keys: keys, Queue: 1, Refuse: true, Sample: 1, Denied: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = log.Close(context.Background()) })
	s.deps.Decisions = keptDecisions{log}
}

// withoutDecisions takes the folder away and waits until the queue is full.
func withoutDecisions(s *stand) {
	if err := os.RemoveAll(filepath.Join(s.dir, "decisions")); err != nil {
		s.t.Fatal(err)
	}
	log := s.deps.Decisions.(keptDecisions).log
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		err := log.Record(&decisionlog.Entry{ID: "x", Time: time.Now(), Input: ast.NewObject()})
		if errors.Is(err, decisionlog.ErrFull) && log.Stats().Failing {
			return
		}
		if time.Now().After(end) {
			s.t.Fatal("the decision log takes everything")
		}
	}
}
