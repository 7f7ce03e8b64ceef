package check

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

// Privacy is whether the objects of a resource are their owner's alone, as far
// as that can be known from outside: a blog's posts are there for all, invoices
// are not. Only what is private can leak.
type Privacy struct {
	Score float64 // 1 and above: private; below 0: shared
	Why   []string
	// Among: another user's own list shows it, and all that it says of whose it is is who
	// made it, as in the common store of a team.
	Among bool
}

// amongMembers is the CVSS vector of what one member does to something that members are all
// shown, and that is called nobody's: whether it is meant, the service's rules alone tell.
const amongMembers = "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:N/VI:L/VA:N/SC:N/SI:N/SA:N"

// Private reports whether the evidence says so.
func (v *Privacy) Private() bool { return v.Score >= 1 }

func (v *Privacy) add(score float64, why string, args ...any) {
	v.Score += score
	v.Why = append(v.Why, fmt.Sprintf("%+.1f %s", score, fmt.Sprintf(why, args...)))
}

var (
	ownWords    = regexp.MustCompile(`(?i)\b(your|own|my|mine|belong(s|ing)?|owned|caller'?s|current user|authenticated user|logged[- ]in user|private|personal|confidential)\b`)
	sharedWords = regexp.MustCompile(`(?i)\b(public|publicly|everyone|everybody|anyone|anybody|all users|any user|community|shared|catalog(ue)?|feed|browse|global)\b`)
	// What such things are in nearly every API that has them.
	usuallyPrivate = regexp.MustCompile(`(^|_)(order|invoice|bill|payment|card|wallet|account|message|mail|email|conversation|inbox|cart|basket|checkout|note|document|file|attachment|ticket|subscription|appointment|prescription|record|booking|reservation|transaction|transfer|statement|vehicle|key|token|secret|credential|session|device|address|contact|notification|setting|preference|claim|application|receipt|shipment|delivery|bank|beneficiary|loan|medical|diagnosis|patient|salary|payslip|draft|webhook|backup|report|export|invite|invitation)s?$`)
	usuallyShared  = regexp.MustCompile(`(^|_)(post|comment|article|review|product|item|category|tag|topic|thread|question|answer|event|movie|film|song|album|artist|restaurant|store|shop|menu|dish|recipe|city|country|currency|language|genre|publisher|news|story|faq|plan|coupon|rating|like|follow|follower|feed|page|public_profile|status|health|version|course|lesson|job|team|channel|forum|poll|station|route|branch)s?$`)
)

// Private judges a resource by what the API says of it and by what its
// operations show to others. Judged once for each resource.
func (p *Probe) Private(ctx context.Context, r *graph.Resource) (*Privacy, error) {
	p.mu.Lock()
	v := p.privacy[r]
	p.mu.Unlock()
	if v != nil || r == nil {
		if r == nil {
			v = &Privacy{}
		}
		return v, nil
	}
	v = &Privacy{}
	p.byWords(r, v)
	if err := p.byExperiment(ctx, r, v); err != nil {
		return nil, err
	}
	// What lies under somebody's own thing is as private as that, whatever such
	// things are elsewhere: the comments of a contract are no blog's.
	if up := r.Parent; up != nil && up != r && !up.IsPerson && !up.IsTenant && v.Score > -1 && v.Score < 1 {
		above, err := p.Private(ctx, up)
		if err != nil {
			return nil, err
		}
		switch {
		case above.Private() && p.belowNobodys(r, up):
			v.Why = append(v.Why, fmt.Sprintf("it lies under a %s that nobody of the run made or is known to have", up.Name))
		case above.Private():
			v.add(1, "it lies under %q, which is private", up.Name)
		}
	}
	p.mu.Lock()
	p.privacy[r] = v
	p.mu.Unlock()
	p.Log.DebugContext(ctx, "whether a resource is private", "resource", r.Name, "score", v.Score, "why", strings.Join(v.Why, "; "))
	return v, nil
}

