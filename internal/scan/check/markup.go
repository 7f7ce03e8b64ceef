package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "html-injection", Title: "A text becomes markup of a page",
		OWASP: "API8:2023", CWE: "CWE-79", WSTG: "WSTG-INPV-01",
		CVSS:  vectorBrowser,
		About: "Puts tags into what operations that answer with HTML repeat (JSON that is served as HTML, error pages), and into texts that are stored and shown on pages.",
		Proof: "The answer is of the type text/html, without a policy that keeps scripts from running, and holds the tags as they were sent. Where browsers do not send the credential by themselves it counts less.",
		Fix:   "Serve JSON as application/json with X-Content-Type-Options: nosniff; escape texts in HTML by a template engine that does so by itself.",
		Mode:  Default, Dirty: true,
		Run: htmlInjection,
	})
	_ = register(&Check{
		ID: "csv-formula", Title: "A text becomes a formula of a spreadsheet",
		OWASP: "API8:2023", CWE: "CWE-1236", WSTG: "WSTG-INPV-02",
		CVSS:  vectorLow,
		About: "Stores texts that begin as formulas do, and reads the exports that hold them.",
		Proof: "A cell of the export begins with the formula as it was stored.",
		Fix:   "Put an apostrophe or a tab before cells that begin with =, +, -, @, a tab or a line break.",
		Mode:  Default, Dirty: true,
		Run: csvFormula,
	})
)

// sheet is a kind of answer that gives stored texts a meaning.
type sheet struct {
	what    string
	media   *regexp.Regexp // of its Content-Type
	payload string         // %s is the mark
	shows   string         // a regular expression over the body; %s is the mark
	title   string
	said    string
}

var (
	pages   = sheet{"markup", regexp.MustCompile(`(?i)text/html|application/xhtml`), "<i>%s<b>", "<i>%s<b>", "shows stored text as markup", "A text that a user stored is part of a page, with its tags."}
	exports = sheet{"formula", regexp.MustCompile(`(?i)csv|tab-separated|excel`), "=1+%s", `(?m)(^|[,;\t])"?=1\+%s`, "exports stored text as a formula", "A text that a user stored begins a cell of an export, as a formula."}
)

// browsers: a browser sends what opens the operation by itself, so that a link
// is enough to open the page.
func (p *Probe) browsers(op *graph.Op, as *actor.Actor) bool {
	if as == nil || !op.Secured {
		return true
	}
	for _, part := range as.Session.Snapshot() {
		if part.In == "cookie" || part.Prefix == "Basic " {
			return true
		}
	}
	return false
}

func (p *Probe) pageVector(op *graph.Op, as *actor.Actor) string {
	if p.browsers(op, as) {
		return vectorBrowser
	}
	return vectorLow
}

func htmlInjection(ctx context.Context, p *Probe) error {
	if err := p.lostPage(ctx); err != nil {
		return err
	}
	err := Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodGet && op.Method != http.MethodPost || op.Has(graph.Register) || op.Has(graph.Payment) {
			return nil
		}
		call, base, err := p.working(ctx, op)
		if err != nil || call == nil {
			return err
		}
		isPage := pages.media.MatchString(base.Header.Get("Content-Type"))
		if op.Method == http.MethodPost && !isPage {
			return nil
		}
		for _, in := range op.Inputs {
			if !takesText(in) {
				continue
			}
			s := slotOf(op, in, call, base)
			mark := "crhtml" + p.RunID
			x, err := p.send(ctx, s.with(fmt.Sprintf(pages.payload, mark)))
			if err != nil {
				return err
			}
			p.Note(op, Clean)
			if !pages.shownIn(x, mark) {
				continue
			}
			var l steps
			st, err := p.slotStep(s, "attack", scenario.Attack, "tags are repeated in a page as they were sent", fmt.Sprintf(pages.payload, "${canary.mark}"), pages.expects()...)
			l.add(st, err)
			if l.err != nil {
				continue
			}
			ok, err := p.Prove(ctx, Hypothesis{
				Op: op, Where: in.Where(), Title: fmt.Sprintf("%s %s repeats %s as markup", op.Method, op.Path, strings.TrimPrefix(in.Where(), "body./")), CVSS: p.pageVector(op, call.As),
				Description: "The answer is served as HTML and repeats the text with its tags: whoever follows a link with a script in it runs the script on this origin.",
				Scenario:    &scenario.Scenario{Name: "tags in an answer", Steps: l.list},
			})
			if err != nil || ok {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.stored(ctx, &pages)
}

func csvFormula(ctx context.Context, p *Probe) error { return p.stored(ctx, &exports) }

// shownIn: the answer is such a sheet, and holds the mark in its meaning.
func (k *sheet) shownIn(x *target.Exchange, mark string) bool {
	return k.media.MatchString(x.Header.Get("Content-Type")) && regexp.MustCompile(fmt.Sprintf(k.shows, regexp.QuoteMeta(mark))).Match(x.Body) && (k != &pages || x.Header.Get("Content-Security-Policy") == "")
}

func (k *sheet) expects() []scenario.Expect {
	out := []scenario.Expect{{Status: "any", Matches: fmt.Sprintf(k.shows, "${canary.mark}")}, {Header: "Content-Type", Matches: k.media.String()}}
	if k == &pages {
		out = append(out, scenario.Expect{Header: "Content-Security-Policy", Missing: true})
	}
	return out
}

// lostPage: the page for paths of nothing repeats the path.
func (p *Probe) lostPage(ctx context.Context) error {
	mark := "crhtml" + p.RunID
	for _, path := range []string{"/%3Ci%3E" + mark + "%3Cb%3E", "/?crenel=%3Ci%3E" + mark + "%3Cb%3E"} {
		at, query, _ := strings.Cut(path, "?")
		x, err := p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: at, Query: query})
		if err != nil {
			return err
		}
		if !pages.shownIn(x, mark) {
			continue
		}
		_, err = p.Prove(ctx, Hypothesis{
			Where: "path", Title: "The page for what is not there repeats its address as markup",
			Description: "The page is served as HTML and repeats the address with its tags: whoever follows a link with a script in it runs the script on this origin.",
			Scenario: &scenario.Scenario{Name: "tags in an address", Steps: []scenario.Step{{
				ID: "attack", Part: scenario.Attack, Note: "tags are repeated in a page as they were sent",
				Send:   &scenario.Send{Method: http.MethodGet, Path: strings.ReplaceAll(path, mark, "${canary.mark}")},
				Expect: pages.expects(),
			}}},
		})
		return err
	}
	return nil
}

