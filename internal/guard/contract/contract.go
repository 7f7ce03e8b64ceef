package contract

import (
	"context"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/param"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// The names under which the guard's modes are set: requests by the guard's
// mode, answers by its "responses".
const (
	Name        = "contract"
	AnswerGuard = "contract_answer"
)

// Options are what the guard is made of.
type Options struct {
	API       *spec.API // nil: the API has no document, and nothing is checked
	Config    config.Contract
	Overrides []config.OperationOverride
	Log       *slog.Logger
}

// Guard checks calls against one API's document. It is immutable, but
// for shapes that are made when they are first asked for.
type Guard struct {
	api              *spec.API
	allowUnknownPath bool
	allowUnknownArgs bool
	strict           bool
	responses        string
	ops              []operation // by Operation.Index
	forms            map[*spec.MediaType]*formFields
	xml              xmlShapes
}

// operation is what is known of an operation before any call.
type operation struct {
	query   map[string]bool // names of query parameters that need no closer look
	extra   map[string]bool // query names that security schemes use
	cookies bool            // a cookie parameter is declared
	// semicolon: the path may hold one, in its template or by a parameter of style matrix.
	semicolon bool
	writable  []writable
	answers   map[string]*spec.Response
	places    []string // of each parameter: "query:limit"; "" for one that is ignored
	responses string   // "": the API's
}

// maxFaults is how many faults of one request are reported together.
const maxFaults = 8

// New compiles the guard.
func New(o Options) (*Guard, error) {
	g := &Guard{
		api:              o.API,
		allowUnknownPath: o.Config.Undocumented == "allow",
		allowUnknownArgs: o.Config.UnknownParameters == "allow",
		strict:           o.Config.UnknownProperties != "allow",
		responses:        o.Config.Responses,
	}
	if g.responses == "" {
		g.responses = "record"
	}
	if o.API == nil {
		return g, nil
	}
	g.forms = map[*spec.MediaType]*formFields{}
	g.ops = make([]operation, len(o.API.Operations))
	for i, op := range o.API.Operations {
		g.ops[i] = newOperation(o.API, op)
		g.addForms(op)
	}
	for i := range o.Overrides {
		ov := &o.Overrides[i]
		for _, op := range o.API.Operations {
			if ov.Responses != "" && ov.Matches(op.ID, op.Method, op.Path) {
				g.ops[op.Index].responses = ov.Responses
			}
		}
	}
	return g, g.addWritable(o.API, o.Overrides)
}

// placeOf is where in a request a parameter stands, "" when it is not looked for.
func placeOf(p *spec.Parameter) string {
	if p.In != "header" {
		return p.In + ":" + p.Name
	}
	if ignoredHeader[http.CanonicalHeaderKey(p.Name)] {
		return ""
	}
	return "header:" + strings.ToLower(p.Name)
}

// responsesOf is what becomes of an operation's answers.
func (g *Guard) responsesOf(op *spec.Operation) string {
	if r := g.ops[op.Index].responses; r != "" {
		return r
	}
	return g.responses
}

// addForms compiles the forms that an operation takes.
func (g *Guard) addForms(op *spec.Operation) {
	if op.Body == nil {
		return
	}
	for _, m := range op.Body.Content {
		if m.Schema == nil {
			continue
		}
		if f := newFormFields(m); f != nil {
			g.forms[m] = f
		}
	}
}

func newOperation(api *spec.API, op *spec.Operation) operation {
	n := operation{query: map[string]bool{}, extra: map[string]bool{}, answers: map[string]*spec.Response{}}
	n.semicolon = strings.Contains(op.Path, ";")
	for _, p := range op.Parameters {
		switch p.In {
		case "path":
			n.semicolon = n.semicolon || p.Style == "matrix"
		case "query":
			if param.Claims(p, p.Name) {
				n.query[p.Name] = true
			}
		case "cookie":
			n.cookies = true
		}
		n.places = append(n.places, placeOf(p))
	}
	for _, s := range api.SecuritySchemes {
		if s.Type == "apiKey" && s.In == "query" {
			n.extra[s.Key] = true
		}
	}
	for _, r := range op.Responses {
		n.answers[strings.ToUpper(r.Status)] = r
	}
	return n
}

// known reports whether a query parameter's name is declared: by its own name,
// or as a part of an object or a list that the query spells out.
func (n *operation) known(op *spec.Operation, name string) bool {
	if n.query[name] || n.extra[name] {
		return true
	}
	for _, p := range op.Parameters {
		if p.In == "query" && param.Claims(p, name) {
			return true
		}
	}
	return false
}

// OperationStep finds the operation. It is the first look: before identity, and
// without reading anything but method, host and path.
func (g *Guard) OperationStep() guard.Step {
	return guard.Step{Guard: Name, Phase: exchange.RequestHead, Rule: g.findOperation}
}

func (g *Guard) findOperation(_ context.Context, x *exchange.Exchange) exchange.Verdict {
	if g.api == nil {
		return exchange.Verdict{}
	}
	m := g.api.Route(x.Request.Method, "", x.Request.Relative)
	if m.Operation != nil {
		x.Operation, x.Request.PathParams = m.Operation, m.Params
		switch {
		case m.Rival:
			return unvalidated(x, exchange.Refuse("gateway.ambiguous_path", "path", "servers that ignore case, path parameters or extensions take it for another operation"))
		case strings.IndexByte(x.Request.Relative, ';') >= 0 && !g.ops[m.Operation.Index].semicolon:
			return unvalidated(x, exchange.Refuse("gateway.ambiguous_path", "path", "a semicolon begins path parameters, which the operation does not take; in a value it is written %3B"))
		}
		return exchange.Verdict{}
	}
	if g.allowUnknownPath {
		x.Unvalidated = true
		if !m.PathKnown && g.api.Resembles(x.Request.Relative) {
			return exchange.Refuse("gateway.ambiguous_path", "path", "servers that ignore case, path parameters, extensions or a slash at the end take it for a documented path")
		}
		return exchange.Verdict{}
	}
	x.Unvalidated = true
	if !m.PathKnown {
		return exchange.Refuse("contract.unknown_path", "path", "the document has no such path")
	}
	v := exchange.Refuse("contract.unknown_method", "method", "the document has the path, but not with this method")
	v.Header = map[string]string{"Allow": strings.Join(withHead(m.Allowed), ", ")}
	return v
}

// withHead adds HEAD, which is answered wherever GET is (RFC 9110 section 9.3.2).
func withHead(allowed []string) []string {
	if slices.Contains(allowed, "GET") && !slices.Contains(allowed, "HEAD") {
		allowed = append(slices.Clone(allowed), "HEAD")
	}
	return allowed
}

// mediaTypeFor returns the declared content entry that a media type falls under:
// the exact one, then a range of its type, then any.
func mediaTypeFor(content []*spec.MediaType, mediaType string) *spec.MediaType {
	var best *spec.MediaType
	rank := 0
	for _, c := range content {
		declared := c.Type
		if i := strings.IndexByte(declared, ';'); i >= 0 {
			declared = strings.TrimSpace(declared[:i])
		}
		r := 0
		switch {
		case declared == mediaType:
			r = 3
		case strings.HasSuffix(declared, "/*") && declared != "*/*" && strings.HasPrefix(mediaType, declared[:len(declared)-1]):
			r = 2
		case declared == "*/*" || declared == "*":
			r = 1
		}
		if r > rank {
			best, rank = c, r
		}
	}
	return best
}

// codeOf is the denial code of a schema fault; other is for faults with no code
// of their own.
func codeOf(f *schema.Fault, other string) string {
	if f.TimedOut {
		return "contract.pattern_timeout"
	}
	switch f.Keyword {
	case "unknownProperty", "additionalProperties", "unevaluatedProperties":
		return "contract.unknown_property"
	case "readOnly":
		return "contract.read_only"
	case "writableBy":
		return "contract.not_writable"
	}
	return other
}

// refuseFaults makes one verdict of several schema faults. The first names the
// verdict; at is put before each pointer.
func refuseFaults(x *exchange.Exchange, faults []schema.Fault, at, other string) exchange.Verdict {
	x.Unvalidated = true
	f := &faults[0]
	v := exchange.Refuse(codeOf(f, other), at+f.Pointer, f.Keyword+": "+f.Message)
	for i := 1; i < len(faults); i++ {
		f := &faults[i]
		v.More = append(v.More, exchange.Fault{Code: codeOf(f, other), At: at + f.Pointer, Reason: f.Keyword + ": " + f.Message})
	}
	return v
}

// mayWrite answers the schema's question whether the caller holds one of roles.
func mayWrite(x *exchange.Exchange) func(roles []string) bool {
	return func(roles []string) bool {
		for _, r := range roles {
			if slices.Contains(x.Identity.Roles, r) {
				return true
			}
		}
		return false
	}
}

// contentType reads a media type from a header line.
func contentType(line string) string {
	if line == "" || line == "application/json" {
		return line
	}
	mt, _, err := mime.ParseMediaType(line)
	if err != nil {
		return ""
	}
	return mt
}
