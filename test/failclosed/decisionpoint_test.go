package failclosed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/pdp"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/trail"
)

// pointKey is with what the stand asks the decision point.
const pointKey = "the-key-of-who-asks-the-decision-point"

// point puts a decision point in the gateway's place.
func (s *stand) point(cfg *config.Config, gw *gateway.Gateway) http.Handler {
	h, err := pdp.New(pdp.Options{Config: cfg.DecisionPoint, Policies: gw.Policy, Trail: s.trail, Version: "test", Log: s.deps.Log})
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

func pointFiles(policy string) map[string]string {
	sum := sha256.Sum256([]byte(pointKey))
	return map[string]string{
		"point-keys.yaml": fmt.Sprintf("- {id: asks, hash: \"sha256:%s\", subject: asks}\n", hex.EncodeToString(sum[:])),
		"policy/p.rego":   policy, "rows.csv": "id,owner\n1,alice\n",
	}
}

const pointConfig = `decision_point: {listen: "127.0.0.1:1", keys: point-keys.yaml, body: 1KiB, batch: 2, concurrent: 1, clients: [{subject: asks, apis: [t], data: ["/"], authzen: true}]}` + "\n"

// question asks for a decision.
func question(path, body string) func(*stand) *http.Request {
	return func(*stand) *http.Request {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+pointKey)
		return r
	}
}

const (
	yes      = "package crenel.authz\n\ndecision := true\n"
	evaluate = `{"subject": {"type": "user", "id": "alice"}, "action": {"name": "list"}, "resource": {"type": "thing", "id": "1"}}`
	// endless goes through more pairs than anybody waits for.
	endless = "package crenel.authz\n\ndecision if count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i * j == -1]) == 0\n"
	fails   = "package crenel.authz\n\ndecision if to_number(input.identity.subject) > 0\n"
)

const ownPolicy = "    authz: {policies: [policy]}\n"

// pointRow is a question to a decision point whose policy is of one file.
func pointRow(r row, policy string) *row {
	r.point, r.top, r.files = true, pointConfig, pointFiles(policy)
	if r.guards == "" {
		r.guards = ownPolicy
	}
	if r.request == nil {
		r.request = question("/access/v1/evaluation", evaluate)
	}
	return &r
}

var pointRows = []*row{
	pointRow(row{what: "a question without a key", setting: "decision_point.keys", request: func(*stand) *http.Request {
		return httptest.NewRequest(http.MethodPost, "/access/v1/evaluation", strings.NewReader(evaluate))
	}, status: 401, code: "decision.credentials"}, yes),
	pointRow(row{what: "a question larger than the limit", setting: "decision_point.body", request: question("/access/v1/evaluation", `{"x": "`+strings.Repeat("x", 2000)+`"}`), status: 413, code: "decision.too_large"}, yes),
	pointRow(row{what: "more questions in one than the limit", setting: "decision_point.batch", request: question("/access/v1/evaluations", `{"evaluations": [`+evaluate+","+evaluate+","+evaluate+`]}`), status: 413, code: "decision.too_large"}, yes),
	pointRow(row{what: "data that the policy needs cannot be had", setting: "guards.authz.sources.max_age", guards: "    authz: {policies: [policy], sources: [{at: rows, timeout: 100ms, file: {path: rows.csv, key: [nothing]}}]}\n", status: 503, code: "decision.unavailable"}, yes),
	pointRow(row{what: "the policy takes too long", setting: "guards.authz.timeout", guards: "    authz: {policies: [policy], timeout: 5ms}\n", status: 500, code: "decision.failed"}, endless),
	pointRow(row{what: "the policy fails", note: "where OPA would say undefined", status: 500, code: "decision.failed"}, fails),
	pointRow(row{what: "the queue of records is full", setting: "trail.queue", trail: &trail.Options{Queue: 1}, before: flood, status: 503, code: "decision.unavailable"}, yes),
	pointRow(row{what: "the disk is full and the answer waits for the record", setting: "trail.audit: strict", trail: &trail.Options{Audit: "strict"}, before: jammed, status: 503, code: "decision.unavailable"}, yes),
}

// What a decision point of these rows answers when nothing is wrong.
func pointPasses() *row {
	return pointRow(row{what: "nothing is wrong"}, yes)
}

// unwritable is a shared state that takes no new entries.
type unwritable struct{ state.Store }

// PutIf implements [state.Store].
func (unwritable) PutIf(context.Context, string, string, []byte, []byte, time.Time) (bool, error) {
	return false, errors.New("no more room")
}

// A row proves nothing on a decision point that refuses everything.
func TestTheDecisionPointItselfDecides(t *testing.T) {
	t.Setenv("FAIL_SECRET", secret)
	r := pointPasses()
	s := &stand{t: t, dir: t.TempDir()}
	cfg, err := r.config(s, "127.0.0.1:8080", "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if s.trail, err = trail.Open(trail.Options{File: filepath.Join(s.dir, "events.jsonl")}); err != nil {
		t.Fatal(err)
	}
	s.deps = gateway.Deps{Trail: s.trail, Log: slog.New(slog.DiscardHandler)}
	gw, err := gateway.New(t.Context(), cfg, s.deps)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.point(cfg, gw).ServeHTTP(w, r.request(s))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"decision":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if err := errors.Join(gw.Close(), s.trail.Close()); err != nil {
		t.Error(err)
	}
}
