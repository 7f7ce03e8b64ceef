package cli

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// loginRate bounds guessing where passwords are sent.
const loginRate = "10/m"

// plan is what init writes.
type plan struct {
	name, spec, upstream string
	methods              []proposal
	logins               []login
	silent               []string // other operations that say nothing about security while methods exist
	public               int      // operations that may be called without credentials
	todos                []string
}

// login is an operation where passwords are sent.
type login struct {
	operation string
	open      bool // the document is silent on its security: it is made public, or nobody could log in
}

// proposal is one authentication method: active lines, and a commented
// alternative that is stricter once its blanks are filled in.
type proposal struct {
	about   []string // comment
	active  []string
	better  []string // commented out
	summary string   // for the report
}

func (o *initOptions) plan(doc *spec.API) (*plan, error) {
	p := &plan{name: o.name, upstream: o.upstream}
	if p.name == "" {
		p.name = nameOf(doc.Title)
	}
	var err error
	if p.spec, err = specPath(o.spec, o.out); err != nil {
		return nil, err
	}
	if o.keys != "" {
		if o.keys, err = specPath(o.keys, o.out); err != nil {
			return nil, err
		}
	}
	p.propose(o, doc)
	p.operations(doc)
	return p, nil
}

// operations sorts out which are public. Where there are methods, guards demand
// credentials of operations on whose security the document is silent.
func (p *plan) operations(doc *spec.API) {
	for _, op := range doc.Operations {
		silent := !op.SecurityDeclared && len(p.methods) > 0
		password := sendsPassword(op) && op.Unroutable == ""
		if op.Public && (!silent || password) {
			p.public++
		}
		switch {
		case password:
			p.logins = append(p.logins, login{operationName(doc, op), silent})
		case silent:
			p.silent = append(p.silent, operationName(doc, op))
		}
	}
	if n := len(p.silent); n > 0 {
		p.todos = append(p.todos, "the document is silent on the security of "+count(n, "operation")+", so credentials are demanded: open those that are public, they are listed in the file")
	}
}

// operationName is how an override names exactly this operation.
func operationName(doc *spec.API, op *spec.Operation) string {
	same := 0
	for _, other := range doc.Operations {
		if other.ID == op.ID {
			same++
		}
	}
	if same == 1 && !strings.ContainsAny(op.ID, " /") {
		return op.ID
	}
	return op.Method + " " + op.Path
}

var (
	passwordField = regexp.MustCompile(`(?i)pass[-_]?(word|wd|phrase|code)|^(pwd|pin|otp)$|one[-_]?time`)
	loginPath     = regexp.MustCompile(`(?i)/(log[-_]?in|sign[-_]?in|authenticate|sessions?|password[^/]*)$`)
)

// sendsPassword reports whether guessing is worth a try at the operation.
func sendsPassword(op *spec.Operation) bool {
	for _, p := range op.Parameters {
		if p.In == "query" && passwordField.MatchString(p.Name) {
			return true
		}
	}
	if op.Method != http.MethodPost {
		return false
	}
	if loginPath.MatchString(op.Path) {
		return true
	}
	if op.Body == nil {
		return false
	}
	for _, content := range op.Body.Content {
		for _, f := range content.Fields {
			if passwordField.MatchString(f.Pointer[strings.LastIndexByte(f.Pointer, '/')+1:]) {
				return true
			}
		}
	}
	return false
}

// propose makes a method of each security scheme that an operation uses.
func (p *plan) propose(o *initOptions, doc *spec.API) {
	var names []string
	for _, op := range doc.Operations {
		for _, alternative := range op.Security {
			for _, use := range alternative {
				if use.Scheme != nil && !slices.Contains(names, use.Scheme.Name) {
					names = append(names, use.Scheme.Name)
				}
			}
		}
	}
	slices.Sort(names)
	var tokens []*spec.SecurityScheme
	for _, n := range names {
		switch s := doc.SecuritySchemes[n]; {
		case s == nil:
		case takesTokens(s):
			tokens = append(tokens, s)
		default:
			p.scheme(doc, s)
		}
	}
	if len(tokens) == 0 && len(p.methods) == 0 && o.verifies() {
		p.verified(o, nil, "") // the document is silent: what the flags say still holds
	}
	p.tokens(o, doc, tokens)
	if len(p.methods) == 0 && len(p.todos) == 0 {
		p.todos = append(p.todos, "the document demands no credentials: if the API does, add a method under guards.authn.methods")
	}
}

// verifies reports whether the flags say by what tokens are verified.
func (o *initOptions) verifies() bool { return o.issuer != "" || o.secret != "" || o.keys != "" }

// takesTokens reports whether the scheme is a bearer token in Authorization.
func takesTokens(s *spec.SecurityScheme) bool {
	return s.Type == "http" && s.Scheme == "bearer" || s.Type == "oauth2" || s.Type == "openIdConnect"
}

// tokens makes one method of all schemes whose tokens stand in Authorization: a
// method that only asks for presence beside one that verifies would undo it.
func (p *plan) tokens(o *initOptions, doc *spec.API, schemes []*spec.SecurityScheme) {
	if len(schemes) == 0 {
		return
	}
	issuer := ""
	for _, s := range schemes {
		if i := issuerOf(s.OpenIDConnectURL); i != "" && issuer == "" {
			issuer = i
		}
	}
	if o.verifies() || issuer != "" {
		p.verified(o, schemes, issuer)
		return
	}
	p.own(doc, schemes, []string{"header: Authorization", "prefix: Bearer"}, betterJWT(schemes), "a bearer token must be there, and the API checks it")
	p.todos = append(p.todos, fmt.Sprintf("%s: if the tokens are JWTs, fill in the commented jwt method, so that the gateway verifies them", naming(schemes)))
}

