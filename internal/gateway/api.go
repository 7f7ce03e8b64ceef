package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway/token"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/login"
	"github.com/crenel-project/crenel/internal/guard/authn/posture"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/guard/contract"
	"github.com/crenel-project/crenel/internal/guard/limit"
	"github.com/crenel-project/crenel/internal/guard/upload"
	"github.com/crenel-project/crenel/internal/guard/waf"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/value"
)

// api is one API, compiled.
type api struct {
	cfg              *config.API
	spec             *spec.API
	bases            []string // under which it is served, escaped: "" or "/v1"
	chain            *guard.Chain
	doorstep         *guard.Chain // what requests to its own endpoints go through
	endpoints        []Endpoint
	preflight        *guard.Chain // what a CORS preflight goes through, beside the cors section
	settings         guard.Settings
	rules            *contract.Guard
	body             bodyLimits
	bodyOf           []int64 // by Operation.Index; 0: the API's
	answerValues     value.Limits
	responseLimit    int64
	stripCredentials bool
	masks            masks
	filterHeaders    []string                  // in which conditions on rows go to the upstream
	upstreams        atomic.Pointer[Upstreams] // for questions of the gateway's own
	now              func() time.Time
	policy           *authz.Guard
	limits           *limit.Guard
	closers          []func() error
	warm             func()
	checks           []namedCheck
	// sessions are those of browsers that the API takes; nil when it takes none.
	sessions   *login.Sessions
	passCookie bool
	token      *token.Source // of access tokens for the upstream; nil when it gets none
}

type namedCheck struct {
	name  string
	ready func() error
}

// newAPI loads an API's document and builds its guards.
func (g *Gateway) newAPI(ctx context.Context, ac *config.API) (a *api, err error) {
	cfg, deps := g.cfg, g.deps
	a = &api{cfg: ac, now: deps.Now}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
			a = nil
		}
	}()
	if ac.Spec != "" {
		a.spec, err = spec.Load(ctx, ac.Spec, spec.LoadOptions{Client: deps.Client, AllowRemote: ac.RemoteRefs, BasePaths: []string{""}})
		if err != nil {
			return a, fmt.Errorf("loading %s: %w", ac.Spec, err)
		}
	}
	if err := a.setBases(); err != nil {
		return a, err
	}
	a.setLimits(cfg.Server.Limits)
	a.stripCredentials = ac.Upstream.Credentials == "strip"
	a.filterHeaders = authz.FilterHeaders(ac.Guards.Authz)
	if a.masks, err = newMasks(ac.Guards.Authz.MaskKey.Reveal()); err != nil {
		return a, err
	}
	overrides, err := matchOverrides(a.spec, ac.Operations)
	if err != nil {
		return a, err
	}
	a.setBodyLimits(overrides)
	a.settings = settings(ac, overrides)
	a.sessions, a.passCookie = g.sessionsOf(ac)
	if ac.Upstream.Token != nil {
		if a.token, err = token.New(token.Options{Config: *ac.Upstream.Token, Client: deps.Client, Now: deps.Now, Log: deps.Log}); err != nil {
			return a, err
		}
		a.closers = append(a.closers, func() error { a.token.Close(); return nil })
		a.checks = append(a.checks, namedCheck{"upstream token", a.token.Ready})
	}
	if l := g.logins[ac.Name]; l != nil {
		a.checks = append(a.checks, namedCheck{login.Name, l.Ready})
	}
	steps, err := a.steps(ctx, cfg, deps)
	if err != nil {
		return a, err
	}
	a.chain = guard.NewChain(a.spec, steps, a.settings, deps.Log)
	return a, nil
}

