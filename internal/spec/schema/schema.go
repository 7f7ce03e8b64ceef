package schema

import (
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

// Options are the rules of one validation beyond the schema itself.
type Options struct {
	Direction Direction
	// Strict refuses properties that no applicable subschema declares, unless
	// the schema says additionalProperties or unevaluatedProperties itself or
	// declares no property at all (a free-form object).
	Strict bool
	// MayWrite, when set, is asked for each property whose schema carries
	// x-crenel-writable-by whether the caller holds one of those roles.
	MayWrite func(roles []string) bool
	// MaxFaults stops the walk after so many faults; 0 means 1.
	MaxFaults int
}

// Fault is one way in which a value does not fit its schema.
type Fault struct {
	Keyword    string // "type", "required", "additionalProperties", "readOnly", "writableBy", …
	Pointer    string // JSON pointer in the value
	SchemaPath string // JSON pointer in the schema document
	Message    string // what is wrong and what would be right; never holds the value itself
}

// Schema is one compiled schema. It is immutable and safe for concurrent use.
type Schema struct {
	impl any
}

// Validate walks v once and returns the faults found, nil when it fits.
func (s *Schema) Validate(v *value.Value, o *Options) []Fault { return nil }
