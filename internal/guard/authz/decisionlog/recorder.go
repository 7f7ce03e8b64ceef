package decisionlog

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"strings"
	"sync/atomic"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
)

// Sampled reports whether a request is in a sample of this share: always the same
// for one id.
func Sampled(id string, share float64) bool {
	if share >= 1 || share <= 0 {
		return share >= 1
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	// FNV's high bits hardly move with the last byte: they are mixed once more.
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], h.Sum64())
	h.Reset()
	_, _ = h.Write(b[:])
	return float64(h.Sum64()) < share*math.MaxUint64
}

// Recorder records the decisions of one API's guard.
func (l *Log) Recorder(api string) authz.Recorder { return &recorder{log: l, api: api} }

type recorder struct {
	log    *Log
	api    string
	policy atomic.Pointer[known] // the one that decided last
}

type known struct {
	policy *authz.Policy
	log    *Policy
}

// Wants reports what of a call is kept.
func (r *recorder) Wants(id string) (allowed, denied bool) {
	return Sampled(id, r.log.o.Sample), Sampled(id, r.log.o.Denied)
}

// entryBytes is about what an entry takes beside bodies and data.
const entryBytes = 3 << 10

// Record hands a decision over.
func (r *recorder) Record(d *authz.Record) error {
	x := d.Exchange
	e := &Entry{
		ID: x.ID, API: r.api, Client: x.Client, Time: d.Time, Path: DocumentPath, Input: d.Input, Result: d.Result, ND: d.Observed, Took: d.Took,
		Allowed: d.Verdict.Action == exchange.Allow, Code: d.Verdict.Code, WithoutBody: d.WithoutBody, Reads: d.Reads, Size: entryBytes,
	}
	if x.Operation != nil {
		e.Operation = x.Operation.ID
	}
	if x.Request.Body != nil {
		e.Size += 4 * len(x.Request.Body.Bytes) // the bytes and the tree
	}
	if d.Policy != nil {
		e.Path = strings.ReplaceAll(strings.TrimPrefix(d.Policy.Rule(), "data."), ".", "/")
		e.Policy = r.known(d.Policy)
	}
	if d.Err != nil && !authz.Undefined(d.Err) {
		e.Error = d.Err.Error()
	}
	if !d.Obligations.Empty() {
		e.Obligations = &d.Obligations
	}
	return r.log.Record(e)
}

func (r *recorder) known(p *authz.Policy) *Policy {
	if k := r.policy.Load(); k != nil && k.policy == p {
		return k.log
	}
	k := &known{policy: p, log: PolicyOf(p)}
	r.policy.Store(k)
	return k.log
}

// PolicyOf is a policy as the log needs it.
func PolicyOf(p *authz.Policy) *Policy {
	out := &Policy{Identify: p.Digests, Archive: p.Archive, Bundles: map[string]string{}}
	for source, revision := range p.Revisions() {
		if revision != "" {
			out.Bundles[strings.TrimPrefix(source, "bundle:")] = revision
		}
	}
	if rules := p.LogRules(); rules != nil {
		out.Rules = rules
	}
	return out
}
