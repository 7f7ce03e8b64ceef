package schema

// Dialect is the language that a schema document is written in.
type Dialect uint8

// The dialects. OpenAPI20 and OpenAPI30 are close to draft 4; OpenAPI31 is
// draft 2020-12 with OpenAPI's own keywords. Draft4 and Draft202012 are the
// plain drafts, without them.
const (
	OpenAPI20 Dialect = iota + 1
	OpenAPI30
	OpenAPI31
	Draft4
	Draft202012
)

// String returns the dialect's usual name.
func (d Dialect) String() string {
	switch d {
	case OpenAPI20:
		return "OpenAPI 2.0"
	case OpenAPI30:
		return "OpenAPI 3.0"
	case OpenAPI31:
		return "OpenAPI 3.1"
	case Draft4:
		return "JSON Schema draft 4"
	case Draft202012:
		return "JSON Schema draft 2020-12"
	}
	return "unknown dialect"
}

// openAPI: readOnly, writeOnly, discriminator and the format registry count.
func (d Dialect) openAPI() bool { return d <= OpenAPI31 }

// old: what comes from draft 4: $ref without siblings, boolean exclusiveMinimum.
func (d Dialect) old() bool { return d == OpenAPI20 || d == OpenAPI30 || d == Draft4 }

// idKeyword is the keyword that gives a schema its own URI, "" for none.
func (d Dialect) idKeyword() string {
	switch d {
	case OpenAPI31, Draft202012:
		return "$id"
	case Draft4:
		return "id"
	}
	return ""
}

// vocabulary is which groups of keywords a resource's metaschema switches on.
type vocabulary struct {
	applicator, validation, unevaluated, formatAssertion bool
}

var everything = vocabulary{applicator: true, validation: true, unevaluated: true}

// The vocabularies of draft 2020-12 (JSON Schema core, section 8.1.2 and 10 to 13).
const vocabularyPrefix = "https://json-schema.org/draft/2020-12/vocab/"

// Severity of a Problem.
type Severity uint8

// Warning: compiled as meant. Degraded: compiled, but something was left out or
// loosened. Fatal: the schema at that place accepts anything; the caller decides
// whether what depends on it can be used.
const (
	Warning Severity = iota
	Degraded
	Fatal
)

// Problem is something wrong with a schema, found while compiling.
type Problem struct {
	Severity Severity
	Code     string // stable: "schema.bad_pattern", "schema.unresolved_ref", …
	URI      string // of the document
	Pointer  string // JSON pointer in the document
	Message  string // what is wrong and what would be right
}
