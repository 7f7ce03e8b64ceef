package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/authz/bundle"
	"github.com/crenel-project/crenel/internal/guard/authz/relation/source"
	"github.com/crenel-project/crenel/internal/guard/authz/trace"
	"github.com/crenel-project/crenel/internal/guard/contract"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// triedRequest is the file of policy try.
type triedRequest struct {
	Method   string            `json:"method"`
	Host     string            `json:"host"`
	Path     string            `json:"path"` // with the query
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body"`
	ClientIP string            `json:"client_ip"`
	Time     time.Time         `json:"time"`
	Risk     float64           `json:"risk"`
	Identity *triedIdentity    `json:"identity"` // none: an anonymous call
}

// triedIdentity is who makes the call; what a verified token would have said.
type triedIdentity struct {
	Subject  string         `json:"subject"`
	Issuer   string         `json:"issuer"`
	Method   string         `json:"method"`   // default "jwt"
	Verified *bool          `json:"verified"` // default true
	ClientID string         `json:"client_id"`
	Tenant   string         `json:"tenant"`
	Scopes   []string       `json:"scopes"`
	Roles    []string       `json:"roles"`
	Claims   map[string]any `json:"claims"`
	Schemes  []string       `json:"schemes"` // default: all of the document
}

func newPolicyTry() *cobra.Command {
	var file, api, kind string
	var request triedFlags
	var data []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "try [PATH]",
		Short: "Show what the policy decides on a request, and how it came to it",
		Long: `Show what authz decides on a request: the input document, the rules that held, the
expressions that failed and, with --trace, the steps of the evaluation. Nothing is sent. The request stands in a file, or on the command line
as for curl; the caller is who the file or --as says, and no credentials are
checked. Exits with 1 when the call is refused.

Data come from the config's sources, each of which is read once; with --data they
come from files in their stead, such as {"owners": {"7": "alice"}}.

The file is an HTTP request as it is sent (GET /pets/7, header fields, an empty
line, the body), or {"method": "GET", "path": "/pets/7?full=true", "headers": {}, "body": {},
"identity": {"subject": "alice", "roles": [], "scopes": [], "tenant": "", "claims": {}},
"client_ip": "192.0.2.7", "time": "2026-01-01T12:00:00Z", "risk": 0}`,
		Args: cobra.MaximumNArgs(1),
		Example: examples("crenel policy try --request request.json", "crenel policy try /pets/7 --as alice --role customer --scope pets:read",
			"crenel policy try --request call.http --as alice --trace fails", "crenel policy try --request request.json --json | jq .input"),
		RunE: func(c *cobra.Command, args []string) error {
			r, err := request.read(strings.Join(args, ""))
			if err != nil {
				return err
			}
			e, err := tryPolicy(c.Context(), file, api, r, kind, data)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(c, triedOf(e))
			} else {
				err = printTried(newPrinter(c.OutOrStdout()), e)
			}
			if err == nil && e.Verdict.Action != exchange.Allow {
				err = errReported
			}
			return err
		},
	}
	configFlag(c, &file)
	request.add(c)
	c.Flags().StringVar(&api, "api", "", "the `name` of the API, when the config has several")
	c.Flags().StringArrayVar(&data, "data", nil, "a data `file` or folder, JSON or YAML, in the place of the config's sources; may be repeated")
	c.Flags().StringVar(&kind, "trace", trace.None, "`which` steps of the evaluation to show too: full, fails, notes or none")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func tryPolicy(ctx context.Context, file, api string, r *triedRequest, kind string, data []string) (*authz.Explanation, error) {
	ac, err := policyAPI(file, api, func(ac *config.API) bool {
		return len(ac.Guards.Authz.Bundles) > 0 || len(data) == 0 && len(ac.Guards.Authz.Sources) > 0
	})
	if err != nil {
		return nil, err
	}
	var doc *spec.API
	if ac.Spec != "" {
		if doc, err = spec.Load(ctx, ac.Spec, spec.LoadOptions{AllowRemote: ac.RemoteRefs, BasePaths: []string{""}}); err != nil {
			return nil, err
		}
	}
	x, err := r.exchange(ctx, ac, doc)
	if err != nil {
		return nil, err
	}
	now := time.Now
	if !r.Time.IsZero() {
		now = func() time.Time { return r.Time }
	}
	if len(data) > 0 {
		fixtures := *ac
		fixtures.Guards.Authz.Sources = nil
		fixtures.Guards.Authz.Data = slices.Concat(ac.Guards.Authz.Data, data)
		ac = &fixtures
	}
	// A pool without a folder: what the running gateway keeps there is its own.
	feeds, err := gateway.PolicyFeeds(ac, gateway.Deps{
		Bundles: bundle.NewPool("", nil, now), Relations: source.NewPool(slog.New(slog.DiscardHandler), now),
	})
	if err != nil {
		return nil, err
	}
	g, err := authz.New(authz.Options{API: doc, Config: ac.Guards.Authz, Feeds: feeds, Overrides: ac.Operations, Authenticates: len(ac.Guards.Authn.Methods) > 0, Now: now})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	return g.Explain(ctx, x, kind)
}

