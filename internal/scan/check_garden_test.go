package scan

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
)

const gardenSpec = `openapi: 3.0.3
info: {title: Botanical garden, version: "1"}
servers: [{url: "https://herbary.example"}]
components: {securitySchemes: {bearer: {type: http, scheme: bearer}}}
paths:
  /gardeners:
    post:
      summary: Register
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string, minLength: 3}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made}}
  /login:
    post:
      summary: Log in
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /gardeners/me:
    get:
      summary: The account of the caller
      security: [{bearer: []}]
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {username: {type: string}}}}}}}
`

// garden allows the pages of those origins that trusts says, with credentials; to others
// it names its own.
func garden(trusts func(origin string) bool) http.Handler {
	var mu sync.Mutex
	people, tokens := map[string]string{}, map[string]string{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Credentials", "true")
			if !trusts(origin) {
				origin = "https://www.herbary.example"
			}
			w.Header().Set("Access-Control-Allow-Origin", origin)
		}
		say := func(status int, v any) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(v)
		}
		var in struct{ Username, Password string }
		if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
			say(400, map[string]string{"error": "no JSON"})
			return
		}
		who := tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		switch {
		case r.URL.Path == "/gardeners" && r.Method == http.MethodPost:
			if len(in.Username) < 3 || len(in.Password) < 8 || people[in.Username] != "" {
				say(400, map[string]string{"error": "username or password"})
				return
			}
			people[in.Username] = in.Password
			say(201, map[string]string{"username": in.Username})
		case r.URL.Path == "/login" && people[in.Username] != "" && people[in.Username] == in.Password:
			token := "leaf-" + in.Username + "-" + strings.Repeat("x", 12+len(tokens))
			tokens[token] = in.Username
			say(200, map[string]string{"token": token})
		case r.URL.Path == "/gardeners/me" && who != "":
			say(200, map[string]string{"username": who, "bed": "north of the glass house", "member_since": "2019"})
		default:
			say(401, map[string]string{"error": "who are you"})
		}
	})
}

// Pages that an API does not mean are told from those that it does, by what their names
// have in common with the trusted one.
func TestOriginsAlike(t *testing.T) {
	for name, c := range map[string]struct {
		trusts func(origin string) bool
		where  string
	}{
		"any":               {func(string) bool { return true }, "header.Origin"},
		"null":              {func(o string) bool { return o == "null" }, "header.Origin=null"},
		"begins alike":      {func(o string) bool { return strings.HasPrefix(o, "https://herbary.example") }, "header.Origin=begins"},
		"ends alike":        {func(o string) bool { return strings.HasSuffix(o, "herbary.example") }, "header.Origin=ends"},
		"as it says itself": {func(o string) bool { return strings.HasPrefix(o, "https://www.herbary.example") }, "header.Origin=begins"},
		"a list":            {func(o string) bool { return slices.Contains([]string{"https://herbary.example"}, o) }, ""},
		"subdomains":        {func(o string) bool { return strings.HasSuffix(o, ".herbary.example") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range tested(t, gardenSpec, garden(c.trusts), "cors-any-origin").Report.Findings {
				got = append(got, f.Where)
			}
			if want := slices.DeleteFunc([]string{c.where}, func(s string) bool { return s == "" }); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", got, want)
			}
		})
	}
}

// Where no browser adds by itself what opens the API, what a page of another site gets is
// little; where the description has a cookie, it is what the visitor gets.
func TestOriginsAndCookies(t *testing.T) {
	everybody := func(string) bool { return true }
	cookie := strings.Replace(gardenSpec, "securitySchemes: {", "securitySchemes: {leaf: {type: apiKey, in: cookie, name: leaf}, ", 1)
	for spec, want := range map[string]finding.Severity{gardenSpec: finding.Low, cookie: finding.Medium} {
		list := tested(t, spec, garden(everybody), "cors-any-origin").Report.Findings
		if len(list) != 1 || list[0].Severity != want {
			t.Errorf("%d findings, %v, want one of %s", len(list), list, want)
		}
	}
}
