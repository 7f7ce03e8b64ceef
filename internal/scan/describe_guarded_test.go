package scan

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// A description that only some may read is read as one of them, and the credentials go
// to the target's own origin alone.
func TestDescriptionForSome(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]bool{}
	serve := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Host+" "+r.Header.Get("X-Pass")] = true
		mu.Unlock()
		switch pass := r.Header.Get("X-Pass"); {
		case pass == "":
			http.Error(w, "who?", http.StatusUnauthorized)
		case pass != "the-warden" || r.URL.Path != "/hidden/api.yaml":
			http.Error(w, "not you", http.StatusForbidden)
		default:
			_, _ = io.WriteString(w, scantest.Spec)
		}
	}
	home, away := httptest.NewServer(http.HandlerFunc(serve)), httptest.NewServer(http.HandlerFunc(serve))
	defer home.Close()
	defer away.Close()
	as := func(pass string) actor.Account {
		return actor.Account{Headers: map[string]actor.Secret{"X-Pass": actor.Text(pass)}}
	}
	for _, c := range []struct {
		name     string
		from     *httptest.Server
		accounts map[string]actor.Account
		specAs   string
		wrong    string // "": it is read
	}{
		{"nobody may have it", home, nil, "", "it answers 401: it wants credentials"},
		{"a user may not, the administrator may", home, map[string]actor.Account{actor.User: as("a-guest"), actor.Admin: as("the-warden")}, "", ""},
		{"another account may", home, map[string]actor.Account{actor.User: as("a-guest"), "warden": as("the-warden")}, "", ""},
		{"nobody of those who are given may", home, map[string]actor.Account{actor.User: as("a-guest")}, "", "it answers 403"},
		{"the one that was named may not", home, map[string]actor.Account{actor.User: as("a-guest"), actor.Admin: as("the-warden")}, actor.User, "it answers 403"},
		{"it lies elsewhere", away, map[string]actor.Account{actor.Admin: as("the-warden")}, "", "it answers 401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			clear(seen)
			o := &Options{Spec: c.from.URL + "/hidden/api.yaml", Target: home.URL, Actors: actor.Config{Accounts: c.accounts}, SpecAs: c.specAs}
			res, err := Describe(t.Context(), o)
			if c.wrong == "" {
				if err != nil || len(res.API.Operations) == 0 {
					t.Fatal(err)
				}
			} else if !errors.Is(err, ErrTarget) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%v, want %q", err, c.wrong)
			}
			if seen[strings.TrimPrefix(away.URL, "http://")+" the-warden"] {
				t.Error("a credential went to another origin")
			}
		})
	}
}
