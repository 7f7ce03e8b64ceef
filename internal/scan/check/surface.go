package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// What follows is about an API as a whole: each is one row, whatever the number
// of operations that show it.

var (
	_ = register(&Check{
		ID: "security-headers", Title: "Answers leave browsers to guess",
		OWASP: "API8:2023", CWE: "CWE-693", WSTG: "WSTG-CONF-14", CVSS: vectorInfo,
		About: "Reads the headers of a personal answer: X-Content-Type-Options, and Strict-Transport-Security over TLS.",
		Proof: "The answer lacks them, twice.",
		Fix:   "Set X-Content-Type-Options: nosniff on every answer and Strict-Transport-Security over TLS (OWASP REST Security Cheat Sheet).",
		Mode:  Safe,
		Run:   securityHeaders,
	})
	_ = register(&Check{
		ID: "banner", Title: "Answers name the server's software and its version",
		OWASP: "API8:2023", CWE: "CWE-200", WSTG: "WSTG-INFO-02", CVSS: vectorInfo,
		About: "Reads the headers that servers and frameworks put their names into.",
		Proof: "One of them holds a version's number, twice.",
		Fix:   "Turn the header off (server_tokens off; app.disable('x-powered-by'); expose_php = Off).",
		Mode:  Safe,
		Run:   banner,
	})
	_ = register(&Check{
		ID: "trace-method", Title: "TRACE gives requests back",
		OWASP: "API8:2023", CWE: "CWE-693", WSTG: "WSTG-CONF-06", CVSS: vectorLow,
		About: "Sends TRACE with a header of its own.",
		Proof: "The answer is of the type message/http and holds that header. Controls: GET does not give it back.",
		Fix:   "Turn TRACE off at the server and at every proxy before it.",
		Mode:  Safe,
		Run:   traceMethod,
	})
	_ = register(&Check{
		ID: "directory-listing", Title: "A directory's files are listed",
		OWASP: "API8:2023", CWE: "CWE-548", WSTG: "WSTG-CONF-04",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N/E:U",
		About: "Asks for the directories in which servers keep static files, uploads and backups.",
		Proof: "The answer is a list as servers make them. Controls: a made-up directory beside it is not there.",
		Fix:   "Turn listings off, and serve uploads by their identifiers.",
		Mode:  Safe,
		Run:   directoryListing,
	})
	_ = register(&Check{
		ID: "description-public", Title: "The API's description is there for anybody",
		OWASP: "API9:2023", CWE: "CWE-200", WSTG: "WSTG-INFO-05", CVSS: vectorInfo,
		About: "Asks, without credentials, for the paths at which frameworks put OpenAPI documents.",
		Proof: "The answer is such a document. Controls: a made-up path beside it is not there. What it names that it should not is told by server-url.",
		Fix:   "Publish descriptions on purpose.",
		Mode:  Safe,
		Run:   descriptionPublic,
	})
	_ = register(&Check{
		ID: "deprecated-live", Title: "What is deprecated still answers",
		OWASP: "API9:2023", CWE: "CWE-1059", WSTG: "WSTG-CONF-05", CVSS: vectorInfo,
		About: "Calls the reads that the description calls deprecated.",
		Proof: "They answer as the others do.",
		Fix:   "Set a date (Sunset, RFC 8594), count the callers that are left, and take it off the network.",
		Mode:  Safe,
		Run:   deprecatedLive,
	})
	_ = register(&Check{
		ID: "cache-personal", Title: "Caches may keep a personal answer",
		OWASP: "API8:2023", CWE: "CWE-525", WSTG: "WSTG-ATHN-06", CVSS: vectorLow,
		About: "Reads Cache-Control of an answer that tells who is calling.",
		Proof: "It lets shared caches keep the answer (public, s-maxage). Controls: without credentials there is no such answer.",
		Fix:   "Answer with Cache-Control: no-store (or private) whatever depends on who is calling (RFC 9111).",
		Mode:  Safe,
		Run:   cachePersonal,
	})
)

// anyRead is a read that works: one that tells who is calling, or any other.
func (p *Probe) anyRead(ctx context.Context) (*witness, error) {
	for _, a := range p.People.All() {
		if w, err := p.witness(ctx, a); err != nil || w != nil {
			return w, err
		}
	}
	for _, op := range p.Graph.Ops {
		if op.Method != http.MethodGet {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return nil, err
		}
		if call != nil && base.Status/100 == 2 && strings.Contains(base.Header.Get("Content-Type"), "json") {
			return &witness{call, base}, nil
		}
	}
	return nil, nil
}

