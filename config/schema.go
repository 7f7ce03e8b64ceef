package config

import (
	_ "embed"
	"slices"
)

//go:generate go test . -run ^TestGenerated$ -update

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of a config file. It is made
// from the types of this package and their comments by go generate.
func Schema() []byte { return slices.Clone(schema) }