func (p *Probe) byWords(r *graph.Resource, v *Privacy) {
	switch {
	case usuallyPrivate.MatchString(r.Name):
		v.add(1, "%q is somebody's nearly everywhere", r.Name)
	case usuallyShared.MatchString(r.Name):
		v.add(-1, "%q is there for all nearly everywhere", r.Name)
	}
	own, shared, refuses, open := 0, 0, 0, 0
	classes := map[spec.DataClass]bool{}
	for _, op := range r.Ops {
		if op.Has(graph.Admin) {
			continue
		}
		text := op.Summary
		if ownWords.MatchString(text) {
			own++
		}
		if sharedWords.MatchString(text) {
			shared++
		}
		if op.Kind == graph.Read || op.Kind == graph.List {
			if !op.Secured && op.SecurityDeclared {
				open++
			}
			for _, resp := range op.Responses {
				if resp.Status == "403" {
					refuses++
				}
			}
			for _, out := range op.Outputs {
				if !ofMaker(out) {
					classes[out.Class] = true
				}
			}
		}
	}
	if own > 0 {
		v.add(0.7, "its operations speak of the caller's own")
	}
	if shared > 0 {
		v.add(-1, "its operations speak of what is shared")
	}
	if refuses > 0 {
		v.add(0.3, "reading is described with 403")
	}
	if open > 0 {
		v.add(-2, "reading needs no credentials, by the description")
	}
	if len(r.Owners) > 0 {
		v.add(0.4, "it has an owner's field (%s)", r.Owners[0])
	}
	for class, score := range map[spec.DataClass]float64{
		spec.ClassSecret: 1.2, spec.ClassFinancial: 1, spec.ClassHealth: 1.2, spec.ClassLocation: 0.7, spec.ClassPersonal: 0.6, spec.ClassIdentifier: 0.5,
	} {
		if classes[class] {
			v.add(score, "its answers hold %s data", class)
		}
	}
}

// byExperiment looks at what lists and reads show to another user.
func (p *Probe) byExperiment(ctx context.Context, r *graph.Resource, v *Privacy) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	for _, other := range p.Attackers() {
		for _, o := range p.World.Objects(r, user) {
			if o.Deleted() || o.ID == "" {
				continue
			}
			if field := nobodys(r, o); field != "" {
				v.add(-3, "what the user makes says itself that it is nobody's (%s: null): it is there for all until somebody is named", field)
			}
			if err := p.compare(ctx, r, o, other, v); err != nil {
				return err
			}
			if !o.Deleted() {
				return p.byParents(ctx, o, v)
			}
			again, err := p.standing(ctx, r, user, 1) // something had ended it: nothing was compared
			if err != nil || len(again) == 0 {
				return err
			}
			if err := p.compare(ctx, r, again[0].object, other, v); err != nil {
				return err
			}
			return p.byParents(ctx, again[0].object, v)
		}
	}
	return nil
}

// belowNobodys reports whether what the user made of a resource lies under an object that
// was there before and that no answer showed to be anybody's, or nobody of the run has one
// that it could lie under: a project, a site or an environment of the whole house makes
// nothing below it anybody's own, however private such things are elsewhere.
func (p *Probe) belowNobodys(r, up *graph.Resource) bool {
	for _, o := range p.World.Objects(r, p.Actor(actor.User)) {
		for _, above := range o.Parents {
			if above.Resource == up {
				return nobodysOwn(above)
			}
		}
	}
	return !slices.ContainsFunc(p.World.Objects(up, nil), func(o *world.Object) bool { return !nobodysOwn(o) })
}

// nobodysOwn reports whether an object was neither made by the run nor found to be
// somebody's: by a field that names an account of the run, by its tenant, or because one
// account alone is shown it.
func nobodysOwn(o *world.Object) bool {
	return !o.Made && o.Owner() == nil && o.Tenant() == ""
}

// reOwning is a member that says whose something is.
var reOwning = regexp.MustCompile(`(?i)^(user|owner|creator|author|created_?by|user_?created)(_?(id|uuid|name))?$`)

// reProvenance is a member that says who made something, as tools for teams write on all
// that their members share; whose it is it does not say.
var reProvenance = regexp.MustCompile(`(?i)^((created?|creator|uploade[dr]|added|posted|modified|updated|last_?modified|last_?updated|changed|edited)_?(by|user)?(_?(id|uuid|name|username|user|email))?|(user|member|account)_?(created|uploaded|added|modified|updated|changed|edited))$`)

// ofMaker reports whether what an answer holds is said of whoever made or changed
// something, and not of the thing: the mail address of its author makes no article private.
func ofMaker(out *graph.Output) bool {
	path := strings.Split(strings.Trim(out.Pointer, "/"), "/")
	return slices.ContainsFunc(path[:len(path)-1], reProvenance.MatchString)
}

// onlyProvenance reports whether of a resource's owner's fields all only say who made it,
// or list the people who work on it.
func onlyProvenance(r *graph.Resource) bool {
	return len(r.Owners) > 0 && !slices.ContainsFunc(r.Owners, func(o string) bool {
		head, _, below := strings.Cut(o, "/")
		return !reProvenance.MatchString(head) && (!below || spec.Singular(head) == head)
	})
}

