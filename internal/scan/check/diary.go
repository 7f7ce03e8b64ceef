package check

import (
	"context"
	"fmt"
	"hash/fnv"
	"runtime"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// Diary remembers what a run has done, beyond its end: a run that was broken off
// goes on after it. It is safe for concurrent use.
type Diary interface {
	// Tried reports whether a part of a check (or Whole) was done by then.
	Tried(check, part string) bool
	// Did says that a part is done. What it proved and noted was told before.
	Did(check, part string)
	Noted(c Cell)
	Proved(p *Proof)
}

// Whole is the part of a check that is all of it.
const Whole = "whole"

// Recall makes what an earlier run found the lab's own. It is called before Run.
func (l *Lab) Recall(proofs []*Proof, cells []Cell) {
	l.begin()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range proofs {
		l.findings[p.Finding.Fingerprint], l.proofs[p.Finding.Fingerprint] = p.Finding, p
	}
	for _, c := range cells {
		if op := l.Graph.Op(c.Method, c.Path); op != nil {
			l.cells[cell{c.Check, op}] = c.State
		}
	}
}

// inside marks a context in which an element of Each is tried: what is done
// within is part of that element.
type inside struct{}

// part names an element of Each in the diary; "" is for what has no name that
// holds from run to run, and for what is done within another element.
func part(ctx context.Context, e any) string {
	if ctx.Value(inside{}) != nil {
		return ""
	}
	var name string
	switch e := e.(type) {
	case *graph.Op:
		name = e.Method + " " + e.Path
	case interface{ part() string }:
		name = e.part()
	default:
		return ""
	}
	return fmt.Sprintf("%x %s", way(), name)
}

// way tells apart two passes of one check over the same operations, by the calls that led here.
func way() uint32 {
	var pc [16]uintptr
	frames := runtime.CallersFrames(pc[:runtime.Callers(4, pc[:])]) // without way, part and Each
	h := fnv.New32a()
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, ".(*Lab).check") || !more {
			return h.Sum32()
		}
		_, _ = fmt.Fprintf(h, "%s:%d\n", f.Function, f.Line)
	}
}

func (p *Probe) tried(part string) bool {
	return p.Diary != nil && part != "" && p.Diary.Tried(p.Check.ID, part)
}

// did writes a part down, unless the run is ending: then it may be half done.
func (p *Probe) did(ctx context.Context, part string) {
	if p.Diary != nil && part != "" && ctx.Err() == nil && (p.Client == nil || p.Client.Over() == nil) {
		p.Diary.Did(p.Check.ID, part)
	}
}

func (c *chosen) part() string {
	if c.in == nil {
		return c.op.Method + " " + c.op.Path
	}
	return c.op.Method + " " + c.op.Path + " " + c.in.Where()
}
