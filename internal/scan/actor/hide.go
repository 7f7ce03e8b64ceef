package actor

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// secretFields are the values of a body's fields that are called like a secret: who
// writes a login down may write a password into it, which must not get into a record.
func secretFields(typ string, body []byte) []string {
	var out []string
	if strings.Contains(typ, "urlencoded") {
		form, err := url.ParseQuery(string(body))
		for name, vs := range form {
			if err == nil && isSecretField(name) {
				out = append(out, vs...)
			}
		}
		return out
	}
	var v any
	if json.Unmarshal(body, &v) != nil {
		return nil
	}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for n, kid := range v {
				walk(n, kid)
			}
		case []any:
			for _, kid := range v {
				walk(name, kid)
			}
		case string:
			if isSecretField(name) {
				out = append(out, v)
			}
		}
	}
	walk("", v)
	return out
}

var secretWords = []string{"password", "passwd", "pwd", "pass", "passphrase", "passcode", "secret", "pin", "otp", "totp", "token", "apikey"}

func isSecretField(name string) bool {
	return slices.ContainsFunc(words(name), func(w string) bool { return slices.Contains(secretWords, strings.ToLower(w)) })
}
