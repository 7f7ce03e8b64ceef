package scenario

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// Sender sends requests. *target.Client is one.
type Sender interface {
	Do(ctx context.Context, as string, r *target.Request) (*target.Exchange, error)
	DoTogether(ctx context.Context, as string, rs []*target.Request) ([]*target.Exchange, error)
}

// People finds actors by name.
type People interface {
	// Get is an actor of the run; nil when there is none of that name.
	Get(name string) *actor.Actor
	// Fresh registers another account of the user's role.
	Fresh(ctx context.Context) (*actor.Actor, error)
	// Login opens another session of an account.
	Login(ctx context.Context, a *actor.Actor) (*actor.Session, error)
}

// Listener is called by targets that can be made to call out.
type Listener interface {
	// Address is a new address: a URL whose path is unique.
	Address() string
	// Called waits until somebody called the address, at most so long.
	Called(ctx context.Context, address string, within time.Duration) bool
}

// Resolver is a Listener that hears lookups as well.
type Resolver interface {
	// Name is the name that belongs to an address; "" when lookups are not heard.
	Name(address string) string
	// LookedUp waits until somebody looked that name up, at most so long.
	LookedUp(ctx context.Context, address string, within time.Duration) bool
}

// Func computes a value for Compute.
type Func func(args map[string]string) (any, error)

// Stage is where scenarios are run.
type Stage struct {
	Sender   Sender
	People   People
	Listener Listener        // nil: scenarios that need one are inconclusive
	Funcs    map[string]Func // beside those of this package
	RunID    string          // letters and digits; canaries carry it
}

// Outcome is what a run showed.
type Outcome struct {
	Verdict Verdict
	Step    string // the step that decided, when it is not proven
	Why     string // what that step did not show, in words; never a secret
	Unmade  bool   // that step's actor could not be had
	Results []Result
	Vars    map[string]any // saved and computed
}

// Result is one step as it was run.
type Result struct {
	Step      *Step
	As        *actor.Actor // nil: nobody
	Exchanges []*target.Exchange

	outages int // of the target, before the step
}

// Last is the step's last exchange, nil when it sent nothing.
func (r *Result) Last() *target.Exchange {
	if len(r.Exchanges) == 0 {
		return nil
	}
	return r.Exchanges[len(r.Exchanges)-1]
}

// Of is the result of a step, nil when it was not reached.
func (o *Outcome) Of(step string) *Result {
	for i := range o.Results {
		if o.Results[i].Step.ID == step {
			return &o.Results[i]
		}
	}
	return nil
}

// run is one run of one scenario.
type run struct {
	stage *Stage
	n     string // unique to this run
	vars  map[string]any
	fresh map[string]*actor.Actor
	calls map[string]string // listener name → address
	marks map[string]bool   // canaries in use
	out   *Outcome
}

// errSetup marks what makes an outcome inconclusive wherever it happens: the
// target, the budget or an account is not to be had.
var errSetup = errors.New("not to be had")

// Run runs a scenario from scratch. nonce must be new for each run: canaries
// are made of it. An error is one of sending (a budget, a dead target, ctx); all
// else is in the Outcome.
func (s *Stage) Run(ctx context.Context, sc *Scenario, nonce string) (*Outcome, error) {
	r := &run{stage: s, n: nonce, vars: map[string]any{}, fresh: map[string]*actor.Actor{}, calls: map[string]string{}, marks: map[string]bool{}, out: &Outcome{}}
	verdict := Proven
	for i := range sc.Steps {
		st := &sc.Steps[i]
		if verdict != Proven && st.Part != Cleanup {
			continue
		}
		why, err := r.step(ctx, st)
		if err != nil && !errors.Is(err, errSetup) {
			if st.Part == Cleanup {
				continue
			}
			return nil, fmt.Errorf("scenario %q, step %q: %w", sc.Name, st.ID, err)
		}
		if st.Part == Cleanup || verdict != Proven {
			continue
		}
		switch {
		case err != nil:
			verdict, r.out.Step, r.out.Why = Inconclusive, st.ID, err.Error()
			r.out.Unmade = errors.Is(err, actor.ErrCannotRegister)
		case why != "" && st.Part == Setup:
			verdict, r.out.Step, r.out.Why = Inconclusive, st.ID, why
		case why != "":
			verdict, r.out.Step, r.out.Why = Refuted, st.ID, why
		}
	}
	r.out.Verdict, r.out.Vars = verdict, r.vars
	return r.out, nil
}

