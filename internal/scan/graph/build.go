package graph

import (
	"cmp"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// builder makes one graph.
type builder struct {
	g      *Graph
	cache  leafCache
	nouns  map[string]bool // that some path has
	groups map[groupKey]*group
	// bySuffix finds "ticket_category" by "category", where only one ends so.
	bySuffix map[string]*Resource
	busy     map[string]bool // paths that are read or deleted, or have objects below them
	declared bool            // some operation says who may call it
	named    map[string]bool // the API's own roles: staffOnly; nil: not looked for yet
}

// Build works out the graph of an API.
func Build(api *spec.API) *Graph {
	b := &builder{g: &Graph{API: api, byRoute: map[string]*Op{}, byPath: map[string][]*Op{}, byName: map[string]*Resource{}},
		cache: leafCache{}, nouns: map[string]bool{}, groups: map[groupKey]*group{}}
	g := b.g
	if api == nil {
		g.API = &spec.API{}
	}
	b.operations()
	b.carriers()
	for _, op := range g.Ops {
		b.answer(op)
	}
	b.resources()
	for _, op := range g.Ops {
		b.kind(op)
	}
	b.declared = slices.ContainsFunc(g.Ops, func(op *Op) bool { return op.SecurityDeclared })
	for _, op := range g.Ops {
		b.inputs(op)
		b.outputs(op)
		op.Secured, op.SecuredWhy = b.secured(op)
	}
	b.namePasswords()
	b.nameAccounts()
	b.identify()
	for _, op := range g.Ops {
		oldForNew(op)
		b.purposes(op)
	}
	b.rivals()
	b.people()
	b.edges()
	for _, r := range g.Resources {
		r.findPaths()
	}
	g.roleLists = b.roleLists()
	g.learned = newLearned(g)
	return g
}

// operations makes the operations and reads their paths.
func (b *builder) operations() {
	g := b.g
	steps := make([][]step, len(g.API.Operations))
	calls := 0
	for _, o := range g.API.Operations {
		if slices.ContainsFunc(splitPath(o.Path, false), func(s step) bool { return s.call }) {
			calls++
		}
	}
	for i, o := range g.API.Operations {
		steps[i] = splitPath(o.Path, o.Method == http.MethodPost && calls >= fewCalls && 2*calls > len(steps))
		serviceNames(steps[i])
		for j := range steps[i] {
			if n := steps[i][j].noun; n != "" && !steps[i][j].loose {
				b.nouns[n] = true
			}
		}
	}
	shared := sharedHeads(steps)
	for i, o := range g.API.Operations {
		op := &Op{Operation: o, Purposes: map[Purpose]Guess{}}
		op.route = readRoute(steps[i], b.nouns)
		op.route.shared = shared[i]
		op.said, op.words = map[string]bool{}, map[string]bool{}
		for _, w := range op.route.areas {
			op.said[w] = true
		}
		if !strings.Contains(o.ID, " ") {
			for _, w := range spec.Words(o.ID) {
				op.said[w] = true
			}
		}
		for w := range op.said {
			op.words[w] = true
		}
		for _, t := range append(slices.Clone(o.Tags), o.Summary) {
			for _, w := range spec.Words(t) {
				op.words[w] = true
			}
		}
		g.Ops = append(g.Ops, op)
		g.byPath[o.Path] = append(g.byPath[o.Path], op)
		key := o.Method + " " + o.Path
		if g.byRoute[key] == nil {
			g.byRoute[key] = op
		}
	}
}

// serviceNames takes for areas what stands before "api": "/identity/api/v2/user".
func serviceNames(steps []step) {
	for i := len(steps) - 1; i > 0; i-- {
		if t := strings.ToLower(steps[i].text); t != "api" && t != "rest" {
			continue
		}
		for j := range steps[:i] {
			if steps[j].isVar() {
				return
			}
		}
		for j := range steps[:i] {
			steps[j].noun, steps[j].verb, steps[j].area = "", "", true
		}
		return
	}
}

// answer reads the schemas of the successful answers.
func (b *builder) answer(op *Op) {
	op.Answered = "none"
	for _, r := range successes(op.Operation) {
		for _, m := range r.Content {
			if m.Schema == nil {
				if op.Answered == "none" {
					op.Answered = "other"
				}
				continue
			}
			l := b.cache.of(m.Schema)
			if op.leaves == nil || op.Answered == "other" || op.Answered == "none" {
				op.leaves, op.Answered, op.ListAt = l, l.answered, l.listAt
			}
		}
	}
}

// successes are the responses of a call that worked; default counts where no
// other is declared.
func successes(o *spec.Operation) []*spec.Response {
	var out []*spec.Response
	for _, r := range o.Responses {
		if strings.HasPrefix(r.Status, "2") {
			out = append(out, r)
		}
	}
	if out == nil {
		for _, r := range o.Responses {
			if r.Status == "default" {
				out = append(out, r)
			}
		}
	}
	return out
}

// pickMedia chooses the body's content that is easiest to fill in and to change.
func pickMedia(list []*spec.MediaType) *spec.MediaType {
	rank := func(m *spec.MediaType) int {
		r := 6
		switch t := m.Type; {
		case t == "application/json":
			r = 0
		case strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "/json"):
			r = 1
		case t == "application/x-www-form-urlencoded":
			r = 2
		case t == "multipart/form-data":
			r = 3
		case t == "*/*" || t == "application/*":
			r = 4
		case strings.HasSuffix(t, "xml"):
			r = 5
		}
		if m.Schema == nil {
			r += 10
		}
		return r
	}
	if len(list) == 0 {
		return nil
	}
	return slices.MinFunc(list, func(a, b *spec.MediaType) int { return cmp.Compare(rank(a), rank(b)) })
}

