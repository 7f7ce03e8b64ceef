package check

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var (
	_ = register(&Check{
		ID: "undocumented", Title: "There are operations that the description does not have",
		OWASP: "API9:2023", CWE: "CWE-1059", WSTG: "WSTG-CONF-05", CVSS: vectorInfo,
		About: "Asks for paths that the described ones suggest (their siblings, what collections usually have) and for the usual ones, as a user and as nobody.",
		Proof: "The answer is JSON that says something, and a made-up path beside it does not get it. One that shows people's addresses to somebody who may not see them is a hole of its own. All others are one row.",
		Fix:   "Take off the network what is not described, or describe and guard it.",
		Mode:  Safe,
		Run:   undocumented,
	})
	_ = register(&Check{
		ID: "client-address", Title: "A header that names an address or a path opens what is refused",
		OWASP: "API5:2023", CWE: "CWE-290", WSTG: "WSTG-ATHZ-02",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Asks for what a user is refused, with the headers in which proxies say who is calling and for what: from the machine itself, for another path, as a host of the inside.",
		Proof: "With the header it is answered, without it refused, before and after.",
		Fix:   "Take such headers from your own proxies only and strip them at the edge; never decide by them.",
		Mode:  Safe,
		Run:   clientAddress,
	})
)

// usual are the names of what there often is and seldom is described, in order.
var usual = strings.Fields("users admin admin/users accounts customers employees config settings metrics stats logs debug internal private test dev backup export all dump env info status version health audit events jobs tasks queue cache flags features keys api-keys tokens sessions roles permissions orders payments invoices transactions messages files documents uploads webhooks secrets credentials profiles members graphql")

// below are what collections often have besides what is described.
var below = strings.Fields("all export export.csv search count stats debug _debug admin list dump internal raw")

// areas are what operators and programmers keep things of their own below.
var areas = strings.Fields("admin internal debug")

// lastSteps are the last steps of the first few paths, each once.
func lastSteps(paths []string, most int) []string {
	var out []string
	for _, path := range paths {
		if last := path[strings.LastIndexByte(path, '/')+1:]; len(out) < most && last != "" && last != "me" && !slices.Contains(out, last) {
			out = append(out, last)
		}
	}
	return out
}

// candidates are undescribed paths worth asking for.
func (p *Probe) candidates() []string {
	var collections, out []string
	held, known := map[string]bool{}, map[string]bool{}
	collect := func(path string) {
		if !held[path] {
			held[path] = true
			collections = append(collections, path)
		}
	}
	for _, op := range p.Graph.Ops {
		known[op.Path] = true
		if !strings.Contains(op.Path, "{") && (op.Kind == graph.List || op.Kind == graph.Create) {
			collect(op.Path)
		}
		// What a path's objects lie in: /a/{id} for an undescribed /a.
		if i := strings.Index(op.Path, "/{"); i > 0 {
			collect(op.Path[:i])
		}
	}
	add := func(path string) {
		if !known[path] {
			known[path] = true
			out = append(out, path)
		}
	}
	for _, c := range collections {
		add(c)
	}
	for _, prefix := range p.prefixes() {
		for _, u := range usual {
			add(prefix + "/" + u)
		}
	}
	prefixes := p.prefixes()
	for _, prefix := range prefixes[:min(len(prefixes), 2)] {
		for _, area := range areas {
			for _, name := range append([]string{"users", "config"}, lastSteps(collections, 5)...) {
				add(prefix + "/" + area + "/" + name)
			}
		}
	}
	for _, c := range collections[:min(len(collections), 12)] {
		for _, b := range below {
			add(c + "/" + b)
		}
	}
	return out[:min(len(out), 370)]
}

