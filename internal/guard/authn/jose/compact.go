package jose

import (
	"encoding/base64"
	"errors"

	"github.com/crenel-project/crenel/internal/value"
)

var (
	errBase64  = errors.New("not base64url without padding")
	errObject  = errors.New("not a JSON object")
	strictText = base64.RawURLEncoding.Strict()
)

// Decode is base64url as RFC 7515 section 2 has it. The check by hand is needed:
// the library skips line breaks.
func Decode(s string) ([]byte, error) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return nil, errBase64
		}
	}
	b, err := strictText.DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	return b, nil
}

// Object reads a base64url text that is a JSON object, of one reading only
// (CWE-436): strict JSON within the limits, no name twice.
func Object(s string, lim value.Limits) (*value.Value, error) {
	b, err := Decode(s)
	if err != nil {
		return nil, err
	}
	v, err := value.JSON(b, lim)
	if err != nil {
		var e *value.Error
		if errors.As(err, &e) {
			// The detail could quote the token.
			return nil, errors.New("not strict JSON: " + string(e.Fault))
		}
		return nil, errObject
	}
	if v.Kind != value.Object {
		return nil, errObject
	}
	return v, nil
}
