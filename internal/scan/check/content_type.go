package check

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/world"
	"github.com/crenel-project/crenel/internal/spec"
)

var _ = register(&Check{
	ID: "content-type", Title: "An operation for JSON takes its body in other types as well",
	OWASP: "API8:2023", CWE: "CWE-436", WSTG: "WSTG-INPV-20", CVSS: vectorInfo,
	About: "Makes an object by a call that works, its body sent as text/plain, as a form and as XML, though JSON alone is described.",
	Proof: "The object is made, and what its owner reads of it holds the text that was sent. Controls: nobody without credentials makes one. It is information: what forms of other sites can do with it (cross-site-request) and what XML can (xxe) are holes of their own.",
	Fix:   "Answer 415 to every type that is not described; register no parsers beside that of JSON.",
	Mode:  Default, Dirty: true,
	Run: contentType,
})

// A type in which a body of JSON may be sent, and what it is in it.
type otherType struct {
	media, name string
	write       func(v any, plain string) (string, bool)
}

var otherTypes = []otherType{
	{"text/plain", "text/plain", func(_ any, plain string) (string, bool) { return plain, true }},
	{"application/x-www-form-urlencoded", "a form", func(v any, _ string) (string, bool) { return formOf(v) }},
	{"application/xml", "XML", func(v any, _ string) (string, bool) { return xmlOf(v) }},
}

// rewrite puts a step's body into the type.
func (t *otherType) rewrite(st *scenario.Step) error {
	text, ok := t.of(st.Send.Body)
	if !ok {
		return fmt.Errorf("the body of %s cannot be written as %s", st.Send.Path, t.name)
	}
	st.Send.Body, st.Send.Type = text, t.media
	return nil
}

// of is a text of JSON, which may hold placeholders in its strings, in another type.
func (t otherType) of(text string) (string, bool) {
	v, ok := scenario.Decode([]byte(text))
	if _, object := v.(map[string]any); !ok || !object {
		return "", false
	}
	return t.write(v, text)
}

var rePlaceholderText = regexp.MustCompile(`\$\{[^{}]*\}`)

// formOf is a JSON object as a form, members of members in brackets, as PHP, Rails and
// Express read it.
func formOf(v any) (string, bool) {
	var pairs []string
	escape := func(s string) string {
		var b strings.Builder
		for {
			at := rePlaceholderText.FindStringIndex(s)
			if at == nil {
				b.WriteString(url.QueryEscape(s))
				return b.String()
			}
			b.WriteString(url.QueryEscape(s[:at[0]]) + s[at[0]:at[1]]) // encoded for a form when it is filled in
			s = s[at[1]:]
		}
	}
	var write func(name string, v any)
	write = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if name == "" {
					write(k, v[k])
				} else {
					write(name+"["+k+"]", v[k])
				}
			}
		case []any:
			for _, e := range v {
				write(name+"[]", e)
			}
		case nil:
		default:
			pairs = append(pairs, escape(name)+"="+escape(scenario.Plain(v)))
		}
	}
	write("", v)
	return strings.Join(pairs, "&"), len(pairs) > 0
}

var reXMLName = regexp.MustCompile(`^[A-Za-z_][\w.-]*$`)

// xmlOf is a JSON object as XML: a member an element, those of a list one after the other.
func xmlOf(v any) (string, bool) {
	var b strings.Builder
	good := true
	var write func(name string, v any)
	write = func(name string, v any) {
		if !reXMLName.MatchString(name) {
			good = false
			return
		}
		if list, ok := v.([]any); ok {
			for _, e := range list {
				write(name, e)
			}
			return
		}
		b.WriteString("<" + name + ">")
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				write(k, v[k])
			}
		case nil:
		default:
			good = xml.EscapeText(&b, []byte(scenario.Plain(v))) == nil && good
		}
		b.WriteString("</" + name + ">")
	}
	write("root", v)
	return b.String(), good
}

// jsonAlone: the description has the body as JSON and as nothing else.
func jsonAlone(op *graph.Op) bool {
	return op.Body != nil && len(op.Body.Content) > 0 && !slices.ContainsFunc(op.Body.Content, func(m *spec.MediaType) bool { return !strings.Contains(m.Type, "json") })
}

const maxRetyped = 3 // operations whose body is sent in other types

func contentType(ctx context.Context, p *Probe) error {
	tried := 0
	for _, op := range p.Ops() {
		if op.Method != http.MethodPost || op.Kind != graph.Create || !jsonAlone(op) || op.Has(graph.Register) || op.Has(graph.Login) || op.Has(graph.Payment) || op.Has(graph.Transfer) || op.Has(graph.Admin) {
			continue
		}
		c, base, err := p.working(ctx, op)
		if err != nil {
			return err
		}
		if c == nil || base.Status/100 != 2 || !strings.Contains(c.Media, "json") {
			continue
		}
		in := freeText(op, c)
		if in == nil {
			continue
		}
		if tried++; tried > maxRetyped {
			return nil
		}
		p.Note(op, Clean)
		if done, err := p.retyped(ctx, c, in); err != nil || done {
			return err
		}
	}
	return nil
}

// retyped sends a call's body in other types, and proves those that are taken.
func (p *Probe) retyped(ctx context.Context, c *world.Call, in *graph.Input) (bool, error) {
	const mark = "crenel in another type"
	r, err := p.World.Request(c.With(in.Where(), jsonString(mark)))
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written is not sent
	}
	var l steps
	add := func(id string, part scenario.Part, as, note string, t otherType, e scenario.Expect) {
		bind := c.Renew(id)
		bind[in.Where()] = jsonString("${canary." + id + "}")
		st, err := p.World.Step(c, bind)
		if err == nil {
			err = t.rewrite(&st)
		}
		st.ID, st.Part, st.As, st.Note, st.Expect = id, part, as, note, []scenario.Expect{e}
		l.add(st, err)
	}
	as := actor.Nobody
	if c.As != nil {
		as = c.As.Name
	}
	var taken []string
	for i, t := range otherTypes {
		text, ok := t.of(string(r.Body))
		if !ok {
			continue
		}
		q := r.Clone()
		q.Body = []byte(text)
		q.Set("Content-Type", t.media)
		x, err := p.Do(ctx, c.As, q)
		if err != nil {
			return false, err
		}
		if x.Status/100 != 2 || !scenario.Holds(x, mark) {
			continue
		}
		if taken == nil && c.As != nil && c.Op.Secured {
			add("nobody", scenario.Control, actor.Nobody, "nobody without credentials makes one", t, scenario.Expect{Status: "!2xx"})
		}
		id := fmt.Sprintf("type%d", i+1)
		add(id, scenario.Attack, as, "the object is made of what was sent as "+t.name, t, scenario.Expect{Status: "2xx", Contains: []string{"${canary." + id + "}"}})
		taken = append(taken, t.name)
	}
	if taken == nil || l.err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	return p.Prove(ctx, Hypothesis{
		Op: c.Op, Where: "header.Content-Type", Title: fmt.Sprintf("%s %s is described for JSON, and takes %s", c.Op.Method, c.Op.Path, strings.Join(taken, " and ")),
		Description: "The body is read whatever its type says, or by parsers that nobody has described: what stands before the API and looks at bodies by their type looks past it.",
		Scenario:    &scenario.Scenario{Name: "a body in another type", Steps: l.list},
	})
}
