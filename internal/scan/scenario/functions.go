package scenario

import (
	"maps"
	"slices"
)

// Functions are the names of what scenarios may compute with, sorted.
func Functions() []string { return slices.Sorted(maps.Keys(funcs)) }
