package actor

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// maxPresented bounds how many ways of presenting a credential advice names.
const maxPresented = 3

// adviceFor is what a person can do; where accounts must be given, with the lines
// that are to be written, for each way in which this API takes credentials.
func (p *People) adviceFor(err error) string {
	text := adviceFor(err)
	if !errors.Is(err, ErrCannotRegister) {
		return text
	}
	return strings.TrimSpace(text + " " + p.presented())
}

// presented says how credentials are presented here and what is to be written in
// scan.yaml for it: as the description declares it and, where it declares nothing,
// as refusals ask for it (WWW-Authenticate, RFC 9110, section 11.6.1). "" when nobody says.
func (p *People) presented() string {
	ways := p.declaredWays()
	said := "The description asks for"
	if len(ways) == 0 {
		ways, said = p.askedWays(), "Refusals ask for"
	}
	if len(ways) == 0 {
		return strings.TrimSpace(p.ownLogin())
	}
	return p.ownLogin() + said + " " + strings.Join(ways[:min(len(ways), maxPresented)], "; or for ") + "."
}

// ownLogin says what to write where the API has a login of its own: for people that
// is mostly what is at hand.
func (p *People) ownLogin() string {
	for _, op := range p.candidates(graph.Login, 0.5) {
		name := ""
		for _, in := range op.Inputs {
			switch factOf(in) {
			case factEmail:
				name = "email: ann@example.com"
			case factUsername:
				name = cmp.Or(name, "username: ann")
			}
		}
		if name != "" {
			return fmt.Sprintf("%s %s logs in: user: {login: {%s, password: {env: ANN_PASSWORD}}}. ", op.Method, op.Path, name)
		}
	}
	return ""
}

// declaredWays are the ways that the description declares, the commonest first.
func (p *People) declaredWays() []string {
	count, text := map[string]int{}, []string{}
	for _, op := range p.g.Ops {
		seen := map[string]bool{}
		for _, alternative := range op.Security {
			for _, use := range alternative {
				if w := wayOf(use.Scheme); w != "" && !seen[w] {
					seen[w] = true
					if count[w]++; count[w] == 1 {
						text = append(text, w)
					}
				}
			}
		}
	}
	if len(text) == 0 {
		// What is declared and nowhere demanded, and what parameters and texts imply.
		for _, c := range p.g.Carriers {
			if w := wayAt(c); w != "" && !slices.Contains(text, w) {
				text = append(text, w)
			}
		}
	}
	slices.SortStableFunc(text, func(a, b string) int { return count[b] - count[a] })
	return text
}

// wayOf says what to write for a declared scheme, "" where that is not known.
func wayOf(s *spec.SecurityScheme) string {
	if s == nil {
		return ""
	}
	switch s.Type {
	case "apiKey":
		switch {
		case s.Key == "":
			return ""
		case s.In == "header" && strings.EqualFold(s.Key, "Authorization"):
			return "the header Authorization, its scheme included, as in " + schemeIn(s.Description) + ": user: {headers: {Authorization: {env: USER_AUTHORIZATION}}}"
		}
		return fmt.Sprintf("a key: user: {api_key: {in: %s, name: %s, value: {env: USER_KEY}}}", s.In, s.Key)
	case "http":
		return wayByScheme(s.Scheme)
	case "oauth2":
		if len(s.TokenURLs) > 0 {
			return fmt.Sprintf("a token of OAuth 2.0: user: {oauth2: {grant: password, token_url: %s, client_id: …, username: ann, password: {env: ANN_PASSWORD}}} (or grant: client_credentials with client_secret), or one that you have: user: {bearer: {env: USER_TOKEN}}", s.TokenURLs[0])
		}
		return "a token of OAuth 2.0, which a person gets with a browser: log in as usual, and give it: user: {bearer: {env: USER_TOKEN}}"
	case "openIdConnect":
		return "a token of OpenID Connect: user: {bearer: {env: USER_TOKEN}}, or user: {oauth2: {…}} with the provider's token endpoint"
	case "mutualTLS":
		return "a client certificate, which all accounts share: tls: {cert_file: client.pem, key_file: client.key}"
	}
	return ""
}

