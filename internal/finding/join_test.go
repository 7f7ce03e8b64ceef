package finding

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func hole(check, method, path, where string, severity Severity, cause string) *Finding {
	return &Finding{Fingerprint: Print(check, method, path, where), Check: check, Method: method, Path: path, Where: where, Severity: severity, Score: float64(severity.rank()), Title: method + " " + path + " " + check, Cause: cause}
}

func (f *Finding) of(cwe string) *Finding {
	f.CWE = cwe
	return f
}

func rows(list []*Finding) []string {
	var out []string
	for _, f := range list {
		var at []string
		for _, a := range f.Places {
			at = append(at, a.Check+" "+a.Method+" "+a.Path)
		}
		out = append(out, f.Check+" "+f.Method+" "+f.Path+" ["+strings.Join(at, ", ")+"]")
	}
	slices.Sort(out)
	return out
}

func TestJoinNothing(t *testing.T) {
	if Join(nil) == nil {
		t.Error("an empty list is written as null")
	}
}

func TestJoin(t *testing.T) {
	const undescribed = "DELETE is not described, and works"
	for _, c := range []struct {
		name string
		list []*Finding
		want []string
	}{
		{"one cause in many operations is one row", []*Finding{
			hole("undocumented-method", "DELETE", "/a", "method", Medium, undescribed), hole("undocumented-method", "DELETE", "/b", "method", Medium, undescribed),
			hole("undocumented-method", "DELETE", "/c", "method", Medium, undescribed), hole("undocumented-method", "PUT", "/c", "method", Medium, "PUT is not described, and works"),
		}, []string{
			"undocumented-method DELETE /a [undocumented-method DELETE /a, undocumented-method DELETE /b, undocumented-method DELETE /c]",
			"undocumented-method PUT /c [undocumented-method PUT /c]",
		}},
		{"what two checks show of one operation is one row", []*Finding{
			hole("auth-missing", "GET", "/admin", "credentials", High, ""), hole("bfla", "GET", "/admin", "role", High, ""),
		}, []string{"auth-missing GET /admin [auth-missing GET /admin, bfla GET /admin]"}},
		{"an object that is read in two ways of naming it is one row", []*Finding{
			hole("bola-variant", "GET", "/a/{id}", "path.id", High, ""), hole("bola-read", "GET", "/a/{id}", "path.id", High, ""),
		}, []string{"bola-read GET /a/{id} [bola-read GET /a/{id}, bola-variant GET /a/{id}]"}},
		{"what a page for developers shows is that page", []*Finding{
			hole("debug-exposed", "GET", "/crew/_dump", "path", High, ""), hole("password-exposed", "GET", "/crew/_dump", "answer", Critical, ""), hole("excessive-data", "GET", "/crew/_dump", "answer./crew/*/pin", High, ""), hole("excessive-data", "GET", "/crew", "answer./crew/*/pin", High, ""),
		}, []string{"debug-exposed GET /crew/_dump [debug-exposed GET /crew/_dump, password-exposed GET /crew/_dump, excessive-data GET /crew/_dump]", "excessive-data GET /crew []"}},
		{"a password that is told by its value and by its name is one, another secret beside it is not", []*Finding{
			hole("password-exposed", "GET", "/crew", "answer", Critical, "").of("CWE-256"), hole("excessive-data", "GET", "/crew", "answer./crew/*/password", High, "").of("CWE-256"), hole("excessive-data", "GET", "/crew", "answer./crew/*/api_key", High, "").of("CWE-522"),
		}, []string{"password-exposed GET /crew [password-exposed GET /crew, excessive-data GET /crew]", "excessive-data GET /crew []"}},
		{"tokens that nobody verifies are one hole", []*Finding{
			hole("jwt-unverified", "", "", "credential", Critical, ""), hole("jwt-expiry", "", "", "credential", High, ""), hole("jwt-claims", "", "", "credential.nbf", Medium, ""), hole("banner", "", "", "header.Server", Info, ""),
		}, []string{"jwt-unverified   [jwt-unverified  , jwt-expiry  , jwt-claims  ]", "banner   []"}},
		{"but verified tokens whose dates are not looked at are their own", []*Finding{
			hole("jwt-weak-secret", "", "", "credential", Critical, ""), hole("jwt-expiry", "", "", "credential", High, ""),
		}, []string{"jwt-weak-secret   []", "jwt-expiry   []"}},
		{"holes of different operations stay apart", []*Finding{
			hole("bola-read", "GET", "/a/{id}", "path.id", High, ""), hole("bola-read", "GET", "/b/{id}", "path.id", High, ""), hole("auth-missing", "GET", "/c", "credentials", High, ""), hole("bfla", "GET", "/d", "role", High, ""),
		}, []string{"auth-missing GET /c []", "bfla GET /d []", "bola-read GET /a/{id} []", "bola-read GET /b/{id} []"}},
		{"and so do different inputs of one, and reading and writing", []*Finding{
			hole("sqli", "GET", "/a", "query.q", High, ""), hole("sqli", "GET", "/a", "query.sort", High, ""), hole("bola-read", "PUT", "/a/{id}", "path.id", High, ""), hole("bola-write", "PUT", "/a/{id}", "path.id", High, ""),
		}, []string{"bola-read PUT /a/{id} []", "bola-write PUT /a/{id} []", "sqli GET /a []", "sqli GET /a []"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := rows(Join(slices.Clone(c.list)))
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// A cause keeps its fingerprint when one place more shows it, and what was known or
// suppressed when each place was a row of its own still is.
func TestJoinKnown(t *testing.T) {
	const cause = "DELETE is not described, and works"
	one := func() *Finding { return hole("undocumented-method", "DELETE", "/a", "method", Medium, cause) }
	two := func() *Finding { return hole("undocumented-method", "DELETE", "/b", "method", Medium, cause) }
	alone, both := Join([]*Finding{one()}), Join([]*Finding{one(), two()})
	if alone[0].Fingerprint != both[0].Fingerprint {
		t.Error("one place more is another hole")
	}
	old := &Baseline{Findings: []Known{{Fingerprint: one().Fingerprint}, {Fingerprint: two().Fingerprint}}}
	if gone := old.Mark(both); *both[0].New || len(gone) > 0 {
		t.Errorf("new %v, gone %v: the baseline has all places", *both[0].New, gone)
	}
	half := &Baseline{Findings: []Known{{Fingerprint: one().Fingerprint}}}
	if half.Mark(both); !*both[0].New {
		t.Error("a row one place of which the baseline lacks is not new")
	}
	rule := func(mark string) Suppression {
		return Suppression{Fingerprint: mark, Reason: "known", Expires: "2027-01-01"}
	}
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	if idle := Suppress(both, []Suppression{rule(one().Fingerprint)}, now); both[0].Suppressed != nil || len(idle) != 1 {
		t.Error("one of two places suppresses the row")
	}
	if idle := Suppress(both, []Suppression{rule(one().Fingerprint), rule(two().Fingerprint)}, now); both[0].Suppressed == nil || len(idle) != 0 {
		t.Error("all places do not suppress the row")
	}
}
