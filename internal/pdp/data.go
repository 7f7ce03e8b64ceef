package pdp

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
	"github.com/crenel-project/crenel/internal/value"
)

// dataAnswer is OPA's answer to a question for a document (Data API, v1).
type dataAnswer struct {
	DecisionID  string         `json:"decision_id"`
	Provenance  *provenance    `json:"provenance,omitempty"`
	Explanation []string       `json:"explanation,omitempty"`
	Metrics     map[string]any `json:"metrics,omitempty"`
	Result      *any           `json:"result,omitempty"` // left out when undefined
	Warning     *warning       `json:"warning,omitempty"`
}

type provenance struct {
	Version string                       `json:"version"`
	Bundles map[string]map[string]string `json:"bundles,omitempty"` // name → revision
}

type warning struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// data answers GET and POST /v1/data/….
func (q *question) data(ctx context.Context) (*answer, *failure) {
	path, f := q.document()
	if f != nil {
		return nil, f
	}
	if !q.client.may(path) {
		return nil, fail("decision.forbidden", "the key's holder may not ask for this document")
	}
	input, warn, f := q.input()
	if f != nil {
		return nil, f
	}
	kind, f := q.trace()
	if f != nil {
		return nil, f
	}
	a, err := q.guard.Ask(ctx, path, input, kind)
	if err != nil {
		q.ruled(false, "decision.failed", err.Error(), 0, map[string]any{"document": strings.Join(path, "/")})
		return nil, q.evaluationFailed(err)
	}
	out := dataAnswer{DecisionID: q.x.ID, Warning: warn}
	if a.Value != nil {
		v, err := ast.JSON(a.Value)
		if err != nil {
			return nil, q.evaluationFailed(err)
		}
		out.Result = &v
	}
	if flag(q.r, "provenance") {
		out.Provenance = q.provenance(a.Policy)
	}
	if flag(q.r, "metrics") {
		out.Metrics = map[string]any{"timer_rego_query_eval_ns": a.Took.Nanoseconds(), "timer_server_handler_ns": q.h.now().Sub(q.begin).Nanoseconds()}
	}
	if kind != trace.None {
		out.Explanation = strings.Split(strings.TrimRight(a.Trace, "\n"), "\n")
	}
	detail := map[string]any{"document": strings.Join(path, "/"), "revisions": a.Policy.Revisions(), "defined": a.Value != nil}
	allow := a.Value != nil
	switch v := a.Value.(type) {
	case ast.Boolean:
		detail["result"], allow = bool(v), bool(v)
	case ast.Object:
		if t := v.Get(ast.StringTerm("allow")); t != nil {
			detail["result"], allow = t.Value.Compare(ast.Boolean(true)) == 0, t.Value.Compare(ast.Boolean(true)) == 0
		}
	}
	q.ruled(allow, "", "", a.Took, detail)
	return &answer{body: out}, nil
}

// document is the path behind /v1/data, each step decoded by itself.
func (q *question) document() ([]string, *failure) {
	rest := strings.Trim(strings.TrimPrefix(q.path, "/v1/data"), "/")
	if rest == "" {
		return nil, nil
	}
	steps := strings.Split(rest, "/")
	for i, s := range steps {
		plain, err := url.PathUnescape(s)
		if err != nil || plain == "" {
			return nil, fail("decision.request", "the path is not well formed")
		}
		steps[i] = plain
	}
	return steps, nil
}

// input is the question's: the member "input" of a body, or the query parameter.
func (q *question) input() (ast.Value, *warning, *failure) {
	switch q.r.Method {
	case http.MethodGet:
		text := q.r.URL.Query().Get("input")
		if text == "" {
			return nil, nil, nil
		}
		v, f := q.decode([]byte(text))
		if f != nil {
			return nil, nil, f
		}
		return authz.Input(v), nil, nil
	case http.MethodPost:
	default:
		return nil, nil, fail("decision.request", "ask with GET or POST")
	}
	body, f := q.body()
	if f != nil {
		return nil, nil, f
	}
	missing := &warning{"api_usage_warning", "'input' key missing from the request"}
	if body == nil {
		return nil, missing, nil
	}
	if body.Kind != value.Object {
		return nil, nil, fail("decision.request", `the body must be an object: {"input": …}`)
	}
	in := member(body, "input")
	if in == nil || in.Kind == value.Null {
		return nil, missing, nil
	}
	return authz.Input(in), nil, nil
}

func member(v *value.Value, name string) *value.Value {
	for i := range v.Kids {
		if v.Kids[i].Name == name {
			return &v.Kids[i]
		}
	}
	return nil
}

// trace reads explain, which only some may use.
func (q *question) trace() (string, *failure) {
	switch kind := q.r.URL.Query().Get("explain"); kind {
	case "", "off":
		return trace.None, nil
	case trace.Notes, trace.Fails, trace.Full, "debug":
		if !q.client.Explain {
			return "", fail("decision.forbidden", "the key's holder may not see explanations")
		}
		if kind == "debug" {
			kind = trace.Full
		}
		return kind, nil
	}
	return "", fail("decision.request", "explain is one of notes, fails, full, debug and off")
}

func (q *question) provenance(p *authz.Policy) *provenance {
	out := &provenance{Version: q.h.version, Bundles: map[string]map[string]string{}}
	for source, revision := range p.Revisions() {
		if name, ok := strings.CutPrefix(source, "bundle "); ok {
			out.Bundles[name] = map[string]string{"revision": revision}
		}
	}
	return out
}