// step runs one step and says what it did not show.
func (r *run) step(ctx context.Context, st *Step) (why string, err error) {
	who, err := r.actor(ctx, st.As)
	if err != nil {
		return "", err
	}
	for _, c := range st.Compute {
		if err := r.compute(&c); err != nil {
			return "", fmt.Errorf("%w: computing %s: %w", errSetup, c.Set, err)
		}
	}
	for i := range st.Serve {
		if err := r.serve(&st.Serve[i]); err != nil {
			return "", fmt.Errorf("%w: %w", errSetup, err)
		}
	}
	if st.Wait > 0 {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(st.Wait):
		}
	}
	res := Result{Step: st, As: who, outages: r.outages()}
	if st.Send != nil {
		times := max(st.Times, 1)
		reqs := make([]*target.Request, times)
		measures := slices.ContainsFunc(st.Expect, func(e Expect) bool { return e.AtMost != nil && strings.Contains(e.Status, "429") })
		var steady time.Duration
		for i := range st.Expect {
			steady = max(steady, st.Expect[i].Steady)
		}
		for i := range reqs {
			r.vars["turn"] = json.Number(strconv.Itoa(i))
			if reqs[i], err = r.request(st.Send, who); err != nil {
				return "", fmt.Errorf("%w: %w", errSetup, err)
			}
			reqs[i].Measures = measures
		}
		if st.Together {
			if res.Exchanges, err = r.stage.Sender.DoTogether(ctx, st.As, reqs); err != nil {
				return "", err
			}
		} else {
			for _, q := range reqs {
				x, err := r.stage.Sender.Do(ctx, st.As, q)
				if errors.Is(err, target.ErrScope) {
					return "", fmt.Errorf("%w: %w", errSetup, err)
				}
				if err != nil {
					return "", err
				}
				res.Exchanges = append(res.Exchanges, x)
				if steady > 0 && slowed(res.Exchanges, steady) || st.exceeded(res.Exchanges) {
					break
				}
			}
		}
	}
	if st.Handshake != nil || st.Raw != nil {
		for range max(st.Times, 1) {
			x, err := r.overWire(ctx, st, who)
			if err != nil {
				return "", err
			}
			res.Exchanges = append(res.Exchanges, x)
		}
	}
	r.out.Results = append(r.out.Results, res)
	for _, s := range st.Save {
		if err := r.save(&s, res.Last()); err != nil {
			return err.Error(), nil //nolint:nilerr // it is what the step did not show
		}
	}
	for i := range st.Expect {
		if why, err := r.expect(ctx, &st.Expect[i], &res); why != "" || err != nil {
			return why, err
		}
	}
	return "", nil
}

// actor finds who a step is done as.
func (r *run) actor(ctx context.Context, name string) (*actor.Actor, error) {
	if name == actor.Nobody {
		return nil, nil
	}
	if strings.HasPrefix(name, "fresh") {
		if a := r.fresh[name]; a != nil {
			return a, nil
		}
		a, err := r.stage.People.Fresh(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: a new account: %w", errSetup, err)
		}
		r.fresh[name] = a
		return a, nil
	}
	if known, again := strings.CutPrefix(name, "again-"); again {
		return r.again(ctx, name, known)
	}
	if a := r.stage.People.Get(name); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("%w: there is no actor %q in this run", errSetup, name)
}

