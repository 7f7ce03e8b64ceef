package posture

import (
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/state"
)

// What is known of a device counts whichever of the request's credentials names it.
func TestRuleOfSeveralCredentials(t *testing.T) {
	store := state.NewMemory(nil)
	defer func() { _ = store.Close() }()
	began := time.Now().Add(-time.Hour)
	for key, e := range map[string]Entry{
		"i|lost": {Before: began.Unix() + 60}, "i|old": {Status: "not-compliant", At: 7}, "i|good": {Status: "compliant", At: 7},
	} {
		if err := Put(t.Context(), store, key, e); err != nil {
			t.Fatal(err)
		}
	}
	by := func(device string) exchange.Identity {
		id := exchange.Identity{Subject: "alice", Issuer: "i", Method: "jwt", Verified: true, Issued: began}
		if device != "" {
			id.Claims = map[string]any{"device": device}
		}
		return id
	}
	g := New("device", store, time.Minute)
	for name, c := range map[string]struct {
		devices []string
		code    string
		want    string // the device that the policy sees
	}{
		"none":                           {devices: []string{""}},
		"unknown":                        {devices: []string{"new"}, want: "new"},
		"good":                           {devices: []string{"good"}, want: "good"},
		"lost":                           {devices: []string{"lost"}, code: "authn.revoked"},
		"lost, by the second credential": {devices: []string{"", "lost"}, code: "authn.revoked"},
		"lost, behind a good one":        {devices: []string{"good", "new", "lost"}, code: "authn.revoked"},
		"by the second credential":       {devices: []string{"", "old"}, want: "old"},
		"the one that does not comply":   {devices: []string{"good", "old"}, want: "old"},
		"in the other order":             {devices: []string{"old", "good"}, want: "old"},
	} {
		x := &exchange.Exchange{Identity: by(c.devices[0])}
		for _, d := range c.devices[1:] {
			x.Identity.Also = append(x.Identity.Also, by(d))
		}
		v := g.Rule(t.Context(), x)
		if v.Code != c.code {
			t.Errorf("%s: %q, want %q", name, v.Code, c.code)
		}
		got := ""
		if x.Identity.Device != nil {
			got = x.Identity.Device.ID
		}
		if c.code == "" && got != c.want {
			t.Errorf("%s: the device is %q, want %q", name, got, c.want)
		}
	}
}
