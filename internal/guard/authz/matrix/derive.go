package matrix

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// noon of a Wednesday is when all calls are made, unless a variant says otherwise.
var noon = time.Date(2026, 1, 7, 12, 0, 0, 0, time.UTC)

// patience is how long one evaluation may take: the table is not made in a hurry.
const patience = 5 * time.Second

// Options are what a matrix is derived from.
type Options struct {
	API       *spec.API
	Name      string // of the API in the config
	Config    config.Authz
	Overrides []config.OperationOverride
	// Authenticates says that the API's authn has any method.
	Authenticates bool
	// Part is the policies and their data, as authz.LoadFiles loads them. Nil: the
	// document's own policy alone.
	Part *authz.Part
	// Without leaves out what else a cell may depend on: each cell is one call.
	Without bool
}

// Deriver asks the policies.
type Deriver struct {
	o        Options
	guard    *authz.Guard
	world    *world
	actors   []Actor
	models   map[string]*model
	failed   map[string]error // operations of which no call could be made
	places   map[string][]keyed
	literals *literals
	now      time.Time
}

// New compiles the policies and finds out what they look at.
func New(ctx context.Context, o Options) (*Deriver, error) {
	if o.API == nil {
		return nil, errors.New("a matrix is derived from an API's document, and this API has none")
	}
	d := &Deriver{o: o, world: &world{}, models: map[string]*model{}, failed: map[string]error{}, places: map[string][]keyed{}, literals: &literals{}, now: noon}
	words := namedBy(o.API, o.Overrides)
	cfg := o.Config
	cfg.Policies, cfg.Data, cfg.Timeout = nil, nil, patience
	ao := authz.Options{API: o.API, Config: cfg, Overrides: o.Overrides, Authenticates: o.Authenticates, Now: func() time.Time { return d.now }}
	if o.Part != nil {
		part := d.split(o.Part)
		d.world.rows, d.world.fields = records(cfg.Sources), owners(part.Modules)
		words.namedIn(part.Modules)
		d.literals.gather(part.Modules)
		ao.Feeds = []authz.Feed{authz.Fixed("files", part)}
	}
	var err error
	if d.guard, err = authz.New(ao); err != nil {
		return nil, err
	}
	for _, op := range o.API.Operations {
		m, err := newModel(op)
		if err != nil {
			d.failed[op.ID] = err
			continue
		}
		d.models[op.ID] = m
	}
	d.actors = words.actors()
	d.discover(ctx, words)
	d.actors = words.actors()
	if len(d.actors) > maxActors {
		return nil, fmt.Errorf("the document and the policies name %d roles and scopes; a table of more than %d actors is nothing that a person can confirm", len(d.actors), maxActors)
	}
	return d, nil
}

// Close lets go of the policies.
func (d *Deriver) Close() { d.guard.Close() }

// split takes the tests out, and puts the world in place of the data.
func (d *Deriver) split(p *authz.Part) *authz.Part {
	out := &authz.Part{Revision: p.Revision, Modules: map[string]*ast.Module{}, Tables: map[string]authz.Table{}}
	packages := map[string]bool{"crenel": true}
	for name, m := range p.Modules {
		if strings.HasSuffix(name, "_test.rego") {
			continue
		}
		out.Modules[name] = m
		if len(m.Package.Path) > 1 {
			if s, ok := m.Package.Path[1].Value.(ast.String); ok {
				packages[string(s)] = true
			}
		}
	}
	d.world.real = p.Data
	if p.Data == nil {
		d.world.real = ast.NewObject()
	}
	out.Data = ast.NewObject()
	d.world.real.Foreach(func(k, t *ast.Term) {
		if s, ok := k.Value.(ast.String); ok && !packages[string(s)] {
			out.Tables[string(s)] = &table{d.world, string(s)}
			return
		}
		out.Data.Insert(k, t)
	})
	// Data that a policy reads and nobody has given here comes from elsewhere when it is live.
	for _, m := range out.Modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if len(r) < 2 || !r[0].Equal(ast.DefaultRootDocument) {
				return false
			}
			if s, ok := r[1].Value.(ast.String); ok && !packages[string(s)] && out.Tables[string(s)] == nil {
				out.Tables[string(s)] = &table{d.world, string(s)}
			}
			return false
		})
	}
	return out
}

// discover makes each call once and sees by what ids data are looked up, for the
// relations; and by what roles, whose names the data then have.
func (d *Deriver) discover(ctx context.Context, words *wordList) {
	const probe = "crenel-matrix-role"
	callers := append(slices.Clone(d.actors), Actor{Name: probe, roles: []string{probe}, scopes: words.scopes})
	for id, m := range d.models {
		d.world.mu.Lock()
		d.world.reads, d.world.extra = map[string]storage.Path{}, nil
		d.world.mu.Unlock()
		for i := range callers {
			d.guard.Probe(ctx, d.call(m, &callers[i], None), nil)
		}
		d.places[id] = d.world.looked(m.cast)
		d.findOwners(ctx, m, callers)
		for _, path := range d.world.reads {
			i := slices.Index(path, probe)
			if i < 1 {
				continue
			}
			if obj, ok := find(d.world.real, path[:i]).(ast.Object); ok {
				for _, k := range obj.Keys() {
					if s, ok := k.Value.(ast.String); ok {
						words.add("role", string(s))
					}
				}
			}
		}
		d.world.reads = nil
	}
}