// carrierNames are headers, cookies and parameters by which requests of APIs
// carry credentials that no security scheme declares.
var carrierNames = set(`authorization xauthtoken authtoken accesstoken xaccesstoken xapikey apikey xapitoken apitoken token xtoken sessiontoken xsessiontoken sessionid xsessionid
	xsession session jwt xjwt xjwttoken bearer xuserToken xusertoken usertoken xauth auth authkey xauthkey xauthorization sid phpsessid jsessionid`)

// isCarrier reports whether a parameter holds the caller's credential. Of
// query parameters only the plainest do: "token" there resets a password.
func isCarrier(p *spec.Parameter) bool {
	name := strings.Join(spec.Words(p.Name), "")
	switch p.In {
	case "header", "cookie":
		return carrierNames[name]
	case "query":
		return name == "apikey" || name == "accesstoken" || name == "authtoken"
	}
	return false
}

// carriers lists where credentials go.
func (b *builder) carriers() {
	g := b.g
	add := func(c Carrier) {
		for _, o := range g.Carriers {
			if o.In == c.In && strings.EqualFold(o.Name, c.Name) && (o.Prefix == c.Prefix || c.Prefix == "") {
				return
			}
		}
		g.Carriers = append(g.Carriers, c)
	}
	used := map[string]int{}
	for _, op := range g.Ops {
		for _, r := range op.Security {
			for _, u := range r {
				used[u.Scheme.Name]++
			}
		}
	}
	names := make([]string, 0, len(g.API.SecuritySchemes))
	for n := range g.API.SecuritySchemes {
		names = append(names, n)
	}
	slices.SortFunc(names, func(x, y string) int { return cmp.Or(used[y]-used[x], strings.Compare(x, y)) })
	for _, n := range names {
		s := g.API.SecuritySchemes[n]
		c := Carrier{In: "header", Name: "Authorization", Scheme: s, Why: "security scheme " + n}
		switch {
		case s.Type == "apiKey":
			c.In, c.Name = s.In, s.Key
			if strings.EqualFold(c.Name, "Authorization") {
				c.Prefix = prefixSaid(s.Description + " " + n + " " + s.BearerFormat)
			}
		case s.Type == "http" && s.Scheme == "basic":
			c.Prefix = "Basic "
		case s.Type == "http" && s.Scheme != "bearer":
			c.Prefix = strings.ToUpper(s.Scheme[:min(1, len(s.Scheme))]) + s.Scheme[min(1, len(s.Scheme)):] + " "
		case s.Type == "http" || s.Type == "oauth2" || s.Type == "openIdConnect":
			c.Prefix = "Bearer "
		default:
			continue
		}
		add(c)
	}
	count := map[string]int{}
	first := map[string]*spec.Parameter{}
	for _, op := range g.Ops {
		if op.AuthorizationHeader {
			add(Carrier{In: "header", Name: "Authorization", Prefix: b.prefixOf(op), Why: "a header parameter called Authorization is declared"})
		}
		for _, p := range op.Parameters {
			if isCarrier(p) {
				key := p.In + " " + strings.ToLower(p.Name)
				if count[key]++; first[key] == nil {
					first[key] = p
				}
			}
		}
	}
	keys := make([]string, 0, len(count))
	for k := range count {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y string) int { return cmp.Or(count[y]-count[x], strings.Compare(x, y)) })
	for _, k := range keys {
		p := first[k]
		c := Carrier{In: p.In, Name: p.Name, Why: "a parameter called " + p.Name + " is declared"}
		if strings.EqualFold(p.Name, "Authorization") {
			c.Prefix = prefixSaid(p.Description)
			if c.Prefix == "" {
				c.Prefix = prefixSaid(p.Example.Str())
			}
		}
		add(c)
	}
}

