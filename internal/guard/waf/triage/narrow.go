package triage

import "slices"

// span is ids of rules from first to last, none of which the engine needs to try
// unless a text gives cause to.
type span struct{ first, last int }

// spans divides the ids of all rules into runs of those that look at texts, or are
// jumped over at this level. What else there is (rules that steer, that look at how
// a message travels, that cannot be expressed) is in none.
func (t *Triage) spans(o Options, jumped map[int]bool) []span {
	all := make([]int, 0, len(o.Rules))
	for _, r := range o.Rules {
		all = append(all, r.ID)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	var out []span
	open := false
	for _, id := range all {
		switch free := t.onTexts[id] || jumped[id]; {
		case !free:
			open = false
		case open:
			out[len(out)-1].last = id
		default:
			out, open = append(out, span{id, id}), true
		}
	}
	return out
}

// Idle returns ranges of ids, first and last, of rules that cannot match a request
// of which Suspects has said that only rules may, and that it depends on nothing
// but its texts and how it travels.
func (t *Triage) Idle(rules []int) [][2]int {
	out := make([][2]int, 0, len(t.idle)+len(rules))
	for _, s := range t.idle {
		first := s.first
		for _, id := range rules { // sorted
			if id < first || id > s.last {
				continue
			}
			if id > first {
				out = append(out, [2]int{first, id - 1})
			}
			first = id + 1
		}
		if first <= s.last {
			out = append(out, [2]int{first, s.last})
		}
	}
	return out
}

// OnTexts is how many rules look at texts: what the engine tries on every text
// where nothing is known of it.
func (t *Triage) OnTexts() int { return len(t.onTexts) }