// again is an actor of the run in a session of its own, which a scenario may end.
func (r *run) again(ctx context.Context, name, known string) (*actor.Actor, error) {
	if a := r.fresh[name]; a != nil {
		return a, nil
	}
	a := r.stage.People.Get(known)
	if a == nil {
		return nil, fmt.Errorf("%w: there is no actor %q in this run", errSetup, known)
	}
	s, err := r.stage.People.Login(ctx, a)
	if err != nil {
		return nil, fmt.Errorf("%w: another session of %s: %w", errSetup, known, err)
	}
	b := &actor.Actor{Name: name, Role: a.Role, Facts: a.Facts, Session: s, Made: a.Made}
	r.fresh[name] = b
	return b, nil
}

// get is what a placeholder's name stands for.
func (r *run) get(name string) (any, error) {
	if v, ok := r.vars[name]; ok {
		return v, nil
	}
	head, rest, _ := strings.Cut(name, ".")
	switch head {
	case "canary":
		return r.mark(rest), nil
	case "number":
		h := sha256.Sum256([]byte(r.n + "\x00" + rest))
		n := uint64(0)
		for _, b := range h[:7] {
			n = n<<8 | uint64(b)
		}
		return json.Number(strconv.FormatUint(100_000_000+n%900_000_000, 10)), nil
	case "day":
		return r.day(rest)
	case "uuid":
		h := sha256.Sum256([]byte(r.n + "\x00" + rest))
		h[6], h[8] = h[6]&0x0f|0x40, h[8]&0x3f|0x80
		x := hex.EncodeToString(h[:16])
		return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:], nil
	case "now":
		return json.Number(strconv.FormatInt(time.Now().Unix(), 10)), nil
	case "run":
		return r.stage.RunID, nil
	case "target":
		return r.ofTarget(rest)
	case "listener":
		return r.listener(rest)
	}
	if a := r.fresh[head]; a != nil {
		return fact(a, rest)
	}
	if a := r.stage.People.Get(head); a != nil {
		return fact(a, rest)
	}
	return nil, fmt.Errorf("${%s}: nothing of that name was saved or computed before", name)
}

// day is a date so many days from now, less a number below the second one that is this
// run's own: "60.59" is a day of the next two months. What can be had once a day (a
// table, a room) can so be had again in the next run; days of one run keep their distance.
func (r *run) day(spec string) (any, error) {
	ahead, within, _ := strings.Cut(spec, ".")
	days, err := strconv.Atoi(ahead)
	if err != nil {
		return nil, fmt.Errorf("${day.%s}: want ${day.DAYS.WITHIN}", spec)
	}
	if n, err := strconv.Atoi(within); err == nil && n > 0 {
		h := sha256.Sum256([]byte(r.n + "\x00day"))
		days -= int(uint(h[0])<<8|uint(h[1])) % n
	}
	return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly), nil
}

// mark is a canary: letters and digits that occur nowhere else.
func (r *run) mark(name string) string {
	r.marks[name] = true
	h := sha256.Sum256([]byte(r.n + "\x00" + name))
	return "cr" + r.stage.RunID + strings.ToLower(hex.EncodeToString(h[:5]))
}

func fact(a *actor.Actor, name string) (any, error) {
	if name == "token" && a.Session != nil {
		for _, p := range a.Session.Snapshot() {
			if !p.CSRF {
				return p.Value, nil
			}
		}
	}
	if v, ok := a.Facts[name]; ok {
		return v, nil
	}
	return nil, fmt.Errorf("${%s.%s}: nothing of that name is known of the actor", a.Name, name)
}

func (r *run) listener(name string) (any, error) {
	if r.stage.Listener == nil {
		return nil, errors.New("there is no listener in this run")
	}
	name, host := strings.CutSuffix(name, ".host")
	name, asName := strings.CutSuffix(name, ".name")
	if r.calls[name] == "" {
		r.calls[name] = r.stage.Listener.Address()
	}
	if asName {
		if res, ok := r.stage.Listener.(Resolver); ok {
			if n := res.Name(r.calls[name]); n != "" {
				return n, nil
			}
		}
		return nil, errors.New("the listener of this run hears no lookups: give it listener.dns")
	}
	if !host {
		return r.calls[name], nil
	}
	rest := r.calls[name]
	if _, after, ok := strings.Cut(rest, "://"); ok {
		rest = after
	}
	h, _, _ := strings.Cut(rest, "/")
	return h, nil
}

