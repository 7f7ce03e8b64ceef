package world

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// effort is the tries of one actor to reach one operation.
type effort struct {
	w        *World
	op       *graph.Op
	as       *actor.Actor
	p        plan
	made     bool     // a fresh object was made for it
	waited   bool     // for a limit, or a service that is away
	prepared bool     // what must come before it was called
	told     []string // what was answered, once each
	repeated int      // how often the last of it was said before
	reason   string
	bodies   int // fuller and sparser bodies that were tried
	denied   int
	absent   int
}

// reach tries an operation as an actor until it answers 2xx, and says why it
// did not. An error is one of the client: the run cannot go on.
func (w *World) reach(ctx context.Context, op *graph.Op, as *actor.Actor) (*Call, string, error) {
	if err := w.readFirst(ctx, op, as); err != nil && w.cannotSend(err) {
		return nil, "", err
	}
	e := &effort{w: w, op: op, as: as}
	for range w.tries(op) {
		c, x, err := e.once(ctx)
		if c == nil || err != nil {
			return nil, e.reason, err
		}
		w.mu.Lock()
		w.learn(c, x)
		if c.reached(x) {
			e.arrived(c)
			w.mu.Unlock()
			if err := w.confirm(ctx, c); err != nil {
				return nil, "", err
			}
			return c, "", nil
		}
		again, err := e.refused(ctx, c, x)
		if err == nil && !again {
			again, err = e.prepare(ctx, c, x)
		}
		w.mu.Unlock()
		if err != nil {
			return nil, "", err
		}
		if !again || e.repeated >= 3 {
			break // what is said again and again is not understood
		}
	}
	return nil, e.reason, nil
}

// once makes the call and sends it. No call: it is not to be made, for e.reason.
func (e *effort) once(ctx context.Context) (*Call, *target.Exchange, error) {
	w := e.w
	w.mu.Lock()
	if why := w.exhausted(); why != "" && w.building {
		w.mu.Unlock()
		e.reason = cmp.Or(e.reason, why)
		return nil, nil, nil
	}
	c, err := w.compose(e.op, e.as, e.p)
	w.mu.Unlock()
	if err != nil {
		e.reason = err.Error()
		return nil, nil, nil //nolint:nilerr // that a call cannot be made is a reason, and no end of the run
	}
	if why := c.harm(); why != "" {
		e.reason = why
		return nil, nil, nil
	}
	x, err := w.send(ctx, c)
	if err != nil {
		if e.reason = ""; w.cannotSend(err) {
			return nil, nil, err
		}
		e.reason = err.Error()
		return nil, nil, nil
	}
	return c, x, nil
}

// arrived notes that the call did what it is for. w.mu is held.
func (e *effort) arrived(c *Call) {
	if e.waited {
		e.w.vain = 0
	}
	if e.op.Kind == graph.Create && e.op.About != nil {
		e.w.awaited(c)
	}
}

