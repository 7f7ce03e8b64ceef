package scan

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/check"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/listener"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// Events are told how a run goes; each may be nil. Exchange is called by many at
// once, the others one at a time.
type Events struct {
	Phase    func(name string)               // a phase begins
	Progress func(done, of int, what string) // of the phase
	Found    func(f *finding.Finding)        // a finding is proven
	Point    func(p actor.Point)             // the doctor looked at something
	Exchange func(x *target.Exchange)        // everything that is sent
}

// ErrTarget marks what makes a target unusable: it is not there, or its
// description is not to be had.
var ErrTarget = errors.New("the target cannot be tested")

// Result is a run's report, and what re-proves its findings.
type Result struct {
	Report  *Report
	Graph   *graph.Graph
	Proofs  []*check.Proof
	Outside []string // accounts that were given and do not get in: what takes them was not tested
}

// run is one run.
type run struct {
	o      *Options
	ev     Events
	log    *slog.Logger
	report *Report

	client   *target.Client
	graph    *graph.Graph
	people   *actor.People
	world    *world.World
	lives    atomic.Pointer[world.World] // the same, for those who send meanwhile
	lab      *check.Lab
	listener *listener.Listener
	notebook check.Notebook
	archive  *target.HAR
	written  []*check.Check // the user's own
	deadly   deadly
	proofs   []*check.Proof // of the report's findings
	debt     debt
	spentOn  tallies
	journal  *journal // nil: none is kept
	changes  *changes // nil: everything is tested

	phase string
	since time.Time
	sent  int64
}

// Run tests a target. When ctx ends or a budget is spent, the result is of what
// was done until then, and its report says so in Ended. An error is one before
// anything could be tested.
func Run(ctx context.Context, o *Options, ev Events) (*Result, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	mode, err := o.mode()
	if err != nil {
		return nil, err
	}
	r := &run{o: o, ev: ev, log: o.Log, report: &Report{
		Tool: Tool{Name: "crenel", Version: o.Version}, Run: runID(), Seed: o.Seed, Mode: mode.String(), Started: time.Now().UTC(),
		Findings: []*finding.Finding{}, Coverage: []world.Coverage{}, Checks: []check.Cell{}, Actors: []actor.ActorReport{},
	}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	baseline, err := r.baseline()
	if err != nil {
		return nil, err
	}
	if r.written, err = r.ownChecks(); err != nil {
		return nil, err
	}
	if err := r.understand(ctx); err != nil {
		return nil, err
	}
	if err := r.compare(ctx); err != nil {
		return nil, err
	}
	if r.changes != nil && len(r.changes.ops) == 0 {
		r.begin("")
		r.report.Target = o.Target
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("No operation differs from %s: nothing was sent.", o.ChangedSince))
		return &Result{Report: r.report, Graph: r.graph}, nil
	}
	if err := r.resume(); err != nil {
		return nil, err
	}
	if err := r.open(); err != nil {
		if r.journal != nil {
			err = errors.Join(err, r.journal.close(false))
		}
		return nil, err
	}
	defer r.close()
	ended := r.doctor(ctx)
	if ended == nil {
		ended = r.tidy(ctx)
	}
	if ended == nil {
		ended = r.build(ctx, mode)
	}
	if ended == nil {
		ended = r.attack(ctx, mode)
	}
	if ended == nil {
		ended = r.client.Over() // where a check made do without what was not sent any more
	}
	r.finish(ctx, ended, baseline)
	if r.journal != nil {
		if err := r.journal.close(ended == nil); err != nil {
			r.report.Notes = append(r.report.Notes, "The run's journal is not whole, so that it cannot be resumed: "+err.Error())
		}
	}
	res := &Result{Report: r.report, Graph: r.graph, Proofs: r.proofs, Outside: r.people.Outside()}
	var down *target.DownError
	switch {
	case errors.Is(ended, ErrTarget):
		return res, ended
	case ended != nil && ctx.Err() == nil && errors.As(ended, &down):
		return res, fmt.Errorf("%w: %w", ErrTarget, ended)
	case ended != nil && ctx.Err() == nil && r.report.Stats.Reached == 0:
		return res, fmt.Errorf("%w: no operation answered anybody with a success: %w", ErrTarget, ended)
	case ended != nil && ctx.Err() == nil && r.lab == nil:
		return res, fmt.Errorf("%w: nothing was attacked, give more time or requests: %w", ErrTarget, ended)
	case ended == nil && r.report.Stats.Reached == 0 && len(r.report.Counted(finding.Low, false)) == 0:
		return res, fmt.Errorf("%w: no operation answered anybody with a success, so nothing was tested", ErrTarget)
	}
	return res, nil
}