// nobodys is the member by which an object that was just made says that it has no owner,
// "" where it has one or does not speak of it: what an API calls nobody's (a setting for
// all, a bookmark that no user is named in) is no other user's.
func nobodys(r *graph.Resource, o *world.Object) string {
	if o.MadeBy == nil || o.MadeBy.Last == nil {
		return ""
	}
	body, ok := scenario.Decode(o.MadeBy.Last.Body)
	if !ok {
		return ""
	}
	field, owned := "", false
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		m, is := v.(map[string]any)
		if !is || depth > 2 {
			return
		}
		for name, below := range m {
			own := reOwning.MatchString(name) || slices.ContainsFunc(r.Owners, func(owner string) bool {
				head, _, _ := strings.Cut(owner, "/") // below it are the members of whoever it is
				return strings.EqualFold(head, name)
			})
			switch {
			case own && below == nil:
				field = max(field, name) // the same each time
			case own:
				owned = true
			default:
				walk(below, depth+1)
			}
		}
	}
	walk(body, 0)
	if owned {
		return ""
	}
	return field
}

// byParents: what lies in something private, and of which nothing else is known, is
// private as well.
func (p *Probe) byParents(ctx context.Context, o *world.Object, v *Privacy) error {
	if v.Score < 0 || v.Private() {
		return nil
	}
	for _, up := range o.Parents {
		if up.Resource == o.Resource || up.Resource.IsPerson || up.Resource.IsTenant || nobodysOwn(up) {
			continue
		}
		above, err := p.Private(ctx, up.Resource)
		if err != nil {
			return err
		}
		if above.Private() {
			v.add(1, "it lies in a %s, which is private", up.Resource.Name)
			return nil
		}
	}
	return nil
}

func (p *Probe) compare(ctx context.Context, r *graph.Resource, o *world.Object, other *actor.Actor, v *Privacy) error {
	user := p.Actor(actor.User)
	lists, reads := 0, 0
	for _, op := range r.Ops {
		if op.Has(graph.Admin) || op.Has(graph.Hazard) || !op.Reads() {
			continue
		}
		switch op.Kind {
		case graph.List:
			if lists++; lists > 3 {
				continue
			}
			mine, err := p.tryAlive(ctx, op, user, nil)
			if err != nil {
				return err
			}
			if mine == nil || mine.Status/100 != 2 || !p.shows(mine, o) {
				continue
			}
			theirs, err := p.tryAlive(ctx, op, other, nil)
			if err != nil {
				return err
			}
			switch {
			case theirs == nil:
			case theirs.Status/100 != 2:
				v.add(1, "%s %s turns another user away", op.Method, op.Path)
			case p.shows(theirs, o) && !tellsSecrets(op) && slices.ContainsFunc(r.Of(graph.Read), tellsSecrets):
				v.add(-0.1, "%s %s shows another user that it is there, and not what is secret of it", op.Method, op.Path)
			case p.shows(theirs, o) && onlyProvenance(r):
				v.Among = true
				v.add(-1.2, "%s %s shows it to another user, and who made it is all that it says of whose it is (%s)", op.Method, op.Path, r.Owners[0])
			case p.shows(theirs, o):
				v.add(-0.8, "%s %s shows it to another user", op.Method, op.Path)
			default:
				v.add(1.5, "%s %s shows each user other objects", op.Method, op.Path)
			}
		case graph.Read:
			if reads++; reads > 3 {
				continue
			}
			in := p.naming(op, r)
			if in == nil {
				continue
			}
			over := map[string]string{in.Where(): idFor(in, o)}
			mine, err := p.tryAlive(ctx, op, user, over)
			if err != nil {
				return err
			}
			if mine == nil || mine.Status/100 != 2 {
				continue
			}
			theirs, err := p.tryAlive(ctx, op, other, over)
			if err != nil {
				return err
			}
			if theirs != nil && theirs.Status/100 == 4 && theirs.Status != 429 {
				v.add(1.5, "%s %s turns another user away", op.Method, op.Path)
			}
			nobody, err := p.try(ctx, op, nil, over)
			if err != nil {
				return err
			}
			if nobody != nil && nobody.Status/100 == 2 && p.shows(nobody, o) {
				v.add(-1, "%s %s shows it to anybody", op.Method, op.Path)
			}
		}
	}
	return nil
}

// tellsSecrets: by the description, its answers hold what is for few eyes.
func tellsSecrets(op *graph.Op) bool {
	return slices.ContainsFunc(op.Outputs, func(out *graph.Output) bool {
		return out.Class == spec.ClassSecret || out.Class == spec.ClassFinancial || out.Class == spec.ClassHealth
	})
}

// shows reports whether an answer shows an object: a canary of it, or, where it
// has none, its identifier as a whole value.
func (p *Probe) shows(x *target.Exchange, o *world.Object) bool {
	for _, c := range o.Canaries() {
		if scenario.Holds(x, c) {
			return true
		}
	}
	if len(o.Canaries()) > 0 {
		return false
	}
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return false
	}
	found := false
	scenario.Walk(body, func(at string, s any) {
		if fmt.Sprint(s) == o.ID {
			for _, name := range o.Resource.IDs {
				found = found || strings.HasSuffix(at, "/"+name)
			}
		}
	})
	return found
}