// findOwners finds parameters and fields that the document does not know to name
// an owner, and the policy does: with the caller's own name there, somebody is
// allowed who is not with another.
func (d *Deriver) findOwners(ctx context.Context, m *model, callers []Actor) {
	allowed := func(a *Actor) bool {
		v, _ := d.guard.Probe(ctx, d.call(m, a, Own), nil)
		return v.Action == exchange.Allow
	}
	try := func(set func(of string) bool, undo func()) {
		for _, of := range []string{"subject", "tenant"} {
			for i := range callers {
				undo()
				if allowed(&callers[i]) {
					continue
				}
				if set(of) && allowed(&callers[i]) {
					return
				}
			}
		}
		undo()
	}
	for _, name := range d.literals.claims {
		n := len(m.claims)
		try(func(of string) bool {
			m.claims = append(m.claims[:n], name)
			return of == "subject"
		}, func() { m.claims = m.claims[:n] })
	}
	for i := range m.params {
		p := &m.params[i]
		if p.owner != "" || p.p.Object == nil {
			continue
		}
		try(func(of string) bool {
			p.owner = of
			return takes(p.p.Schema, m.cast.owner(of, Own))
		}, func() { p.owner = "" })
	}
	if m.body == nil {
		return
	}
	for i := range m.media.Fields {
		f := &m.media.Fields[i]
		v := m.body.At(f.Pointer)
		if f.Object == nil || slices.ContainsFunc(m.owners, func(o bodyOwner) bool { return o.at == f.Pointer }) || v == nil || v.Kind >= value.Array {
			continue
		}
		n := len(m.owners)
		try(func(of string) bool {
			m.owners = append(m.owners[:n], bodyOwner{f.Pointer, of})
			return takes(m.fieldSchema(f.Pointer), m.cast.owner(of, Own))
		}, func() { m.owners = m.owners[:n] })
	}
}

// call makes a call, and the data that belong to it.
func (d *Deriver) call(m *model, a *Actor, relation string) *exchange.Exchange {
	d.now = noon
	claims := map[string]any{}
	if relation == Own {
		for _, name := range m.claims {
			claims[name] = anyList(m.cast.objects)
		}
	}
	d.world.set(d.places[m.op.ID], m.cast, relation, a.roles)
	return m.call(d.o.API, d.o.Name, a, relation, claims)
}

func anyList(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// Matrix fills in the table.
func (d *Deriver) Matrix(ctx context.Context) (*Matrix, error) {
	out := &Matrix{API: d.o.Name, Actors: d.actors}
	for _, op := range d.o.API.Operations {
		row := Operation{ID: op.ID, Method: op.Method, Path: op.Path, Cells: map[string]map[string]Outcome{}}
		for i := range d.actors {
			a := &d.actors[i]
			cells := map[string]Outcome{}
			for _, relation := range Relations {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("deriving the matrix: %w", err)
				}
				cells[relation] = d.cell(ctx, op, a, relation)
			}
			row.Cells[a.Name] = cells
		}
		out.Operations = append(out.Operations, row)
	}
	slices.SortFunc(out.Operations, func(a, b Operation) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// cell asks about one actor in one relation, and about what else it may depend on.
func (d *Deriver) cell(ctx context.Context, op *spec.Operation, a *Actor, relation string) Outcome {
	m := d.models[op.ID]
	if m == nil {
		return Outcome{Says: "unknown: " + d.failed[op.ID].Error()}
	}
	base, byDocument := d.ask(ctx, m, a, relation)
	if byDocument {
		return Outcome{Says: base, Rules: []string{"the document"}}
	}
	var on []string
	var turned *variant // one that changes the outcome
	var variants []variant
	if !d.o.Without {
		variants = d.variants(m)
	}
	for i := range variants {
		v := &variants[i]
		if slices.Contains(on, v.what) {
			continue
		}
		if says, _ := d.ask(ctx, m, a, relation, v); says != base {
			on = append(on, v.what)
			if turned == nil {
				turned = v
			}
		}
	}
	// What matters only when something else is right as well.
	if turned != nil {
		with, _ := d.ask(ctx, m, a, relation, turned)
		for i := range variants {
			v := &variants[i]
			if slices.Contains(on, v.what) {
				continue
			}
			if says, _ := d.ask(ctx, m, a, relation, turned, v); says != with {
				on = append(on, v.what)
			}
		}
	}
	if len(on) > 0 {
		slices.Sort(on)
		return Outcome{Says: "depends on " + strings.Join(on, ", ")}
	}
	return Outcome{Says: base}
}

func (d *Deriver) ask(ctx context.Context, m *model, a *Actor, relation string, variants ...*variant) (says string, byDocument bool) {
	x := d.call(m, a, relation)
	for _, v := range variants {
		v.apply(x)
	}
	verdict, byDocument := d.guard.Probe(ctx, x, nil)
	return m.cast.says(verdict, &x.Obligations, relation), byDocument
}
