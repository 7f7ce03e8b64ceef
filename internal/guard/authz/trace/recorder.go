package trace

import "github.com/open-policy-agent/opa/v1/topdown"

// Recorder is a tracer that keeps what it is told. With it every rule is tried,
// also those that OPA's index of the rules leaves out because they cannot hold: to
// a person who asks why not, those are the ones to see. A rule that is left out
// otherwise may fail with an error, so that what comes of such an evaluation is to
// be looked at and is no decision.
type Recorder struct{ topdown.BufferTracer }

// Events are what it was told.
func (r *Recorder) Events() []*topdown.Event { return r.BufferTracer }
