package impact

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/topdown"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/decisionlog"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const document = `
openapi: 3.1.0
info: {title: Pets, version: "1"}
security: [{oauth: ["pets:read"]}]
paths:
  /pets/{petId}:
    get:
      operationId: getPet
      parameters: [{name: petId, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: ok}}
components:
  securitySchemes:
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://id.test/token", scopes: {"pets:read": read}}}}
`

// rolls decides by all that is not the same another time: the clock, a random
// number, a new id; and puts obligations on the call.
const rolls = `package crenel.authz

import data.crenel.lib

default decision := {"allow": false, "reason": "nothing allows it"}

decision := {
	"allow": true,
	"reason": sprintf("%d %s", [time.now_ns(), uuid.rfc4122("call")]),
	"obligations": {"strip": ["/cost"], "headers": {"X-Roll": sprintf("%d", [n])}},
} if {
	lib.has_role("customer")
	data.owners[input.params.path.petId] == input.identity.subject
	n := rand.intn("dice", 1000000)
	time.now_ns() > 0
}

decision := {"allow": true} if lib.has_role("staff")

decision := {"allow": false, "obligations": {"step_up": {"acr_values": ["phr"]}}} if lib.has_role("guest")
`

// stand is a guard whose decisions are recorded, and what is recorded.
type stand struct {
	t     testing.TB
	dir   string
	api   *spec.API
	log   *decisionlog.Log
	guard *authz.Guard
	keys  *decisionlog.Keys
	n     int

	filters []config.AuthzFilter
}

func newStand(t testing.TB, policy string, more ...authz.Recorder) *stand {
	t.Helper()
	return newStandOf(t, document, policy, `{"owners": {"7": "alice", "8": "bob"}}`, nil, more...)
}

func newStandOf(t testing.TB, document, policy, data string, filters []config.AuthzFilter, more ...authz.Recorder) *stand {
	t.Helper()
	s := &stand{t: t, dir: t.TempDir(), filters: filters}
	s.write("openapi.yaml", document)
	s.write("policies/p.rego", policy)
	s.write("owners.json", data)
	var err error
	if s.api, err = spec.Load(context.Background(), filepath.Join(s.dir, "openapi.yaml"), spec.LoadOptions{BasePaths: []string{""}}); err != nil {
		t.Fatal(err)
	}
	if s.keys, err = decisionlog.NewKeys("a-key-of-the-impact-tests-0123456789"); err != nil {
		t.Fatal(err)
	}
	if s.log, err = decisionlog.Open(decisionlog.Options{Dir: filepath.Join(s.dir, "decisions"), Keys: s.keys, Sample: 1, Denied: 1, Queue: 1 << 17}); err != nil {
		t.Fatal(err)
	}
	s.guard = s.make(append(authz.Recorders{s.log.Recorder("pets")}, more...))
	t.Cleanup(func() {
		s.guard.Close()
		_ = s.log.Close(context.Background())
	})
	return s
}

func (s *stand) write(name, text string) string {
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *stand) options() authz.Options {
	return authz.Options{API: s.api, Authenticates: true, Config: config.Authz{Policies: []string{filepath.Join(s.dir, "policies")}, Data: []string{filepath.Join(s.dir, "owners.json")}, Timeout: time.Second, Filters: s.filters}}
}

