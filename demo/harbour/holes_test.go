package harbour_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/demo/harbour/issuer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerURL = "https://login.harbour.example"

// start runs a Harbour on loopback, with few password rounds so that tests are quick.
func start(t *testing.T, holes ...string) (string, *http.Client, harbour.Env) {
	t.Helper()
	tokens, err := issuer.New(issuerURL, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s, err := harbour.New(harbour.Options{Holes: holes, Issuer: issuerURL, JWKS: tokens.Keys, PasswordRounds: 10})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		web.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return web.URL, client, harbour.Env{
		OldToken: s.OldToken,
		AccessToken: func(_ context.Context, client string, scopes []string) (string, error) {
			return tokens.Token(client, scopes...)
		},
	}
}

func attack(t *testing.T, base string, client *http.Client, h harbour.Hole, env harbour.Env) harbour.Result {
	t.Helper()
	result, err := harbour.RunAttack(t.Context(), client, base, h, env)
	if err != nil {
		for _, x := range result.Exchanges {
			t.Logf("%s: %s %s %d %.300s", x.Step, x.Method, x.URL, x.Status, x.Body)
		}
		t.Fatal(err)
	}
	return result
}

func TestEachHoleAlone(t *testing.T) {
	for _, h := range harbour.Holes() {
		t.Run(h.ID, func(t *testing.T) {
			base, client, env := start(t, h.ID)
			result := attack(t, base, client, h, env)
			if !result.Open {
				t.Errorf("the hole is open and the attack fails at %q: %s", result.RefusedAt, result.Evidence)
			}
		})
	}
}

func TestNoHole(t *testing.T) {
	base, client, env := start(t)
	for _, h := range harbour.Holes() {
		t.Run(h.ID, func(t *testing.T) {
			result := attack(t, base, client, h, env)
			if result.Open {
				t.Errorf("the hole is fixed and the attack works: %s", result.Evidence)
			}
		})
	}
}

// TestAllHoles runs every attack twice, as a tour does: straight, then through a gateway.
func TestAllHoles(t *testing.T) {
	base, client, env := start(t, harbour.HoleIDs()...)
	for _, round := range []string{"first", "again"} {
		for _, h := range harbour.Holes() {
			t.Run(round+"/"+h.ID, func(t *testing.T) {
				result := attack(t, base, client, h, env)
				if !result.Open {
					t.Errorf("all holes are open and the attack fails at %q: %s", result.RefusedAt, result.Evidence)
				}
			})
		}
	}
}

// TestOneHoleOpensNoOther finds fixed branches that lean on another hole's.
func TestOneHoleOpensNoOther(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every attack against every hole")
	}
	for _, h := range harbour.Holes() {
		base, client, env := start(t, h.ID)
		for _, other := range harbour.Holes() {
			if other.ID == h.ID {
				continue
			}
			if attack(t, base, client, other, env).Open {
				t.Errorf("with only %s open, %s is open too", h.ID, other.ID)
			}
		}
	}
}

func TestHolesAreDocumented(t *testing.T) {
	all := harbour.Holes()
	if len(all) < 30 {
		t.Errorf("%d holes, 30 are promised", len(all))
	}
	id := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	owasp := regexp.MustCompile(`^API([1-9]|10):2023$`)
	cwe := regexp.MustCompile(`^CWE-[0-9]+$`)
	guards := []string{"contract-request", "contract-response", "contract-route", "token", "role", "scope", "ownership", "rate", "concurrency", "signature", "session-end", "headers"}
	seen, items := map[string]bool{}, map[string]bool{}
	for _, h := range all {
		if !id.MatchString(h.ID) || seen[h.ID] || !owasp.MatchString(h.OWASP) || !cwe.MatchString(h.CWE) {
			t.Errorf("%s: bad or second id, or bad OWASP item %q or CWE %q", h.ID, h.OWASP, h.CWE)
		}
		seen[h.ID], items[h.OWASP] = true, true
		for name, text := range map[string]string{"title": h.Title, "kind": h.Kind, "why": h.Why, "fix": h.Fix, "where": h.Where.Path} {
			if text == "" {
				t.Errorf("%s has no %s", h.ID, name)
			}
		}
		if !slices.Contains([]string{"low", "medium", "high", "critical"}, h.Severity) {
			t.Errorf("%s: severity %q", h.ID, h.Severity)
		}
		if len(h.Guards) == 0 || len(h.Proof) == 0 || !slices.ContainsFunc(h.Attack, func(s harbour.Step) bool { return s.Hostile }) {
			t.Errorf("%s has no guard, no proof or no hostile step", h.ID)
		}
		for _, g := range h.Guards {
			if !slices.Contains(guards, g) {
				t.Errorf("%s: unknown guard %q", h.ID, g)
			}
		}
	}
	if len(items) != 10 {
		t.Errorf("%d of the ten OWASP items have a hole: %v", len(items), items)
	}
}

func TestHolesMarkdownIsUpToDate(t *testing.T) {
	have, err := os.ReadFile("HOLES.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != harbour.HolesMarkdown() {
		t.Error("HOLES.md is not what holes/*.yaml say; run go generate ./demo/harbour")
	}
}

// TestHolesAreMarkedInTheCode: searching for an id finds the branch.
func TestHolesAreMarkedInTheCode(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			raw, err := os.ReadFile(e.Name())
			if err != nil {
				t.Fatal(err)
			}
			code.Write(raw)
		}
	}
	for _, h := range harbour.Holes() {
		if !strings.Contains(code.String(), `"`+h.ID+`"`) {
			t.Errorf("no branch names %s", h.ID)
		}
	}
	for _, m := range regexp.MustCompile(`open\("([a-z0-9-]+)"\)`).FindAllStringSubmatch(code.String(), -1) {
		if _, ok := harbour.HoleByID(m[1]); !ok {
			t.Errorf("the code asks for %s, which no file documents", m[1])
		}
	}
}

func TestParseHoles(t *testing.T) {
	for text, want := range map[string]int{"": 0, "none": 0, "all": len(harbour.Holes()), "sqli-search, xxe-import": 2} {
		ids, err := harbour.ParseHoles(text)
		if err != nil || len(ids) != want {
			t.Errorf("ParseHoles(%q) = %v, %v; %d wanted", text, ids, err, want)
		}
	}
	_, err := harbour.ParseHoles("sqli-search,no-such-hole")
	if err == nil || !strings.Contains(err.Error(), "no-such-hole") {
		t.Errorf("an unknown hole is not named: %v", err)
	}
}