// steps builds the guards and puts their steps in the order of the walk: cheap
// ones first, identity before what depends on it, the policy last since it sees
// what all the others found.
func (a *api) steps(ctx context.Context, cfg *config.Config, deps Deps) ([]guard.Step, error) {
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	g := &a.cfg.Guards
	lo := limit.Options{API: a.spec, Name: a.cfg.Name, Config: g.Limit, Overrides: a.cfg.Operations, Store: deps.Buckets, Log: deps.Log, Now: deps.Now}
	lo.Shared, _ = deps.State.(state.Buckets)
	lo.Marks = deps.State
	lo.KeyRates = slices.ContainsFunc(g.Authn.Methods, func(m config.AuthnMethod) bool { return m.APIKey != nil })
	limits, err := limit.New(lo)
	note(err)
	if limits != nil {
		a.closers = append(a.closers, func() error { limits.Close(); return nil })
		if limits.Shared() {
			a.checks = append(a.checks, namedCheck{"limit", limits.Ready})
		}
	}
	rules, err := contract.New(contract.Options{API: a.spec, Config: g.Contract, Overrides: a.cfg.Operations, Log: deps.Log})
	note(err)
	ao := authn.Options{Name: a.cfg.Name, API: a.spec, Config: g.Authn, Overrides: a.cfg.Operations, Log: deps.Log, Now: deps.Now, Client: deps.Client, Keys: deps.Keys, Ask: a.ask, State: deps.State, StateMaxAge: cfg.State.MaxAge, PublicURL: a.cfg.PublicURL}
	if a.sessions != nil {
		ao.Sessions = a.sessions // an interface that holds nil would not be nil
	}
	who, err := authn.New(ao)
	note(err)
	if who != nil {
		a.closers = append(a.closers, func() error { who.Close(); return nil })
		a.checks = append(a.checks, namedCheck{"authn", who.Ready})
		if r := who.Resource(); r != nil {
			a.endpoints = append(a.endpoints, Endpoint{Name: "resource_metadata", API: a.cfg.Name, Hosts: a.cfg.Hosts, Path: r.Path,
				Methods: []string{http.MethodGet, http.MethodHead}, Handler: r})
		}
	}
	attacks, err := waf.New(waf.Options{API: a.spec, Config: g.WAF, Log: deps.Log, Now: deps.Now})
	note(err)
	files, err := upload.New(upload.Options{Config: g.Upload})
	note(err)
	if attacks != nil {
		a.closers = append(a.closers, attacks.Close)
		a.warm = attacks.Warm
	}
	feeds, err := PolicyFeeds(a.cfg, deps)
	note(err)
	kept := decisionsOf(ctx, a.cfg, deps)
	may, err := authz.New(authz.Options{API: a.spec, Config: g.Authz, Recorder: kept.recorder, Gates: kept.gates, Overrides: a.cfg.Operations, Authenticates: len(g.Authn.Methods) > 0, Feeds: feeds, Log: deps.Log, Now: deps.Now})
	note(err)
	if may != nil {
		a.closers = append(a.closers, func() error { may.Close(); return nil })
		a.checks = append(a.checks, namedCheck{"authz", may.Ready})
		if e := may.Engine(); e != nil {
			stop := e.Subscribe(func(_, _ *authz.Policy) { deps.Streams.Changed() })
			a.closers = append(a.closers, func() error { stop(); return nil })
		}
		note(kept.admit(may))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	a.rules, a.policy, a.limits = rules, may, limits
	a.doorstep = guard.NewChain(a.spec, []guard.Step{limits.AddressStep()}, a.settings, deps.Log)
	a.preflight = guard.NewChain(a.spec, []guard.Step{limits.AddressStep(), rules.PathStep(), attacks.Step()}, a.settings, deps.Log)
	identity := []guard.Step{who.Step()}
	if len(cfg.Signals.Transmitters) > 0 {
		identity = append(identity, posture.New(cfg.Signals.DeviceClaim, deps.State, cfg.State.MaxAge).Step())
	}
	return slices.Concat([]guard.Step{
		limits.AddressStep(),
		rules.OperationStep(),
	}, identity, []guard.Step{
		limits.IdentityStep(),
		rules.ParameterStep(),
		who.BodyStep(),
		rules.BodyStep(),
	}, limits.BodySteps(), []guard.Step{
		attacks.Step(),
		files.Step(),
	}, may.Steps(), limits.UpstreamSteps(), who.AnswerSteps(), rules.AnswerHeadSteps(), []guard.Step{
		rules.AnswerBodyStep(),
	}), nil
}

// setBases finds where the API's paths begin: where the config says, else under
// the base path of each of the document's servers.
func (a *api) setBases() error {
	var written []string
	switch {
	case a.cfg.BasePath != nil:
		written = []string{*a.cfg.BasePath}
	case a.spec != nil:
		for _, server := range a.spec.Servers {
			written = append(written, server.BasePath)
		}
	}
	if len(written) == 0 {
		written = []string{""}
	}
	for _, base := range written {
		base = strings.TrimSuffix(base, "/")
		if base != "" {
			escaped, _, err := normalPath(base)
			if err != nil {
				return fmt.Errorf("base_path %q: it must start with a slash and hold no dot segments or encoded slashes", base)
			}
			base = escaped
		}
		if !slices.Contains(a.bases, base) {
			a.bases = append(a.bases, base)
		}
	}
	return nil
}

func (a *api) setLimits(server config.Limits) {
	l := server
	if o := a.cfg.Limits; o != nil {
		override(&l.Body, o.Body)
		override(&l.Upload, o.Upload)
		override(&l.Response, o.Response)
		override(&l.Depth, o.Depth)
		override(&l.Values, o.Values)
		override(&l.Keys, o.Keys)
		override(&l.Items, o.Items)
		override(&l.String, o.String)
		override(&l.Ratio, o.Ratio)
	}
	values := value.Limits{Depth: l.Depth, Nodes: l.Values, Keys: l.Keys, Items: l.Items, String: int(l.String)}.WithDefaults()
	a.body = bodyLimits{buffered: int64(l.Body), streamed: int64(l.Upload), ratio: int64(l.Ratio), values: values}
	// Answers are our own side's: they may be larger than what strangers send.
	a.answerValues = values
	a.answerValues.Nodes *= 10
	a.answerValues.Items *= 10
	a.answerValues.Keys *= 10
	a.responseLimit = int64(l.Response)
}

func override[T comparable](p *T, v T) {
	var zero T
	if v != zero {
		*p = v
	}
}

func (a *api) setBodyLimits(overrides [][]*config.OperationOverride) {
	a.bodyOf = make([]int64, len(overrides))
	for i, list := range overrides {
		for _, o := range list {
			if o.BodyLimit > 0 {
				a.bodyOf[i] = int64(o.BodyLimit)
			}
		}
	}
}

// bodyLimits are the limits for an operation's request body.
func (a *api) bodyLimits(op *spec.Operation) bodyLimits {
	l := a.body
	if op != nil && op.Index < len(a.bodyOf) && a.bodyOf[op.Index] > 0 {
		l.buffered, l.streamed = a.bodyOf[op.Index], a.bodyOf[op.Index]
	}
	return l
}

// match finds the operation that a request would be with another method; none is
// found where an upstream may read the path as another's.
func (a *api) match(method string, x *exchange.Exchange) spec.Match {
	if a.spec == nil {
		return spec.Match{}
	}
	m := a.spec.Route(method, "", x.Request.Relative)
	if m.Rival {
		return spec.Match{}
	}
	return m
}

func (a *api) ready() []Check {
	var out []Check
	for _, c := range a.checks {
		check := Check{Name: a.cfg.Name + ": " + c.name}
		if err := c.ready(); err != nil {
			check.Error = err.Error()
		}
		out = append(out, check)
	}
	return out
}

func (a *api) close() error {
	var errs []error
	for _, c := range a.closers {
		errs = append(errs, c())
	}
	a.closers = nil
	return errors.Join(errs...)
}

// matchOverrides finds the overrides of each operation, in the config's order.
// One that matches nothing is a mistake: it protects less than its author thinks.
func matchOverrides(api *spec.API, overrides []config.OperationOverride) ([][]*config.OperationOverride, error) {
	var errs []error
	if api == nil {
		if len(overrides) > 0 {
			errs = append(errs, errors.New("operations: there is no spec whose operations they could match"))
		}
		return nil, errors.Join(errs...)
	}
	out := make([][]*config.OperationOverride, len(api.Operations))
	for i := range overrides {
		o := &overrides[i]
		found := false
		for _, op := range api.Operations {
			if o.Matches(op.ID, op.Method, op.Path) {
				out[op.Index] = append(out[op.Index], o)
				found = true
			}
		}
		if !found {
			errs = append(errs, fmt.Errorf("operations[%d]: %q matches no operation of the document", i, o.Operation))
		}
	}
	return out, errors.Join(errs...)
}

// settings resolves each guard's mode: the operation's override, then the
// guard's own, then the API's.
func settings(ac *config.API, overrides [][]*config.OperationOverride) guard.Settings {
	own := ac.Guards.All()
	return func(name string, op *spec.Operation) guard.Setting {
		answers := name == contract.AnswerGuard
		if answers {
			name = contract.Name
		}
		c := own[name]
		if c == nil {
			c = &config.GuardCommon{} // a check of the gateway's own, in the API's mode
		}
		mode, responses := ac.Mode, ac.Guards.Contract.Responses
		if c.Mode != "" {
			mode = c.Mode
		}
		if op != nil && op.Index < len(overrides) {
			for _, o := range overrides[op.Index] {
				if o.Mode != "" {
					mode = o.Mode
				}
				if m := o.Modes[name]; m != "" {
					mode = m
				}
				if o.Responses != "" {
					responses = o.Responses
				}
			}
		}
		set := guard.Setting{Mode: parseMode(mode), FailOpen: c.Fail == "open"}
		if answers {
			// A contract that is only watched changes no answer either.
			set.Mode = min(set.Mode, answerMode(responses))
		}
		return set
	}
}

// parseMode reads a validated mode. Anything else enforces: a mode that slipped
// through validation must not open a door.
func parseMode(s string) guard.Mode {
	switch s {
	case "off":
		return guard.Off
	case "monitor":
		return guard.Monitor
	}
	return guard.Enforce
}

func answerMode(responses string) guard.Mode {
	switch responses {
	case "off":
		return guard.Off
	case "", "record":
		return guard.Monitor
	}
	return guard.Enforce
}

// place is one base path of one API.
type place struct {
	api  *api
	base string
}

// byBase adds an API's places to a list whose longest base paths come first.
func byBase(list []place, a *api) []place {
	for _, base := range a.bases {
		list = append(list, place{a, base})
	}
	sort.SliceStable(list, func(i, j int) bool { return len(list[i].base) > len(list[j].base) })
	return list
}

// under returns the first place whose base path the path lies under.
func under(list []place, p string) (place, bool) {
	for _, at := range list {
		if strings.HasPrefix(p, at.base) && (len(p) == len(at.base) || p[len(at.base)] == '/') {
			return at, true
		}
	}
	return place{}, false
}