// prefixOf reads from an operation's words how its Authorization header starts.
func (b *builder) prefixOf(op *Op) string {
	if p := prefixSaid(op.AuthorizationText + " "); p != "" {
		return p
	}
	return prefixSaid(op.Description)
}

// Two ways of writing a credential that texts show: "Token token=<…>" (RFC 9110,
// section 11.6.2, a scheme with a parameter) and "Authorization: Scheme <…>".
var (
	parameterSaid = regexp.MustCompile(`\b([A-Za-z][A-Za-z0-9-]{2,20}) ((?i:token|key|access_token|api_?key|auth|credential|session)=)`)
	schemeSaid    = regexp.MustCompile(`(?i:\bauthorization\b["'\x60]?[:=]? ?["'\x60]?)([A-Za-z][A-Za-z0-9-]{2,20}) [<{\[$…]`)
)

// prefixSaid finds what stands before a credential in a text.
func prefixSaid(text string) string {
	l := strings.ToLower(text)
	if m := parameterSaid.FindStringSubmatch(text); m != nil {
		return m[1] + " " + m[2]
	}
	if m := schemeSaid.FindStringSubmatch(text); m != nil && !strings.EqualFold(m[1], "header") && !strings.EqualFold(m[1], "with") {
		return m[1] + " "
	}
	switch {
	case strings.Contains(l, "bearer"):
		return "Bearer "
	case strings.Contains(l, "basic "):
		return "Basic "
	case strings.Contains(l, "token "):
		for _, mark := range []string{"`token ", "\"token ", "'token ", ": token ", "authorization: token"} {
			if strings.Contains(l, mark) {
				return "Token "
			}
		}
	}
	return ""
}

// securedHints are what descriptions say where a call needs credentials.
var securedHints = []string{"authenticat", "authoriz", "authoris", "bearer", "logged in", "logged-in", "login required", "requires login", "jwt", "access token", "api key", "protected endpoint", "auth required", "requires auth", "current user", "signed in"}

var publicHints = []string{"no auth", "without auth", "not require auth", "no login", "public endpoint", "unauthenticated", "anonymous", "authenticate a user", "authenticates", "auth not required", "authentication not required", "not required"}

// secured tells whether an operation asks for credentials, declared or implied.
func (b *builder) secured(op *Op) (bool, string) {
	switch {
	case op.SecurityDeclared && !op.Public:
		return true, "the description declares it"
	case op.SecurityDeclared && len(op.Security) == 0 && !op.AuthorizationHeader:
		return false, ""
	case op.AuthorizationHeader:
		return true, "it takes an Authorization header"
	}
	for _, p := range op.Parameters {
		if isCarrier(p) && p.Required {
			return true, "it takes " + p.Name
		}
	}
	if op.SecurityDeclared {
		return false, "" // credentials are optional
	}
	text := strings.ToLower(op.Summary + "\n" + op.Description)
	if slices.ContainsFunc(publicHints, func(h string) bool { return strings.Contains(text, h) }) {
		return false, ""
	}
	logsIn := slices.ContainsFunc(op.Inputs, func(in *Input) bool { return in.Meaning == MeansPassword })
	for _, r := range op.Responses {
		// A login answers 401 to a wrong password.
		if r.Status == "401" && !logsIn {
			return true, "it answers 401"
		}
		if r.Status == "403" && !logsIn {
			return true, "it answers 403"
		}
	}
	for _, p := range op.Parameters {
		if isCarrier(p) {
			return true, "it takes " + p.Name
		}
	}
	if !logsIn {
		for _, h := range securedHints {
			if strings.Contains(text, h) {
				return true, "its description says \"" + h + "…\""
			}
		}
	}
	if len(b.g.API.SecuritySchemes) > 0 && !b.declared && !logsIn {
		return true, "the description has security schemes and never says where they apply"
	}
	return false, ""
}
