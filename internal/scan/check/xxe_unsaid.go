package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

// Bodies of XML that the description does not call so: the type is a vague one,
// or none, and XML stands in the prose only, or JSON alone is described. What such an operation takes is
// learned from an example in the prose, else from its own complaints.

// maxUnsaid is how many operations are asked whether they read XML.
const maxUnsaid = 8

var (
	reXMLWord = regexp.MustCompile(`(?i)\b(xml|soap|saml|wsdl|rss|atom feed|xslt?|opml|sitemap|ubl|gpx|kml|envelope)\b`)
	// reXMLError are the words of XML parsers: of Go, Python, Java, .NET, PHP and libxml2, Node, Ruby.
	reXMLError = regexp.MustCompile(`(?i)\bXML\b|expected element type|SAXParse|prolog|not well-formed|mismatched tag|unclosed (token|tag|root)|root element|document element|Start tag expected|Premature end of data|no element found|LIBXML|simplexml|\bDOCTYPE\b|\bDTD\b|Nokogiri|REXML`)
	// reXMLSample is an element with its end, in prose.
	reXMLSample = regexp.MustCompile(`(?s)<[A-Za-z_][\w.:-]*(?:\s[^<>]*)?>.*</[A-Za-z_][\w.:-]*>`)
	reXMLNamed  = regexp.MustCompile(`(?i)<([a-z_][\w.-]*)/?>|\belements? (?:type |named |name )?['"‘“\x60]?([a-z_][\w.-]*)`)
	reXMLText   = regexp.MustCompile(`>[^<>]*[^<>\s][^<>]*<`)
	reXMLEmpty  = regexp.MustCompile(`></`)
	reXMLNumber = regexp.MustCompile(`^>\s*(-?\d+(\.\d+)?|true|false)\s*<$`)
)

// letterOfXML is an operation that may read XML: what is sent to it.
type letterOfXML struct {
	op    *graph.Op
	call  *world.Call
	media string
	doc   string // without a declaration
}

// vagueMedia: a type of which nobody can say what it holds.
func vagueMedia(m *spec.MediaType) bool {
	return slices.Contains([]string{"*/*", "application/*", "text/*", "text/plain", "application/octet-stream"}, m.Type)
}

// unsaidXML tries entities where only the prose, or the answers, tell that XML is read.
func (p *Probe) unsaidXML(ctx context.Context) error {
	var said, vague, other []*graph.Op
	for _, op := range p.Ops() {
		if op.Method != http.MethodPost && op.Method != http.MethodPut && op.Method != http.MethodPatch ||
			slices.ContainsFunc([]graph.Purpose{graph.Hazard, graph.Logout, graph.Login, graph.Register, graph.Payment, graph.Transfer, graph.PasswordChange, graph.PasswordReset, graph.Refresh}, op.Has) ||
			xmlMedia(op) != "" && slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "body" && in.Pointer != "" && takesText(in) }) {
			continue
		}
		switch {
		case xmlMedia(op) != "" || reXMLWord.MatchString(op.Summary+"\n"+op.Description):
			said = append(said, op)
		case op.Body != nil && slices.ContainsFunc(op.Body.Content, vagueMedia):
			vague = append(vague, op)
		case jsonAlone(op) && op.Kind == graph.Create && len(other) < maxSwitched && slices.ContainsFunc(op.Inputs, func(in *graph.Input) bool { return in.In == "body" && takesText(in) }):
			other = append(other, op)
		}
	}
	list := append(said, vague...)
	if err := Each(ctx, p, list[:min(len(list), maxUnsaid)], p.readsXML); err != nil {
		return err
	}
	return Each(ctx, p, other, p.switchesToXML)
}

// maxSwitched is how many operations for JSON are asked whether they read XML as well.
const maxSwitched = 4

// reXMLParser are words that a parser says of a document; that a type is not taken is
// said of XML, too.
var reXMLParser = regexp.MustCompile(`(?i)expected element type|SAXParse|prolog|not well-formed|mismatched tag|unclosed (token|tag|root)|XML syntax error|Start tag expected|Premature end of data|no element found|LIBXML|simplexml|Nokogiri|REXML|JAXB|XmlException|XMLStreamException`)

