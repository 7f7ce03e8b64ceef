package schema

import (
	"sync/atomic"

	"github.com/crenel-project/crenel/internal/value"
)

// Direction is which way the validated value travels.
type Direction uint8

// Neither applies no direction rules; Request refuses readOnly properties;
// Response refuses writeOnly ones.
const (
	Neither Direction = iota
	Request
	Response
)

// In a Request, strict or not, a property that is not declared but equals a
// declared one save for case is refused as unknown: decoders in Go and .NET take
// it for that one. Maps of names that nothing declares may differ in case alone.

// Options are the rules of one validation beyond the schema itself.
type Options struct {
	Direction Direction
	// Strict refuses properties that no applicable subschema declares, unless
	// an applicable subschema says additionalProperties or unevaluatedProperties
	// itself, or none of them declares a property (a free-form object). A name
	// that is only listed in required is known too, with any value.
	Strict bool
	// MayWrite, when set, is asked for each property whose schema carries
	// x-crenel-writable-by whether the caller holds one of those roles.
	MayWrite func(roles []string) bool
	// MaxFaults stops the walk after so many faults; 0 means 1.
	MaxFaults int
	// MaxSteps bounds the work of one validation, in schemas applied to values;
	// 0 means 1,000,000. Nested anyOf can make work grow exponentially with
	// depth; what exceeds the bound is refused with the keyword "complexity".
	MaxSteps int
}

// Fault is one way in which a value does not fit its schema.
type Fault struct {
	Keyword    string // "type", "required", "additionalProperties", "readOnly", "writableBy", …
	Pointer    string // JSON pointer in the value
	SchemaPath string // JSON pointer in the schema document
	Message    string // what is wrong and what would be right; never holds the value itself
	TimedOut   bool   // the pattern did not finish in time, so the value is refused undecided
}

// Schema is one compiled schema. It is immutable and safe for concurrent use.
type Schema struct {
	kinds    kindSet // what "type" allows
	whole    bool    // "integer": numbers must have no fraction
	never    bool    // the schema false
	nullWins bool    // nullable beside applicators: null passes without them
	trivial  bool    // accepts anything: the schema true
	cyclic   bool    // can apply to one value again without progress
	complex  bool    // more than one schema can apply to one value below here
	plain    bool    // nothing but its own rules: no loop, scope or applicator to mind
	noted    notes
	enum     *enumSet
	constant *enumSet
	num      *numberRules
	str      *stringRules
	arr      *arrayRules
	obj      *objectRules
	app      *applicators

	res   *resource
	ptr   string
	src   *value.Value
	shape atomic.Pointer[Shape]
	texts atomic.Pointer[textual]
	// order numbers schemas of one compiler as they were made.
	order int32
}

// notes are the annotations that act: own ones and those reached by $ref and allOf.
type notes struct {
	readOnly, writeOnly bool
	acts                bool       // any of the others is set
	writableBy          [][]string // one list for each place that says so; all must be met
}

type numberRules struct {
	min, max       *bound // inclusive
	above, below   *bound // exclusive
	minOut, maxOut bool   // draft 4's exclusiveMinimum, exclusiveMaximum, until compiled
	multiple       *bound
	low, high      *bound // of the format
	format         string
	allInt         bool // every bound is an int64
}

type stringRules struct {
	min, max int // code points; max -1: none
	pattern  *pattern
	format   *format
}

type arrayRules struct {
	prefix                   []*Schema
	items                    *Schema
	contains                 *Schema
	minContains, maxContains int // max -1: none
	min, max                 int // max -1: none
	unique                   bool
}

type objectRules struct {
	table *names    // the names of properties, required and dependentRequired
	props []*Schema // beside table.list; nil: not declared
	// required are bit sets over table.list, by Direction.
	required   [3][]uint64
	needsSeen  bool
	patterns   []patternProperty
	additional *Schema // nil: not stated
	names      *Schema
	min, max   int // max -1: none
	dependent  []dependentNames
	declares   bool // at least one property or pattern property
}

type patternProperty struct {
	pattern *pattern
	schema  *Schema
}

type dependentNames struct {
	name  int
	needs []int
}

type applicators struct {
	ref             *Schema
	dynamic         *Schema // where $dynamicRef leads before the dynamic scope is searched
	dynamicName     string
	allOf           []*Schema
	anyOf           []*Schema
	oneOf           []*Schema
	not             *Schema
	ifs             *Schema
	then, otherwise *Schema
	dependent       []dependentSchema
	chooser         *discriminator
	restProps       *Schema // unevaluatedProperties
	restItems       *Schema // unevaluatedItems
}

type dependentSchema struct {
	name   string
	schema *Schema
}

// discriminator picks the schema that applies by the text of one property.
type discriminator struct {
	property string
	table    *names
	schemas  []*Schema
}

func (d *discriminator) pick(v *value.Value) *Schema {
	if v.Kind != value.Object {
		return nil
	}
	p := v.Get(d.property)
	if p == nil || p.Kind != value.String {
		return nil
	}
	if i := d.table.find(p.Text); i >= 0 {
		return d.schemas[i]
	}
	return nil
}
