package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/util"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/relation"
)

// store is something that holds the data and decides.
type store struct {
	name, what string
	// load reads the file and returns what makes the decider of a package.
	load func(path string) (func(module, pkg string) (decider, error), error)
}

// decider answers one call.
type decider func(ctx context.Context, input ast.Value) (bool, error)

const (
	opaMaps   = "opa"
	opaValues = "opa-ast"
	treeOf    = "crenel-tree"
	tablesOf  = "crenel"
)

var stores = []store{
	{opaMaps, "OPA, inmem store", func(path string) (func(string, string) (decider, error), error) { return loadOPA(path, false) }},
	{opaValues, "OPA, inmem store of AST values", func(path string) (func(string, string) (decider, error), error) { return loadOPA(path, true) }},
	{treeOf, "Crenel, the same data under `data:`", loadTree},
	{tablesOf, "Crenel, the same data under `sources:`", loadTables},
}

func readAll(path string) (map[string]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var v map[string]any
	if err := util.NewJSONDecoder(f).Decode(&v); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return v, nil
}

// loadOPA is OPA as a library, as its manual says it: a prepared query.
func loadOPA(path string, values bool) (func(string, string) (decider, error), error) {
	v, err := readAll(path)
	if err != nil {
		return nil, err
	}
	s := inmem.NewFromObjectWithOpts(v, inmem.OptReturnASTValuesOnRead(values), inmem.OptRoundTripOnWrite(false))
	return func(module, pkg string) (decider, error) {
		q, err := rego.New(rego.Query("data.bench."+pkg+".allow"), rego.Module("p.rego", module), rego.Store(s)).PrepareForEval(context.Background())
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, input ast.Value) (bool, error) {
			r, err := q.Eval(ctx, rego.EvalParsedInput(input))
			if err != nil || len(r) != 1 {
				return false, errors.Join(err, errors.New("no decision"))
			}
			return r.Allowed(), nil
		}, nil
	}, nil
}

func decide(part *authz.Part) func(string, string) (decider, error) {
	return func(module, pkg string) (decider, error) {
		m, err := ast.ParseModuleWithOpts("p.rego", module, ast.ParserOptions{RegoVersion: ast.RegoV1})
		if err != nil {
			return nil, err
		}
		e, err := authz.NewEngine("data.bench."+pkg+".allow", []authz.Source{{Name: "bench"}}, slog.New(slog.DiscardHandler), time.Now)
		if err != nil {
			return nil, err
		}
		p := *part
		p.Modules = map[string]*ast.Module{"p.rego": m}
		if err := e.Update(context.Background(), map[string]*authz.Part{"bench": &p}); err != nil {
			return nil, err
		}
		return func(ctx context.Context, input ast.Value) (bool, error) {
			now := time.Now()
			policy, err := e.Current(now)
			if err != nil {
				return false, err
			}
			v, err := policy.Evaluate(ctx, &authz.Evaluation{Input: input, Now: now, Limit: time.Second})
			if err != nil {
				return false, err
			}
			return v.Compare(ast.Boolean(true)) == 0, nil
		}, nil
	}
}

func loadTree(path string) (func(string, string) (decider, error), error) {
	v, err := readAll(path)
	if err != nil {
		return nil, err
	}
	obj, err := authz.Object(v)
	if err != nil {
		return nil, err
	}
	return decide(&authz.Part{Data: obj}), nil
}

// loadTables reads each member of the file into a table, as a source does.
func loadTables(path string) (func(string, string) (decider, error), error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	tables := map[string]authz.Table{}
	j := relation.NewJSON(io.Reader(f), nil)
	begun, err := j.Enter()
	if err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		name, more, err := j.Next(begun, first)
		if err != nil {
			return nil, err
		}
		if !more {
			return decide(&authz.Part{Tables: tables}), nil
		}
		b := relation.NewBuilder(relation.Limits{})
		j.To(b)
		if err := j.Value(); err != nil {
			return nil, err
		}
		d, err := b.Finish()
		if err != nil {
			return nil, err
		}
		tables[name] = relation.NewTable(d, name, 0)
	}
}
