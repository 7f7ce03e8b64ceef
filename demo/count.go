package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// counts writes what was counted, the most first: "contract 21, authz 9".
func counts[K cmp.Ordered](of map[K]int) string {
	keys := slices.SortedFunc(maps.Keys(of), func(a, b K) int {
		return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = fmt.Sprintf("%v %d", k, of[k])
	}
	return strings.Join(parts, ", ")
}
