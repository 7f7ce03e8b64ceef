package param

import (
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// Encode writes v as p's style has it, percent-encoded for where it goes:
//
//   - path: one text, the part of the path that stands for the variable;
//   - query, cookie: "name=value" texts, none for an empty list or object;
//   - header: one text, the header's value.
//
// What has no written form in a style (an object in a list, say) is written as
// JSON: a request that is not conforming, which a near miss may well be.
func Encode(p *spec.Parameter, v *value.Value) []string {
	e := encoder{p: p}
	switch {
	case p.ContentType != "":
		return []string{e.named(p.Name, e.esc(content(v)))}
	case p.In == "query" || p.In == "cookie":
		return e.pairs(v)
	case p.Style == "label":
		return []string{e.label(v)}
	case p.Style == "matrix":
		return []string{e.matrix(v)}
	}
	return []string{e.joined(v, ",", p.Explode)}
}

func content(v *value.Value) string {
	if v.Kind == value.String && v.Untyped {
		return v.Text
	}
	return string(value.Append(nil, v))
}

type encoder struct {
	p *spec.Parameter
}

// esc percent-encodes a text for its place. Delimiters of styles are encoded as
// well, which says that they are none, to those who listen.
func (e encoder) esc(s string) string {
	switch e.p.In {
	case "path":
		// PathEscape leaves these, which styles and sub-segments give a meaning.
		return strings.NewReplacer(":", "%3A", "@", "%40", "&", "%26", "=", "%3D", "+", "%2B", "$", "%24").Replace(url.PathEscape(s))
	case "query":
		return url.QueryEscape(s)
	case "cookie":
		return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	return s
}

func (e encoder) scalar(v *value.Value) string {
	switch v.Kind {
	case value.Null:
		return ""
	case value.Array, value.Object:
		return e.esc(string(value.Append(nil, v)))
	}
	return e.esc(v.Text)
}

func (e encoder) named(name, text string) string {
	if e.p.In == "path" || e.p.In == "header" {
		return text
	}
	return e.esc(name) + "=" + text
}

// joined writes a list as "a,b", an object as "k=v,k=v" or "k,v,k,v".
func (e encoder) joined(v *value.Value, sep string, assign bool) string {
	switch v.Kind {
	case value.Array, value.Object:
	default:
		return e.scalar(v)
	}
	var parts []string
	for i := range v.Kids {
		k := &v.Kids[i]
		switch {
		case v.Kind == value.Array:
			parts = append(parts, e.scalar(k))
		case assign:
			parts = append(parts, e.esc(k.Name)+"="+e.scalar(k))
		default:
			parts = append(parts, e.esc(k.Name), e.scalar(k))
		}
	}
	return strings.Join(parts, sep)
}

func (e encoder) label(v *value.Value) string {
	if e.p.Explode {
		return "." + e.joined(v, ".", true)
	}
	return "." + e.joined(v, ",", false)
}

func (e encoder) matrix(v *value.Value) string {
	name := e.esc(e.p.Name)
	switch {
	case e.p.Explode && v.Kind == value.Object:
		return ";" + e.joined(v, ";", true)
	case e.p.Explode && v.Kind == value.Array:
		var b strings.Builder
		for i := range v.Kids {
			b.WriteString(";" + name + "=" + e.scalar(&v.Kids[i]))
		}
		return b.String()
	}
	return ";" + name + "=" + e.joined(v, ",", false)
}

func (e encoder) pairs(v *value.Value) []string {
	p := e.p
	switch p.Style {
	case "deepObject":
		return e.deep(nil, p.Name, v)
	case "spaceDelimited":
		return []string{e.named(p.Name, e.joined(v, "%20", false))}
	case "pipeDelimited":
		return []string{e.named(p.Name, e.joined(v, "%7C", false))}
	case "tabDelimited":
		return []string{e.named(p.Name, e.joined(v, "%09", false))}
	}
	if !p.Explode {
		return []string{e.named(p.Name, e.joined(v, ",", false))}
	}
	var out []string
	switch v.Kind {
	case value.Array:
		for i := range v.Kids {
			out = append(out, e.named(p.Name, e.scalar(&v.Kids[i])))
		}
	case value.Object:
		for i := range v.Kids {
			k := &v.Kids[i]
			if k.Kind == value.Array {
				for j := range k.Kids {
					out = append(out, e.named(k.Name, e.scalar(&k.Kids[j])))
				}
				continue
			}
			out = append(out, e.named(k.Name, e.scalar(k)))
		}
	default:
		out = append(out, e.named(p.Name, e.scalar(v)))
	}
	return out
}

func (e encoder) deep(out []string, name string, v *value.Value) []string {
	switch v.Kind {
	case value.Object:
		for i := range v.Kids {
			out = e.deep(out, name+"["+v.Kids[i].Name+"]", &v.Kids[i])
		}
	case value.Array:
		for i := range v.Kids {
			out = append(out, e.named(name+"[]", e.scalar(&v.Kids[i])))
		}
	default:
		out = append(out, e.named(name, e.scalar(v)))
	}
	return out
}
