package graph

import (
	"cmp"
	"math"
	"slices"
)

// Sizes of the drawing, in pixels.
const (
	lineHeight  = 17
	headHeight  = 30
	cardPad     = 10
	columnGap   = 96
	cardGap     = 22
	charWidth   = 6.65 // of the monospaced text of operations
	markWidth   = 6.2  // of a purpose's mark
	margin      = 28
	titleHeight = 74
	tallest     = 1500 // a column beyond this is split, where the whole would not be wider than high
	mostLayers  = 7    // with more, only nesting decides the columns
)

// layout gives every card its place: columns from left to right so that arrows
// mostly point to the right, and within a column an order that crosses few of them.
func (p *picture) layout() (width, height float64) {
	for _, c := range p.cards {
		c.size()
	}
	columns := p.columns(func(*arrow) bool { return true })
	if len(columns) > mostLayers {
		columns = p.columns(func(a *arrow) bool { return a.nested })
	}
	p.order(columns)
	columns = split(columns, p.fair())
	x := float64(margin)
	for i, col := range columns {
		widest := 0.0
		for _, c := range col {
			c.column, c.x = i, x
			widest = max(widest, c.w)
		}
		for _, c := range col {
			c.w = widest
		}
		x += widest + columnGap
	}
	p.settle(columns)
	for _, a := range p.arrows {
		a.back = a.to.column <= a.from.column
	}
	for _, c := range p.cards {
		height = max(height, c.y+c.h)
	}
	return x - columnGap + margin, height + margin
}

// size is how large a card must be for what it shows.
func (c *card) size() {
	c.h = headHeight + float64(len(c.ops))*lineHeight + cardPad
	if c.hidden > 0 {
		c.h += lineHeight
	}
	longest := 20 + 9.3*float64(len(c.name)) + 58*float64(len(c.marks)) + 60
	for _, op := range c.ops {
		w := 62 + charWidth*float64(len([]rune(shorten(op.Path, maxPathText))))
		for _, m := range op.purposeMarks() {
			w += markWidth*float64(len(m)) + 16
		}
		if op.Secured {
			w += 16
		}
		longest = max(longest, w)
	}
	c.w = math.Ceil(longest + 2*cardPad)
}

// columns puts each card behind those that it needs; arrows that would close a
// circle are left out of account.
func (p *picture) columns(counts func(*arrow) bool) [][]*card {
	out := map[*card][]*arrow{}
	in := map[*card]int{}
	touched := map[*card]bool{}
	for _, a := range p.arrows {
		touched[a.from], touched[a.to] = true, true
		if counts(a) {
			out[a.from] = append(out[a.from], a)
			in[a.to]++
		}
	}
	ignored := map[*arrow]bool{}
	state := map[*card]int{}
	var visit func(c *card)
	visit = func(c *card) {
		state[c] = 1
		// What lies under c first, so that nesting is what decides.
		list := slices.Clone(out[c])
		slices.SortStableFunc(list, func(a, b *arrow) int {
			switch {
			case a.nested == b.nested:
				return 0
			case a.nested:
				return -1
			}
			return 1
		})
		for _, a := range list {
			switch state[a.to] {
			case 0:
				visit(a.to)
			case 1:
				ignored[a] = true
			}
		}
		state[c] = 2
	}
	starts := slices.Clone(p.cards)
	slices.SortStableFunc(starts, func(a, b *card) int {
		return cmp.Or(in[a]-in[b], len(out[b])-len(out[a]))
	})
	for _, c := range starts {
		if state[c] == 0 {
			visit(c)
		}
	}
	depth := map[*card]int{}
	for range len(p.cards) {
		moved := false
		for _, a := range p.arrows {
			if counts(a) && !ignored[a] && depth[a.to] < depth[a.from]+1 {
				depth[a.to] = depth[a.from] + 1
				moved = true
			}
		}
		if !moved {
			break
		}
	}
	var columns [][]*card
	put := func(at int, c *card) {
		for len(columns) <= at {
			columns = append(columns, nil)
		}
		columns[at] = append(columns[at], c)
	}
	var alone []*card
	for _, c := range p.cards {
		if !touched[c] {
			alone = append(alone, c)
			continue
		}
		put(depth[c], c)
	}
	// What has no arrows fills the columns that have room.
	for _, c := range alone {
		best := 0
		for i := range columns {
			if tall(columns[i]) < tall(columns[best]) {
				best = i
			}
		}
		limit := 700.0
		for i := range columns {
			limit = max(limit, tall(columns[i]))
		}
		if len(columns) == 0 || tall(columns[best])+c.h > limit && len(columns) < 6 {
			best = len(columns)
		}
		put(best, c)
	}
	return columns
}