// runID is new for each run: what an earlier one made must not be in the way.
func runID() string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// begin ends the phase before, and begins the next one.
func (r *run) begin(name string) {
	now, sent := time.Now(), int64(0)
	if r.client != nil {
		sent = r.client.Sent()
	}
	if r.phase != "" {
		r.report.Stats.Phases = append(r.report.Stats.Phases, PhaseStats{Name: r.phase, Requests: sent - r.sent, Seconds: now.Sub(r.since).Seconds()})
	}
	r.phase, r.since, r.sent = name, now, sent
	if name != "" && r.ev.Phase != nil {
		r.ev.Phase(name)
	}
}

func (r *run) progress(done, of int, what string) {
	if r.ev.Progress != nil {
		r.ev.Progress(done, of, what)
	}
}

func (r *run) baseline() (*finding.Baseline, error) {
	if r.o.Baseline == "" {
		return nil, nil
	}
	f, err := os.Open(r.o.file(r.o.Baseline))
	if err != nil {
		return nil, fmt.Errorf("the baseline: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := finding.ReadBaseline(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.o.Baseline, err)
	}
	return b, nil
}

// resume opens the run's journal, and takes over what an earlier one says.
func (r *run) resume() error {
	if r.o.Resume == "" {
		return nil
	}
	j, err := openJournal(r.o.file(r.o.Resume), beginning{Format: 1, Run: r.report.Run, Target: r.o.Target, Spec: digest(r.graph), Mode: r.report.Mode, Seed: r.o.Seed})
	if err != nil {
		return err
	}
	r.journal = j
	if j.earlier != nil {
		r.report.Earlier, r.report.Seed = j.earlier, j.seed
		r.report.Notes = append(r.report.Notes, "The run "+j.before()+".")
		r.tell(actor.Point{Name: "resumed", State: actor.Well, Text: "the run " + j.before()})
	}
	return nil
}

// open makes the way to the target, and the listener.
func (r *run) open() error {
	o := r.o
	c, err := target.New(target.Options{
		Target: o.Target, Also: o.Also, Workers: o.Limits.Workers, Rate: o.Limits.Rate, MaxRequests: o.Limits.MaxRequests, MaxTime: o.Limits.MaxTime, Began: r.report.Started, Timeout: o.Limits.Timeout, DownFor: o.Limits.DownFor,
		Proxy: o.TLS.Proxy, CAFile: o.file(o.TLS.CAFile), CertFile: o.file(o.TLS.CertFile), KeyFile: o.file(o.TLS.KeyFile), Insecure: o.TLS.Insecure, ServerName: o.TLS.ServerName,
		UserAgent: "crenel-scan/" + o.Version, OnExchange: r.ev.Exchange, Allow: r.allow(),
	})
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	r.client = c
	if r.journal != nil {
		r.journal.count = func() figure {
			return figure{Run: r.report.Run, Requests: c.Sent(), Seconds: time.Since(r.report.Started).Seconds()}
		}
	}
	c.OnExchange(r.notebook.Note)
	c.OnExchange(r.owe)
	c.OnExchange(r.spentOn.note)
	if o.Record != nil {
		r.archive = target.NewHAR(c, o.Record, false)
		c.OnExchange(r.archive.Add)
	}
	r.report.Target = c.Origin() + c.Base()
	if o.Listener.Off {
		return nil
	}
	address := o.Listener.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	if r.listener, err = listener.Start(address, o.Listener.Public); err != nil {
		_ = c.Close()
		return err
	}
	if d := o.Listener.DNS; d.Address != "" {
		if err := r.listener.ServeNames(listener.DNS{Address: d.Address, Zone: d.Zone, Forward: d.Forward}); err != nil {
			return errors.Join(err, c.Close(), r.listener.Close())
		}
	}
	return nil
}

func (r *run) close() {
	if r.archive != nil {
		if err := r.archive.Close(); err != nil {
			r.report.Notes = append(r.report.Notes, "The record of what was sent is not whole: "+err.Error())
		}
	}
	if err := r.client.Close(); err != nil {
		r.log.Warn("closing the connections to the target", "error", err)
	}
	if r.listener != nil {
		if err := r.listener.Close(); err != nil {
			r.log.Warn("closing the listener", "error", err)
		}
	}
}

// startup is how long a run waits for a target that refuses connections: a
// pipeline starts both.
const startup = 10 * time.Second

// doctor makes the people, logs them in, and looks whether all that a run leans
// on is there: what is wrong is told before anything else is.
func (r *run) doctor(ctx context.Context) error {
	r.begin("doctor")
	r.invite()
	d := r.people.Doctor(ctx, actor.Examination{Patience: startup, Brief: true, Told: r.ev.Point})
	r.report.Doctor = d.Points
	if d.Report != nil {
		r.report.Actors, r.report.Problems, r.report.Notes = d.Report.Actors, d.Report.Problems, append(r.report.Notes, d.Report.Notes...)
	}
	r.report.Target = r.client.Origin() + r.client.Base()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("looking whether the target can be tested: %w", err)
	}
	if d.Err != nil {
		return fmt.Errorf("making accounts and logging in: %w", d.Err)
	}
	if p := d.Unusable(); p != nil {
		return fmt.Errorf("%w: %s: %s", ErrTarget, p.Name, p.Text)
	}
	return nil
}

