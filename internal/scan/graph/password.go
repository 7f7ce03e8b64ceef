package graph

import (
	"net/http"
	"slices"
	"strings"
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