func tall(col []*card) float64 {
	h := 0.0
	for _, c := range col {
		h += c.h + cardGap
	}
	return h
}

// order sorts each column by where its neighbours stand, a few times to and fro.
func (p *picture) order(columns [][]*card) {
	near := p.neighbours()
	for sweep := range 8 {
		place := map[*card]float64{}
		for _, col := range columns {
			y := 0.0
			for _, c := range col {
				place[c] = y + c.h/2
				y += c.h + cardGap
			}
		}
		for i := range columns {
			col := columns[i]
			if sweep%2 == 1 {
				col = columns[len(columns)-1-i]
			}
			want := map[*card]float64{}
			for _, c := range col {
				want[c] = place[c]
				if n := near[c]; len(n) > 0 {
					sum := 0.0
					for _, o := range n {
						sum += place[o]
					}
					want[c] = sum / float64(len(n))
				}
			}
			slices.SortStableFunc(col, func(a, b *card) int { return cmp.Compare(want[a], want[b]) })
			y := 0.0
			for _, c := range col {
				place[c] = y + c.h/2
				y += c.h + cardGap
			}
		}
	}
}

func (p *picture) neighbours() map[*card][]*card {
	near := map[*card][]*card{}
	for _, a := range p.arrows {
		near[a.from] = append(near[a.from], a.to)
		near[a.to] = append(near[a.to], a.from)
	}
	return near
}

// fair is how tall a column may be so that the whole is about half as wide again as it is high.
func (p *picture) fair() float64 {
	high, wide := 0.0, 0.0
	for _, c := range p.cards {
		high += c.h + cardGap
		wide = max(wide, c.w)
	}
	return max(tallest, math.Sqrt(high*(wide+columnGap)/1.5))
}

// split breaks columns that are too tall into several.
func split(columns [][]*card, most float64) [][]*card {
	var out [][]*card
	for _, col := range columns {
		total := tall(col)
		parts := int(math.Ceil(total / most))
		if parts <= 1 {
			out = append(out, col)
			continue
		}
		var part []*card
		for _, c := range col {
			if tall(part) >= total/float64(parts) {
				out = append(out, part)
				part = nil
			}
			part = append(part, c)
		}
		if len(part) > 0 {
			out = append(out, part)
		}
	}
	return out
}

// settle moves cards up and down towards their neighbours, without changing
// their order or letting them overlap.
func (p *picture) settle(columns [][]*card) {
	near := p.neighbours()
	highest := 0.0
	for _, col := range columns {
		highest = max(highest, tall(col))
	}
	for _, col := range columns {
		y := titleHeight + (highest-tall(col))/2
		for _, c := range col {
			c.y = y
			y += c.h + cardGap
		}
	}
	for range 12 {
		for _, col := range columns {
			for _, c := range col {
				c.fixed = c.y
				if n := near[c]; len(n) > 0 {
					sum := 0.0
					for _, o := range n {
						sum += o.y + o.h/2
					}
					c.fixed = sum/float64(len(n)) - c.h/2
				}
			}
			y := float64(titleHeight)
			for i, c := range col {
				room := tall(col[i:])
				c.y = max(y, min(c.fixed, titleHeight+highest-room))
				y = c.y + c.h + cardGap
			}
		}
	}
}
