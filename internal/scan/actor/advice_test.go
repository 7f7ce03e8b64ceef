package actor

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// TestPresented: where accounts must be given, the lines that are to be written are
// told, for every way in which an API may take credentials.
func TestPresented(t *testing.T) {
	secured := func(schemes ...*spec.SecurityScheme) *graph.Graph {
		g := &graph.Graph{}
		for _, s := range schemes {
			g.Ops = append(g.Ops, &graph.Op{Operation: &spec.Operation{Security: []spec.Requirement{{{Scheme: s}}}}})
		}
		return g
	}
	refusing := func(challenges ...string) []*witness {
		return []*witness{{nobody: &target.Exchange{Status: 401, Header: map[string][]string{"Www-Authenticate": challenges}}}}
	}
	for _, c := range []struct {
		name  string
		g     *graph.Graph
		asked []*witness
		want  []string
	}{
		{"a key", secured(&spec.SecurityScheme{Type: "apiKey", In: "query", Key: "key"}), nil, []string{"{api_key: {in: query, name: key, value: {env: USER_KEY}}}"}},
		{"Basic", secured(&spec.SecurityScheme{Type: "http", Scheme: "basic"}), nil, []string{"{basic: {username: ann, password: {env: ANN_PASSWORD}}}"}},
		{"Bearer", secured(&spec.SecurityScheme{Type: "http", Scheme: "bearer"}), nil, []string{"{bearer: {env: USER_TOKEN}}"}},
		{"Digest", secured(&spec.SecurityScheme{Type: "http", Scheme: "digest"}), nil, []string{"HTTP Digest", "user: {digest: {username: ann"}},
		{"another scheme", secured(&spec.SecurityScheme{Type: "http", Scheme: "Token"}), nil, []string{`{headers: {Authorization: "Token …"}}`, "token=…"}},
		{"Authorization as a key", secured(&spec.SecurityScheme{Type: "apiKey", In: "header", Key: "Authorization", Description: "Write `Token token=abc` there"}), nil, []string{`"Token token=abc"`, "{headers: {Authorization: {env: USER_AUTHORIZATION}}}"}},
		{"OAuth", secured(&spec.SecurityScheme{Type: "oauth2", TokenURLs: []string{"/oauth/token"}}), nil, []string{"token_url: /oauth/token", "grant: client_credentials"}},
		{"OAuth with a browser", secured(&spec.SecurityScheme{Type: "oauth2"}), nil, []string{"with a browser", "{bearer: {env: USER_TOKEN}}"}},
		{"certificates", secured(&spec.SecurityScheme{Type: "mutualTLS"}), nil, []string{"cert_file"}},
		{"the commonest first", secured(&spec.SecurityScheme{Type: "http", Scheme: "basic"}, &spec.SecurityScheme{Type: "http", Scheme: "bearer"}, &spec.SecurityScheme{Type: "http", Scheme: "bearer"}), nil, []string{"asks for a token", "or for a name and a password"}},
		{"refusals say it", &graph.Graph{}, refusing(`Basic realm="x"`), []string{"Refusals ask for a name and a password", "{basic: "}},
		{"refusals with a scheme of their own", &graph.Graph{}, refusing(`Token realm="Application"`), []string{`{Authorization: "Token …"}`}},
		{"nobody says", &graph.Graph{}, refusing(), []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &People{g: c.g, witnesses: c.asked}
			got := p.presented()
			for _, want := range c.want {
				if !strings.Contains(got, want) || want == "" && got != "" {
					t.Errorf("%q lacks %q", got, want)
				}
			}
		})
	}
}
