// Package policies holds the Rego that ships with Crenel: the library
// data.crenel.lib, which every policy may import, with its own tests.
//
// In: nothing. Out: the files, embedded. It must never hold a rule about one
// particular API.
package policies

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed lib
var files embed.FS

// InputSchema is the JSON Schema (draft 7) of the input that policies see. opa
// check -s and editors take it as well.
//
//go:embed input.schema.json
var InputSchema []byte

// LibPackage is the package that the library's rules live in.
const LibPackage = "data.crenel.lib"

// folder is what the names of the shipped files begin with.
const folder = "crenel/"

// Shipped reports whether a place ("crenel/lib/identity.rego:9") is in a file of the library.
func Shipped(place string) bool { return strings.HasPrefix(place, folder+"lib/") }

// Lib returns the library's files, tests and all, by name.
func Lib() (map[string]string, error) {
	out := make(map[string]string)
	err := fs.WalkDir(files, "lib", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(path)
		out[folder+path] = string(b)
		return err
	})
	return out, err
}