// refused learns from an answer that is none of success, and says whether another
// try is worth it. w.mu is held; it is let go while something is made or awaited.
func (e *effort) refused(ctx context.Context, c *Call, x *target.Exchange) (again bool, err error) {
	w := e.w
	complaints := readComplaints(x.Body)
	own := w.ownRefused(c, x.Body, complaints)
	changed := own || w.obey(c, complaints)
	if x.Status >= 400 && x.Status != http.StatusUnauthorized && !changed {
		changed = w.fetchable(c)
	}
	e.note(x, complaints)
	other := func() bool { return c.combo != "" && w.hasOther(e.op, e.as, c.combo) }
	switch x.Status {
	case 0:
		e.reason = "no answer: " + errText(x.Err)
	case http.StatusUnauthorized, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusGone, http.StatusUpgradeRequired:
	case http.StatusPaymentRequired:
		return changed || e.p.otherMeans(c), nil
	case http.StatusForbidden:
		e.fail(c)
		e.denied++
		return own || e.denied == 1 && other(), nil
	case http.StatusNotFound:
		e.fail(c)
		e.absent++
		return changed || e.absent < 4 && other(), nil
	case http.StatusConflict, http.StatusPreconditionFailed, http.StatusLocked, http.StatusFailedDependency:
		e.fail(c)
		if x.Status == http.StatusConflict && e.op.Kind == graph.Create {
			w.clashed[e.op] = true
		}
		again = changed || other()
		if changed {
			return again, nil
		}
		fresh, err := e.makeFresh(ctx, c)
		return again || fresh, err
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return e.wait(ctx, x), nil
	case http.StatusUnsupportedMediaType, http.StatusNotAcceptable:
		return e.otherMedia(c, x), nil
	default:
		if x.Status >= 300 && x.Status < 400 {
			return false, nil
		}
		// What is left is 400, 422, a failure, or a refusal that calls itself 200.
		if blamed(complaints) {
			e.fail(c)
		}
		if again = changed; !changed && len(medias(e.op)) > 0 && e.bodies < 4 {
			e.bodies++
			again = e.p.fuller(e.bodies)
		}
		if x.Status >= 500 && e.bodies > 2 {
			again = false
		}
		return again || blamed(complaints) && other(), nil
	}
	return false, nil
}

// note keeps what was answered as the reason why the operation is not reached.
func (e *effort) note(x *target.Exchange, complaints []Complaint) {
	said := what(x, complaints)
	if slices.Contains(e.told, said) {
		e.repeated++
	} else {
		e.told, e.repeated = append(e.told, said), 0
	}
	e.reason = strings.Join(e.told, "; then ")
}

// fail counts against the objects that the call named.
func (e *effort) fail(c *Call) {
	k := callKey{e.op, nameOf(e.as)}
	if e.w.failed[k] == nil {
		e.w.failed[k] = map[string]int{}
	}
	e.w.failed[k][c.combo]++
}

// makeFresh makes an object in a state of its own for a call that the state of the
// one before forbade, once. w.mu is held, but for the making.
func (e *effort) makeFresh(ctx context.Context, c *Call) (bool, error) {
	subject := c.subject()
	if subject == nil || e.made {
		return false, nil
	}
	e.made = true
	e.w.mu.Unlock()
	defer e.w.mu.Lock()
	_, err := e.w.Make(ctx, subject.Resource, e.as)
	if err != nil && isFatal(err) {
		return false, err
	}
	return err == nil, nil
}

// wait lets the time pass that a limit asks for, once, and not where secrets are
// guessed. w.mu is held, but for the waiting.
func (e *effort) wait(ctx context.Context, x *target.Exchange) bool {
	if e.waited || guessable(e.op) || e.w.vain >= maxVain {
		return false
	}
	e.waited = true
	e.w.vain++
	e.w.mu.Unlock()
	defer e.w.mu.Lock()
	abroad(ctx, func() { pause(ctx, x) })
	return true
}

// otherMedia turns to the next media type, or to an empty object where nothing was sent.
func (e *effort) otherMedia(c *Call, x *target.Exchange) bool {
	e.p.media++
	if t := e.w.taughtOf(e.op); e.op.Body == nil && c.Media == "" && x.Status == http.StatusUnsupportedMediaType && !t.hollow {
		t.hollow = true
		return true
	}
	return e.op.Body != nil && e.p.media < len(e.op.Body.Content)
}

// prepare calls what must come before, once. w.mu is held, but for the call.
func (e *effort) prepare(ctx context.Context, c *Call, x *target.Exchange) (bool, error) {
	first := e.w.before(c, x)
	if first == nil || e.prepared {
		return false, nil
	}
	e.prepared = true
	e.w.mu.Unlock()
	y, err := e.w.send(ctx, first)
	e.w.mu.Lock()
	if err != nil {
		if e.w.cannotSend(err) {
			return false, err
		}
		return false, nil
	}
	e.w.learn(first, y)
	return first.reached(y), nil
}