func undocumented(ctx context.Context, p *Probe) error {
	var mu sync.Mutex
	var rows []scenario.Step
	var paths []string
	as := p.Actor(actor.User)
	err := Each(ctx, p, p.candidates(), func(ctx context.Context, path string) error {
		x, err := p.Do(ctx, as, &target.Request{Method: http.MethodGet, Path: path})
		if err != nil || !tells(x) {
			return err
		}
		beside, err := p.Do(ctx, as, &target.Request{Method: http.MethodGet, Path: path + "crenelzq"})
		if err != nil || beside.Status/100 == 2 && (scenario.Form(beside.Body) == scenario.Form(x.Body) || scenario.Alike(x, beside, path, path+"crenelzq")) || beside.Status == 429 {
			return err
		}
		if done, err := p.showsPeople(ctx, path); err != nil || done {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, path)
		return nil
	})
	if err != nil || len(paths) == 0 {
		return err
	}
	slices.Sort(paths)
	name := actor.Nobody
	if as != nil {
		name = as.Name
	}
	for i, path := range paths[:min(len(paths), 6)] {
		id := fmt.Sprintf("path%d", i+1)
		rows = append(rows,
			scenario.Step{ID: id + "beside", Part: scenario.Control, As: name, Note: "a made-up path beside it", Send: &scenario.Send{Method: http.MethodGet, Path: path + "${canary.beside}"}, Expect: []scenario.Expect{{Status: "any"}}},
			scenario.Step{ID: id, Part: scenario.Attack, As: name, Note: "what the description does not have answers", Send: &scenario.Send{Method: http.MethodGet, Path: path}, Expect: []scenario.Expect{{Status: "2xx", Header: "Content-Type", Matches: "(?i)json|csv"}, {Unlike: id + "beside"}}},
		)
	}
	_, err = p.Prove(ctx, Hypothesis{
		Where: "paths", Title: countOf(len(paths), "operation answers", "operations answer") + " that the description does not have",
		Description: "Undescribed, and answering: " + strings.Join(paths[:min(len(paths), 20)], ", ") + ".",
		Scenario:    &scenario.Scenario{Name: "undescribed operations", Steps: rows},
	})
	return err
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// tells: the answer is JSON that says something, or a table.
func tells(x *target.Exchange) bool {
	media := strings.ToLower(x.Header.Get("Content-Type"))
	if x.Status/100 == 2 && strings.Contains(media, "csv") {
		return bytes.Count(x.Body, []byte(",")) > 1
	}
	if x.Status/100 != 2 || !strings.Contains(media, "json") {
		return false
	}
	v, ok := scenario.Decode(x.Body)
	if !ok {
		return false
	}
	n := 0
	scenario.Walk(v, func(string, any) { n++ })
	return n > 0
}

// showsPeople: somebody who may not see it is shown the addresses of others'
// accounts; first nobody, then another user.
func (p *Probe) showsPeople(ctx context.Context, path string) (bool, error) {
	if done, err := p.showsAddresses(ctx, path); err != nil || done {
		return done, err
	}
	user := p.Actor(actor.User)
	if user == nil || user.Facts["email"] == "" {
		return false, nil
	}
	for _, who := range []string{actor.Nobody, actor.Foreign, actor.Peer} {
		a := p.Actor(who)
		if who != actor.Nobody && a == nil {
			continue
		}
		x, err := p.Do(ctx, a, &target.Request{Method: http.MethodGet, Path: path})
		if err != nil {
			return false, err
		}
		if x.Status/100 != 2 || !scenario.Holds(x, user.Facts["email"]) {
			continue
		}
		note := "nobody is shown a user's address"
		if who != actor.Nobody {
			note = "another user is shown a user's address"
		}
		return p.Prove(ctx, Hypothesis{
			Method: http.MethodGet, Path: path, Where: "path", Title: "GET " + path + " is not described, and shows users' addresses",
			CVSS:        "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
			Description: "An operation that the description does not have shows the e-mail address of an account to somebody else.",
			Scenario: &scenario.Scenario{Name: "an undescribed operation that shows people", Steps: []scenario.Step{
				{ID: "beside", Part: scenario.Control, As: who, Note: "a made-up path beside it does not", Send: &scenario.Send{Method: http.MethodGet, Path: path + "${canary.beside}"}, Expect: []scenario.Expect{{Lacks: []string{"${user.email}"}}}},
				{ID: "attack", Part: scenario.Attack, As: who, Note: note, Send: &scenario.Send{Method: http.MethodGet, Path: path}, Expect: []scenario.Expect{{Status: "2xx", Contains: []string{"${user.email}"}}}},
			}},
		})
	}
	return false, nil
}

var reOffice = regexp.MustCompile(`(?i)^(info|support|contact|sales|help|hello|admin|office|press|jobs|privacy|legal|noreply|no-reply|security|team|mail|service|webmaster|abuse)@`)

// showsAddresses: nobody is shown the addresses of several people.
func (p *Probe) showsAddresses(ctx context.Context, path string) (bool, error) {
	x, err := p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: path})
	if err != nil || x.Status/100 != 2 {
		return false, err
	}
	people := map[string]bool{}
	for _, m := range reEmail.FindAllString(string(x.Body), 200) {
		if !reOffice.MatchString(m) {
			people[m] = true
		}
	}
	if len(people) < 3 {
		return false, nil
	}
	return p.besides(ctx, Hypothesis{
		Method: http.MethodGet, Path: path, Where: "path", Title: "GET " + path + " is not described, and shows anybody the addresses of people",
		CVSS:        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		Description: "An operation that the description does not have shows whoever asks the e-mail addresses of several people.",
	}, path, scenario.Expect{Matches: `(?s)([\w.+-]+@[\w-]+\.\w+.*){3}`})
}