// invite says who the people will be; nothing is sent.
func (r *run) invite() {
	cfg := r.o.Actors
	cfg.Run, cfg.Seed, cfg.Dir = r.report.Run, r.report.Seed, r.o.Dir
	r.people = actor.New(r.graph, r.client, cfg)
}

// meet makes the people and logs them in.
func (r *run) meet(ctx context.Context) error {
	r.begin("people")
	r.invite()
	report, err := r.people.Prepare(ctx)
	if report != nil {
		r.report.Actors, r.report.Problems, r.report.Notes = report.Actors, report.Problems, report.Notes
	}
	r.report.Target = r.client.Origin() + r.client.Base()
	if err != nil {
		return fmt.Errorf("making accounts and logging in: %w", err)
	}
	return nil
}

// tidy takes away what the runs that this one goes on after had left.
func (r *run) tidy(ctx context.Context) error {
	if r.journal == nil || len(r.journal.left) == 0 {
		return nil
	}
	r.begin("tidy")
	c, err := r.sweep(ctx)
	r.report.Left = c.Left
	r.report.Notes = append(r.report.Notes, fmt.Sprintf("Earlier runs had left %d objects: %d were taken away.", c.Deleted+len(c.Left), c.Deleted))
	return err
}

// build makes the world.
func (r *run) build(ctx context.Context, mode check.Mode) error {
	r.begin("world")
	until, requests := r.worldBounds()
	routes := r.newWorld(mode, until, requests) // knows the operations, and nothing else
	r.client.OnBack(func(o target.Outage) { r.deadly.note(o, routes.OpOf) })
	for range worlds {
		epoch := r.client.Epoch()
		r.world = r.newWorld(mode, until, requests)
		r.lives.Store(r.world)
		if err := r.world.Build(ctx); err != nil {
			return fmt.Errorf("making objects: %w", err)
		}
		if r.client.Epoch() == epoch {
			break
		}
		// The process is another one: what was made may be forgotten.
	}
	r.graph.Settle()                    // nobody else uses it now
	r.client.OnExchange(r.world.Follow) // what checks make is cleaned up as well
	r.tell(reachPoint(r.world.Coverage()))
	r.report.Problems = append(r.report.Problems, shortened(r.world, r.o.Limits)...)
	return nil
}

// worlds is how many worlds are built for a target that is restarted meanwhile.
const worlds = 4

