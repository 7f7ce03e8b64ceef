package world

import (
	"encoding/xml"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/value"
)

// documents are what a body of XML can be of which the description says no more than
// that it is a text: its examples, else what holds one of the things that it is about,
// as their plain creation takes them; JSON texts.
func (m *maker) documents(s *spot) []string {
	if s.where != "body." || !isXML(m.c.Media) || s.typ() != "string" {
		return nil
	}
	var out []string
	for _, text := range s.examples() {
		if strings.HasPrefix(strings.TrimSpace(scalarText(text)), "<") {
			out = append(out, text)
		}
	}
	if len(out) > 0 || m.op.About == nil {
		return out
	}
	name := m.op.About.Name
	for _, op := range m.op.About.Of(graph.Create) {
		if op == m.op || op.Body == nil || len(medias(op)) == 0 || !isJSON(concrete(medias(op)[0].Type)) {
			continue
		}
		c, err := m.w.compose(op, m.as, plan{sober: true})
		if err != nil {
			continue
		}
		var b strings.Builder
		for _, where := range sortedKeys(c.Values) {
			pointer, of := strings.CutPrefix(where, "body./")
			field := value.UnescapeToken(pointer)
			if !of || strings.Contains(pointer, "/") || !xmlName(field) {
				continue
			}
			b.WriteString("<" + field + ">")
			_ = xml.EscapeText(&b, []byte(scalarText(c.Values[where]))) // a Builder takes everything
			b.WriteString("</" + field + ">")
		}
		if b.Len() == 0 || !xmlName(name) {
			continue
		}
		one := "<" + name + ">" + b.String() + "</" + name + ">"
		return append(out, quoted("<"+name+"s>"+one+"</"+name+"s>"), quoted(one), quoted("<items>"+one+"</items>"))
	}
	return out
}
