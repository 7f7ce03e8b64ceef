package check

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// door is the login operation as a scenario uses it.
type door struct {
	call   *world.Call
	fields map[string]string // fact → Input.Where
	save   scenario.Save     // where its answer holds the credential; zero: unknown
	who    string            // whose it is in scenarios: "fresh1", a new account
}

// right is the password of the account that the door is tried with, as a placeholder.
func (d *door) right() string { return "${" + d.who + ".password}" }

// stands is who is tried where a scenario wants an account that may come to harm: a new
// one, or, where none can be registered and bursts are allowed, the one of those that
// were given that the run needs least. "" where there is none.
func (p *Probe) stands(ctx context.Context) string {
	if p.People.RegisterEntry() != nil {
		return "fresh1"
	}
	if _, err := p.People.Fresh(ctx); err == nil {
		return "fresh1"
	}
	for _, name := range []string{actor.Foreign, actor.Peer} {
		if a := p.Actor(name); p.Mode >= Aggressive && a != nil && a.Facts["password"] != "" {
			return name
		}
	}
	return ""
}

// step is a login with the given facts (texts with placeholders).
func (d *door) step(p *Probe, id string, part scenario.Part, note string, facts map[string]string, e ...scenario.Expect) (scenario.Step, error) {
	bind := map[string]string{}
	for fact, where := range d.fields {
		if v, ok := facts[fact]; ok {
			bind[where] = `"` + v + `"`
		}
	}
	st, err := p.World.Step(d.call, bind)
	st.ID, st.Part, st.As, st.Note, st.Expect = id, part, actor.Nobody, note, e
	return st, err
}

// in says that a login's answer lets one in.
func (d *door) in() scenario.Expect {
	return scenario.Expect{Status: "2xx|302|303", At: d.save.At, Header: d.save.Header, Matches: d.matches()}
}

func (d *door) matches() string {
	if d.save.At != "" || d.save.Header != "" {
		return "."
	}
	return ""
}

// entered says that an answer holds the credential that a login gives.
func (d *door) entered() scenario.Expect {
	switch e := d.in(); {
	case d.save.Cookie != "":
		return scenario.Expect{Status: e.Status, Header: "Set-Cookie", Matches: "^" + regexp.QuoteMeta(d.save.Cookie) + `="?[^;"]{8,}`}
	case d.save.At != "" || d.save.Header != "":
		e.Matches = ".{8,}"
		return e
	default:
		return e
	}
}

// softly: a wrong password is answered with a success, and no credential.
func (p *Probe) softly(ctx context.Context, d *door) bool {
	if d.save.Cookie == "" && d.save.At == "" && d.save.Header == "" {
		return false
	}
	s, x, err := p.People.LoginWith(ctx, p.People.NewFacts("stranger"))
	return err == nil && s == nil && x != nil && x.Status/100 == 2 || err != nil && x != nil && x.Status/100 == 2
}

// fresh is what identifies the account that is tried, as placeholders: "${fresh1.email}".
func (d *door) fresh(password string) map[string]string {
	out := map[string]string{"password": password}
	for fact := range d.fields {
		if fact != "password" && fact != "confirm" {
			out[fact] = "${" + d.who + "." + fact + "}"
		}
	}
	return out
}

// unknown is an account of nobody, of the form that accounts have.
func (d *door) unknown(name string) map[string]string {
	out := map[string]string{"password": wrongPassword}
	for fact := range d.fields {
		switch fact {
		case "email":
			out[fact] = "${canary." + name + "}@example.com"
		case "password", "confirm":
		case "phone":
			out[fact] = "+1${number." + name + "}"
		default:
			out[fact] = "${canary." + name + "}"
		}
	}
	return out
}

// steps collects steps and the first error.
type steps struct {
	list []scenario.Step
	err  error
}

func (s *steps) add(st scenario.Step, err error) {
	if err != nil && s.err == nil {
		s.err = err
	}
	s.list = append(s.list, st)
}

func factOf(in *graph.Input) string {
	switch in.Meaning {
	case graph.MeansEmail:
		return "email"
	case graph.MeansUsername:
		return "username"
	case graph.MeansPhone:
		return "phone"
	}
	return ""
}

func domainOf(email string) string {
	if _, d, ok := strings.Cut(email, "@"); ok {
		return d
	}
	return "example.com"
}

// door is how people log in here; nil when that is not known.
func (p *Probe) door(ctx context.Context) *door {
	e := p.People.LoginEntry()
	if e == nil || e.Fields["password"] == "" {
		return nil
	}
	c, err := p.World.Call(ctx, e.Op, nil, nil)
	if err != nil {
		return nil
	}
	d := &door{call: c, fields: e.Fields, who: "fresh1"}
	user := p.Actor(actor.User)
	p.doorway.Lock()
	defer p.doorway.Unlock()
	if p.gives == (scenario.Save{}) && user != nil && user.Facts["password"] != "" {
		if s, x, err := p.People.LoginWith(ctx, user.Facts); err == nil && s != nil && x != nil {
			for _, part := range s.Parts {
				if !part.CSRF {
					p.gives, _ = entrance(x, part.Value)
					break
				}
			}
		}
	}
	d.save = p.gives
	return d
}

func jsonString(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(b)
}