// stored puts texts into what operations store, and reads the sheets.
func (p *Probe) stored(ctx context.Context, k *sheet) error {
	type sheetOp struct {
		op   *graph.Op
		call *world.Call
	}
	var sheets []sheetOp
	for _, op := range p.Ops() {
		if op.Method != http.MethodGet {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call != nil && base.Status/100 == 2 && k.media.MatchString(base.Header.Get("Content-Type")) {
			sheets = append(sheets, sheetOp{op, call})
		}
	}
	if len(sheets) == 0 {
		return nil
	}
	for _, op := range p.Ops() {
		if op.Kind != graph.Create && op.Kind != graph.Update || op.Has(graph.Register) || op.Has(graph.Payment) || op.Has(graph.Transfer) || op.Has(graph.Admin) {
			continue
		}
		call, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if call == nil || base.Status/100 != 2 {
			continue
		}
		var texts []*graph.Input
		for _, in := range op.Inputs {
			if in.In == "body" && takesText(in) && !identifies(op, in) && in.Format == "" && (in.Schema == nil || in.Schema.Rules().Pattern == "") && (in.Meaning == graph.MeansText || in.Meaning == graph.MeansName || in.Meaning == graph.MeansUndefined) {
				texts = append(texts, in)
			}
		}
		for _, in := range texts[:min(len(texts), 4)] {
			mark := "crsheet" + p.RunID
			made, err := p.send(ctx, call.With(in.Where(), jsonString(fmt.Sprintf(k.payload, mark))))
			if err != nil {
				return err
			}
			p.Note(op, Clean)
			if made.Status/100 != 2 {
				continue
			}
			for _, sh := range sheets {
				if done, err := p.onSheet(ctx, k, op, call, in, made, sh.op, sh.call, mark); err != nil || done {
					if err != nil {
						return err
					}
					break
				}
			}
		}
	}
	return nil
}

// onSheet looks whether what was stored is on a sheet: on the one of the object
// itself, where the sheet is of one.
func (p *Probe) onSheet(ctx context.Context, k *sheet, op *graph.Op, call *world.Call, in *graph.Input, made *target.Exchange, page *graph.Op, read *world.Call, mark string) (bool, error) {
	at, id, where := "", "", ""
	for _, i := range page.Inputs {
		if i.In == "path" && op.About != nil && (p.resourceOf(i) == op.About || len(page.PathParams) == 1) {
			where = i.Where()
			if body, ok := scenario.Decode(made.Body); ok {
				scenario.Walk(body, func(pointer string, v any) {
					// The object's own identifier is nearer to the root than those of what it holds.
					if v != nil && (id == "" || strings.Count(pointer, "/") < strings.Count(at, "/")) && slices.Contains(append([]string{"id"}, op.About.IDs...), pointer[strings.LastIndexByte(pointer, '/')+1:]) {
						at, id = pointer, jsonID(i, scenario.Plain(v))
					}
				})
			}
			if n := len(op.PathParams); op.Kind == graph.Update && n > 0 && call.Values["path."+op.PathParams[n-1].Name] != "" {
				at, id = "", call.Values["path."+op.PathParams[n-1].Name]
			}
		}
	}
	if where != "" && id != "" {
		read = read.With(where, id)
	}
	x, err := p.send(ctx, read)
	if err != nil {
		return false, err
	}
	if !k.shownIn(x, mark) {
		return false, nil
	}
	var l steps
	bind := call.Renew("store")
	bind[in.Where()] = jsonString(fmt.Sprintf(k.payload, "${canary.mark}"))
	st, err := p.World.Step(call, bind)
	st.ID, st.Part, st.Note, st.Expect = "store", scenario.Attack, "a text with a "+k.what+" is stored", []scenario.Expect{{Status: "2xx"}}
	bind = map[string]string{}
	if at != "" {
		st.Save = []scenario.Save{{As: "made", At: at}}
		bind[where] = "${made}"
		if strings.HasPrefix(id, `"`) {
			bind[where] = `"${made}"`
		}
	}
	l.add(st, err)
	st, err = p.World.Step(read, bind)
	st.ID, st.Part, st.Note, st.Expect = "read", scenario.Observe, "and is one where it is read", k.expects()
	l.add(st, err)
	if l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	vector := vectorLow
	if k == &pages {
		vector = p.pageVector(page, read.As)
	}
	return p.Prove(ctx, Hypothesis{
		Op: page, Where: "stored." + lastName(in.Pointer), Title: fmt.Sprintf("%s %s %s: %s of %s %s", page.Method, page.Path, k.title, lastName(in.Pointer), op.Method, op.Path), CVSS: vector,
		Description: k.said,
		Scenario:    &scenario.Scenario{Name: "stored " + k.what, Steps: l.list},
	})
}
