package waf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard"
	"github.com/crenel-project/crenel/internal/spec"
)

// Options are what a Guard is made from.
type Options struct {
	API    *spec.API // may be nil
	Config config.WAF
	Log    *slog.Logger
	Now    func() time.Time
}

// Guard inspects one API's requests. It is immutable and safe for concurrent
// use; Close it when its generation ends.
type Guard struct {
	cfg     config.WAF
	set     *ruleSet
	engine  coraza.WAF // of set
	silence *silence
	exact   bool     // the rule set's own verdict counts
	weights *weights // of the tuned inspection, or nil
	scoring map[int]bool
	skips   []skips // by Operation.Index
	exclude *exclusions
	// engineThreshold is the one that the engine knows: cfg.Threshold, but for guards of
	// single operations.
	engineThreshold int
	operations      *operations // that are judged by another level or threshold, or nil
	rules           []loaded
	types           string
	urls            *urlRules
	heavy           chan struct{} // slots for inspections that cost much
	closed          atomic.Bool
	log             *slog.Logger
	now             func() time.Time
}

// The defaults of config.WAF, for configs that were not read from a file.
const (
	defaultValue  = 64 << 10
	defaultValues = 1000
	defaultBudget = 20 * time.Millisecond
	defaultWait   = time.Second
)

