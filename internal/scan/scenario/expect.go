package scenario

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// expect says what an expectation does not find, "" when it holds.
func (r *run) expect(ctx context.Context, e *Expect, res *Result) (why string, err error) {
	if e.Called != "" {
		return r.called(ctx, e, e.Called, true)
	}
	if e.Uncalled != "" {
		return r.called(ctx, e, e.Uncalled, false)
	}
	if e.LookedUp != "" || e.NotLookedUp != "" {
		return r.lookedUp(ctx, e)
	}
	if e.Gone {
		return r.gone(ctx, e, res)
	}
	x := res.Last()
	if x == nil {
		return "the step sends nothing that could be looked at", nil
	}
	if e.Steady > 0 {
		if slowed(res.Exchanges, e.Steady) {
			return fmt.Sprintf("the answers came slower and slower: after %d the last three took %v more than the first", len(res.Exchanges), e.Steady), nil
		}
		return "", nil
	}
	if e.Within > 0 {
		if took := spans(res.Exchanges); took > e.Within {
			return fmt.Sprintf("%d requests took %v, want at most %v", len(res.Exchanges), took.Round(time.Millisecond), e.Within), nil
		}
		return "", nil
	}
	if e.AtLeast > 0 || e.AtMost != nil {
		return e.count(res.Exchanges), nil
	}
	if e.Answers != nil {
		if x.Raw == nil {
			return "the step sends no raw bytes, so its answers are not counted", nil
		}
		if n := len(x.Raw.Whole); n != *e.Answers {
			return fmt.Sprintf("%d answers came, want %d", n, *e.Answers), nil
		}
	}
	if e.Answer > 0 {
		if x = x.Answer(e.Answer); x == nil {
			return fmt.Sprintf("answer %d did not come", e.Answer), nil
		}
	}
	if e.Status != "" && !statusIs(x.Status, e.Status) {
		return fmt.Sprintf("status %s, want %s", status(x), e.Status), nil
	}
	if why, err := r.holds(e, x); why != "" || err != nil {
		return why, err
	}
	if why := r.longer(e, x); why != "" {
		return why, nil
	}
	if why, err := r.expectAt(e, x); why != "" || err != nil {
		return why, err
	}
	if why := r.resembles(e, x, res.Step); why != "" {
		return why, nil
	}
	if e.Slower != "" {
		return r.slower(e, res)
	}
	return "", nil
}

// holds looks for the texts that an answer must hold, and for those that it must not.
func (r *run) holds(e *Expect, x *target.Exchange) (string, error) {
	for _, text := range e.Contains {
		want, err := render(text, inPlain, r.get)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errSetup, err)
		}
		if !Holds(x, want) {
			return fmt.Sprintf("the answer (status %s) does not hold %s", status(x), text), nil
		}
	}
	for _, text := range e.Lacks {
		not, err := render(text, inPlain, r.get)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errSetup, err)
		}
		if Holds(x, not) {
			return fmt.Sprintf("the answer (status %s) holds %s", status(x), text), nil
		}
	}
	return "", nil
}

// resembles compares an answer with those of earlier steps.
func (r *run) resembles(e *Expect, x *target.Exchange, st *Step) string {
	for _, other := range []struct {
		step string
		want bool
	}{{e.Like, true}, {e.Unlike, false}} {
		if other.step == "" {
			continue
		}
		o := r.out.Of(other.step)
		if o == nil || o.Last() == nil {
			return fmt.Sprintf("there is no answer of step %q to compare with", other.step)
		}
		alike := r.alike(x, o.Last())
		if o.Step != nil && o.Step.As == st.As && reflect.DeepEqual(o.Step.Send, st.Send) {
			alike = Alike(x, o.Last()) // one request, sent twice: it is the texts of this run in which its answers may differ
		}
		if alike != other.want {
			return fmt.Sprintf("like the answer of step %q: %v, want %v", other.step, !other.want, other.want)
		}
	}
	return ""
}

