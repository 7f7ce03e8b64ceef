package world

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// lesson is what error messages taught of one input.
type lesson struct {
	need  bool   // it must be there
	ban   bool   // it must not
	text  string // exactly this JSON text
	fresh string // a fresh value of this shape
	// next passes over so many of the values that would be chosen.
	next     int
	tryFirst []string // JSON texts that a message named
	refused  []string // JSON texts that were refused
	others   bool     // it must name what another has: a message said that the caller's own will not do
	by       []string // with others: by these facts of the other, the likeliest first
}

func (l *lesson) allows(text string) bool { return !slices.Contains(l.refused, text) }

// lessons are those of one operation, by place.
type lessons struct {
	by map[string]*lesson
	// hollow: a call without a body was refused for want of a media type, so an empty
	// object goes along. Many servers ask every call that writes for one.
	hollow bool
}

func (w *World) taughtOf(op *graph.Op) *lessons {
	l := w.lessons[op]
	if l == nil {
		l = &lessons{by: map[string]*lesson{}}
		w.lessons[op] = l
	}
	return l
}

func (l *lessons) of(where string) *lesson { return l.by[where] }

func (l *lessons) get(where string) *lesson {
	t := l.by[where]
	if t == nil {
		t = &lesson{}
		l.by[where] = t
	}
	return t
}

// within reports whether something inside a member must be there.
func (l *lessons) within(where string) bool {
	for w, t := range l.by {
		if t.need && !t.ban && strings.HasPrefix(w, where+"/") {
			return true
		}
	}
	return false
}

// added lists the inputs that messages asked for.
func (l *lessons) added() []string {
	var out []string
	for _, where := range sortedKeys(l.by) {
		if t := l.by[where]; t.need && !t.ban {
			out = append(out, where)
		}
	}
	return out
}

// beyond reports whether a message asked for something that the description may not allow.
func (l *lessons) beyond() bool {
	for _, t := range l.by {
		if t.text != "" || t.fresh != "" || t.need || t.ban {
			return true
		}
	}
	return false
}
