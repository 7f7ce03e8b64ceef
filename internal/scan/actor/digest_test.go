package actor

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// An account of HTTP Digest is given like one of Basic, can read the description, and
// its password stays out of what is printed.
func TestDigestAccount(t *testing.T) {
	t.Setenv("IDA", "clay")
	good := Account{Digest: &Basic{Username: "ida", Password: Secret{env: "IDA"}}}
	c := Config{Accounts: map[string]Account{User: good}}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	fixed, err := c.Fixed()
	if err != nil {
		t.Fatal(err)
	}
	parts := fixed[User].Snapshot()
	if len(parts) != 1 || !parts[0].Computed() || parts[0].Value != "ida:clay" {
		t.Errorf("%+v", parts)
	}
	r := &target.Request{}
	fixed[User].Apply(r)
	if got := r.Get("Authorization"); got != target.DigestPrefix+"ida:clay" {
		t.Errorf("%q", got)
	}
	if text := describe(fixed[User]); text != "header Authorization: Digest …" {
		t.Errorf("%q", text)
	}
	bad := Config{Accounts: map[string]Account{User: {Digest: &Basic{Username: "i:da", Password: Text("x")}, Basic: &Basic{Username: "ida"}}}}
	if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), "digest.username") || !strings.Contains(err.Error(), "several ways") {
		t.Error(err)
	}
}
