package rewrite

import "github.com/crenel-project/crenel/internal/value"

// Action is what a Filter wants done with a value.
type Action uint8

// Keep keeps the value and asks again inside it. Pass keeps all of it and does
// not ask again. Drop removes it. Replace puts another scalar in its place; it
// is an answer of Scalar alone, and counts as Drop elsewhere.
const (
	Keep Action = iota
	Pass
	Drop
	Replace
)

// State is where in its own rules a Filter stands at one value. It is handed
// back to the Filter for each value below. The zero State is as good as any.
type State struct {
	Ref  any
	Bits uint64
}

// Filter rules on the values of a document as they begin, before their content
// is known. A Filter keeps what it must remember in States, so that one Filter
// may serve many documents at once.
//
// Strings handed to it are valid only during the call.
type Filter interface {
	// Root returns the State of the document itself, which is always kept.
	Root() State
	// Member rules on a member of the object at s.
	Member(s State, name string) (State, Action)
	// Item rules on the element i of the array at s.
	Item(s State, i int) (State, Action)
	// Scalar rules on the scalar at s, with the text as in value.Value.Text ("" for
	// null). With Replace comes the JSON that stands in its place.
	Scalar(s State, kind value.Kind, text string) ([]byte, Action)
}

// Options say how a document is rewritten.
type Options struct {
	// Filters rule together: Drop wins, then the first Replace.
	Filters []Filter
	// Limits bound the document. String bounds names and those strings that a
	// Filter looks at; others are passed on piece by piece.
	Limits value.Limits
	// Many takes any number of documents one after another, as in NDJSON.
	// Limits.Nodes then counts for each.
	Many bool
}

// Report is what was done to a stream.
type Report struct {
	Documents int   // complete ones
	In, Out   int64 // bytes
	Dropped   int   // values removed, each counted once with all that was in it
	Masked    int   // scalars replaced
	// DroppedAt and MaskedAt are where: JSON pointers with * for an array's index,
	// each once, at most MaxPlaces of them.
	DroppedAt, MaskedAt []string
}

// MaxPlaces bounds each list of places in a Report.
const MaxPlaces = 64