// exchange makes what the gateway would hand to authz: the operation found, the
// parameters typed, the body decoded. What the contract would refuse is an error.
func (r *triedRequest) exchange(ctx context.Context, ac *config.API, doc *spec.API) (*exchange.Exchange, error) {
	u, err := url.ParseRequestURI(r.Path)
	if err != nil {
		return nil, fmt.Errorf("reading the request: path: %w", err)
	}
	x := &exchange.Exchange{ID: "try", Start: r.Time, API: ac.Name, Spec: doc, Risk: r.Risk}
	if r.ClientIP != "" {
		if x.Client, err = netip.ParseAddr(r.ClientIP); err != nil {
			return nil, fmt.Errorf("reading the request: client_ip: %w", err)
		}
	}
	q := &x.Request
	q.Method, q.Scheme, q.Host, q.Path, q.RawPath, q.Query, q.Header = strings.ToUpper(r.Method), "https", strings.ToLower(r.Host), u.Path, u.EscapedPath(), u.RawQuery, http.Header{}
	for n, v := range r.Headers {
		q.Header.Set(n, v)
	}
	if len(r.Body) > 0 && q.Header.Get("Content-Type") == "" {
		q.Header.Set("Content-Type", "application/json")
	}
	if doc == nil {
		r.identify(x, nil)
		return x, r.decode(x, nil)
	}
	rules, err := contract.New(contract.Options{API: doc, Config: ac.Guards.Contract, Overrides: ac.Operations})
	if err != nil {
		return nil, err
	}
	if err := findTried(ctx, rules, x, bases(ac, doc)); err != nil {
		return nil, err
	}
	r.identify(x, doc)
	if err := r.decode(x, func(mediaType string) value.XMLShape { return rules.RequestXML(x.Operation, mediaType) }); err != nil {
		return nil, err
	}
	if x.Operation == nil {
		return x, nil
	}
	if v := rules.ParameterStep().Rule(ctx, x); v.Action != exchange.Allow {
		return nil, fmt.Errorf("the contract refuses the request first: %s at %s: %s", v.Code, v.At, v.Reason)
	}
	if step := rules.BodyStep(); step.Applies(x.Operation) {
		if v := step.Rule(ctx, x); v.Action != exchange.Allow {
			return nil, fmt.Errorf("the contract refuses the request first: %s at %s: %s", v.Code, v.At, v.Reason)
		}
	}
	return x, nil
}

// decode reads the body by its content type, JSON where there is none. In a JSON
// file, a body of another type is a string.
func (r *triedRequest) decode(x *exchange.Exchange, shape func(string) value.XMLShape) error {
	if len(r.Body) == 0 {
		return nil
	}
	q, data := &x.Request, []byte(r.Body)
	b := gateway.DecodeBody(q.Header, data, value.Limits{}, shape)
	if text := ""; !strings.HasSuffix(b.MediaType, "json") && json.Unmarshal(data, &text) == nil {
		data = []byte(text)
		b = gateway.DecodeBody(q.Header, data, value.Limits{}, shape)
	}
	if b.Err != nil {
		return fmt.Errorf("reading the request: body: %w", b.Err)
	}
	q.MediaType, q.Length, q.Body = b.MediaType, int64(len(data)), b
	return nil
}

// bases are the paths under which the API may be served.
func bases(ac *config.API, doc *spec.API) []string {
	var out []string
	if ac.BasePath != nil {
		out = append(out, strings.TrimSuffix(*ac.BasePath, "/"))
	} else {
		for _, s := range doc.Servers {
			out = append(out, strings.TrimSuffix(s.BasePath, "/"))
		}
	}
	return append(out, "")
}

// findTried finds the operation of a path that is written with its base or without.
func findTried(ctx context.Context, rules *contract.Guard, x *exchange.Exchange, bases []string) error {
	var v exchange.Verdict
	for _, base := range bases {
		rest, ok := strings.CutPrefix(x.Request.RawPath, base)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		x.Request.Relative = rest
		if rest == "" {
			x.Request.Relative = "/"
		}
		if v = rules.OperationStep().Rule(ctx, x); v.Action == exchange.Allow && x.Operation != nil {
			x.Unvalidated = false
			return nil
		}
	}
	if v.Action == exchange.Allow {
		return nil
	}
	return fmt.Errorf("the contract refuses the request first: %s: %s", v.Code, v.Reason)
}

