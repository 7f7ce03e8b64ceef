package check

import (
	"strings"

	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// newCredential is where an answer holds a token: a JSON Web Token, or a longer
// text under a name that tokens have.
func newCredential(x *target.Exchange) (scenario.Save, bool) {
	var best scenario.Save
	found := false
	if body, ok := scenario.Decode(x.Body); ok {
		scenario.Walk(body, func(at string, s any) {
			text, ok := s.(string)
			if !ok || found && !isJWT(text) {
				return
			}
			name := strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
			if isJWT(text) || len(text) >= 12 && (strings.Contains(name, "token") || strings.Contains(name, "session") || strings.Contains(name, "jwt") || strings.HasSuffix(name, "key")) {
				best, found = scenario.Save{At: at}, true
			}
		})
	}
	if !found {
		for name, vs := range x.Header {
			for _, v := range vs {
				if isJWT(v[strings.LastIndexByte(v, ' ')+1:]) || strings.Contains(strings.ToLower(name), "token") && len(v) >= 12 {
					return scenario.Save{Header: name}, true
				}
			}
		}
	}
	return best, found
}