// outside is an address of the listener for what the target fetches in honest
// calls: it answers with a few plain members.
func (r *run) outside() string {
	if r.listener == nil {
		return ""
	}
	address := r.listener.Address()
	r.listener.Answer(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id": 1, "name": "Crenel", "title": "Crenel", "description": "An answer", "items": []}`)
	}))
	return address
}

// newWorld is a world of which nothing is known yet. requests bounds it where it is
// less than a world may send anyway.
func (r *run) newWorld(mode check.Mode, until time.Time, requests int) *world.World {
	if requests == 0 || requests > world.Enough(r.graph) {
		requests = world.Enough(r.graph)
	}
	below := "" // the client knows what comes before the paths
	var made func(world.Making)
	var gone func(resource, id string)
	if j := r.journal; j != nil {
		made = func(m world.Making) { j.made(r.report.Run, r.report.Seed, m) }
		gone = func(resource, id string) { j.gone(r.report.Run, resource, id) }
	}
	return world.New(r.graph, r.people, r.client, world.Options{
		Made: made, Gone: gone, Until: until, MaxRequests: requests,
		Run: r.report.Run, Seed: r.report.Seed, Safe: mode == check.Safe, BasePath: &below, Outside: r.outside(), Single: r.people.Single(),
		Skip: func(op *graph.Op) string {
			if matches(r.o.Leave, op) {
				return "left alone, as the options say"
			}
			if r.deadly.is(op) {
				return "left alone: the target went down each time that it was called"
			}
			if r.changes != nil && !r.changes.needed[op] {
				return "left alone: it has not changed since " + r.o.ChangedSince + ", and nothing that has needs it"
			}
			return ""
		},
		Progress: r.progress,
	})
}

// finish cleans up and completes the report. Cleaning up outlives a run that was
// stopped, for a bounded time.
func (r *run) finish(ctx context.Context, ended error, baseline *finding.Baseline) {
	if ended != nil {
		ended = because(ctx, ended, r.phase)
	}
	r.begin("clean up")
	if r.world != nil {
		r.debt.mu.Lock()
		bound := tidying + r.debt.kept
		r.debt.mu.Unlock()
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
		r.client.Extend(bound)
		r.report.Left = append(r.report.Left, r.world.Cleanup(tidy)...)
		cancel()
		r.report.Coverage = r.world.Coverage()
	}
	if r.lab == nil && r.journal != nil {
		for _, p := range r.journal.proofs {
			r.report.Findings = append(r.report.Findings, p.Finding)
		}
		finding.Sort(r.report.Findings)
	}
	if r.lab != nil {
		// An empty list is written as one, not as null.
		r.report.Findings = append(r.report.Findings, r.lab.Findings()...)
		r.report.Checks = append(r.report.Checks, r.lab.Table()...)
	}
	r.report.Problems = append(r.report.Problems, outages(r.client.Outages())...)
	if r.world != nil {
		if broken := r.world.Broken(); len(broken) > 0 {
			r.report.Problems = append(r.report.Problems, actor.Problem{
				What:   some(broken, len(r.graph.Ops), "operation") + " too much for the scanner, which broke down over what is asked for or answered there",
				Advice: "The fault is Crenel's, not the target's: report it. All else that the run could do is done.",
			})
		}
	}
	if e, p := r.eased(); e != nil {
		r.report.Stats.Eased, r.report.Problems = e, append(r.report.Problems, *p)
	}
	r.join()
	if baseline != nil {
		r.report.Gone = slices.DeleteFunc(baseline.Mark(r.report.Findings), func(k finding.Known) bool {
			op := r.graph.Op(k.Method, k.Path)
			return op != nil && r.changes != nil && !r.changes.ops[op] // it was not looked for
		})
	}
	r.report.Idle = finding.Suppress(r.report.Findings, r.o.Suppress, time.Now())
	for _, c := range r.report.Coverage {
		if c.Reached {
			r.report.Stats.Reached++
		}
	}
	r.begin("")
	if ended != nil {
		r.report.Ended = ended.Error()
	}
	r.report.Stats.Requests = r.client.Sent()
	r.report.Stats.Seconds = time.Since(r.report.Started).Seconds()
	r.report.Stats.ByCheck = r.spentOn.list()
	r.report.Stats.Proven = len(r.report.Findings)
}