func (s *stand) make(r authz.Recorder) *authz.Guard {
	o := s.options()
	o.Recorder = r
	g, err := authz.New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

// call makes one call through the guard.
func (s *stand) call(id exchange.Identity, pet string) exchange.Verdict {
	s.n++
	op := s.api.Operations[0]
	x := &exchange.Exchange{ID: fmt.Sprintf("call-%04d", s.n), API: "pets", Spec: s.api, Operation: op, Identity: id}
	x.Request.Method, x.Request.Header, x.Request.PathParams = http.MethodGet, http.Header{}, []string{pet}
	x.Params = []exchange.Param{{Spec: op.Parameters[0], Raw: pet}}
	x.Params[0].Value.Kind, x.Params[0].Value.Text = value.String, pet
	for _, step := range s.guard.Steps() {
		if step.Phase == exchange.RequestBody && step.Applies(op) {
			return step.Rule(context.Background(), x)
		}
	}
	s.t.Fatal("no step applies")
	return exchange.Verdict{}
}

func who(subject string, scopes string, roles ...string) exchange.Identity {
	return exchange.Identity{
		Subject: subject, Method: "jwt", Verified: true, Roles: roles, Scopes: strings.Fields(scopes), Schemes: []string{"oauth"},
		Claims: map[string]any{"scope": scopes, "groups": []any{"g1"}, "roles": anyOf(roles)},
	}
}

func anyOf(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// recorded ends the log and reads it.
func (s *stand) recorded() (*decisionlog.Reader, []*decisionlog.Event) {
	s.t.Helper()
	if err := s.log.Close(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	r, err := decisionlog.OpenFolder(filepath.Join(s.dir, "decisions"), s.keys)
	if err != nil {
		s.t.Fatal(err)
	}
	list, err := r.Recent(context.Background(), 1<<20, func(*decisionlog.Event) bool { return true })
	if err != nil {
		s.t.Fatal(err)
	}
	return r, list
}

func (s *stand) replayGuard() *authz.Guard {
	g, err := authz.ForReplay(s.options())
	if err != nil {
		s.t.Fatal(err)
	}
	return g
}

func (s *stand) replay(cases iter.Seq2[*Case, error], active, candidate Decider) *Report {
	s.t.Helper()
	r, err := Replay(context.Background(), cases, active, candidate, Options{Rounds: 2})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// An unchanged policy decides the very same again: also what depends on the clock,
// on chance and on data that have changed meanwhile, as written and specialised.
func TestUnchangedReplaysTheSame(t *testing.T) {
	s := newStand(t, rolls)
	rapid.Check(t, func(t *rapid.T) {
		id := who(rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(t, "subject"), rapid.SampledFrom([]string{"pets:read", "pets:read x", ""}).Draw(t, "scopes"),
			rapid.SliceOfN(rapid.SampledFrom([]string{"customer", "staff", "guest", "beta"}), 0, 2).Draw(t, "roles")...)
		if rapid.IntRange(0, 9).Draw(t, "anonymous") == 0 {
			id = exchange.Identity{}
		}
		s.call(id, rapid.SampledFrom([]string{"7", "8", "9", "ä/ö\n", "\x01"}).Draw(t, "pet"))
	})
	for range 5 {
		s.call(who("alice", "pets:read", "customer"), "7")
	}
	reader, list := s.recorded()
	if len(list) != s.n {
		t.Fatalf("%d recorded of %d", len(list), s.n)
	}
	g := s.replayGuard()
	kept := &Kept{Guard: g, From: reader}
	r := s.replay(Cases(list), kept, &Kept{Guard: g, From: reader})
	if r.Compared != s.n || r.Same != s.n || r.Reworded != 0 || r.Unfaithful != 0 || r.Changed != 0 || len(r.Skipped) > 0 {
		t.Errorf("%+v", r)
	}
	rolled, vague := 0, 0
	for c, err := range Cases(list) {
		if err != nil {
			t.Fatal(err)
		}
		again, err := kept.Decide(t.Context(), c, nil)
		if err != nil {
			t.Fatal(err)
		}
		traced, err := kept.Decide(t.Context(), c, topdown.NewBufferTracer())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(AnswerOf(again).Obligations, c.Before.Obligations) || !sameResult(AnswerOf(again), c.Before) || !sameResult(AnswerOf(traced), c.Before) {
			t.Fatalf("%s: %+v, then %+v", c.ID, AnswerOf(again), c.Before)
		}
		if len(c.On.Observed) == 3 {
			rolled++
		}
		if c.Inexact {
			vague++
		}
	}
	if rolled == 0 || vague != 0 {
		t.Errorf("%d decisions rolled dice, %d are inexact", rolled, vague)
	}
	// Were nothing recorded, they would not: the test can fail.
	forgetful := func(yield func(*Case, error) bool) {
		for c, err := range Cases(list) {
			c.On.Observed = nil
			if !yield(c, err) {
				return
			}
		}
	}
	if r := s.replay(forgetful, nil, kept); r.Changed == 0 {
		t.Error("decisions that roll dice came out the same without their results")
	}
}

const byOwner = `package crenel.authz

import data.crenel.lib

default decision := false

decision if lib.has_role("staff")

decision if {
	lib.has_role("customer")
	data.owners[input.params.path.petId] == input.identity.subject
}
`

func TestReplayShowsWhatChanges(t *testing.T) {
	s := newStand(t, byOwner)
	for range 5 {
		s.call(who("alice", "pets:read", "customer"), "7") // allowed
		s.call(who("alice", "pets:read", "customer"), "8") // denied
		s.call(who("root", "pets:read", "staff"), "8")     // allowed
		s.call(who("root", "", "staff"), "8")              // denied by the document
	}
	reader, list := s.recorded()
	g := s.replayGuard()
	candidate := func(rego string) *Kept {
		part, err := Candidate([]string{s.write("next/p.rego", rego)}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &Kept{Guard: g, From: reader, Rules: part}
	}
	active := &Kept{Guard: g, From: reader}

	r := s.replay(Cases(list), active, candidate(strings.Replace(byOwner, `decision if lib.has_role("staff")`, "", 1)))
	if r.Changed != 5 || r.Kinds[NowDenied] != 5 || r.Compared != 20 || len(r.Rules) != 1 || r.Share != 0.25 {
		t.Fatalf("%+v", r)
	}
	if one := r.Rules[0]; one.Rule != "data.crenel.authz.decision" || one.Effect != NoLongerHolds || !strings.HasSuffix(one.Place, "p.rego:7") || one.Callers != 1 || len(one.Examples) != 3 || one.Examples[0].Caller != "root" {
		t.Errorf("%+v", one)
	}
	if one := r.Callers[0]; one.Caller != "root" || one.Count != 5 {
		t.Errorf("%+v", one)
	}
	if r.Latency == nil || r.Latency.Active.P50 <= 0 || r.Latency.Candidate.P99 <= 0 {
		t.Errorf("%+v", r.Latency)
	}
	// A rule that moved is the same rule; one that is new and holds is named.
	r = s.replay(Cases(list), active, candidate(strings.Replace(byOwner, "default decision", "# moved\n\n\ndefault decision", 1)+"\ndecision if lib.has_role(\"customer\")\n"))
	if r.Changed != 5 || r.Kinds[NowAllowed] != 5 || len(r.Rules) != 1 || r.Rules[0].Effect != HoldsNow || !strings.HasSuffix(r.Rules[0].Place, "p.rego:17") {
		t.Errorf("%+v", r)
	}
	// Another reason is no change.
	r = s.replay(Cases(list), active, candidate(strings.ReplaceAll(byOwner, "decision if", `decision := {"allow": true, "reason": "r"} if`)))
	if r.Changed != 0 || r.Reworded != 10 {
		t.Errorf("%+v", r)
	}
	// Obligations are.
	r = s.replay(Cases(list), active, candidate(strings.ReplaceAll(byOwner, "decision if", `decision := {"allow": true, "obligations": {"strip": ["/a"]}} if`)))
	if r.Kinds[NewObligations] != 10 {
		t.Errorf("%+v", r)
	}
	// A candidate that fails is not one that denies.
	r = s.replay(Cases(list), active, candidate(byOwner+"\ndecision if to_number(input.identity.subject) > 0\n"))
	if r.Kinds[DeniedOther] == 0 || len(r.Faults) == 0 {
		t.Errorf("%+v", r)
	}
	// Data of its own.
	data, err := authz.Object(map[string]any{"owners": map[string]any{"8": "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	r = s.replay(Cases(list), active, &Kept{Guard: g, From: reader, Data: data})
	if r.Kinds[NowAllowed] != 5 || r.Kinds[NowDenied] != 5 {
		t.Errorf("%+v", r)
	}
	// Bounds.
	third, tenth := 1.0/3, 0.1
	r = s.replay(Cases(list), active, candidate(strings.Replace(byOwner, `decision if lib.has_role("staff")`, "", 1)))
	if err := (Bounds{Changed: &third}).Hold(r); err != nil {
		t.Error(err)
	}
	if err := (Bounds{Changed: &tenth}).Hold(r); err == nil || !strings.Contains(err.Error(), "5 of 20 decisions change (25%)") {
		t.Errorf("got %v", err)
	}
	if err := (Bounds{Least: 21}).Hold(r); err == nil {
		t.Error("too few decisions were enough")
	}
	r.Latency = &Latency{Active: Quantiles{10, 50}, Candidate: Quantiles{11, 90}, Slower: Rise{0.1, 0.8}}
	if err := (Bounds{Slower: &third}).Hold(r); err == nil || !strings.Contains(err.Error(), "99th percentile is 90.0 µs after 50.0 µs (80% slower)") {
		t.Errorf("got %v", err)
	}
}

// A policy whose data are gone is not guessed at.
func TestNotKept(t *testing.T) {
	s := newStand(t, byOwner)
	s.call(who("alice", "pets:read", "customer"), "7")
	reader, list := s.recorded()
	if err := os.RemoveAll(filepath.Join(s.dir, "decisions", "policies")); err != nil {
		t.Fatal(err)
	}
	kept := &Kept{Guard: s.replayGuard(), From: reader}
	r := s.replay(Cases(list), kept, kept)
	if r.Compared != 0 || r.Skipped[skipPolicy] != 1 {
		t.Errorf("%+v", r)
	}
}

func TestUnused(t *testing.T) {
	s := newStand(t, byOwner+"\ndecision if lib.has_any_role([\"left\", \"right\"])\n")
	for range 3 {
		s.call(who("alice", "pets:read reports:read", "customer", "beta"), "7")
		s.call(who("root", "pets:read", "staff", "customer"), "8")
		s.call(who("twin", "pets:read", "left", "right"), "9")
		s.call(who("idle", "pets:read", "staff"), "8")
	}
	s.call(who("mallory", "pets:read", "customer"), "8") // denied: nothing was needed
	reader, list := s.recorded()
	g, err := Unused(t.Context(), Cases(list), &Kept{Guard: s.replayGuard(), From: reader})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, one := range g.Grants {
		got[one.Kind+" "+one.Name] = fmt.Sprint(one.Used, one.Unused)
	}
	want := map[string]string{
		"role beta": "0 [alice]", "scope reports:read": "0 [alice]", "role left": "0 [twin]", "role right": "0 [twin]",
		"role customer": "1 [root]", "role staff": "2 []", "scope pets:read": "4 []",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	if len(g.Together) != 1 || g.Together[0].Caller != "twin" || fmt.Sprint(g.Together[0].Grants) != "[role left role right]" {
		t.Errorf("together %+v", g.Together)
	}
	found := false
	for _, l := range g.Rules {
		if l.Grant == "role staff" && strings.HasSuffix(l.Place, "p.rego:7") && l.Decisions == 6 && fmt.Sprint(l.Operations) == "[getPet]" {
			found = true
		}
		if l.Grant == "scope pets:read" && l.Rule != "the document's scopes and roles" {
			t.Errorf("%+v", l)
		}
	}
	if !found || g.Decisions != 12 {
		t.Errorf("%+v", g)
	}
}

// Claims that say the same are taken away too: a policy may read those.
func TestWithoutAGrant(t *testing.T) {
	c := &Case{On: &authz.Recorded{Input: ast.MustParseTerm(`{"identity": {"roles": ["a", "b"], "scopes": ["a", "s"], "claims": {"scope": "a s", "roles": ["a"], "groups": ["a", "g"], "aud": ["a"]}, "also": [{"roles": ["a"]}]}, "body": ["a"]}`).Value}}
	got := c.without(grantKey{"", "role", "a"}).On.Input
	want := ast.MustParseTerm(`{"identity": {"roles": ["b"], "scopes": ["a", "s"], "claims": {"scope": "a s", "roles": [], "groups": ["g"], "aud": ["a"]}, "also": [{"roles": []}]}, "body": ["a"]}`).Value
	if got.Compare(want) != 0 {
		t.Errorf("got %v", got)
	}
	got = c.without(grantKey{"", "scope", "a"}).On.Input
	want = ast.MustParseTerm(`{"identity": {"roles": ["a", "b"], "scopes": ["s"], "claims": {"scope": "s", "roles": ["a"], "groups": ["g"], "aud": ["a"]}, "also": [{"roles": ["a"]}]}, "body": ["a"]}`).Value
	if got.Compare(want) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestExplain(t *testing.T) {
	s := newStand(t, byOwner)
	s.call(who("alice", "pets:read", "customer"), "8")
	reader, list := s.recorded()
	c, err := CaseOf(list[0])
	if err != nil {
		t.Fatal(err)
	}
	e, err := Explain(t.Context(), c, &Kept{Guard: s.replayGuard(), From: reader}, trace.Full)
	if err != nil {
		t.Fatal(err)
	}
	failed := fmt.Sprint(e.Failed)
	if !e.Same || e.Answer != "deny authz.denied" || !strings.Contains(failed, `data.owners[input.params.path.petId] == input.identity.subject`) || !strings.Contains(e.Text, "p.rego:") {
		t.Errorf("%+v", e)
	}
	if _, err := Explain(t.Context(), c, &Kept{Guard: s.replayGuard(), From: reader}, "loud"); err == nil {
		t.Error("a trace that is not known was taken")
	}
}

// A shadow sees live decisions and never holds a call up.
func TestShadow(t *testing.T) {
	slot := &late{}
	s := newStand(t, byOwner, slot)
	part, err := Candidate([]string{s.write("next/p.rego", strings.Replace(byOwner, `decision if lib.has_role("staff")`, "", 1))}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	current, err := s.guard.Engine().Current(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	next, err := current.Variant(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	sh := NewShadow(ShadowOptions{API: "pets", Sample: 1, Queue: 50, CPU: 1,
		Active:    func() Decider { return With{s.guard, current} },
		Candidate: func() Decider { return With{s.guard, next} },
	})
	slot.r = sh
	for range 20 {
		s.call(who("root", "pets:read", "staff"), "8")
		s.call(who("alice", "pets:read", "customer"), "7")
	}
	for end := time.Now().Add(10 * time.Second); sh.Report().Decisions < 40 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
	}
	r := sh.Report()
	if r.Decisions != 40 || r.Changed != 20 || r.Kinds[NowDenied] != 20 || r.LeftOut != 0 || r.Latency == nil {
		t.Errorf("%+v", r)
	}
	sh.Close()
	// Nobody reads the queue any more: calls go on, and what is left out is counted.
	begin := time.Now()
	for range 100 {
		if v := s.call(who("root", "pets:read", "staff"), "8"); v.Action != exchange.Allow {
			t.Fatalf("%+v", v)
		}
	}
	if time.Since(begin) > 5*time.Second || sh.Report().LeftOut != 50 {
		t.Errorf("%+v", sh.Report())
	}
}

type late struct{ r authz.Recorder }

func (l *late) Wants(id string) (bool, bool) {
	if l.r == nil {
		return false, false
	}
	return l.r.Wants(id)
}
func (l *late) Record(r *authz.Record) error { return l.r.Record(r) }

// A shadow leaves most of a processor alone.
func TestShadowRests(t *testing.T) {
	sh := &Shadow{o: ShadowOptions{CPU: 0.1}}
	begin := time.Now()
	sh.rest(t.Context(), 20*time.Millisecond)
	if took := time.Since(begin); took < 150*time.Millisecond {
		t.Errorf("it rested %s for 20 ms of work in a tenth of a processor", took)
	}
}

// A log that cannot take a decision refuses the call, when the config says so.
type fullLog struct{}

func (fullLog) Wants(string) (bool, bool)  { return true, true }
func (fullLog) Record(*authz.Record) error { return decisionlog.ErrFull }

func TestUnrecordedIsRefused(t *testing.T) {
	s := newStand(t, byOwner, fullLog{})
	if v := s.call(who("root", "pets:read", "staff"), "8"); v.Action != exchange.Unable || v.Code != "authz.unrecorded" {
		t.Errorf("%+v", v)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, mode := range []string{"off", "recorded"} {
		b.Run(mode, func(b *testing.B) {
			s := newStand(b, byOwner)
			if mode == "off" {
				s.guard = s.make(nil)
			}
			id := who("alice", "pets:read", "customer")
			id.Memo = &exchange.Memo{}
			b.ReportAllocs()
			for b.Loop() {
				s.call(id, "7")
			}
		})
	}
}

// A policy's own rules on the log, in OPA's form, as they are used.
func TestLogRules(t *testing.T) {
	s := newStand(t, byOwner)
	s.write("policies/log.rego", `package system.log

drop if input.input.identity.subject == "probe"

mask contains "/input/identity/subject"

mask contains {"op": "upsert", "path": "/input/params/path/petId", "value": "*"} if input.path == "crenel/authz/decision"
`)
	s.guard.Close()
	s.guard = s.make(s.log.Recorder("pets"))
	s.call(who("alice", "pets:read", "customer"), "7")
	s.call(who("probe", "pets:read", "customer"), "7")
	reader, list := s.recorded()
	if len(list) != 1 || s.log.Stats().Dropped != 1 {
		t.Fatalf("%d kept, %+v", len(list), s.log.Stats())
	}
	b, err := reader.Policy(list[0].About().Policy, list[0].About().Data)
	if err != nil {
		t.Fatal(err)
	}
	part, query, err := authz.ReadArchive(b)
	if err != nil {
		t.Fatal(err)
	}
	p, err := authz.Compile(t.Context(), query, map[string]*authz.Part{"kept": part})
	if err != nil {
		t.Fatal(err)
	}
	m, err := decisionlog.NewMasker(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Mask(t.Context(), list[0], p.LogRules()); err != nil {
		t.Fatal(err)
	}
	if got := string(list[0].Input); strings.Contains(got, "alice") || !strings.Contains(got, `"petId":"*"`) {
		t.Errorf("input %s", got)
	}
	if fmt.Sprint(list[0].Erased, list[0].Masked) != "[/input/identity/claims /input/identity/subject /input/params/cookie] [/input/params/path/petId]" {
		t.Errorf("erased %v, masked %v", list[0].Erased, list[0].Masked)
	}
	// The kept policy is the one that decided, to the letter.
	rules, data := p.Digests()
	if rules == "" || data != list[0].About().Data {
		t.Errorf("digests %s %s, recorded %+v", rules, data, list[0].About())
	}
}

// What is read of tables is recorded, and read again from the record.
func TestTables(t *testing.T) {
	slot := &late{}
	s := newStand(t, byOwner, slot)
	rows := table{"7": ast.String("alice")}
	part, err := authz.LoadFiles([]string{filepath.Join(s.dir, "policies")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	part.Tables = map[string]authz.Table{"owners": rows}
	o := s.options()
	o.Config.Policies, o.Config.Data, o.Recorder = nil, nil, s.log.Recorder("pets")
	o.Feeds = []authz.Feed{&once{part}}
	s.guard.Close()
	if s.guard, err = authz.New(o); err != nil {
		t.Fatal(err)
	}
	if v := s.call(who("alice", "pets:read", "customer"), "7"); v.Action != exchange.Allow {
		t.Fatalf("%+v", v)
	}
	s.call(who("alice", "pets:read", "customer"), "8") // nothing is there
	delete(rows, "7")
	rows["8"] = ast.String("alice")
	reader, list := s.recorded()
	kept := &Kept{Guard: s.replayGuard(), From: reader}
	r := s.replay(Cases(list), nil, kept)
	if r.Same != 2 || r.Compared != 2 || len(list[0].About().Reads) != 1 {
		t.Errorf("%+v %+v", r, list[0].About())
	}
	// A candidate that reads other rows is not guessed at.
	next, err := Candidate([]string{s.write("next/p.rego", strings.ReplaceAll(byOwner, "input.params.path.petId", "input.identity.subject"))}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r = s.replay(Cases(list), kept, &Kept{Guard: kept.Guard, From: reader, Rules: next})
	if r.Skipped[skipRows] != 2 || r.Compared != 0 {
		t.Errorf("%+v", r)
	}
}

type table map[string]ast.Value

func (t table) Read(path storage.Path) (ast.Value, error) {
	if len(path) == 0 {
		return nil, errors.New("too large")
	}
	if v := t[path[0]]; v != nil {
		return v, nil
	}
	return nil, authz.NotFound(path)
}

type once struct{ part *authz.Part }

func (o *once) Sources() []authz.Source { return []authz.Source{{Name: "once"}} }
func (o *once) Start(ctx context.Context, e *authz.Engine) error {
	return e.Update(ctx, map[string]*authz.Part{"once": o.part})
}
func (o *once) Close() error { return nil }
