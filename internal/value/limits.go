package value

import "fmt"

// Limits bound what a decoder accepts. A zero field means its default.
type Limits struct {
	Depth  int // nesting of arrays and objects; default 64
	Nodes  int // values in the whole document, each element and member counted; default 100,000
	Keys   int // members of one object; default 1,000
	Items  int // elements of one array; default 10,000
	String int // bytes of one decoded string or name; default 1 MiB
	Digits int // characters of one number literal; default 64
}

// The defaults of Limits.
const (
	DefaultDepth  = 64
	DefaultNodes  = 100_000
	DefaultKeys   = 1_000
	DefaultItems  = 10_000
	DefaultString = 1 << 20
	DefaultDigits = 64
)

// WithDefaults returns l with each zero field set to its default.
func (l Limits) WithDefaults() Limits {
	set := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	set(&l.Depth, DefaultDepth)
	set(&l.Nodes, DefaultNodes)
	set(&l.Keys, DefaultKeys)
	set(&l.Items, DefaultItems)
	set(&l.String, DefaultString)
	set(&l.Digits, DefaultDigits)
	return l
}

// Fault says what is wrong with a document: the stable part of an Error.
type Fault string

// The faults that a decoder reports. Each is the last part of a denial's code
// ("body.duplicate_key").
const (
	FaultSyntax       Fault = "syntax"        // not a document of its media type
	FaultTrailing     Fault = "trailing_data" // something after the document
	FaultDuplicateKey Fault = "duplicate_key" // one object, one name, twice
	FaultInvalidUTF8  Fault = "invalid_utf8"  // bytes or an escape that are no Unicode scalar value
	FaultNumberRange  Fault = "number_range"  // a number that a float64 cannot hold, or with too many digits
	FaultDepth        Fault = "depth"         // nested deeper than Limits.Depth
	FaultKeys         Fault = "keys"          // more members than Limits.Keys, or nodes than Limits.Nodes
	FaultItems        Fault = "items"         // more elements than Limits.Items
	FaultString       Fault = "string_length" // a string longer than Limits.String
	FaultDTD          Fault = "dtd"           // XML with a document type declaration or an entity of its own (CWE-611, CWE-776)
)

// Error is why a document was refused, and where.
type Error struct {
	Fault   Fault
	Offset  int    // byte offset in the source
	Pointer string // JSON pointer of the nearest value, "" for the document itself
	Detail  string // for the operator; never holds the document's content
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s at byte %d (%q): %s", e.Fault, e.Offset, e.Pointer, e.Detail)
}
