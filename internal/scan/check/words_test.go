package check

import (
	"slices"
	"testing"
)

// Secrets that somebody wrote down are guessed before those that are made of words, and
// those that are made come plain before they come with numbers.
func TestSecretsInOrder(t *testing.T) {
	at := map[string]int{}
	n := 0
	for k := range secretsOf([]string{"zebra", "quagga"}) {
		if _, there := at[k]; !there {
			at[k] = n
		}
		n++
	}
	if n > 1<<20 {
		t.Errorf("%d guesses: more than a second of them", n)
	}
	if at["zebra"] != 0 || at["quagga"] != 1 {
		t.Error("the list does not come first")
	}
	for _, want := range []string{"SuperSecret", "app-key", "strong_token123", "secret", "MY_SECRET", "changeme", "hello world", "APP_KEY2026"} {
		if _, there := at[want]; !there {
			t.Errorf("%q is not among what people make of a few words", want)
		}
	}
	for _, pair := range [][2]string{{"secret", "secret123"}, {"mysecret", "my-secret"}, {"my-secret", "my-secret2026"}} {
		if at[pair[0]] >= at[pair[1]] {
			t.Errorf("%q is guessed after %q", pair[0], pair[1])
		}
	}
	taken := slices.Collect(func(yield func(string) bool) {
		for k := range secretsOf([]string{"zebra"}) {
			if !yield(k) || k == "secret" {
				return
			}
		}
	})
	if !slices.Equal(taken, []string{"zebra", "secret"}) {
		t.Errorf("what is guessed does not end when it is found: %q", taken)
	}
}

// Roles are read from refusals; what everybody is, and what is no role, is left.
func TestRoleSaid(t *testing.T) {
	for text, want := range map[string]string{
		"403: Only Curators may lend":              "Curators",
		"403: requires the role conservator":       "conservator",
		"403: you must be a keeper.":               "keeper",
		"403: only for archivists":                 "archivists",
		`403: you must be a "head_keeper".`:        "head_keeper",
		"403: something was wrong with the parcel": "",
		"403: the name must be unique or absent":   "",
	} {
		got := ""
		if m := reRoleSaid.FindStringSubmatch(text); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%q speaks of the role %q, want %q", text, got, want)
		}
	}
	for _, w := range []string{"unique", "authenticated", "owner", "user"} {
		if !noRoles[w] {
			t.Errorf("%q is taken for a role", w)
		}
	}
}