// longer says what keeps a list from being longer than an earlier step's.
func (r *run) longer(e *Expect, x *target.Exchange) string {
	if e.Longer == "" {
		return ""
	}
	size := func(x *target.Exchange) int {
		if x == nil {
			return -1
		}
		body, _ := Decode(x.Body)
		for _, v := range Find(body, e.At) {
			if list, ok := v.([]any); ok {
				return len(list)
			}
		}
		return -1
	}
	was := -1
	if o := r.out.Of(e.Longer); o != nil {
		was = size(o.Last())
	}
	if is := size(x); was < 0 || is <= was {
		return fmt.Sprintf("%d items at %s, want more than the %d of step %q (-1: no list)", is, e.At, was, e.Longer)
	}
	return ""
}

// expectAt looks at a header, a JSON pointer, or the whole body.
func (r *run) expectAt(e *Expect, x *target.Exchange) (string, error) {
	var re *regexp.Regexp
	if e.Matches != "" {
		text, err := render(e.Matches, inPlain, func(name string) (any, error) {
			v, err := r.get(name)
			if err != nil {
				return nil, err
			}
			return regexp.QuoteMeta(Plain(v)), nil
		})
		if err != nil {
			return "", fmt.Errorf("%w: %w", errSetup, err)
		}
		if re, err = regexp.Compile(text); err != nil {
			return "", fmt.Errorf("%w: matches %q: %w", errSetup, e.Matches, err)
		}
	}
	if e.Header != "" {
		values := x.Header.Values(e.Header)
		switch {
		case e.Missing && len(values) > 0:
			return "the answer has a header " + e.Header, nil
		case e.Missing:
			return "", nil
		case len(values) == 0:
			return "the answer has no header " + e.Header, nil
		case re != nil && !slices.ContainsFunc(values, re.MatchString):
			return fmt.Sprintf("no header %s matches %s", e.Header, e.Matches), nil
		}
		return "", nil
	}
	looks := e.At != "" || e.Equals != nil || e.Differs != nil || e.Missing || e.MinItems > 0 || e.MaxItems != nil
	if !looks {
		if re != nil && !re.Match(x.Body) {
			return fmt.Sprintf("the body (status %s) does not match %s", status(x), e.Matches), nil
		}
		return "", nil
	}
	body, ok := Decode(x.Body)
	if !ok {
		if e.Missing {
			return "", nil
		}
		return fmt.Sprintf("the answer (status %s) is no JSON", status(x)), nil
	}
	found := Find(body, e.At)
	if e.Missing {
		if len(found) > 0 {
			return "there is a value at " + e.At, nil
		}
		return "", nil
	}
	if len(found) == 0 {
		return fmt.Sprintf("there is nothing at %s (status %s)", e.At, status(x)), nil
	}
	if e.MinItems > 0 || e.MaxItems != nil {
		list, ok := found[0].([]any)
		switch {
		case !ok:
			return "there is no list at " + e.At, nil
		case len(list) < e.MinItems:
			return fmt.Sprintf("%d items at %s, want at least %d", len(list), e.At, e.MinItems), nil
		case e.MaxItems != nil && len(list) > *e.MaxItems:
			return fmt.Sprintf("%d items at %s, want at most %d", len(list), e.At, *e.MaxItems), nil
		}
	}
	holds := func(v any) (bool, error) {
		if e.Equals != nil {
			want, err := render(*e.Equals, inPlain, r.get)
			if err != nil || !same(v, want) {
				return false, err
			}
		}
		if e.Differs != nil {
			not, err := render(*e.Differs, inPlain, r.get)
			if err != nil || same(v, not) {
				return false, err
			}
		}
		return re == nil || re.MatchString(Plain(v)), nil
	}
	for _, v := range found {
		ok, err := holds(v)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errSetup, err)
		}
		if ok {
			return "", nil
		}
	}
	return "no value at " + e.At + " is as expected", nil
}

// same compares a JSON value with a text: numbers by value.
func same(v any, text string) bool {
	p := Plain(v)
	if p == text {
		return true
	}
	a, err1 := strconv.ParseFloat(p, 64)
	b, err2 := strconv.ParseFloat(text, 64)
	return err1 == nil && err2 == nil && a == b
}

