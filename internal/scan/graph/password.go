package graph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// passwordWords name an operation that sets a password.
var passwordWords = []string{"password", "passwd", "pwd", "passphrase", "passcode", "change password", "changepassword", "update password", "passwords"}

// What of a password an input is, where its operation says that it is about one:
// {"current": …, "next": …} of PUT /me/password.
var (
	oldWords   = []string{"old", "current", "existing", "previous", "present"}
	freshWords = []string{"new", "next"}
	againWords = []string{"confirm", "confirmation", "repeat", "repeated", "again"}
)

// oldForNew gives their meaning to the inputs of an operation on a password that name
// the present one and the next without saying what of. Taken for texts, somebody's
// password would be set to one that nobody knows.
func oldForNew(op *Op) {
	if op.Method == http.MethodGet || op.Method == http.MethodDelete || readTraits(op).saysAny(passwordWords...) == "" {
		return
	}
	var found []*Input
	old, fresh := false, false
	for _, in := range op.Inputs {
		if in.In != "body" || in.ReadOnly {
			continue
		}
		if in.Meaning == MeansPassword {
			return // they say so themselves
		}
		if in.Type != "" && in.Type != "string" {
			continue
		}
		switch n := strings.ToLower(in.Name); {
		case slices.Contains(oldWords, n):
			old = true
		case slices.Contains(freshWords, n):
			fresh = true
		case !slices.Contains(againWords, n):
			continue
		}
		found = append(found, in)
	}
	if !old || !fresh {
		return
	}
	for _, in := range found {
		in.Meaning = MeansPassword
	}
}

// secretWords are what some APIs call a password, and most something else.
var secretWords = []string{"secret", "passkey", "keyword", "pin", "pincode", "credential", "secretkey"}

// passwordName finds what an API calls a password that does not call it so: what logging
// in and registering both take beside who one is. "" where it says password, or has none.
func (b *builder) passwordName() string {
	login, register := map[string]bool{}, map[string]bool{}
	for _, op := range b.g.Ops {
		t := readTraits(op)
		if t.takes(MeansPassword) {
			return ""
		}
		in, up := t.saysAny(strongLogin...) != "", t.saysAny(registerWords...) != ""
		if !t.post || !in && !up || !t.takes(MeansEmail, MeansUsername, MeansPhone) {
			continue
		}
		for _, i := range op.Inputs {
			if i.In == "path" || i.ReadOnly || i.Type != "" && i.Type != "string" {
				continue
			}
			n := strings.Join(spec.Words(i.Name), "")
			login[n], register[n] = login[n] || in, register[n] || up
		}
	}
	for _, w := range secretWords {
		if login[w] && register[w] {
			return w
		}
	}
	return ""
}

// namePasswords gives their meaning to the inputs of an API that has its own word for a
// password, and lets its operations be read as if they said password.
func (b *builder) namePasswords() {
	word := b.passwordName()
	if word == "" {
		return
	}
	for _, op := range b.g.Ops {
		op.password = word
		for _, in := range op.Inputs {
			w := spec.Words(in.Name)
			n := strings.Join(w, "")
			if in.Type != "" && in.Type != "string" {
				continue
			}
			if n == word || len(w) > 1 && w[len(w)-1] == word && (slices.Contains(oldWords, w[0]) || slices.Contains(freshWords, w[0]) || slices.Contains(againWords, w[0])) {
				in.Meaning = MeansPassword
			}
		}
	}
}
