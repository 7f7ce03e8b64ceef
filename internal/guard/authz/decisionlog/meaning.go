package decisionlog

import (
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// redacted stands where a value was whose place must stay.
const redacted = "[masked]"

// byMeaning takes out what a name or the look of a value says is not to leave.
func (k *masking) byMeaning() {
	if input, ok := k.docs["input"].(map[string]any); ok {
		k.input(input)
	}
	if result, ok := k.docs["result"]; ok {
		k.docs["result"] = k.walk(result, "/result", "")
	}
	if calls, ok := k.docs["nd_builtin_cache"].(map[string]any); ok {
		for name := range calls {
			if !slices.Contains(harmless, name) {
				delete(calls, name)
				k.erased = append(k.erased, "/nd_builtin_cache/"+value.EscapeToken(name))
			}
		}
	}
}

// The parts of an input whose names are the gateway's own, and so say nothing of
// what they hold.
var ownNames = map[string]bool{"operation": true, "objects": true, "object": true, "risk": true}

func (k *masking) input(in map[string]any) {
	for name, v := range in {
		switch {
		case name == "identity":
			// Its members are known, and those that are secret are gone already; what a
			// token said may still look like one.
			in[name] = k.looks(v, "/input/identity")
		case ownNames[name]:
			in[name] = k.looks(v, "/input/"+value.EscapeToken(name))
		case name == "context":
		default:
			in[name] = k.walk(v, "/input/"+value.EscapeToken(name), "")
		}
	}
	context, ok := in["context"].(map[string]any)
	if !ok {
		return
	}
	// The path as sent holds what the path's parameters do.
	for _, name := range k.erased {
		if strings.HasPrefix(name, "/input/params/path/") && context["path"] != nil {
			delete(context, "path")
			k.erased = append(k.erased, "/input/context/path")
			// The object's id is one of those parameters.
			for _, part := range []string{"object", "objects"} {
				if in[part] != nil {
					delete(in, part)
					k.erased = append(k.erased, "/input/"+part)
				}
			}
			break
		}
	}
	in["context"] = k.looks(context, "/input/context")
}

// walk goes through a document whose names are the API's: members that are named
// as a masked class of data go, and so do values that look like a credential.
func (k *masking) walk(v any, at, holder string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			place := at + "/" + value.EscapeToken(name)
			if c := spec.ClassOf(name, holder); c != spec.ClassNone && slices.Contains(k.classes, c) {
				delete(v, name)
				k.erased = append(k.erased, place)
				continue
			}
			v[name] = k.walk(child, place, name)
		}
	case []any:
		for i := range v {
			v[i] = k.walk(v[i], at+"/"+strconv.Itoa(i), holder)
		}
	case string:
		if looksSecret(v) {
			k.masked = append(k.masked, at)
			return redacted
		}
	}
	return v
}

// looks goes by the look of values alone.
func (k *masking) looks(v any, at string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			v[name] = k.looks(child, at+"/"+value.EscapeToken(name))
		}
	case []any:
		for i := range v {
			v[i] = k.looks(v[i], at+"/"+strconv.Itoa(i))
		}
	case string:
		if looksSecret(v) {
			k.masked = append(k.masked, at)
			return redacted
		}
	}
	return v
}

// looksSecret reports whether a text holds a credential whatever it is called: a
// JSON Web Token, a private key, or the value of an Authorization header.
func looksSecret(s string) bool {
	if len(s) < 8 {
		return false
	}
	if strings.Contains(s, "PRIVATE KEY-----") {
		return true
	}
	for _, scheme := range []string{"bearer ", "basic ", "dpop "} {
		if len(s) > len(scheme)+8 && strings.EqualFold(s[:len(scheme)], scheme) && !strings.Contains(s[len(scheme):], " ") {
			return true
		}
	}
	for rest := s; ; {
		i := strings.Index(rest, "eyJ") // {" in base64url
		if i < 0 {
			return false
		}
		rest = rest[i:]
		n, dots := 0, 0
		for n < len(rest) && (rest[n] == '.' || rest[n] == '-' || rest[n] == '_' || rest[n] >= '0' && rest[n] <= '9' || rest[n] >= 'A' && rest[n] <= 'Z' || rest[n] >= 'a' && rest[n] <= 'z') {
			if rest[n] == '.' {
				dots++
			}
			n++
		}
		if dots >= 2 && n >= 20 {
			return true
		}
		rest = rest[max(n, 3):]
	}
}