// New compiles the rule set, which takes about half a second unless another guard has the same.
func New(o Options) (*Guard, error) {
	c := o.Config
	if c.Paranoia == 0 {
		c.Paranoia = 1
	}
	if c.Threshold == 0 {
		c.Threshold = 5
	}
	if c.Value == 0 {
		c.Value = defaultValue
	}
	if c.Values == 0 {
		c.Values = defaultValues
	}
	if c.Budget == 0 {
		c.Budget = defaultBudget
	}
	if c.Timeout == 0 {
		c.Timeout = defaultWait
	}
	if c.Over == "" {
		c.Over = config.OverRefuse
	}
	if c.Over != config.OverRefuse && c.Over != config.OverSample {
		return nil, fmt.Errorf("waf: over %q is neither %s nor %s", c.Over, config.OverRefuse, config.OverSample)
	}
	if c.Inspection == "" {
		c.Inspection = config.WAFTuned
	}
	if c.Inspection != config.WAFTuned && c.Inspection != config.WAFExact {
		return nil, fmt.Errorf("waf: inspection %q is neither %s nor %s", c.Inspection, config.WAFTuned, config.WAFExact)
	}
	if c.Paranoia < 1 || c.Paranoia > 4 || c.Threshold < 1 || c.Value < 0 || c.Values < 0 || c.Budget < 0 || c.Timeout < 0 {
		return nil, errors.New("waf: paranoia is 1 to 4; threshold, value, values, budget and timeout are positive")
	}
	g := &Guard{cfg: c, engineThreshold: c.Threshold, exact: c.Exact(), types: contentTypes(o.API), log: o.Log, now: o.Now, heavy: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if g.now == nil {
		g.now = time.Now
	}
	var err error
	if g.skips, err = newSkips(c.Skip, o.API); err != nil {
		return nil, err
	}
	if g.urls, err = newURLRules(c.AllowURLs); err != nil {
		return nil, err
	}
	own, err := customOf(c)
	if err != nil {
		return nil, fmt.Errorf("waf: %w", err)
	}
	if g.set, err = useRules(c, own); err != nil {
		return nil, fmt.Errorf("waf: %w", err)
	}
	g.engine, g.rules, g.scoring = g.set.engine, g.set.loaded, g.set.scoring
	if g.exclude, err = newExclusions(c.Exclusions, g.rules, o.API); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	if !g.exact {
		g.weights = newWeights(g.rules)
	}
	g.silence = newSilence(g)
	if g.operations, err = newOperations(g, o); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// Close ends the use of the rule set. Inspections under way end well.
func (g *Guard) Close() error {
	if g.closed.Swap(true) {
		return nil
	}
	return errors.Join(g.operations.close(), g.set.release())
}

// Warm compiles what else the first request would wait for.
func (g *Guard) Warm() {
	g.silence.triage.Warm()
	g.operations.warm()
}

// Step inspects the whole request, once its body is decoded.
func (g *Guard) Step() guard.Step {
	return guard.Step{Guard: "waf", Phase: exchange.RequestBody, Needs: exchange.Buffered, Rule: g.rule}
}

// collector is for one request.
func (g *Guard) collector(x *exchange.Exchange) collector {
	c := collector{exact: g.exact, value: int(g.cfg.Value), count: g.cfg.Values, sample: g.cfg.Over == config.OverSample}
	if c.sample {
		c.count = maxSampled
	}
	if op := x.Operation; op != nil && op.Index < len(g.skips) {
		c.skip = g.skips[op.Index]
	}
	return c
}

func (g *Guard) rule(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	g = g.of(x)
	c := g.collector(x)
	list := fieldLists.Get().(*[]field)
	c.fields = *list
	if !c.collect(x) {
		return c.over
	}
	ssrf := g.urls.rule(c.fields)
	if ssrf.Action != exchange.Allow && !g.exact {
		return ssrf
	}
	excluded := g.exclude.of(x)
	mute(excluded, c.fields)
	r := g.silence.judge(x, c.fields, mutedAt(excluded, atPath))
	if r.silent {
		recycle(list, c.fields)
		return ssrf
	}
	cost, v := g.afford(x, &r)
	if v.Action != exchange.Allow {
		return v
	}
	if cost > cheap {
		// Costly inspections share half of the processors, so that whoever sends many
		// of them slows down his own kind and not every caller.
		wait, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
		defer cancel()
		select {
		case g.heavy <- struct{}{}:
			defer func() { <-g.heavy }()
		case <-wait.Done():
			return exchange.Undecided("waf.unavailable", "too many costly inspections at once")
		}
	}
	v = g.inspect(ctx, x, r)
	if v.Action == exchange.Allow && v.Detail == nil {
		g.silence.remember(r.keys)
	}
	if v.Action == exchange.Allow && ssrf.Action != exchange.Allow {
		ssrf.Detail = v.Detail
		return ssrf
	}
	return v
}

// inspect has the engine judge what the triage could not rule out.
func (g *Guard) inspect(ctx context.Context, x *exchange.Exchange, r ruling) exchange.Verdict {
	begin := g.now()
	var f findings
	var idle [][2]int
	if r.alone {
		idle = g.silence.triage.Idle(r.rules)
	}
	for _, p := range portions(r.fields, g.exclude.of(x)) {
		p.idle = idle
		if v := g.ask(ctx, begin, x, p, &f); v.Action != exchange.Allow {
			return v
		}
	}
	v := f.verdict()
	if r.sampled != nil {
		if v.Detail == nil {
			v.Detail = map[string]any{}
		}
		v.Detail["sampled"] = *r.sampled
	}
	if v.Action == exchange.Allow {
		// An answer that came too late is none: whoever can slow the engine down
		// must not learn how to get past it.
		if late := g.late(ctx, begin); late.Action != exchange.Allow {
			return late
		}
	}
	return v
}

// ask has the engine judge one portion of a request.
func (g *Guard) ask(ctx context.Context, begin time.Time, x *exchange.Exchange, p portion, f *findings) exchange.Verdict {
	tx := g.engine.NewTransaction()
	defer func() {
		if err := tx.Close(); err != nil {
			g.log.Warn("closing a WAF transaction", "request_id", x.ID, "error", err)
		}
	}()
	state, ok := tx.(plugintypes.TransactionState)
	if !ok {
		return exchange.Undecided("waf.unavailable", "the engine does not show its variables")
	}
	if err := p.silenceIn(tx); err != nil {
		return exchange.Undecided("waf.unavailable", err.Error())
	}
	g.feed(tx, state, x, p)
	tx.ProcessRequestHeaders()
	if v := g.late(ctx, begin); v.Action != exchange.Allow {
		return v
	}
	if _, err := tx.ProcessRequestBody(); err != nil {
		return exchange.Undecided("waf.unavailable", "the engine failed: "+err.Error())
	}
	f.add(g, tx, state, p.fields)
	return exchange.Verdict{}
}

func (g *Guard) late(ctx context.Context, begin time.Time) exchange.Verdict {
	if took := g.now().Sub(begin); took > g.cfg.Timeout {
		return exchange.Undecided("waf.unavailable", fmt.Sprintf("the inspection took %s, the timeout is %s", took.Round(time.Millisecond), g.cfg.Timeout))
	}
	if err := ctx.Err(); err != nil {
		return exchange.Undecided("waf.unavailable", "the inspection was cut short: "+err.Error())
	}
	return exchange.Verdict{}
}

// feed hands a portion of the request to the engine. What travels with the message
// is told with one portion only, or it would count more than once.
func (g *Guard) feed(tx types.Transaction, state plugintypes.TransactionState, x *exchange.Exchange, p portion) {
	vars := state.Variables()
	own := map[string]bool{} // header fields of the portion
	for i := range p.fields {
		if f := &p.fields[i]; f.src == fromHeader {
			own[f.name] = true
		}
	}
	if g.exact && p.path {
		g.feedExact(tx, state, x, own)
	} else {
		g.feedTuned(tx, state, x, p.path, own)
	}
	for i := range p.fields {
		f := &p.fields[i]
		switch f.src {
		case fromQuery:
			tx.AddGetRequestArgument(f.name, f.text)
		case fromBody:
			tx.AddPostRequestArgument(f.name, f.text)
		case fromPath:
			tx.AddPathRequestArgument(f.name, f.text)
		case fromHeader:
			if f.name == "Cookie" {
				vars.RequestHeaders().Add(f.name, f.text) // its pairs are cookies already
			} else {
				tx.AddRequestHeader(f.name, f.text)
			}
		case fromCookie:
			vars.RequestCookies().Add(f.name, f.text)
		case fromXML:
			vars.RequestXML().Add(f.name, f.text)
		}
	}
	if name := g.processor(x); name != "" {
		set(vars.RequestBodyProcessor(), name)
	}
}

// feedTuned tells the engine how the message travels: what CRS asks about that
// has been ruled on already.
func (g *Guard) feedTuned(tx types.Transaction, state plugintypes.TransactionState, x *exchange.Exchange, whole bool, own map[string]bool) {
	r := &x.Request
	vars := state.Variables()
	method, mediaType := methodsOf(x)
	if mediaType == "" {
		mediaType = g.types
	}
	vars.TX().Set("allowed_methods", []string{method})
	vars.TX().Set("allowed_request_content_type", []string{mediaType})

	tx.ProcessConnection(x.Client.String(), 0, "", 0)
	path := "/"
	if whole {
		path = r.RawPath
	}
	// The query is not part of the URI here: its pairs are arguments already.
	tx.ProcessURI(path, r.Method, protocol)
	tx.SetServerName(host(r.Host))
	tx.AddRequestHeader("Host", host(r.Host))
	if whole && r.Body != nil && len(r.Body.Bytes) > 0 {
		tx.AddRequestHeader("Content-Length", strconv.Itoa(len(r.Body.Bytes)))
		if !own["Content-Type"] {
			// The contract let it come without, or another portion has it.
			mediaType := r.Body.MediaType
			if mediaType == "" && !g.exact {
				mediaType = "application/octet-stream" // as RFC 9110, section 8.3, has it
			}
			tx.AddRequestHeader("Content-Type", mediaType)
		}
	}
	if g.exact {
		tx.AddRequestHeader("Content-Length", "0") // another portion has it; absent it scores
	}
	// Which headers a client of an API sends is its own affair: absent ones score
	// in CRS, so it is told harmless ones.
	for name, usual := range usualHeaders {
		if !own[name] {
			tx.AddRequestHeader(name, usual)
		}
	}
}

// methodsOf are the methods that the contract lets in, and the body's content
// type, "" where no contract has ruled on it.
func methodsOf(x *exchange.Exchange) (method, mediaType string) {
	method = methods
	if x.Operation != nil {
		method = x.Request.Method
	}
	if b := x.Request.Body; b != nil && b.Declared != nil {
		mediaType = "|" + b.MediaType + "|"
	}
	return method, mediaType
}

const methods = "GET HEAD POST PUT PATCH DELETE OPTIONS"

var usualHeaders = map[string]string{"Accept": "*/*", "User-Agent": "client"}
