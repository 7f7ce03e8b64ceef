package posture

import (
	"strings"
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

// What is known of a device and cannot be read lets nobody in, until there is news of
// it; and what was begun before that stays taken back.
func TestUnreadableEntry(t *testing.T) {
	store := state.NewMemory(nil)
	defer func() { _ = store.Close() }()
	g := New("device", store, time.Minute)
	rule := func(issued time.Time) exchange.Verdict {
		return g.Rule(t.Context(), &exchange.Exchange{Identity: exchange.Identity{Subject: "alice", Issuer: "i", Verified: true, Issued: issued, Claims: map[string]any{"device": "d"}}})
	}
	for _, text := range []string{"", "{", `[]`, `{"before":"x"}`, `{"before":-5}`, `{"at":1e99}`} {
		if err := store.Put(t.Context(), Set, Key("i", "d"), []byte(text), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if v := rule(time.Now()); v.Action != exchange.Unable || v.Code != "authn.unavailable" {
			t.Errorf("%q: %s %s", text, v.Action, v.Code)
		}
		if err := Put(t.Context(), store, Key("i", "d"), Entry{Status: "compliant", At: 5}); err != nil {
			t.Fatal(err)
		}
		if v := rule(time.Now().Add(-time.Minute)); v.Code != "authn.revoked" {
			t.Errorf("%q, then news: begun before: %s %s", text, v.Action, v.Code)
		}
		if v := rule(time.Now().Add(2 * time.Second)); v.Action != exchange.Allow {
			t.Errorf("%q, then news: begun later: %s %s", text, v.Action, v.Code)
		}
	}
}

// Older news change nothing, and what was taken back stays so whatever else comes.
func TestPutKeepsTheNewest(t *testing.T) {
	store := state.NewMemory(nil)
	defer func() { _ = store.Close() }()
	for _, e := range []Entry{
		{Status: "not-compliant", At: 20, Reason: "encryption is off"}, {Status: "compliant", At: 10}, {Before: 30}, {Before: 25}, {Status: "compliant", At: 20},
	} {
		if err := Put(t.Context(), store, "i|d", e); err != nil {
			t.Fatal(err)
		}
	}
	view, err := store.View(t.Context(), Set)
	if err != nil {
		t.Fatal(err)
	}
	value, _ := view.Get("i|d")
	e, ok := parse(value)
	if want := (Entry{Status: "compliant", At: 20, Before: 30}); !ok || e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	if err := Put(t.Context(), store, strings.Repeat("k", 5<<10), Entry{}); err == nil {
		t.Error("an endless id was taken")
	}
}