// switchesToXML tries entities where JSON alone is described: many frameworks choose
// the parser by what the caller says the body is.
func (p *Probe) switchesToXML(ctx context.Context, op *graph.Op) error {
	call, base, err := p.working(ctx, op)
	if err != nil || call == nil || base.Status/100 != 2 {
		return err
	}
	r, err := p.World.Request(call)
	if err != nil {
		return nil //nolint:nilerr // a call that cannot be written is not attacked
	}
	for _, media := range []string{"application/xml", "text/xml"} {
		l := &letterOfXML{op: op, call: call, media: media}
		var ok bool
		if l.doc, ok = (otherType{write: func(v any, _ string) (string, bool) { return xmlOf(v) }}).of(string(r.Body)); !ok {
			return nil
		}
		x, err := p.post(ctx, l, l.doc)
		if err != nil || x == nil || x.Status == 401 || x.Status == 403 || x.Status == 429 {
			return err
		}
		p.Note(op, Clean)
		if x.Status == http.StatusUnsupportedMediaType || x.Status == http.StatusNotAcceptable {
			continue
		}
		broken, err := p.post(ctx, l, "<crenel")
		if err != nil || broken == nil {
			return err
		}
		if !reXMLParser.Match(broken.Body) && !reXMLParser.Match(x.Body) && (x.Status/100 != 2 || broken.Status/100 == 2) {
			continue
		}
		return p.unsaidEntity(ctx, l)
	}
	return nil
}

func (p *Probe) readsXML(ctx context.Context, op *graph.Op) error {
	if p.open(op, "body.") {
		return nil // it was found in a document that the description shows
	}
	as := p.Actor(actor.User)
	if as == nil && op.Secured {
		return nil
	}
	call, err := p.World.Call(ctx, op, as, nil)
	if err != nil {
		return nil //nolint:nilerr // a call that cannot be made is not attacked
	}
	l := &letterOfXML{op: op, call: call, media: xmlMedia(op), doc: "<crenel>crenel</crenel>"}
	if l.media == "" {
		l.media = "application/xml"
	}
	if sample := reXMLSample.FindString(op.Description + "\n" + op.Summary); sample != "" {
		l.doc = sample
	}
	broken, err := p.post(ctx, l, "<crenel")
	if err != nil || broken == nil || broken.Status == 401 || broken.Status == 403 || broken.Status == 429 {
		return err
	}
	p.Note(op, Clean)
	x, err := p.post(ctx, l, l.doc)
	if err != nil || x == nil {
		return err
	}
	if !reXMLError.Match(broken.Body) && !reXMLError.Match(x.Body) && (x.Status/100 != 2 || broken.Status/100 == 2) {
		return nil // whatever it reads, it is no XML
	}
	for round := 0; round < 4 && x.Status/100 != 2; round++ {
		doc := namedIn(l.doc, string(x.Body))
		if doc == l.doc {
			break
		}
		l.doc = doc
		if x, err = p.post(ctx, l, l.doc); err != nil || x == nil {
			return err
		}
	}
	return p.unsaidEntity(ctx, l)
}

// namedIn is a document with what an error says that is missing: its root, or an element.
func namedIn(doc, complaint string) string {
	root := reRoot.FindStringSubmatch(doc)[1]
	for _, m := range reXMLNamed.FindAllStringSubmatch(complaint, 8) {
		name := m[1] + m[2]
		if slices.Contains([]string{"type", "named", "name", "is", "not", "was", "and", "in", "of", "p", "br", "b", "pre", "html", "body", "title", "h1"}, strings.ToLower(name)) || strings.Contains(doc, "<"+name+">") {
			continue
		}
		if root == "crenel" {
			return "<" + name + ">" + strings.TrimSuffix(strings.TrimPrefix(doc, "<crenel>"), "</crenel>") + "</" + name + ">"
		}
		end := strings.LastIndex(doc, "</")
		if i := strings.IndexByte(doc, '>'); strings.TrimSpace(doc[i+1:end]) == "crenel" {
			return doc[:i+1] + "<" + name + ">crenel</" + name + ">" + doc[end:]
		}
		return doc[:end] + "<" + name + ">crenel</" + name + ">" + doc[end:]
	}
	return doc
}

// post sends a text as the operation's body; nil where it cannot be written.
func (p *Probe) post(ctx context.Context, l *letterOfXML, body string) (*target.Exchange, error) {
	r, err := p.World.Request(l.call)
	if err != nil {
		return nil, nil //nolint:nilerr // what cannot be written is not sent
	}
	r.Body = []byte(body)
	r.Set("Content-Type", l.media)
	return p.Do(ctx, l.call.As, r)
}

