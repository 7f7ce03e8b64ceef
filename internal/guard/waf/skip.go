package waf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/spec"
)

// skips are the places of one operation that are not inspected, as patterns.
type skips []string

// newSkips reads the config's entries, "OPERATION AT", into lists by operation
// index; each entry must match an operation, or a field would be open that
// somebody believes closed, or the other way round.
func newSkips(entries []string, api *spec.API) ([]skips, error) {
	if api == nil {
		if len(entries) > 0 {
			return nil, errors.New("waf.skip names operations, but the API has no document")
		}
		return nil, nil
	}
	out := make([]skips, len(api.Operations))
	for _, e := range entries {
		i := strings.LastIndexByte(e, ' ')
		if i < 0 {
			return nil, fmt.Errorf("waf.skip: %q is not OPERATION AT", e)
		}
		match := config.OperationOverride{Operation: strings.TrimSpace(e[:i])}
		found := false
		for n, op := range api.Operations {
			if match.Matches(op.ID, op.Method, op.Path) {
				out[n] = append(out[n], e[i+1:])
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("waf.skip: %q matches no operation", e)
		}
	}
	return out, nil
}

func (s skips) has(at string) bool {
	for _, p := range s {
		if matchAt(p, at) {
			return true
		}
	}
	return false
}

// matchAt compares a place with a pattern, in which a token * of a JSON pointer
// stands for any one token.
func matchAt(pattern, at string) bool {
	if pattern == at {
		return true
	}
	if !strings.HasPrefix(pattern, "/") || !strings.HasPrefix(at, "/") {
		return false
	}
	for pattern != "" && at != "" {
		var p, a string
		p, pattern = token(pattern)
		a, at = token(at)
		if p != a && p != "*" {
			return false
		}
	}
	return pattern == at
}

// token takes the first token off a JSON pointer.
func token(p string) (first, rest string) {
	p = p[1:]
	if i := strings.IndexByte(p, '/'); i >= 0 {
		return p[:i], p[i:]
	}
	return p, ""
}