func (r *triedRequest) identify(x *exchange.Exchange, doc *spec.API) {
	i := r.Identity
	if i == nil {
		return
	}
	x.Identity = exchange.Identity{
		Subject: i.Subject, Issuer: i.Issuer, Method: i.Method, Verified: i.Verified == nil || *i.Verified, ClientID: i.ClientID,
		Tenant: i.Tenant, Scopes: i.Scopes, Roles: i.Roles, Claims: i.Claims, Schemes: i.Schemes,
	}
	if x.Identity.Method == "" {
		x.Identity.Method = "jwt"
	}
	if i.Schemes == nil && doc != nil {
		for name := range doc.SecuritySchemes {
			x.Identity.Schemes = append(x.Identity.Schemes, name)
		}
		slices.Sort(x.Identity.Schemes)
	}
}

// tried is what policy try prints with --json.
type tried struct {
	Document    told   `json:"document"`       // what the document's own policy rules
	Rule        string `json:"rule,omitempty"` // the policy's, which decides
	Asked       bool   `json:"asked"`
	Decision    told   `json:"decision"`
	Obligations any    `json:"obligations,omitempty"`
	Input       any    `json:"input"`
	trace.Steps
	Nanoseconds int64 `json:"took_ns,omitempty"`
}

type told struct {
	Allow  bool   `json:"allow"`
	Code   string `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func toldOf(v exchange.Verdict) told {
	return told{Allow: v.Action == exchange.Allow, Code: v.Code, Reason: v.Reason}
}

func triedOf(e *authz.Explanation) *tried {
	t := &tried{
		Document: toldOf(e.BuiltIn), Rule: e.Rule, Asked: e.Asked, Decision: toldOf(e.Verdict),
		Input: e.Input, Steps: e.Steps, Nanoseconds: e.Took.Nanoseconds(),
	}
	if !e.Obligations.Empty() {
		t.Obligations = obligationsOf(&e.Obligations)
	}
	return t
}

// obligationsOf writes obligations as a policy does.
func obligationsOf(o *exchange.Obligations) any {
	type mask struct {
		At    string          `json:"at"`
		Kind  string          `json:"kind"`
		Value json.RawMessage `json:"value,omitempty"`
	}
	type answer struct {
		At string   `json:"at"`
		In []string `json:"in"`
	}
	type keep struct {
		At       string             `json:"at"`
		Where    exchange.Condition `json:"where"`
		Optional bool               `json:"optional,omitempty"`
	}
	out := struct {
		Strip   []string          `json:"strip,omitempty"`
		Mask    []string          `json:"mask,omitempty"`
		Masks   []mask            `json:"masks,omitempty"`
		Headers map[string]string `json:"headers,omitempty"`
		Query   map[string]string `json:"query,omitempty"`
		Answer  []answer          `json:"answer,omitempty"`
		Keep    []keep            `json:"keep,omitempty"`
	}{Strip: o.Strip, Mask: o.Mask, Headers: o.Headers, Query: o.Query}
	for _, m := range o.Masks {
		out.Masks = append(out.Masks, mask{m.At, m.Kind, json.RawMessage(m.Text)})
	}
	for _, a := range o.Answer {
		out.Answer = append(out.Answer, answer(a))
	}
	for _, k := range o.Keep {
		out.Keep = append(out.Keep, keep{k.At, k.Where, k.Optional})
	}
	return out
}

func printTried(p *printer, e *authz.Explanation) error {
	input, err := json.MarshalIndent(e.Input, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the input: %w", err)
	}
	p.linef("%s\n%s", p.bold("input"), input)
	printTrace(p, &e.Steps)
	printHeld(p, &e.Steps)
	p.linef("\n%s  %s", p.bold("document"), ruling(p, e.BuiltIn))
	switch {
	case e.Rule == "":
		p.linef("%s    none in the config", p.bold("policy"))
	case !e.Asked:
		p.linef("%s    %s is not asked", p.bold("policy"), e.Rule)
	default:
		p.linef("%s    %s, by %s in %s", p.bold("policy"), ruling(p, e.Verdict), e.Rule, e.Took.Round(time.Microsecond))
	}
	if !e.Obligations.Empty() {
		b, err := json.MarshalIndent(obligationsOf(&e.Obligations), "", "  ")
		if err != nil {
			return fmt.Errorf("writing the obligations: %w", err)
		}
		p.linef("%s\n%s", p.bold("obligations"), b)
	}
	p.linef("%s  %s", p.bold("decision"), ruling(p, e.Verdict))
	return nil
}

func ruling(p *printer, v exchange.Verdict) string {
	word := p.green("allow")
	if v.Action != exchange.Allow {
		word = p.red("deny") + " " + v.Code
	}
	if v.Reason != "" {
		word += " (" + plain(strings.Join(strings.Fields(v.Reason), " ")) + ")"
	}
	return word
}
