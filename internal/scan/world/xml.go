package world

import (
	"cmp"
	"encoding/xml"
	"strings"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// writeXML writes a tree as OpenAPI's XML Object says: names, attributes, wrapped lists.
func writeXML(c *Call, n *node) []byte {
	var s *schema.Schema
	if mt := c.declared(); mt != nil {
		s = mt.Schema
	}
	if !n.container() && strings.HasPrefix(strings.TrimSpace(plain(n)), "<") {
		return []byte(plain(n)) // a document as a text
	}
	root := hintedName(s)
	if root == "" && s != nil {
		root = s.Pointer()[strings.LastIndexByte(s.Pointer(), '/')+1:]
		if root == "schema" {
			root = ""
		}
	}
	if root == "" && c.Op.About != nil {
		root = c.Op.About.Name
	}
	if !xmlName(root) {
		root = "root"
	}
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>`)
	xmlElement(&b, root, n, s, 0)
	return []byte(b.String())
}

func hintedName(s *schema.Schema) string {
	if s == nil {
		return ""
	}
	return s.Extension("xml").Get("name").Str()
}

// xmlName reports whether a text can be an element's name (ASCII only).
func xmlName(s string) bool {
	if s == "" {
		return false
	}
	for i, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_'
		if !letter && (i == 0 || !('0' <= r && r <= '9' || r == '-' || r == '.' || r == ':')) {
			return false
		}
	}
	return true
}

const maxXMLDepth = 60

func xmlElement(b *strings.Builder, name string, n *node, s *schema.Schema, depth int) {
	if !xmlName(name) || depth > maxXMLDepth {
		return
	}
	sub := func(k *node) *schema.Schema {
		if s == nil {
			return nil
		}
		d, _ := s.Declared(k.name)
		return d
	}
	if n.kind == value.Array { // not wrapped: the elements one after the other
		var items *schema.Schema
		if s != nil {
			items = s.Items()
		}
		wrapped := s != nil && s.Extension("xml").Get("wrapped").IsTrue()
		if wrapped {
			b.WriteString("<" + name + ">")
		}
		for _, k := range n.kids {
			xmlElement(b, cmp.Or(hintedName(items), name), k, items, depth+1)
		}
		if wrapped {
			b.WriteString("</" + name + ">")
		}
		return
	}
	b.WriteString("<" + name)
	for _, k := range n.kids {
		if t := sub(k); t != nil && t.Extension("xml").Get("attribute").IsTrue() && xmlName(k.name) {
			b.WriteString(" " + cmp.Or(hintedName(t), k.name) + `="`)
			xmlText(b, plain(k))
			b.WriteString(`"`)
		}
	}
	b.WriteString(">")
	if !n.container() {
		xmlText(b, plain(n))
	}
	for _, k := range n.kids {
		t := sub(k)
		if t != nil && t.Extension("xml").Get("attribute").IsTrue() {
			continue
		}
		xmlElement(b, cmp.Or(hintedName(t), k.name), k, t, depth+1)
	}
	b.WriteString("</" + name + ">")
}

func xmlText(b *strings.Builder, s string) {
	// A strings.Builder never fails.
	_ = xml.EscapeText(b, []byte(s))
}
