package scan

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// accountEntry is an account that a run made. Its password is not written: it is
// drawn again from the run's id and seed.
type accountEntry struct {
	Run   string            `json:"run"`
	Name  string            `json:"name"`
	Facts map[string]string `json:"facts"`
	Key   actor.Key         `json:"key"`
}

// madeEntry is an object that a run made.
type madeEntry struct {
	Run string `json:"run"`
	world.Ref
	Owner  string      `json:"owner,omitempty"`
	Under  []world.Ref `json:"under,omitempty"`
	Own    bool        `json:"own,omitempty"`
	Marked bool        `json:"marked,omitempty"`
}

// goneEntry is an object that was deleted.
type goneEntry struct {
	Run      string `json:"run"`
	Resource string `json:"resource"`
	ID       string `json:"id"`
}

func (j *journal) takeMade(e entry) {
	switch {
	case e.Account != nil:
		j.people[e.Account.Run+"/"+e.Account.Name] = *e.Account
	case e.Made != nil:
		j.left = append(j.left, *e.Made)
	case e.Gone != nil:
		j.left = slices.DeleteFunc(j.left, func(m madeEntry) bool {
			return m.Run == e.Gone.Run && m.Resource == e.Gone.Resource && m.ID == e.Gone.ID
		})
	}
}

// made writes what the run has made, and once who made it.
func (j *journal) made(run string, seed uint64, m world.Making) {
	e := madeEntry{Run: run, Ref: m.Ref, Under: m.Under, Own: m.Own, Marked: m.Marked}
	var list []entry
	if m.Owner != nil {
		e.Owner = m.Owner.Name
		if k, ok := m.Owner.Key(run, seed); ok {
			j.mu.Lock()
			first := !j.known[m.Owner.Name]
			j.known[m.Owner.Name] = true
			j.mu.Unlock()
			if first {
				list = append(list, entry{Account: &accountEntry{Run: run, Name: m.Owner.Name, Facts: m.Owner.Names(), Key: k}})
			}
		}
	}
	j.write(append(list, entry{Made: &e})...)
}

func (j *journal) gone(run, resource, id string) {
	j.write(entry{Gone: &goneEntry{run, resource, id}})
}

// Cleaned is what became of what earlier runs had left.
type Cleaned struct {
	Runs    []string         `json:"runs"`
	Deleted int              `json:"deleted"` // or gone already
	Left    []world.Leftover `json:"left,omitempty"`
}

// Clean takes away what the runs of a journal made and left behind, as those who
// made it. It attacks nothing, makes nothing, and deletes nothing else.
func Clean(ctx context.Context, o *Options, name string) (*Cleaned, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	still := *o
	still.Listener.Off = true
	r := &run{o: &still, log: o.Log, report: &Report{Run: runID(), Started: time.Now().UTC(), Findings: []*finding.Finding{}}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if err := r.understand(ctx); err != nil {
		return nil, err
	}
	j, err := openedJournal(name, beginning{Format: 1, Target: o.Target, Spec: digest(r.graph)}, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = j.close(false) }() // what it could not write is looked for again, and is gone
	r.journal = j
	if err := r.open(); err != nil {
		return nil, err
	}
	defer r.close()
	return r.sweep(ctx)
}

// sweep takes away what earlier runs made: as the accounts that they made, and
// as those that the options give.
func (r *run) sweep(ctx context.Context) (*Cleaned, error) {
	out := &Cleaned{}
	byRun := map[string][]madeEntry{}
	for _, m := range r.journal.left {
		byRun[m.Run] = append(byRun[m.Run], m)
	}
	for _, id := range slices.Sorted(maps.Keys(byRun)) {
		all := len(byRun[id])
		left, err := r.sweepOne(ctx, id, byRun[id])
		if err != nil {
			return out, fmt.Errorf("taking away what run %s left: %w", id, err)
		}
		out.Runs = append(out.Runs, id)
		out.Deleted += all - len(left)
		out.Left = append(out.Left, left...)
	}
	r.journal.left = nil
	return out, nil
}

func (r *run) sweepOne(ctx context.Context, id string, made []madeEntry) ([]world.Leftover, error) {
	var left []world.Leftover
	made = slices.DeleteFunc(made, func(m madeEntry) bool {
		i := slices.IndexFunc(r.graph.Resources, func(res *graph.Resource) bool { return res.Name == m.Resource })
		if i >= 0 && len(r.graph.Resources[i].Of(graph.Delete)) > 0 {
			return false
		}
		left = append(left, world.Leftover{Resource: m.Resource, ID: m.ID, Owner: m.Owner, Why: "the description has no operation that deletes it"})
		r.journal.gone(id, m.Resource, m.ID) // it is told once
		return true
	})
	if len(made) == 0 {
		return left, nil
	}
	began := r.journal.begins[id]
	cfg := r.o.Actors
	cfg.Run, cfg.Seed, cfg.Dir, cfg.NoRegister = id, began.Seed, r.o.Dir, true
	cfg.Accounts = maps.Clone(cfg.Accounts)
	if cfg.Accounts == nil {
		cfg.Accounts = map[string]actor.Account{}
	}
	for _, m := range made {
		a, ok := r.journal.people[id+"/"+m.Owner]
		if _, given := cfg.Accounts[m.Owner]; !ok || given {
			continue
		}
		facts := map[string]actor.Secret{}
		for fact, v := range a.Facts {
			facts[fact] = actor.Text(v)
		}
		cfg.Accounts[m.Owner] = actor.Account{Facts: facts, Login: &actor.Login{Email: a.Facts["email"], Username: a.Facts["username"], Password: actor.Text(a.Key.Password(id, began.Seed))}}
	}
	people := actor.New(r.graph, r.client, cfg)
	if _, err := people.Prepare(ctx); err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	below := ""
	w := world.New(r.graph, people, r.client, world.Options{Run: r.report.Run, BasePath: &below, Gone: func(resource, object string) { r.journal.gone(id, resource, object) }})
	for _, m := range made {
		if !w.Adopt(id, world.Making{Ref: m.Ref, Owner: people.Get(m.Owner), Under: m.Under, Own: m.Own, Marked: m.Marked}) {
			left = append(left, world.Leftover{Resource: m.Resource, ID: m.ID, Owner: m.Owner, Why: "the description has no such resource any more"})
		}
	}
	return append(left, w.Cleanup(ctx)...), nil
}
