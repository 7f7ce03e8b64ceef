package check

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// A read that shows the caller's own things, and takes as well an identifier of
// a person or a tenant whose things to show: who asks for another's must not get
// them. That the things are the callers' own is seen from the same call without
// the input: it gives each caller what naming oneself gives.

var (
	personWord = regexp.MustCompile(`^(user|customer|client|owner|account|member|person|employee|patient|student|driver|seller|buyer|author|holder|profile|agent|subscriber|guest|uid)$`)
	tenantWord = regexp.MustCompile(`^(tenant|company|org|organi[sz]ation|workspace|team|group|business|merchant|firm|site|customer_account)$`)
	reIDEnd    = regexp.MustCompile(`(?i)[_-]?(id|uuid|no|number|name|ref)$`)
)

// namesBy is the name of the fact by which an input names a person or a tenant;
// "" when it names neither, as far as can be told.
func namesBy(in *graph.Input, a *actor.Actor) string {
	name := in.Name
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	base := strings.ToLower(strings.Trim(reIDEnd.ReplaceAllString(name, ""), "_-"))
	var try []string
	switch {
	case in.Meaning == graph.MeansEmail:
		try = append(try, "email")
	case in.Meaning == graph.MeansUsername:
		try = append(try, "username")
	case in.Meaning == graph.MeansTenant, tenantWord.MatchString(base):
		try = append(try, "tenant", base+"_id", base+"Id", base)
	case in.Meaning == graph.MeansOwner, namesPerson(name), base != "" && strings.EqualFold(base, roleOf(a)):
		if in.Type == "string" && in.Format == "" && strings.HasSuffix(strings.ToLower(name), "name") {
			try = append(try, "username")
		}
		try = append(append(try, selfIDs(a)...), "username")
	}
	for _, f := range try {
		if v := a.Facts[f]; v != "" && (in.Type != "integer" || strings.Trim(v, "0123456789") == "") {
			return f
		}
	}
	return ""
}

// namesPerson reports whether a name ends in that of a person: "user_id",
// "ownerAccountId", "customer".
func namesPerson(name string) bool {
	words := strings.Split(strings.ToLower(strings.Trim(reCamel.ReplaceAllString(reIDEnd.ReplaceAllString(name, ""), "${1}_${2}"), "_-")), "_")
	return personWord.MatchString(words[len(words)-1]) || personWord.MatchString(words[0])
}

var (
	reCamel  = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	reSelfID = regexp.MustCompile(`(?i)^(account|user|customer|member|person|profile|client)[_-]?(id|uuid|no|number)$`)
)

// selfIDs are the facts that identify an actor's account, the best first.
func selfIDs(a *actor.Actor) []string {
	out := []string{"id"}
	for _, f := range slices.Sorted(maps.Keys(a.Facts)) {
		if reSelfID.MatchString(f) {
			out = append(out, f)
		}
	}
	return append(out, "sub")
}

// factText is a fact of an actor as an input takes it: now, and in a scenario.
func factText(in *graph.Input, a *actor.Actor, fact string) (now, later string) {
	now = jsonID(in, a.Facts[fact])
	later = "${" + a.Name + "." + fact + "}"
	if strings.HasPrefix(now, `"`) {
		return now, `"` + later + `"`
	}
	return now, "${" + a.Name + "." + fact + "|raw}"
}

func (p *Probe) readsNamed(ctx context.Context, op *graph.Op, pairs []pair) error {
	if op.Method != http.MethodGet && p.Mode == Safe {
		return nil
	}
	for _, in := range op.Inputs {
		if in.In == "path" || in.In == "cookie" || in.Required || in.In == "body" && op.Method == http.MethodGet {
			continue
		}
		for _, of := range pairs {
			for _, other := range of.others {
				// Either of the two may be the one who has something to show.
				for _, who := range [][2]*actor.Actor{{of.owner, other}, {other, of.owner}} {
					done, err := p.readNamed(ctx, op, in, who[0], who[1])
					if err != nil {
						return err
					}
					if done {
						return nil
					}
				}
			}
		}
	}
	return nil
}

func (p *Probe) readNamed(ctx context.Context, op *graph.Op, in *graph.Input, victim, attacker *actor.Actor) (bool, error) {
	fact := namesBy(in, victim)
	if fact == "" || attacker.Facts[fact] == "" || attacker.Facts[fact] == victim.Facts[fact] {
		return false, nil
	}
	plain, err := p.World.Call(ctx, op, victim, nil)
	if err != nil {
		p.Note(op, Skipped)
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	plain = plain.With(in.Where(), "")
	named, later := factText(in, victim, fact)
	aimed := plain.With(in.Where(), named)
	mine, err := p.send(ctx, plain)
	if err != nil || mine.Status/100 != 2 || !telling(mine) {
		return false, err
	}
	theirs, err := p.send(ctx, plain.By(attacker))
	if err != nil || theirs.Status/100 == 2 && scenario.Alike(mine, theirs) {
		return false, err
	}
	got, err := p.send(ctx, aimed.By(attacker))
	if err != nil {
		return false, err
	}
	if got.Status/100 != 2 || scenario.Form(got.Body) != scenario.Form(mine.Body) || scenario.Alike(got, theirs) {
		p.Note(op, Clean)
		return false, nil
	}
	v, err := p.Private(ctx, op.About)
	if err != nil || v.Score < 0 {
		return false, err
	}
	var l steps
	add := func(c *world.Call, bind, id string, part scenario.Part, note string, e scenario.Expect) {
		with := c.Renew(id)
		if bind != "" {
			with[in.Where()] = bind
		}
		st, err := p.World.Step(c, with)
		st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{e}
		l.add(st, err)
	}
	add(plain, "", "own", scenario.Control, victim.Name+" is shown what is their own", scenario.Expect{Status: "2xx"})
	add(plain.By(attacker), "", "plain", scenario.Control, attacker.Name+" is shown something else", scenario.Expect{Unlike: "own"})
	add(aimed.By(nil), later, "nobody", scenario.Control, "nobody without credentials gets it", scenario.Expect{Unlike: "own"})
	add(aimed.With(in.Where(), jsonID(in, absent(victim.Facts[fact]))).By(attacker), "", "absent", scenario.Control, "an identifier of nobody gives something else", scenario.Expect{Unlike: "own"})
	add(aimed.By(attacker), later, "attack", scenario.Attack, attacker.Name+" names "+victim.Name+", and is shown what is theirs", scenario.Expect{Status: "2xx", Like: "own"})
	if l.err != nil {
		p.Note(op, Inconclusive)
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: in.Where(),
		Title:       fmt.Sprintf("%s %s shows what is another's to whoever names them in %s", op.Method, op.Path, in.Name),
		Description: fmt.Sprintf("Without %s each caller is shown what is their own. With another's identifier in it, the caller is shown what is that other's.", in.Where()),
		Scenario:    &scenario.Scenario{Name: fmt.Sprintf("%s %s in another's name", op.Method, op.Path), Steps: l.list},
	})
}

// roleOf is an actor's role, "" when it is not known.
func roleOf(a *actor.Actor) string {
	if a.Role != "" {
		return a.Role
	}
	return a.Facts["role"]
}
