package graph

import (
	"fmt"
	"io"
	"strings"
)

// SVG draws the graph: one self-contained image that needs no network, no
// script and no font of its own, for light and dark pages.
func (g *Graph) SVG(w io.Writer) error {
	p := g.picture()
	width, height := p.layout()
	width = max(width, 860) // what the picture says of itself has room
	out := &printer{w: w}
	out.line(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-label=%q>`, width, height, width, height, escape(p.title))
	out.line(`<style>%s</style>`, svgStyle)
	out.line(`<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerUnits="userSpaceOnUse" markerWidth="9" markerHeight="9" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>`)
	out.line(`<rect class="page" width="100%%" height="100%%"/>`)
	out.line(`<text class="title" x="%d" y="36">%s</text>`, margin, escape(shorten(p.title, 80)))
	out.line(`<text class="note" x="%d" y="56">%s. An arrow goes to what needs an object of what it comes from; a thick one, to what lies under it.</text>`, margin, escape(p.note))
	for _, a := range p.arrows {
		a.svg(out)
	}
	for _, c := range p.cards {
		c.svg(out)
	}
	out.line(`</svg>`)
	return out.err
}

const svgStyle = `
.page{fill:#f7f8fa}.card{fill:#fff;stroke:#cfd6e1}.head{fill:#eef1f6}.person{fill:#e3edff}.tenant{fill:#efe6fb}
text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:12px;fill:#1c2430}
.title{font-size:20px;font-weight:650}.note{fill:#5d6878}.name{font-size:13.5px;font-weight:650}.more{fill:#5d6878;font-style:italic}
.op{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:11px}
.m{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:10px;font-weight:700}
.GET{fill:#1769c2}.POST{fill:#1d7f3f}.PUT,.PATCH{fill:#a86400}.DELETE{fill:#bf2c2c}.HEAD,.OPTIONS,.TRACE{fill:#5d6878}
.chip{fill:#e8ecf3}.chiptext{font-size:9.5px;fill:#3d4757}.danger{fill:#fbe1e1}.dangertext{font-size:9.5px;fill:#9b1c1c}.key{fill:#dff1e4}.keytext{font-size:9.5px;fill:#17602f}
.lock{stroke:#8a94a6;fill:none;stroke-width:1.2}.arrow{fill:none;stroke:#9aa5b8;stroke-width:1.2}.nested{stroke:#5b7fb5;stroke-width:2.4}.back{stroke-dasharray:4 3}.tip{fill:#8a94a6}
.arrow:hover{stroke:#d06a00;stroke-width:3}
@media (prefers-color-scheme:dark){.page{fill:#12161d}.card{fill:#1b212b;stroke:#364152}.head{fill:#252d3a}.person{fill:#1f3355}.tenant{fill:#3a2a55}text{fill:#e3e8f0}.note,.more{fill:#96a1b3}
.GET{fill:#6bb1ff}.POST{fill:#6fd492}.PUT,.PATCH{fill:#f0b45a}.DELETE{fill:#ff8b8b}.chip{fill:#303a4a}.chiptext{fill:#c3ccda}.danger{fill:#5a2424}.dangertext{fill:#ffc2c2}.key{fill:#1f4a2e}.keytext{fill:#a9e6bd}.arrow{stroke:#5d6a7f}.nested{stroke:#6d93cf}}
`

// svg draws an arrow as a curve from the right side of one card to the left side
// of another; one against the order goes round below.
func (a *arrow) svg(out *printer) {
	f, t := a.from, a.to
	class := "arrow"
	if a.nested {
		class += " nested"
	}
	y1, y2 := f.y+headHeight/2, t.y+headHeight/2
	var d string
	switch {
	case !a.back:
		x1, x2 := f.x+f.w, t.x-1
		bend := max(40, (x2-x1)/2)
		d = fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2)
	case f.column == t.column:
		class += " back"
		x := f.x + f.w
		d = fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x, y1, x+46, y1, x+46, y2, x+1, y2)
	default:
		class += " back"
		x1, x2 := f.x, t.x+t.w+1
		bend := max(40, (x1-x2)/2)
		d = fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x1, y1, x1-bend, y1, x2+bend, y2, x2, y2)
	}
	tip := f.name + " → " + t.name
	if len(a.needs) > 0 {
		tip += "\n" + strings.Join(a.needs, "\n")
	}
	out.line(`<path class="%s" d="%s" marker-end="url(#tip)"><title>%s</title></path>`, class, d, escape(tip))
}

func (c *card) svg(out *printer) {
	head := "head"
	for _, m := range c.marks {
		if m == "people" {
			head += " person"
		} else {
			head += " tenant"
		}
	}
	out.line(`<g><rect class="card" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="8"/>`, c.x, c.y, c.w, c.h)
	out.line(`<path class="%s" d="M%.1f %.1fv-14a8 8 0 0 1 8-8h%.1fa8 8 0 0 1 8 8v14z"/>`, head, c.x+0.5, c.y+22.5, c.w-17)
	out.line(`<text class="name" x="%.1f" y="%.1f">%s</text>`, c.x+cardPad, c.y+16, escape(c.name))
	x := c.x + cardPad + 9.3*float64(len([]rune(c.name))) + 8
	for _, m := range c.marks {
		x = chip(out, x, c.y+16, m, "chip")
	}
	y := c.y + headHeight + 11
	for _, op := range c.ops {
		tip := string(op.Kind)
		if op.Summary != "" {
			tip += ": " + op.Summary
		}
		for _, m := range op.purposeMarks() {
			tip += "\n" + m + ": " + op.Purposes[Purpose(m)].Why
		}
		path := shorten(op.Path, maxPathText)
		out.line(`<g><title>%s</title><text class="m %s" x="%.1f" y="%.1f">%s</text><text class="op" x="%.1f" y="%.1f">%s</text>`,
			escape(tip), op.Method, c.x+cardPad, y, op.Method, c.x+cardPad+48, y, escape(path))
		at := c.x + cardPad + 48 + charWidth*float64(len([]rune(path))) + 6
		if op.Secured {
			out.line(`<rect class="lock" x="%.1f" y="%.1f" width="7" height="5.5" rx="1"/><path class="lock" d="M%.1f %.1fv-2a2 2 0 0 1 4 0v2"/>`, at, y-5.5, at+1.5, y-5.5)
			at += 13
		}
		for _, m := range op.purposeMarks() {
			kind := "chip"
			switch Purpose(m) {
			case Hazard, Admin, Debug:
				kind = "danger"
			case Login, Register, WhoAmI, Refresh, Logout:
				kind = "key"
			}
			at = chip(out, at, y, m, kind)
		}
		out.line(`</g>`)
		y += lineHeight
	}
	if c.hidden > 0 {
		out.line(`<text class="more" x="%.1f" y="%.1f">and %d more</text>`, c.x+cardPad, y, c.hidden)
	}
	out.line(`</g>`)
}

// chip draws a word in a pill, and returns where the next one may start.
func chip(out *printer, x, y float64, word, kind string) float64 {
	w := 5.4*float64(len(word)) + 10
	out.line(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="13" rx="6.5"/><text class="%stext" x="%.1f" y="%.1f">%s</text>`, kind, x, y-10, w, kind, x+5, y-0.3, escape(word))
	return x + w + 4
}
