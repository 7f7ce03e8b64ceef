package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "debug-exposed", Title: "A page for developers is open",
		OWASP: "API8:2023", CWE: "CWE-489", WSTG: "WSTG-CONF-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Asks, without credentials, for the paths at which frameworks put debug pages, metrics, environments and backups, and for what the description has of that kind.",
		Proof: "The answer holds what such a page holds. Controls: a made-up path beside it is not there.",
		Fix:   "Take such handlers out of what is built for production, or put them on an address of their own.",
		Mode:  Safe,
		Run:   debugExposed,
	})
	_ = register(&Check{
		ID: "old-version", Title: "An older version is still there, without the newer one's checks",
		OWASP: "API9:2023", CWE: "CWE-1059", WSTG: "WSTG-CONF-05",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
		About: "Calls the reads of objects under the versions before and after the described one (v1 for v2), as another user.",
		Proof: "The other user gets the owner's text there, and not under the described version. Controls: the owner gets it; a version that cannot be is not there.",
		Fix:   "Take old versions off the network, or put the same checks before both.",
		Mode:  Safe,
		Run: func(ctx context.Context, p *Probe) error {
			if err := oldVersionOpen(ctx, p); err != nil {
				return err
			}
			return oldVersion(ctx, p)
		},
	})
)

// debugPages are paths of developers' pages, and what each holds.
var debugPages = []struct{ path, holds string }{
	{"/debug", `(?i)"?(env|environment|config|secret|database|goroutine|stack|dsn)"?\s*[:=]`}, {"/debug/config", `(?i)"?\w*(secret|password|dsn|database|key)"?\s*[:=]`}, {"/debug/vars", `"cmdline"|"memstats"`}, {"/debug/pprof/", `(?i)goroutine|heap profile`},
	{"/debug/env", `(?i)(PATH|HOME|SECRET|PASSWORD)`}, {"/_debug", `(?i)(secret|config|stack|env)`}, {"/internal/debug", `(?i)(secret|config|stack|env|database)`}, {"/__debug__", `(?i)(debug|toolbar|sql)`},
	{"/actuator/env", `"propertySources"`}, {"/actuator/heapdump", `JAVA PROFILE`}, {"/actuator/configprops", `"contexts"|"beans"`}, {"/actuator/mappings", `"dispatcherServlets"|"contexts"`}, {"/env", `"propertySources"|(?m)^[A-Z_]{3,}=`}, {"/actuator", `"_links"`},
	{"/.env", `(?m)^[A-Z][A-Z0-9_]{2,}=.+`}, {"/.git/config", `\[core\]`}, {"/.git/HEAD", `^ref: refs/`}, {"/config.json", `(?i)"\w*(secret|password|private_?key|connection)\w*"\s*:`}, {"/appsettings.json", `(?i)"ConnectionStrings"`},
	{"/phpinfo.php", `PHP Version`}, {"/server-status", `Apache Server Status`}, {"/console", `(?i)werkzeug|h2 console|interactive console`}, {"/h2-console", `(?i)H2 Console`}, {"/_profiler", `(?i)symfony profiler`}, {"/telescope", `(?i)laravel telescope`},
	{"/trace", `"timestamp"\s*:.*"headers"`}, {"/dump", `(?i)(threadName|INSERT INTO)`}, {"/backup.sql", `(?i)INSERT INTO|CREATE TABLE`}, {"/database.sql", `(?i)INSERT INTO|CREATE TABLE`}, {"/admin/debug", `(?i)(secret|config|stack|env|database)`}, {"/status/config", `(?i)(secret|password|dsn)`},
}

// prefixes are what the API's own paths begin with, the commonest first.
func (p *Probe) prefixes() []string {
	count := map[string]int{}
	for _, op := range p.Graph.Ops {
		parts := strings.SplitN(strings.TrimPrefix(op.Path, "/"), "/", 3)
		if len(parts) > 1 && (reVersion.MatchString(parts[0]) || parts[0] == "api" || parts[0] == "rest") {
			prefix := "/" + parts[0]
			if len(parts) > 2 && reVersion.MatchString(parts[1]) {
				prefix += "/" + parts[1]
			}
			count[prefix]++
		}
	}
	out := []string{""}
	for range 2 {
		best := ""
		for c, n := range count {
			if best == "" || n > count[best] || n == count[best] && c < best {
				best = c
			}
		}
		if best != "" {
			out = append(out, best)
			delete(count, best)
		}
	}
	return out
}