// count checks how many answers of a step sent several times are as expected.
func (e *Expect) count(all []*target.Exchange) string {
	n := 0
	for _, x := range all {
		if statusIs(x.Status, cmp.Or(e.Status, "2xx")) && containsAll(x.Body, e.Contains) {
			n++
		}
	}
	switch {
	case n < e.AtLeast:
		return fmt.Sprintf("%d of %d answers are as expected, want at least %d", n, len(all), e.AtLeast)
	case e.AtMost != nil && n > *e.AtMost:
		return fmt.Sprintf("%d of %d answers are as expected, want at most %d", n, len(all), *e.AtMost)
	}
	return ""
}

// exceeded: more answers than the step allows are of a status; those to come change
// nothing about that.
func (st *Step) exceeded(all []*target.Exchange) bool {
	return slices.ContainsFunc(st.Expect, func(e Expect) bool {
		return e.AtMost != nil && (&Expect{Status: e.Status, Contains: e.Contains, AtMost: e.AtMost}).count(all) != ""
	})
}

func containsAll(body []byte, texts []string) bool {
	for _, t := range texts {
		if !bytes.Contains(body, []byte(t)) {
			return false
		}
	}
	return true
}

// slower: every sample takes By longer than the slowest of the other step.
func (r *run) slower(e *Expect, res *Result) (string, error) {
	o := r.out.Of(e.Slower)
	if o == nil || len(o.Exchanges) == 0 {
		return fmt.Sprintf("there is no answer of step %q to compare with", e.Slower), nil
	}
	var slowest time.Duration
	for _, x := range o.Exchanges {
		slowest = max(slowest, x.Duration)
	}
	for _, x := range res.Exchanges {
		if x.Duration < slowest+e.By {
			return fmt.Sprintf("took %v, want at least %v more than the %v of step %q", x.Duration.Round(time.Millisecond), e.By, slowest.Round(time.Millisecond), e.Slower), nil
		}
	}
	return "", nil
}

// spans is the time from the first request's sending to the last answer's end.
func spans(all []*target.Exchange) time.Duration {
	var from, to time.Time
	for _, x := range all {
		if from.IsZero() || x.Sent.Before(from) {
			from = x.Sent
		}
		if end := x.Sent.Add(x.Duration); end.After(to) {
			to = end
		}
	}
	return to.Sub(from)
}

// slowed: the last three answers took so much longer than the slowest of the
// first three did. One alone, or two, may be a busy machine's.
func slowed(all []*target.Exchange, by time.Duration) bool {
	if len(all) < 6 {
		return false
	}
	var first time.Duration
	for _, x := range all[:3] {
		first = max(first, x.Duration)
	}
	for _, x := range all[len(all)-3:] {
		if x.Duration < first+by {
			return false
		}
	}
	return true
}

// called: the listener of that name was called, or was not.
func (r *run) called(ctx context.Context, e *Expect, name string, want bool) (string, error) {
	address := r.calls[name]
	if address == "" || r.stage.Listener == nil {
		return "", fmt.Errorf("%w: no request named the listener %q", errSetup, name)
	}
	within := e.By
	if within == 0 {
		within = 3 * time.Second
	}
	switch heard := r.stage.Listener.Called(ctx, address, within); {
	case want && !heard:
		return fmt.Sprintf("nobody called the listener within %v", within), nil
	case !want && heard:
		return "somebody called the listener", nil
	}
	return "", nil
}

// lookedUp: the name of the listener of that name was looked up, or was not.
func (r *run) lookedUp(ctx context.Context, e *Expect) (string, error) {
	name, want := cmp.Or(e.LookedUp, e.NotLookedUp), e.LookedUp != ""
	res, ok := r.stage.Listener.(Resolver)
	if !ok || r.calls[name] == "" {
		return "", fmt.Errorf("%w: no request named the listener %q, or it hears no lookups", errSetup, name)
	}
	within := cmp.Or(e.By, 3*time.Second)
	switch heard := res.LookedUp(ctx, r.calls[name], within); {
	case want && !heard:
		return fmt.Sprintf("nobody looked the name up within %v", within), nil
	case !want && heard:
		return "somebody looked the name up", nil
	}
	return "", nil
}

