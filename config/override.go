package config

import "strings"

// Matches reports whether the override is for the operation with this id,
// method and path template. A * in "METHOD /path" stands for any run of
// characters, slashes too; an operationId is compared whole.
func (o *OperationOverride) Matches(id, method, path string) bool {
	if o.Operation == id {
		return true
	}
	m, p, ok := strings.Cut(o.Operation, " ")
	if !ok {
		return false
	}
	return wildcard(m, method) && wildcard(strings.TrimLeft(p, " "), path)
}

// wildcard matches pattern, in which * is any run of characters, in time linear
// in len(s) for each star.
func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