var reVersion = regexp.MustCompile(`^v\d+(\.\d+)?$`)

func debugExposed(ctx context.Context, p *Probe) error {
	described := map[string]bool{}
	for _, op := range p.Graph.Ops {
		described[op.Path] = true
	}
	if err := p.debugDescribed(ctx); err != nil {
		return err
	}
	for _, prefix := range p.prefixes() {
		for _, page := range debugPages {
			path := prefix + page.path
			if described[path] {
				continue
			}
			x, err := p.Do(ctx, nil, &target.Request{Method: "GET", Path: path})
			if errors.Is(err, target.ErrRefused) {
				continue
			}
			if err != nil {
				return err
			}
			if x.Status/100 != 2 {
				continue
			}
			if !regexp.MustCompile(page.holds).Match(x.Body) {
				continue
			}
			var l steps
			l.add(scenario.Step{ID: "beside", Part: scenario.Control, Note: "a made-up path beside it is not there", Send: &scenario.Send{Method: "GET", Path: path + "${canary.beside}"}, Expect: []scenario.Expect{{Status: "any"}}}, nil)
			l.add(scenario.Step{ID: "attack", Part: scenario.Attack, Note: "nobody gets the page", Send: &scenario.Send{Method: "GET", Path: path}, Expect: []scenario.Expect{{Status: "2xx", Matches: page.holds, Unlike: "beside"}}}, nil)
			if _, err := p.Prove(ctx, Hypothesis{
				Method: "GET", Path: path, Where: "path", Title: fmt.Sprintf("GET %s is open to anybody", path),
				Description: "A page for developers, which the description does not have, tells whoever asks of the inside.",
				Scenario:    &scenario.Scenario{Name: "a developers' page", Steps: l.list},
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// reConfidential is a member called as secrets are, with something in it that is no mask.
const reConfidential = `(?i)"\w*(secret|password|passwd|dsn|private_?key|api_?key|access_?key|connection_?string)\w*"\s*:\s*"[^"*<•]{4,}"`

// debugDescribed asks for those developers' pages that the description has: it
// does not make them fit for everybody.
func (p *Probe) debugDescribed(ctx context.Context) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodGet || !op.Has(graph.Debug) || len(op.PathParams) > 0 || op.Has(graph.Hazard) {
			return nil
		}
		c, err := p.World.Call(ctx, op, nil, nil)
		if err != nil {
			p.Note(op, Skipped)
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		x, err := p.send(ctx, c)
		if err != nil {
			return err
		}
		p.Note(op, Clean)
		if x.Status/100 != 2 || !regexp.MustCompile(reConfidential).Match(x.Body) {
			return nil
		}
		var l steps
		st, err := p.step(nil, c, "attack", scenario.Attack)
		st.Note, st.Expect = "nobody gets the page, with secrets in it", []scenario.Expect{{Status: "2xx", Matches: reConfidential}}
		l.add(st, err)
		if l.err != nil {
			p.Note(op, Inconclusive)
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		_, err = p.Prove(ctx, Hypothesis{
			Op: op, Where: "path", Title: fmt.Sprintf("GET %s is open to anybody, and tells secrets", op.Path),
			Description: "A page for developers tells whoever asks what is in members that are called as secrets are.",
			Scenario:    &scenario.Scenario{Name: "a developers' page", Steps: l.list},
		})
		return err
	})
}

func oldVersion(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil || len(p.Attackers()) == 0 {
		return nil
	}
	other := p.Attackers()[0]
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Kind != graph.Read || op.Method != http.MethodGet || op.About == nil || op.Has(graph.Admin) {
			return nil
		}
		in := p.naming(op, op.About)
		if in == nil || in.In != "path" {
			return nil
		}
		for _, s := range p.subjects(op.About, user, 1) {
			if s.recipe == nil || len(s.marks) == 0 {
				continue
			}
			own, err := p.on(ctx, op, user, in, s.object)
			if err != nil {
				continue
			}
			r, err := p.World.Request(own)
			if err != nil {
				continue
			}
			for _, v := range p.versions(r.Path) {
				q := *r
				v.under(&q.Path, &q.Root)
				if p.isDescribed(op.Method, v.of(op)) {
					continue // it is looked at for what it is
				}
				x, err := p.Do(ctx, other, &q)
				if errors.Is(err, target.ErrRefused) {
					continue
				}
				if err != nil {
					return err
				}
				if x.Status/100 != 2 || !p.anyHeld(x, s) || p.known(op.Method, v.of(op), "credentials") {
					continue
				}
				if done, err := p.twinHypothesis(ctx, op, s, own, other, v); err != nil || done {
					return err
				}
			}
		}
		return nil
	})
}

// version is another version of the API: its name in place of the one that a path
// has, or the target's base path.
type version struct {
	is, name string
	base     string // the whole base path, of a version that stands there
}

// versions are those beside the one that a path, or the base before it, has.
func (p *Probe) versions(path string) []version {
	base := ""
	if p.Client != nil {
		base = p.Client.Base()
	}
	for i, where := range []string{path, base} {
		for part := range strings.SplitSeq(where, "/") {
			if !reVersion.MatchString(part) {
				continue
			}
			n, err := strconv.Atoi(strings.TrimPrefix(part, "v"))
			if err != nil {
				return nil
			}
			var out []version
			for _, v := range []string{"v" + strconv.Itoa(n-1), "v" + strconv.Itoa(n+1), "v0", "beta", "internal"} {
				o := version{is: part, name: v}
				if i > 0 {
					o.base = base
				}
				if v != "v-1" && v != part && !slices.Contains(out, o) {
					out = append(out, o)
				}
			}
			return out
		}
	}
	return nil
}

var reTemplate = regexp.MustCompile(`\{[^}]*\}`)

// isDescribed reports whether the description has an operation, whatever it calls the
// parts of its path.
func (p *Probe) isDescribed(method, path string) bool {
	path = reTemplate.ReplaceAllString(path, "{}")
	return slices.ContainsFunc(p.Graph.Ops, func(op *graph.Op) bool {
		return op.Method == method && reTemplate.ReplaceAllString(op.Path, "{}") == path
	})
}

// under puts a path under the version.
func (v version) under(path *string, root *bool) {
	if v.base != "" {
		*path, *root = v.base+*path, true
	}
	*path = strings.TrimSuffix(strings.Replace(*path+"/", "/"+v.is+"/", "/"+v.name+"/", 1), "/")
}

// step is a step under the version.
func (v version) step(st scenario.Step) scenario.Step {
	send := *st.Send
	v.under(&send.Path, &send.Root)
	st.Send = &send
	return st
}

// of is where an operation of the description is under the version.
func (v version) of(op *graph.Op) string {
	path, root := op.Path, false
	v.under(&path, &root)
	return path
}

// impossible is a version that cannot be.
func (v version) impossible() version {
	v.name = "v97"
	return v
}

func (p *Probe) twinHypothesis(ctx context.Context, op *graph.Op, s *subject, own *world.Call, other *actor.Actor, v version) (bool, error) {
	l := steps{list: s.setup()}
	st, err := p.step(s, own, "own", scenario.Control)
	st.Note, st.Expect = "the owner reads it", []scenario.Expect{{Status: "2xx", Contains: s.marks[:1]}}
	l.add(st, err)
	st, err = p.step(s, own.By(other), "described", scenario.Control)
	st.Note, st.Expect = "another user does not, under the described version", []scenario.Expect{{Lacks: s.marks[:1]}}
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	// Where the described version leaks as well, that is a finding of its own.
	now, err := p.send(ctx, own.By(other))
	if err != nil {
		return false, err
	}
	if !p.anyHeld(now, s) {
		l.add(st, nil)
	}
	no := v.impossible().step(st)
	no.ID, no.Note, no.Expect = "absent", "a version that cannot be is not there", []scenario.Expect{{Lacks: s.marks[:1]}}
	l.add(no, nil)
	attack := v.step(st)
	attack.ID, attack.Part, attack.Note, attack.Expect = "attack", scenario.Attack, "another user does, under "+v.name, []scenario.Expect{{Status: "2xx", Contains: s.marks[:1]}}
	l.add(attack, nil)
	path := v.of(op)
	return p.Prove(ctx, Hypothesis{
		Method: op.Method, Path: path, Where: "path", Title: fmt.Sprintf("%s %s is still there, and shows another user's %s", op.Method, path, strings.ReplaceAll(s.object.Resource.Name, "_", " ")),
		Description: "A version of the operation that the description does not have answers without asking whose the object is.",
		Scenario:    &scenario.Scenario{Name: "an older version", Steps: l.list},
	})
}
