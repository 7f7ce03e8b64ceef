package scan

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

const cloakroomSpec = `openapi: 3.0.3
info: {title: Cloakroom, version: "1"}
paths:
  /pegs:
    get: {responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: string}}}}}}}
  /desk:
    get: {responses: {"200": {description: a page, content: {text/html: {schema: {type: string}}}}}}
`

// State that clients carry is told where it is a serialised object, in a cookie or in a
// page, and not where it is data, or encrypted.
func TestSerializedState(t *testing.T) {
	for name, c := range map[string]struct{ cookie, page, want string }{
		"a cookie of PHP":      {"O%3A4%3A%22Pegs%22%3A0%3A%7B%7D", "", "serialized-state cookie.seen info"},
		"a page's state":       {"plain", "/wEPDwUKMTY3Nzg4NTI", "serialized-state page.__VIEWSTATE info"},
		"data":                 {"%7B%22seen%22%3A3%7D", "", ""},
		"state that is sealed": {"v1.k9s8d7f6", "bqVx0kYtq1m0d8G3", ""},
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.HasSuffix(r.URL.Path, "/pegs"):
				w.Header().Set("Set-Cookie", "seen="+c.cookie+"; Path=/; HttpOnly")
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `["north wall","south wall"]`)
			case strings.HasSuffix(r.URL.Path, "/desk"):
				w.Header().Set("Content-Type", "text/html")
				_, _ = fmt.Fprintf(w, `<form><input type="hidden" name="__VIEWSTATE" id="__VIEWSTATE" value="%s" /></form>`, c.page)
			default:
				http.NotFound(w, r)
			}
		})
		got := strings.Join(wheres(tested(t, cloakroomSpec, h, "serialized-state").Report.Findings), ", ")
		if got != c.want {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
}