func (r *run) compute(c *Compute) error {
	f := r.stage.Funcs[c.Do]
	if f == nil {
		f = funcs[c.Do]
	}
	if f == nil {
		return fmt.Errorf("there is no function %q: want one of %s", c.Do, strings.Join(r.stage.functions(), ", "))
	}
	args := map[string]string{}
	for k, text := range c.Args {
		v, err := render(text, inPlain, r.get)
		if err != nil {
			return err
		}
		args[k] = v
	}
	v, err := f(args)
	if err != nil {
		return err
	}
	r.vars[c.Set] = v
	return nil
}

func (s *Stage) functions() []string {
	all := slices.Collect(maps.Keys(funcs))
	all = slices.AppendSeq(all, maps.Keys(s.Funcs))
	slices.Sort(all)
	return slices.Compact(all)
}

// request renders a request and puts the actor's credentials on it.
func (r *run) request(s *Send, who *actor.Actor) (*target.Request, error) {
	var err error
	text := func(t string, at place) string {
		if err != nil {
			return ""
		}
		var out string
		out, err = render(t, at, r.get)
		return out
	}
	q := &target.Request{Method: s.Method, Host: text(s.Host, inHeader), Root: s.Root, Origin: s.Origin}
	path, query, _ := strings.Cut(text(s.Path, inPath), "?")
	q.Path = path
	var pairs []string
	if query != "" {
		pairs = append(pairs, query)
	}
	for _, p := range s.Query {
		pairs = append(pairs, queryText(text(p.Name, inPlain))+"="+queryText(text(p.Value, inPlain)))
	}
	q.Query = strings.Join(pairs, "&")
	if s.RawQ != "" {
		q.Query = text(s.RawQ, inQuery)
	}
	media := s.Type
	switch {
	case s.Base64 != "":
		if q.Body, err = base64.StdEncoding.DecodeString(s.Base64); err != nil {
			return nil, fmt.Errorf("body_base64: %w", err)
		}
		if s.Fill {
			q.Body = []byte(text(string(q.Body), inPlain))
		}
	case s.Body != "":
		if media == "" {
			media = "application/json"
		}
		q.Body = []byte(text(s.Body, bodyPlace(media)))
	}
	if media != "" {
		q.Header = append(q.Header, target.Field{Name: "Content-Type", Value: text(media, inHeader)})
	}
	if who != nil {
		applySession(q, who.Session, s, text)
	}
	replaced := map[string]bool{}
	for _, p := range s.Header {
		name := strings.ToLower(p.Name)
		if !replaced[name] {
			replaced[name] = true
			q.Header = slices.DeleteFunc(q.Header, func(f target.Field) bool { return strings.ToLower(f.Name) == name })
		}
		q.Header = append(q.Header, target.Field{Name: p.Name, Value: text(p.Value, inHeader)})
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// applySession puts credentials on: all but those left out, the first replaced
// where the step says so.
func applySession(q *target.Request, session *actor.Session, s *Send, text func(string, place) string) {
	if session == nil || slices.Contains(s.Without, "*") {
		return
	}
	copied := actor.Session{}
	swapped := s.Credential == ""
	for _, p := range session.Snapshot() {
		if slices.Contains(s.Without, p.Name) {
			continue
		}
		if !swapped && !p.CSRF {
			p.Value, swapped = text(s.Credential, inPlain), true
		}
		copied.Parts = append(copied.Parts, p)
	}
	copied.Apply(q)
}

// queryText percent-encodes what would end a query's name or value, and leaves
// the rest as people write it.
func queryText(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~!$'()*,/:?@[]", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func bodyPlace(media string) place {
	media = strings.ToLower(media)
	switch {
	case strings.Contains(media, "json"):
		return inJSON
	case strings.Contains(media, "urlencoded"):
		return inQuery
	case strings.Contains(media, "xml"):
		return inXML
	}
	return inPlain
}