// wayByScheme says what to write for a scheme of Authorization.
func wayByScheme(scheme string) string {
	switch strings.ToLower(scheme) {
	case "":
		return ""
	case "basic":
		return "a name and a password (HTTP Basic): user: {basic: {username: ann, password: {env: ANN_PASSWORD}}}"
	case "bearer":
		return "a token: user: {bearer: {env: USER_TOKEN}}"
	case "digest":
		return "a name and a password (HTTP Digest): user: {digest: {username: ann, password: {env: ANN_PASSWORD}}}"
	case "negotiate", "ntlm":
		return "the login of a Windows domain (" + scheme + "), which cannot be given here: let a proxy in front of the target add it, and name that as the target"
	}
	return fmt.Sprintf("the scheme %s: user: {headers: {Authorization: \"%s …\"}}, with whatever stands behind its name, as in \"%s token=…\"", scheme, scheme, scheme)
}

// wayAt says what to write for a place that carries credentials.
func wayAt(c graph.Carrier) string {
	if c.Scheme != nil {
		return wayOf(c.Scheme)
	}
	switch {
	case c.Name == "":
		return ""
	case c.In == "header" && strings.EqualFold(c.Name, "Authorization"):
		if scheme := strings.TrimSpace(c.Prefix); scheme != "" {
			return wayByScheme(scheme)
		}
		return "the header Authorization, its scheme included: user: {headers: {Authorization: {env: USER_AUTHORIZATION}}}"
	}
	return fmt.Sprintf("a credential in the %s %s: user: {api_key: {in: %s, name: %s, value: {env: USER_KEY}}}", c.In, c.Name, c.In, c.Name)
}

// schemeIn is how a text writes the value of Authorization, `Token token=…`, where it shows one.
func schemeIn(text string) string {
	for _, f := range strings.FieldsFunc(text, func(r rune) bool { return r == '`' || r == '"' || r == '\'' || r == '\n' || r == '<' }) {
		f = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(f), "Authorization:"))
		scheme, rest, ok := strings.Cut(f, " ")
		if ok && slices.Contains([]string{"basic", "bearer", "token", "apikey", "jwt", "key", "oauth", "sso-key"}, strings.ToLower(scheme)) && len(rest) > 0 && len(rest) < 40 && !strings.Contains(rest, ". ") {
			return `"` + f + `"`
		}
		if f == "Bearer" || f == "Token" || f == "Basic" {
			return `"` + f + ` …"`
		}
	}
	return `"Bearer …" or "Token token=…"`
}

// askedWays are the ways that refusals ask for.
func (p *People) askedWays() []string {
	var out []string
	for _, w := range p.witnesses {
		if w.nobody == nil || w.nobody.Status != http.StatusUnauthorized {
			continue
		}
		for _, line := range w.nobody.Header["Www-Authenticate"] {
			scheme, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			scheme = strings.Trim(scheme, ",")
			if validName(scheme) == "" || len(scheme) > 24 {
				continue
			}
			if way := wayByScheme(scheme); way != "" && !slices.Contains(out, way) {
				out = append(out, way)
			}
		}
	}
	return out
}

// openNothing tells of an account whose credentials change no answer: which call
// showed it, and what the API asks for.
func (p *People) openNothing(a *Actor) {
	what := "the credentials that were given open nothing: every call answers as it does without them"
	if panel := p.panel(); len(panel) > 0 && panel[0].nobody != nil {
		w := panel[0]
		what += fmt.Sprintf(" (%s %s answers %d with %s as without)", w.r.Method, w.r.Path, w.nobody.Status, describe(a.Session))
	}
	advice := "Look whether they are still valid, and whether they belong into another header, cookie or parameter."
	if how := p.presented(); how != "" {
		advice += " " + how
	}
	p.problem(a.Name, what, advice)
}