func (p *Probe) letterStep(l *letterOfXML, id string, part scenario.Part, note, body string, e ...scenario.Expect) (scenario.Step, error) {
	st, err := p.World.Step(l.call, l.call.Renew(id))
	if err != nil {
		return st, fmt.Errorf("%s: %w", l.op.ID, err)
	}
	st.Send.Body, st.Send.Base64, st.Send.Fill, st.Send.Type = body, "", false, l.media
	st.ID, st.Part, st.Note, st.Expect = id, part, note, e
	return st, nil
}

// declaring is the document with an entity for an address in all of its texts;
// asked: the entity is one of the declaration itself, which is fetched whatever
// the document holds.
func (l *letterOfXML) declaring(system string, asked bool) string {
	root := reRoot.FindStringSubmatch(l.doc)[1]
	if asked {
		return fmt.Sprintf(`<!DOCTYPE %s [<!ENTITY %% crenel SYSTEM "%s"> %%crenel;]>`, root, system) + l.doc
	}
	doc := reXMLText.ReplaceAllStringFunc(l.doc, func(text string) string {
		if reXMLNumber.MatchString(text) {
			return text // what wants a number refuses all else
		}
		return ">&crenel;<"
	})
	if doc == l.doc {
		doc = reXMLText.ReplaceAllString(l.doc, ">&crenel;<")
	}
	if !strings.Contains(doc, "&crenel;") {
		doc = reXMLEmpty.ReplaceAllString(doc, ">&crenel;</")
	}
	return fmt.Sprintf(`<!DOCTYPE %s [<!ENTITY crenel SYSTEM "%s">]>`, root, system) + doc
}

func (p *Probe) unsaidEntity(ctx context.Context, l *letterOfXML) error {
	prove := func(s *steps, why string) (bool, error) {
		if s.err != nil {
			return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		return p.Prove(ctx, Hypothesis{
			Op: l.op, Where: "body", Title: fmt.Sprintf("%s %s: XML external entity in the body", l.op.Method, l.op.Path), Description: why,
			Scenario: &scenario.Scenario{Name: fmt.Sprintf("an entity in the body of %s %s", l.op.Method, l.op.Path), Steps: s.list},
		})
	}
	for _, f := range systemFiles {
		for _, form := range entityForms[:2] {
			x, err := p.post(ctx, l, l.declaring(strings.ReplaceAll(form, "%s", f.path), false))
			if err != nil || x == nil {
				return err
			}
			if !regexp.MustCompile(f.holds).Match(x.Body) {
				continue
			}
			var s steps
			s.add(p.letterStep(l, "wrong", scenario.Control, "an entity for a file that is not there brings nothing", l.declaring(strings.ReplaceAll(form, "%s", f.wrong), false), scenario.Expect{Status: "any"}))
			s.add(p.letterStep(l, "attack", scenario.Attack, "one for a file of the system brings the file", l.declaring(strings.ReplaceAll(form, "%s", f.path), false), scenario.Expect{Matches: f.holds, Unlike: "wrong"}))
			if ok, err := prove(&s, "An entity that the body declares is read from the server's files."); err != nil || ok {
				return err
			}
		}
	}
	if p.Listener == nil {
		return nil
	}
	for _, asked := range []bool{true, false} {
		address := p.Listener.Address()
		if _, err := p.post(ctx, l, l.declaring(address, asked)); err != nil {
			return err
		}
		if !p.Listener.Called(ctx, address, soon) {
			continue
		}
		var s steps
		s.add(p.letterStep(l, "plain", scenario.Control, "the address in a text is called by nobody", reXMLText.ReplaceAllString(l.doc, ">$${listener.none|raw}<"), scenario.Expect{Status: "any"}, scenario.Expect{Uncalled: "none", By: soon}))
		s.add(p.letterStep(l, "attack", scenario.Attack, "an entity at the listener's address is fetched", l.declaring("${listener.call|raw}", asked), scenario.Expect{Status: "any"}, scenario.Expect{Called: "call", By: time.Second}))
		if ok, err := prove(&s, "An entity that the body declares makes the server call an address that the caller names."); err != nil || ok {
			return err
		}
	}
	return nil
}