// ofWhole proves what one read shows of the API as a whole.
func (p *Probe) ofWhole(ctx context.Context, w *witness, h Hypothesis, note string, e ...scenario.Expect) error {
	as := actor.Nobody
	if w.call.As != nil {
		as = w.call.As.Name
	}
	st, err := p.look(w, "read", scenario.Attack, as, note, append([]scenario.Expect{{Status: "2xx"}}, e...)...)
	if err != nil {
		return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	h.Scenario = &scenario.Scenario{Name: p.Check.ID, Steps: []scenario.Step{st}}
	_, err = p.Prove(ctx, h)
	return err
}

func securityHeaders(ctx context.Context, p *Probe) error {
	w, err := p.anyRead(ctx)
	if err != nil || w == nil {
		return err
	}
	p.Note(w.call.Op, Clean)
	want := []string{"X-Content-Type-Options"}
	if strings.HasPrefix(p.Origin, "https://") {
		want = append(want, "Strict-Transport-Security")
	}
	var expect []scenario.Expect
	var missing []string
	for _, name := range want {
		if w.last.Header.Get(name) == "" {
			missing = append(missing, name)
			expect = append(expect, scenario.Expect{Header: name, Missing: true})
		}
	}
	if missing == nil {
		return nil
	}
	return p.ofWhole(ctx, w, Hypothesis{
		Where: "answer", Title: "Answers have no " + strings.Join(missing, " and no "),
		Description: "Without it browsers may take an answer for what it is not, or be led to the API without TLS.",
	}, "the headers are not there", expect...)
}

var reVersioned = regexp.MustCompile(`[A-Za-z][\w .-]*[/ ]v?\d+\.\d+`)

func banner(ctx context.Context, p *Probe) error {
	w, err := p.anyRead(ctx)
	if err != nil || w == nil {
		return err
	}
	p.Note(w.call.Op, Clean)
	if done, err := p.namesSoftware(ctx, w); err != nil || done {
		return err
	}
	// One operation may say what the others do not: a check of health, a page of its own.
	looked := 0
	for _, op := range p.Ops() {
		if op.Method != http.MethodGet || looked == maxBannerReads {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 {
			continue
		}
		looked++
		if done, err := p.namesSoftware(ctx, &witness{call, base}); err != nil || done {
			return err
		}
	}
	return nil
}

// maxBannerReads is in how many operations' answers versions are looked for.
const maxBannerReads = 40

// namesSoftware reports what one read's headers tell of the server, and whether they did.
func (p *Probe) namesSoftware(ctx context.Context, w *witness) (bool, error) {
	for _, name := range []string{"Server", "X-Powered-By", "X-AspNet-Version", "X-AspNetMvc-Version", "X-Generator", "X-Runtime-Version"} {
		v := w.last.Header.Get(name)
		re := reVersioned
		if strings.HasPrefix(name, "X-Asp") {
			re = regexp.MustCompile(`^\d+\.\d+`)
		}
		if !re.MatchString(v) {
			continue
		}
		return true, p.ofWhole(ctx, w, Hypothesis{
			Where: "header." + name, Title: name + " names the server's software and its version",
			Description: fmt.Sprintf("%s %s answers so. Who looks for servers with a known hole finds this one by it.", w.call.Op.Method, w.call.Op.Path),
		}, "the header holds a version", scenario.Expect{Header: name, Matches: re.String()})
	}
	return false, nil
}

func traceMethod(ctx context.Context, p *Probe) error {
	const mark = "X-Crenel-Trace"
	x, err := p.Do(ctx, nil, &target.Request{Method: http.MethodTrace, Path: "/", Header: []target.Field{{Name: mark, Value: "crenel"}}})
	if err != nil || x.Status != 200 || !strings.Contains(string(x.Body), mark) {
		return err
	}
	send := func(method string) *scenario.Send {
		return &scenario.Send{Method: method, Path: "/", Header: []scenario.Pair{{Name: mark, Value: "${canary.trace}"}}}
	}
	_, err = p.Prove(ctx, Hypothesis{
		Where: "method", Title: p.Check.Title,
		Description: "TRACE answers with the request, credentials that proxies added included.",
		Scenario: &scenario.Scenario{Name: "TRACE", Steps: []scenario.Step{
			{ID: "get", Part: scenario.Control, Note: "GET does not give the header back", Send: send("GET"), Expect: []scenario.Expect{{Lacks: []string{"${canary.trace}"}}}},
			{ID: "trace", Part: scenario.Attack, Note: "TRACE does", Send: send("TRACE"), Expect: []scenario.Expect{{Status: "200", Contains: []string{"${canary.trace}"}}, {Header: "Content-Type", Matches: `(?i)message/http`}}},
		}},
	})
	return err
}

// besides proves that a path holds something that a made-up one beside it does not.
func (p *Probe) besides(ctx context.Context, h Hypothesis, path string, e scenario.Expect) (bool, error) {
	beside := strings.TrimSuffix(path, "/") + "${canary.beside}"
	if strings.HasSuffix(path, "/") {
		beside += "/"
	}
	e.Status, e.Unlike = "2xx", "beside"
	h.Scenario = &scenario.Scenario{Name: p.Check.ID, Steps: []scenario.Step{
		{ID: "beside", Part: scenario.Control, Note: "a made-up path beside it is not there", Send: &scenario.Send{Method: "GET", Path: beside}, Expect: []scenario.Expect{{Status: "any"}}},
		{ID: "attack", Part: scenario.Attack, Note: "nobody gets it", Send: &scenario.Send{Method: "GET", Path: path}, Expect: []scenario.Expect{e}},
	}}
	return p.Prove(ctx, h)
}

var reListing = regexp.MustCompile(`(?i)<title>Index of |<h1>Index of |<title>Directory listing for|<title>listing directory |\[To Parent Directory\]|^(<!doctype html>\s*<meta [^>]*>\s*)?<pre>\s*<a href="`)

func directoryListing(ctx context.Context, p *Probe) error {
	for _, prefix := range p.prefixes() {
		for _, dir := range []string{"/static/", "/files/", "/uploads/", "/upload/", "/images/", "/assets/", "/public/", "/media/", "/backup/", "/backups/", "/docs/", "/logs/", "/tmp/", "/data/", "/downloads/", "/ftp/", "/"} {
			x, err := p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: prefix + dir})
			if errors.Is(err, target.ErrRefused) {
				continue
			}
			if err != nil {
				return err
			}
			if x.Status/100 != 2 || !reListing.Match(x.Body) {
				continue
			}
			if ok, err := p.besides(ctx, Hypothesis{
				Method: "GET", Path: prefix + dir, Where: "path", Title: "GET " + prefix + dir + " lists a directory",
				Description: "Whoever asks is shown the names of the files, and so those that nobody was meant to find.",
			}, prefix+dir, scenario.Expect{Matches: reListing.String()}); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

func descriptionPublic(ctx context.Context, p *Probe) error {
	list, err := p.published(ctx)
	if err != nil {
		return err
	}
	for _, at := range list {
		if at.described || at.root {
			continue // it is meant
		}
		if ok, err := p.besides(ctx, Hypothesis{
			Where: "description", Title: "The API's description is there for anybody", Description: "Whoever asks is told of every operation, those for a few as well.",
		}, at.path, scenario.Expect{Matches: reDescription.String()}); err != nil || ok {
			return err
		}
	}
	return nil
}

func deprecatedLive(ctx context.Context, p *Probe) error {
	var l steps
	var names []string
	for _, op := range p.Ops() {
		if !op.Deprecated || op.Method != http.MethodGet || op.Has(graph.Hazard) {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 || base.Header.Get("Sunset") != "" {
			continue
		}
		p.Note(op, Clean)
		if len(names) < 5 {
			st, err := p.step(nil, call, fmt.Sprintf("call%d", len(names)+1), scenario.Attack)
			if err != nil {
				continue
			}
			st.Note, st.Expect = "what is deprecated answers", []scenario.Expect{{Status: "2xx"}}
			l.add(st, nil)
		}
		names = append(names, op.Method+" "+op.Path)
	}
	if names == nil {
		return nil
	}
	_, err := p.Prove(ctx, Hypothesis{
		Where: "deprecated", Title: fmt.Sprintf("%d deprecated operations still answer, with no date set", len(names)),
		Description: "Deprecated, and answering: " + strings.Join(names, ", ") + ".",
		Scenario:    &scenario.Scenario{Name: "deprecated operations", Steps: l.list},
	})
	return err
}

var reShared = regexp.MustCompile(`(?i)(^|[\s,])(public|s-maxage=[1-9]\d*)([\s,]|$)`)

func cachePersonal(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	if user == nil {
		return nil
	}
	for _, op := range p.Ops() {
		if op.Method != http.MethodGet {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || call.As == nil || base.Status/100 != 2 {
			continue
		}
		p.Note(op, Clean)
		if keep := base.Header.Get("Cache-Control"); !reShared.MatchString(keep) || strings.Contains(strings.ToLower(keep), "no-store") {
			continue
		}
		nobody, err := p.send(ctx, call.By(nil))
		if err != nil {
			return err
		}
		personal := op.Has(graph.WhoAmI)
		for _, a := range p.Attackers() {
			x, err := p.send(ctx, call.By(a))
			if err != nil {
				return err
			}
			personal = personal || x.Status/100 == 4 || !scenario.Alike(base, x)
		}
		if nobody.Status/100 == 2 || !personal {
			continue // it is there for all
		}
		var l steps
		l.add(p.step(nil, call.By(nil), "nobody", scenario.Control))
		l.list[0].Note, l.list[0].Expect = "without credentials there is no such answer", []scenario.Expect{{Status: "!2xx"}}
		st, err := p.step(nil, call, "own", scenario.Attack)
		st.Note, st.Expect = "a personal answer may be kept by shared caches", []scenario.Expect{{Status: "2xx", Header: "Cache-Control", Matches: reShared.String()}}
		l.add(st, err)
		if l.err != nil {
			continue
		}
		if ok, err := p.Prove(ctx, Hypothesis{
			Where: "header.Cache-Control", Title: "Shared caches may keep personal answers",
			Description: fmt.Sprintf("%s %s depends on who is calling, and its answer is marked as one that shared caches may keep and give to others.", op.Method, op.Path),
			Scenario:    &scenario.Scenario{Name: "a personal answer in caches", Steps: l.list},
		}); err != nil || ok {
			return err
		}
	}
	return nil
}