// insideHeaders are headers that say that a request comes from the inside, or is for
// something else; %s is the path.
var insideHeaders = []struct{ name, value, path string }{
	{"X-Forwarded-For", "127.0.0.1", ""}, {"X-Real-IP", "127.0.0.1", ""}, {"X-Client-IP", "127.0.0.1", ""}, {"True-Client-IP", "127.0.0.1", ""}, {"X-Remote-Addr", "127.0.0.1", ""}, {"Forwarded", "for=127.0.0.1", ""},
	{"X-Forwarded-Host", "localhost", ""}, {"X-Internal", "true", ""}, {"X-Admin", "true", ""},
	{"X-Original-URL", "%s", "/"}, {"X-Rewrite-URL", "%s", "/"},
}

func clientAddress(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodGet || op.Has(graph.Hazard) || !op.Secured && !op.Has(graph.Admin) && !op.Has(graph.Debug) {
			return nil
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		for _, a := range []*actor.Actor{user, nil} {
			plain, err := p.send(ctx, c.By(a))
			if err != nil {
				return err
			}
			if (plain.Status != 401 && plain.Status != 403 && plain.Status != 404) || plain.Status == 404 && len(op.PathParams) > 0 {
				if a == user && plain.Status/100 == 2 {
					continue
				}
				return nil
			}
			p.Note(op, Clean)
			r, err := p.World.Request(c.By(a))
			if err != nil {
				return nil //nolint:nilerr // a call that cannot be written proves nothing
			}
			all := r.Clone()
			for _, h := range insideHeaders[:9] {
				all.Header = append(all.Header, target.Field{Name: h.name, Value: h.value})
			}
			x, err := p.Do(ctx, a, all)
			if err != nil {
				return err
			}
			list := insideHeaders[9:]
			if x.Status/100 == 2 {
				list = insideHeaders[:9]
			}
			for _, h := range list {
				if done, err := p.opens(ctx, op, r, a, h.name, strings.ReplaceAll(h.value, "%s", r.Path), h.path); err != nil || done {
					return err
				}
			}
			return nil
		}
		return nil
	})
}

func (p *Probe) opens(ctx context.Context, op *graph.Op, r *target.Request, a *actor.Actor, name, value, path string) (bool, error) {
	q := r.Clone()
	q.Header = append(q.Header, target.Field{Name: name, Value: value})
	if path != "" {
		q.Path = path
	}
	x, err := p.Do(ctx, a, q)
	if err != nil || x.Status/100 != 2 || !tells(x) {
		return false, err
	}
	c, err := p.World.Call(ctx, op, p.Actor(actor.User), nil)
	if err != nil {
		return false, nil //nolint:nilerr // an operation that cannot be called does not end the run
	}
	var l steps
	add := func(id string, part scenario.Part, note string, with bool, e scenario.Expect) {
		st, err := p.step(nil, c.By(a), id, part)
		if err == nil && with {
			st.Send.Header = append(st.Send.Header, scenario.Pair{Name: name, Value: value})
			if path != "" {
				st.Send.Path = path
			}
		}
		if err == nil && !with && id == "bare" {
			st.Send.Path = path
		}
		st.Note, st.Expect = note, []scenario.Expect{e}
		l.add(st, err)
	}
	add("plain", scenario.Control, "it is refused", false, scenario.Expect{Status: "4xx"})
	attack := scenario.Expect{Status: "2xx"}
	if path != "" {
		add("bare", scenario.Control, "what the other path gives by itself", false, scenario.Expect{Status: "any"})
		attack.Unlike = "bare"
	}
	add("attack", scenario.Attack, "with "+name+" it is answered", true, attack)
	add("plain2", scenario.Control, "and without it refused again", false, scenario.Expect{Status: "4xx", Like: "plain"})
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "header." + name, Title: fmt.Sprintf("%s %s is refused, and answered to whoever sends %s", op.Method, op.Path, name),
		Description: "A header that anybody can send is taken for the word of one's own proxy.",
		Scenario:    &scenario.Scenario{Name: "a header that opens", Steps: l.list},
	})
}
