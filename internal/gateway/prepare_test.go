package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// policyFile writes a policy's rules into a file.
func policyFile(t *testing.T, rules string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.rego")
	if err := os.WriteFile(path, []byte("package crenel.authz\n"+rules+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What a policy demands of the query stands alone under its name, and under every
// name that some server takes for it.
func TestWithQuery(t *testing.T) {
	set := map[string]string{"filter": "owner eq 7", "customer_id": "7"}
	const ours = "customer_id=7&filter=owner+eq+7"
	for raw, want := range map[string]string{
		"":                            ours,
		"n=1&n=2":                     "n=1&n=2&" + ours,
		"filter=x":                    ours,
		"Filter=x&FILTER=y":           ours,
		"f%69lter=x":                  ours,
		"filter[]=x&filter%5B0%5D=y":  ours,
		"filter[a][b]=x":              ours,
		"+filter=x&%20filter=x":       ours,
		"filter+=x":                   ours,
		"filter%00=x":                 ours,
		"filter%00y=x":                ours,
		"customer.id=8&customer+id=8": ours,
		"customer-id=8&Customer_Id=8": ours,
		"filter":                      ours,
		"filters=1&my_filter=2&[x]=3": "filters=1&my_filter=2&[x]=3&" + ours,
		"a=filter=x&b=%26filter%3Dx":  "a=filter=x&b=%26filter%3Dx&" + ours,
	} {
		if got := withQuery(raw, set); got != want {
			t.Errorf("%q gives %q, want %q", raw, got, want)
		}
	}
}

// A header that a policy sets for some callers does not come from the others.
func TestHeadersOfPoliciesAreTheirsAlone(t *testing.T) {
	for name, policy := range map[string]string{
		"in the decision": `decision := {"allow": true, "obligations": {"headers": {"X-Plan": "pro"}}} if input.params.query.n == 1
else := {"allow": true}`,
		"by a rule": `decision := {"allow": true, "obligations": {"headers": plan}}
plan := {"X-Plan": "pro"} if input.params.query.n == 1
else := {}`,
		"one by one": `decision := {"allow": true, "obligations": {"headers": headers}}
default headers := {}
headers["X-Plan"] := "pro" if input.params.query.n == 1`,
		"joined": `decision := {"allow": true, "obligations": {"headers": object.union({}, h)}} if { h := extra }
extra := h if { input.params.query.n == 1; h := {"X-Plan": "pro"} } else := {}`,
		"by a function": `decision := {"allow": true, "obligations": {"headers": plan(input)}}
plan(i) := {"X-Plan": "pro"} if i.params.query.n == 1
plan(i) := {} if i.params.query.n != 1`,
	} {
		t.Run(name, func(t *testing.T) {
			if name == "one by one" {
				policy = strings.Replace(policy, "default headers := {}\n", "", 1)
			}
			path := policyFile(t, policy)
			g := newTestGateway(t, "  guards: {waf: {mode: \"off\"}, limit: {rates: [{rate: 100000/s}]}, authz: {policies: [\""+path+"\"]}}\n", "")
			for query, want := range map[string][]string{"?n=1": {"pro"}, "?n=2": nil} {
				var seen http.Header
				r := httptest.NewRequest(http.MethodGet, "/items"+query, nil)
				r.Header["X-Plan"], r.Header["X-Other"] = []string{"enterprise"}, []string{"kept"}
				w, _ := g.do(func(w http.ResponseWriter, r *http.Request) error {
					seen = r.Header.Clone()
					w.WriteHeader(http.StatusNoContent)
					return nil
				}, r)
				if w.Code != http.StatusNoContent {
					t.Fatalf("%s: %d %s", query, w.Code, w.Body)
				}
				if got := seen["X-Plan"]; !slices.Equal(got, want) || seen.Get("X-Other") != "kept" {
					t.Errorf("%s: the upstream sees %v", query, seen)
				}
			}
		})
	}
}

// Two texts are never one to whoever reads the field, and a list never holds more
// than it did.
func TestHeaderText(t *testing.T) {
	for s, want := range map[string]string{
		"alice": "alice", "alice ": "alice%20", " alice": "%20alice", "a b": "a b", " ": "%20", "+alice": "+alice", "ü b": "%C3%BC%20b", "ü+b": "%C3%BC%2Bb",
		"alice%20": "alice%2520", "a\tb": "a%09b",
	} {
		if got := headerText(s); got != want {
			t.Errorf("%q is written as %q, want %q", s, got, want)
		}
	}
	if got := headerList([]string{"user ", " admin", "a,admin", "b"}); got != "user%20,%20admin,a%2Cadmin,b" {
		t.Errorf("the list is %q", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ +%a0-9ü,]{0,6}`)).Draw(t, "text")
		got := headerText(s)
		back := got
		if strings.Contains(got, "%") {
			var err error
			if back, err = url.PathUnescape(got); err != nil {
				t.Fatal(err)
			}
		}
		if back != s || strings.TrimSpace(got) != got {
			t.Fatalf("%q is written as %q, which is read as %q", s, got, back)
		}
	})
}