// watcher is a sender that notices when its target goes away. *target.Client is one.
type watcher interface{ Outages() []target.Outage }

// outages is how often the target went away so far.
func (r *run) outages() int {
	if w, ok := r.stage.Sender.(watcher); ok {
		return len(w.Outages())
	}
	return 0
}

// gone sends harmless requests until the sender knows whether the target is
// away: one that is not answered may be the request's own fault, three are not.
func (r *run) gone(ctx context.Context, e *Expect, res *Result) (string, error) {
	if _, ok := r.stage.Sender.(watcher); !ok {
		return "", fmt.Errorf("%w: what sends here cannot tell whether the target is away", errSetup)
	}
	for range 2 {
		if r.outages() > res.outages {
			return "", nil
		}
		answered, err := r.harmless(ctx, cmp.Or(e.By, 3*time.Second))
		if err != nil {
			return "", err
		}
		if answered && r.outages() == res.outages {
			return "the target goes on answering", nil
		}
	}
	if r.outages() > res.outages {
		return "", nil
	}
	return "harmless requests fail, but the target is not away", nil
}

// harmless sends two requests at once and says whether one was answered.
func (r *run) harmless(ctx context.Context, within time.Duration) (bool, error) {
	var wg sync.WaitGroup
	var answered [2]bool
	var errs [2]error
	for i := range 2 {
		wg.Go(func() {
			x, err := r.stage.Sender.Do(ctx, actor.Nobody, &target.Request{Method: http.MethodGet, Path: "/", Timeout: within})
			answered[i], errs[i] = err == nil && x.Err == nil, err
		})
	}
	wg.Wait()
	return answered[0] || answered[1], cmp.Or(errs[0], errs[1])
}

// alike compares two answers of this run. What a request held may come back in
// its answer without meaning anything, so it is taken out of that answer, and
// only of that: a canary that somebody else put there is a difference.
func (r *run) alike(a, b *target.Exchange) bool {
	if a.Status != b.Status {
		return false
	}
	// Two answers that are the same say the same, whoever asked for it.
	if Alike(a, b) {
		return true
	}
	a, b = WithoutHosts(a, b)
	return essence(a, echoes(a, r.varying())...) == essence(b, echoes(b, r.varying())...)
}

// echoes are those of some texts that an exchange's request holds.
func echoes(x *target.Exchange, texts []string) []string {
	q := x.Request
	if q == nil {
		return nil
	}
	all := q.Path + "\n" + q.Query + "\n" + string(q.Body)
	if plain, err := url.QueryUnescape(q.Path + "\n" + q.Query); err == nil {
		all += "\n" + plain
	}
	return slices.DeleteFunc(slices.Clone(texts), func(t string) bool { return !strings.Contains(all, t) })
}

// varying are the texts of this run that differ from run to run.
func (r *run) varying() []string {
	var out []string
	for _, v := range r.vars {
		if s := Plain(v); len(s) >= 3 {
			out = append(out, s)
		}
	}
	for name := range r.marks {
		out = append(out, r.mark(name))
	}
	for _, a := range r.fresh {
		for _, f := range a.Facts {
			if len(f) >= 3 {
				out = append(out, f)
			}
		}
	}
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

func status(x *target.Exchange) string {
	if x.Status == 0 {
		return "none"
	}
	if x.Wire != 0 && x.Wire != x.Status {
		return fmt.Sprintf("%d (%d in its words)", x.Wire, x.Status)
	}
	return strconv.Itoa(x.Status)
}

// statusIs reports whether a status is one of a pattern's: "200", "2xx",
// "401|403", "!2xx", "any". No answer (0) is never any of them.
func statusIs(code int, pattern string) bool {
	if code == 0 {
		return false
	}
	if rest, not := strings.CutPrefix(pattern, "!"); not {
		return !statusIs(code, rest)
	}
	for _, p := range strings.Split(pattern, "|") {
		switch {
		case p == "any":
			return true
		case len(p) == 3 && strings.HasSuffix(p, "xx") && strconv.Itoa(code/100) == p[:1]:
			return true
		case p == strconv.Itoa(code):
			return true
		}
	}
	return false
}
