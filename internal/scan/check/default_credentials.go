package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "default-credentials", Title: "An account with a factory password is there",
	OWASP: "API2:2023", CWE: "CWE-1392", WSTG: "WSTG-ATHN-02",
	CVSS:  vectorTakeover,
	About: "Logs in with a few names and passwords that products are delivered with; at most four tries for each name.",
	Proof: "The login gives a credential, and it opens what nobody can open. Controls: a made-up name gives none.",
	Fix:   "Deliver no account with a known password; make the first one when the product is set up, with a random one.",
	Mode:  Default,
	Run:   defaultCredentials,
})

// factory are names and passwords that products come with.
var factory = []struct {
	name      string
	passwords []string
}{
	{"admin", []string{"admin", "password", "admin123", "changeme"}},
	{"administrator", []string{"administrator", "password", "admin"}},
	{"root", []string{"root", "toor", "password"}},
	{"user", []string{"user", "password"}},
	{"test", []string{"test", "test123"}},
	{"guest", []string{"guest"}},
	{"demo", []string{"demo"}},
	{"support", []string{"support"}},
	{"manager", []string{"manager"}},
}

func defaultCredentials(ctx context.Context, p *Probe) error {
	d := p.door(ctx)
	user := p.Actor(actor.User)
	if d == nil || user == nil || d.save.At == "" && d.save.Header == "" && d.save.Cookie == "" {
		return nil
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	id := ""
	for _, f := range []string{"email", "username"} {
		if d.fields[f] != "" {
			id = f
			break
		}
	}
	if id == "" {
		return nil
	}
	tries := 0
	for _, f := range factory {
		for _, name := range p.factoryNames(id, f.name) {
			for _, pw := range f.passwords {
				if tries++; tries > 60 {
					return nil
				}
				facts := map[string]string{id: name, "password": pw}
				c := d.call
				for fact, text := range facts {
					c = c.With(d.fields[fact], jsonString(text))
				}
				x, err := p.send(ctx, c)
				if err != nil {
					return err
				}
				p.Log.DebugContext(ctx, "a factory account was tried", "name", name, "status", x.Status)
				if x.Status/100 >= 4 || x.Status == 0 {
					continue
				}
				if ok, err := p.factoryOpens(ctx, d, w, facts); err != nil || ok {
					return err
				}
			}
		}
	}
	p.Note(d.call.Op, Clean)
	return nil
}

// factoryNames are a factory account's names as the login takes them: e-mail
// addresses are in the houses that answers and the description speak of.
func (p *Probe) factoryNames(kind, name string) []string {
	if kind != "email" {
		return []string{name}
	}
	count := map[string]int{}
	for _, e := range p.Notebook.Emails() {
		_, domain, _ := strings.Cut(e, "@")
		count[strings.ToLower(domain)]++
	}
	for _, a := range p.People.All() {
		if _, domain, ok := strings.Cut(a.Facts["email"], "@"); ok && !a.Made {
			count[strings.ToLower(domain)] += 5
		}
	}
	var domains []string
	for dom := range count {
		domains = append(domains, dom)
	}
	slices.SortFunc(domains, func(a, b string) int { return count[b]*1000 - count[a]*1000 + strings.Compare(a, b) })
	domains = append(domains[:min(4, len(domains))], "example.com")
	var out []string
	for _, dom := range domains {
		out = append(out, name+"@"+dom)
		if name != "admin" {
			break // the rarer names in the likeliest house only
		}
	}
	return out
}

func (p *Probe) factoryOpens(ctx context.Context, d *door, w *witness, facts map[string]string) (bool, error) {
	var s steps
	s.add(d.step(p, "stranger", scenario.Control, "a made-up account gets nothing", d.unknown("a"), scenario.Expect{Status: "!2xx"}))
	in, err := d.step(p, "login", scenario.Attack, "the factory's account logs in", facts, d.in())
	save := d.save
	save.As = "credential"
	in.Save = []scenario.Save{save}
	s.add(in, err)
	s.add(p.look(w, "nobody", scenario.Control, actor.Nobody, "nobody gets an answer", scenario.Expect{Status: "!2xx"}))
	open, err := p.look(w, "open", scenario.Observe, actor.User, "the factory's account does", scenario.Expect{Status: "2xx"})
	if err == nil {
		open.Send.Credential = "${credential}"
	}
	s.add(open, err)
	if s.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: d.call.Op, Where: d.fields["password"], Title: fmt.Sprintf("%s %s lets a factory account in", d.call.Op.Method, d.call.Op.Path),
		Description: "A name and a password that products are delivered with open an account.",
		Scenario:    &scenario.Scenario{Name: "a factory account", Steps: s.list},
	})
}