// naming lists schemes: "scheme a", "schemes a, b".
func naming(schemes []*spec.SecurityScheme) string {
	names := make([]string, len(schemes))
	for i, s := range schemes {
		names[i] = s.Name
	}
	if len(names) == 1 {
		return "scheme " + names[0]
	}
	return "schemes " + strings.Join(names, ", ")
}

func (p *plan) scheme(doc *spec.API, s *spec.SecurityScheme) {
	only := []*spec.SecurityScheme{s}
	switch {
	case s.Type == "http":
		prefix := strings.ToUpper(s.Scheme[:min(1, len(s.Scheme))]) + s.Scheme[min(1, len(s.Scheme)):]
		p.own(doc, only, []string{"header: Authorization", "prefix: " + quote(prefix)}, nil, prefix+" credentials must be there, and the API checks them")
	case s.Type == "apiKey" && (s.In == "header" || s.In == "query" || s.In == "cookie") && s.Key != "":
		better := []string{"api_key:", "  file: keys.yaml   # crenel keys create makes keys and the file", "  " + s.In + ": " + quote(s.Key)}
		p.own(doc, only, []string{s.In + ": " + quote(s.Key)}, better, s.In+" "+s.Key+" must be there, and the API checks it")
	case s.Type == "mutualTLS":
		p.todos = append(p.todos, "scheme "+s.Name+" is a client certificate: set server.tls.client_ca")
	default:
		p.todos = append(p.todos, "scheme "+s.Name+" is of no kind that is known: add a method for it under guards.authn.methods")
	}
}

// issuerOf takes the issuer from a discovery URL (OpenID Connect Discovery section 4).
func issuerOf(discovery string) string {
	issuer, ok := strings.CutSuffix(discovery, "/.well-known/openid-configuration")
	u, err := url.Parse(issuer)
	if !ok || err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return ""
	}
	return issuer
}

func betterJWT(schemes []*spec.SecurityScheme) []string {
	lines := []string{"jwt:", "  issuer: https://issuer.example   # as in the token's iss; keys by OIDC discovery"}
	for _, s := range schemes {
		if len(s.TokenURLs) == 0 {
			continue
		}
		if u, err := url.Parse(s.TokenURLs[0]); err == nil && u.Host != "" {
			lines[1] = "  issuer: " + quote(u.Scheme+"://"+u.Host) + "   # a guess from the token URL: compare with the token's iss"
		}
	}
	return append(lines, "  # jwks: https://issuer.example/jwks.json   # or the keys themselves, a file or a URL",
		"  # secret: ${JWT_SECRET}                     # or the secret that the API signs with (HS256)", "  audience: [this-api]")
}

// schemesLine is the first line of a method that is for these schemes.
func schemesLine(schemes []*spec.SecurityScheme) string {
	names := make([]string, len(schemes))
	for i, s := range schemes {
		names[i] = quote(s.Name)
	}
	return "schemes: [" + strings.Join(names, ", ") + "]"
}

// verified adds a jwt method with what is known.
func (p *plan) verified(o *initOptions, schemes []*spec.SecurityScheme, issuer string) {
	if o.issuer != "" {
		issuer = o.issuer
	}
	m := proposal{active: []string{"jwt:"}, about: []string{"Tokens are verified here: signature, issuer, audience and time."}}
	if len(schemes) > 0 {
		m.active = []string{schemesLine(schemes), "jwt:"}
	}
	by := "the keys of " + issuer
	if issuer != "" {
		m.active = append(m.active, "  issuer: "+quote(issuer))
	}
	switch {
	case o.secret != "":
		m.active, by = append(m.active, "  secret: "+strconv.Quote(o.secret)), "a secret"
	case o.keys != "":
		m.active, by = append(m.active, "  jwks: "+quote(o.keys)), "the keys of "+o.keys
	}
	if len(o.audience) > 0 {
		quoted := make([]string, len(o.audience))
		for i, a := range o.audience {
			quoted[i] = quote(a)
		}
		m.active = append(m.active, "  audience: ["+strings.Join(quoted, ", ")+"]")
	} else {
		m.active = append(m.active, "  # audience: [this-api]   # without it tokens for other services are accepted")
		p.todos = append(p.todos, "set the audience of the jwt method: without it tokens for other services are accepted")
	}
	m.summary = "tokens are verified with " + by
	if len(schemes) > 0 {
		m.summary = naming(schemes) + ": " + m.summary
	}
	p.methods = append(p.methods, m)
}

func (p *plan) own(doc *spec.API, schemes []*spec.SecurityScheme, where, better []string, summary string) {
	m := proposal{
		about:   []string{"The API checks these credentials itself: here they must be there, and are passed on."},
		active:  []string{schemesLine(schemes), "own:"},
		summary: naming(schemes) + ": " + summary,
	}
	for _, w := range where {
		m.active = append(m.active, "  "+w)
	}
	if ask := whoAmI(doc, schemes); ask != "" {
		m.active = append(m.active, "  # So that limits, policies and records know the caller, ask the API:", "  # "+ask)
		p.todos = append(p.todos, naming(schemes)+": the API can tell who its callers are: try the commented who_am_i")
	}
	if better != nil {
		m.better = append([]string{schemesLine(schemes)}, better...)
	}
	p.methods = append(p.methods, m)
}

var plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)

// quote writes text as a YAML scalar that is read back as it is: no variable is
// expanded, no word is taken for another type.
func quote(s string) string {
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off":
	default:
		if plainWord.MatchString(s) {
			return s
		}
	}
	return strconv.Quote(strings.ReplaceAll(s, "$", "$$"))
}
