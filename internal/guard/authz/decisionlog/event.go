package decisionlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"

	"github.com/crenel-project/crenel/internal/guard/authz"
)

// Event is one decision in OPA's decision log format, version 1: the members
// are those of EventV1 in its plugins/logs, and mean the same.
type Event struct {
	Labels     map[string]string     `json:"labels"`
	DecisionID string                `json:"decision_id"` // the request's id
	Bundles    map[string]BundleInfo `json:"bundles,omitempty"`
	// Path is that of the rule that decided, "crenel/authz/decision"; of a decision
	// that the document's own policy made it is DocumentPath.
	Path  string          `json:"path,omitempty"`
	Input json.RawMessage `json:"input,omitempty"`
	// Result is what the rule said; none when it was undefined or failed.
	Result json.RawMessage `json:"result,omitempty"`
	// MappedResult is what became of the result: the obligations that it came to,
	// with the conditions on rows that were worked out for it. None when there are none.
	MappedResult json.RawMessage `json:"mapped_result,omitempty"`
	// NDBuiltinCache holds what non-deterministic functions returned: function →
	// arguments as a JSON array's text → result.
	NDBuiltinCache json.RawMessage `json:"nd_builtin_cache,omitempty"`
	Erased         []string        `json:"erased,omitempty"`
	Masked         []string        `json:"masked,omitempty"`
	Error          *EventError     `json:"error,omitempty"`
	RequestedBy    string          `json:"requested_by,omitempty"` // the client's address
	Timestamp      time.Time       `json:"timestamp"`
	Metrics        *Metrics        `json:"metrics,omitempty"`
	RequestID      uint64          `json:"req_id,omitempty"` // counts the decisions of one run of the gateway
	Custom         *Custom         `json:"custom,omitempty"`
}

// DocumentPath is the Path of decisions that the document's own policy made.
const DocumentPath = "crenel/document"

// BundleInfo says which revision of a bundle decided.
type BundleInfo struct {
	Revision string `json:"revision,omitempty"`
}

// EventError says why a decision could not be made.
type EventError struct {
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
}

// Metrics are named as OPA names them.
type Metrics struct {
	Eval int64 `json:"timer_rego_query_eval_ns,omitempty"`
}

// Custom is what OPA has no member for.
type Custom struct {
	Crenel Crenel `json:"crenel"`
}

// Crenel is what the guard knows of a decision beside OPA's members.
type Crenel struct {
	API       string `json:"api"`
	Operation string `json:"operation,omitempty"`
	Allowed   bool   `json:"allowed"`
	// Code of the denial, "" when the call was allowed.
	Code string `json:"code,omitempty"`
	// Policy and Data are the revisions that decided: digests of what was loaded.
	Policy string `json:"policy,omitempty"`
	Data   string `json:"data_revision,omitempty"`
	// Reads are what was read of tables of relations, which are too large to be kept.
	Reads []TableRead `json:"reads,omitempty"`
	// Inexact says that the input holds text that JSON cannot (it is not UTF-8), so
	// that the decision cannot be made again exactly.
	Inexact bool `json:"inexact,omitempty"`
	// WithoutBody says that the call had a body that no guard had to read, so that
	// the input holds none.
	WithoutBody bool `json:"without_body,omitempty"`
}

// TableRead is one value as it was read; none when nothing was there.
type TableRead struct {
	Path  []string        `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// About are the guard's own members; never nil.
func (e *Event) About() *Crenel {
	if e.Custom == nil {
		return &Crenel{}
	}
	return &e.Custom.Crenel
}

// InputValue returns the input as the policy saw it.
func (e *Event) InputValue() (ast.Value, error) {
	if len(e.Input) == 0 {
		return nil, fmt.Errorf("decision %s has no input", e.DecisionID)
	}
	v, err := readValue(e.Input)
	if err != nil {
		return nil, fmt.Errorf("reading the input of decision %s: %w", e.DecisionID, err)
	}
	return v, nil
}

// ResultValue returns what the policy said, nil when it said nothing.
func (e *Event) ResultValue() (ast.Value, error) {
	if len(e.Result) == 0 {
		return nil, nil //nolint:nilnil // undefined is neither a value nor an error
	}
	v, err := readValue(e.Result)
	if err != nil {
		return nil, fmt.Errorf("reading the result of decision %s: %w", e.DecisionID, err)
	}
	return v, nil
}

// NDCache returns what non-deterministic functions returned, for an evaluation
// that is to be the same; empty when there were none.
func (e *Event) NDCache() (builtins.NDBCache, error) {
	out := builtins.NDBCache{}
	if len(e.NDBuiltinCache) == 0 {
		return out, nil
	}
	v, err := readValue(e.NDBuiltinCache)
	if err != nil {
		return nil, fmt.Errorf("reading nd_builtin_cache of decision %s: %w", e.DecisionID, err)
	}
	functions, ok := v.(ast.Object)
	if !ok {
		return nil, fmt.Errorf("nd_builtin_cache of decision %s is not an object", e.DecisionID)
	}
	err = functions.Iter(func(name, calls *ast.Term) error {
		function, isText := name.Value.(ast.String)
		results, isObject := calls.Value.(ast.Object)
		if !isText || !isObject {
			return fmt.Errorf("nd_builtin_cache of decision %s: %s is not an object of results", e.DecisionID, name)
		}
		return results.Iter(func(args, result *ast.Term) error {
			text, _ := args.Value.(ast.String)
			// JSON has no keys but strings: the arguments are in there, as an array's text.
			list, err := readValue([]byte(text))
			if err != nil {
				return fmt.Errorf("nd_builtin_cache of decision %s: arguments of %s: %w", e.DecisionID, name, err)
			}
			out.Put(string(function), list, result.Value)
			return nil
		})
	})
	return out, err
}

// Recorded is all that the decision was made on.
func (e *Event) Recorded() (*authz.Recorded, error) {
	r := &authz.Recorded{Time: e.Timestamp}
	var err error
	if r.Input, err = e.InputValue(); err != nil {
		return nil, err
	}
	if r.Observed, err = e.NDCache(); err != nil {
		return nil, err
	}
	for _, t := range e.About().Reads {
		read := authz.Read{Path: t.Path}
		if len(t.Value) > 0 {
			if read.Value, err = readValue(t.Value); err != nil {
				return nil, fmt.Errorf("reading what decision %s read: %w", e.DecisionID, err)
			}
		}
		r.Reads = append(r.Reads, read)
	}
	return r, nil
}

// readValue reads JSON as OPA's value; numbers keep their text.
func readValue(b []byte) (ast.Value, error) {
	v, err := decodeAny(b)
	if err != nil {
		return nil, err
	}
	return ast.InterfaceToValue(v)
}

// decodeAny reads one JSON value and nothing after it.
func decodeAny(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more after the value")
	}
	return v, nil
}
