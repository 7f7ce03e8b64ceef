package authz_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// parcelAPI: read and write of one object, a list, a public operation.
func parcelAPI() *spec.API {
	oauth := &spec.SecurityScheme{Name: "oauth", Type: "oauth2"}
	key := &spec.SecurityScheme{Name: "key", Type: "apiKey", In: "header", Key: "X-API-Key"}
	id := &spec.Parameter{Name: "id", In: "path", Object: &spec.ObjectRef{Resource: "parcel", Param: "id"}}
	use := func(s *spec.SecurityScheme, scopes ...string) spec.SchemeUse {
		return spec.SchemeUse{Scheme: s, Scopes: scopes}
	}
	json := &spec.Body{Content: []*spec.MediaType{{Type: "application/json"}}}
	ops := []*spec.Operation{
		{ID: "getParcel", Method: "GET", Path: "/parcels/{id}", Object: id.Object, Security: []spec.Requirement{{use(oauth, "parcels:read")}}, SecurityDeclared: true},
		{ID: "putParcel", Method: "PUT", Path: "/parcels/{id}", Object: id.Object, Body: json, Security: []spec.Requirement{{use(oauth, "parcels:read", "parcels:write")}}, SecurityDeclared: true},
		{ID: "listParcels", Method: "GET", Path: "/parcels", Tags: []string{"list"}, Security: []spec.Requirement{{use(oauth, "parcels:read")}, {use(key)}}, SecurityDeclared: true, Extensions: map[string]any{"x-level": float64(3)}},
		{ID: "both", Method: "GET", Path: "/both", Security: []spec.Requirement{{use(oauth, "a"), use(key)}}, SecurityDeclared: true},
		{ID: "ping", Method: "GET", Path: "/ping", Public: true, SecurityDeclared: true},
		{ID: "silent", Method: "GET", Path: "/silent", Public: true},
		{ID: "upload", Method: "POST", Path: "/files", Body: &spec.Body{Content: []*spec.MediaType{{Type: "image/png"}}}, Security: []spec.Requirement{{use(key)}}, SecurityDeclared: true},
	}
	for i, op := range ops {
		op.Index = i
		if op.Object != nil {
			op.Resource = "parcel"
			op.PathParams = []*spec.Parameter{id}
			op.Parameters = op.PathParams
		}
	}
	return &spec.API{Title: "Parcels", Operations: ops, SecuritySchemes: map[string]*spec.SecurityScheme{"oauth": oauth, "key": key}}
}

func operation(api *spec.API, id string) *spec.Operation {
	for _, op := range api.Operations {
		if op.ID == id {
			return op
		}
	}
	panic("no operation " + id)
}

func alice() exchange.Identity {
	return exchange.Identity{
		Subject: "alice", Issuer: "https://issuer.test", Method: "jwt", Verified: true, ClientID: "app", Tenant: "north",
		Scopes: []string{"parcels:read", "parcels:write"}, Roles: []string{"user"}, Schemes: []string{"oauth"},
		Claims: map[string]any{"sub": "alice", "level": float64(3), "parcels": []any{"p1", float64(2)}}, Memo: new(exchange.Memo),
	}
}

func call(api *spec.API, id string, change func(*exchange.Exchange)) *exchange.Exchange {
	op := operation(api, id)
	x := &exchange.Exchange{ID: "r1", API: "parcels", Spec: api, Operation: op, Identity: alice(), Client: netip.MustParseAddr("192.0.2.7")}
	x.Request = exchange.Request{Method: op.Method, Scheme: "https", Host: "api.test", Path: strings.ReplaceAll(op.Path, "{id}", "p1"), Header: http.Header{"User-Agent": {"test"}}}
	if op.Object != nil {
		x.Request.PathParams = []string{"p1"}
		x.Params = []exchange.Param{{Spec: op.PathParams[0], Raw: "p1", Value: value.Value{Kind: value.String, Text: "p1"}}}
	}
	if change != nil {
		change(x)
	}
	return x
}

// files writes files into a new directory and returns it.
func files(t testing.TB, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func options(api *spec.API) authz.Options {
	return authz.Options{API: api, Authenticates: true, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
}

func start(t testing.TB, o authz.Options) *authz.Guard {
	t.Helper()
	g, err := authz.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// decide runs the guard's steps that apply, as the chain would.
func decide(t testing.TB, g *authz.Guard, x *exchange.Exchange) exchange.Verdict {
	t.Helper()
	for _, s := range g.Steps() {
		if s.Applies(x.Operation) {
			if v := s.Rule(context.Background(), x); v.Action != exchange.Allow {
				return v
			}
		}
	}
	return exchange.Verdict{}
}

func TestBuiltIn(t *testing.T) {
	api := parcelAPI()
	as := func(f func(*exchange.Identity)) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) { f(&x.Identity) }
	}
	nobody := as(func(id *exchange.Identity) { *id = exchange.Identity{} })
	roles := []config.OperationOverride{{Operation: "GET /parcels*", Roles: []string{"clerk", "admin"}}}
	for name, c := range map[string]struct {
		op        string
		overrides []config.OperationOverride
		change    func(*exchange.Exchange)
		code      string
		header    string
	}{
		"all scopes":            {op: "putParcel"},
		"one scope missing":     {op: "putParcel", change: as(func(id *exchange.Identity) { id.Scopes = id.Scopes[:1] }), code: "authz.scope", header: `Bearer realm="Parcels", error="insufficient_scope", scope="parcels:read parcels:write"`},
		"a scope as a prefix":   {op: "getParcel", change: as(func(id *exchange.Identity) { id.Scopes = []string{"parcels"} }), code: "authz.scope", header: `Bearer realm="Parcels", error="insufficient_scope", scope="parcels:read"`},
		"scopes are no roles":   {op: "getParcel", change: as(func(id *exchange.Identity) { id.Scopes, id.Roles = nil, []string{"parcels:read"} }), code: "authz.scope", header: `Bearer realm="Parcels", error="insufficient_scope", scope="parcels:read"`},
		"nobody":                {op: "getParcel", change: nobody, code: "authz.denied"},
		"nobody, public":        {op: "ping", change: nobody},
		"nobody, silent":        {op: "silent", change: nobody, code: "authz.denied"},
		"somebody, silent":      {op: "silent", change: as(func(id *exchange.Identity) { id.Schemes = nil })},
		"another scheme":        {op: "getParcel", change: as(func(id *exchange.Identity) { id.Schemes = []string{"key"} }), code: "authz.denied"},
		"the other alternative": {op: "listParcels", change: as(func(id *exchange.Identity) { id.Schemes, id.Scopes = []string{"key"}, nil })},
		"both": {op: "both", change: as(func(id *exchange.Identity) {
			id.Scopes = []string{"a"}
			id.Also = []exchange.Identity{{Verified: true, Method: "api_key", Schemes: []string{"key"}}}
		})},
		"the other alternative, by somebody else": {op: "listParcels", change: as(func(id *exchange.Identity) {
			id.Scopes = nil
			id.Also = []exchange.Identity{{Verified: true, Method: "api_key", Subject: "mallory", Schemes: []string{"key"}}}
		}), code: "authz.scope", header: `Bearer realm="Parcels", error="insufficient_scope", scope="parcels:read"`},
		"both, one missing": {op: "both", change: as(func(id *exchange.Identity) { id.Scopes = []string{"a"} }), code: "authz.denied"},
		"scope of the other one": {op: "both", change: as(func(id *exchange.Identity) {
			id.Scopes = nil
			id.Also = []exchange.Identity{{Verified: true, Method: "api_key", Schemes: []string{"key"}, Scopes: []string{"a"}}}
		}), code: "authz.scope", header: `Bearer realm="Parcels", error="insufficient_scope", scope="a"`},
		"the API's own token":    {op: "getParcel", change: as(func(id *exchange.Identity) { *id = exchange.Identity{Method: "own", Schemes: []string{"oauth"}} })},
		"role missing":           {op: "getParcel", overrides: roles, code: "authz.denied"},
		"role held":              {op: "getParcel", overrides: roles, change: as(func(id *exchange.Identity) { id.Roles = []string{"admin"} })},
		"role not verified":      {op: "getParcel", overrides: roles, change: as(func(id *exchange.Identity) { id.Verified = false; id.Roles = []string{"admin"} }), code: "authz.denied"},
		"role and scope missing": {op: "getParcel", overrides: roles, change: as(func(id *exchange.Identity) { id.Roles = []string{"admin"}; id.Scopes = nil }), code: "authz.scope", header: `Bearer realm="Parcels", error="insufficient_scope", scope="parcels:read"`},
		"roles elsewhere":        {op: "putParcel", overrides: roles},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(api)
			o.Overrides = c.overrides
			v := decide(t, start(t, o), call(api, c.op, c.change))
			if v.Code != c.code {
				t.Fatalf("code %q (%s), want %q", v.Code, v.Reason, c.code)
			}
			if got := v.Header["WWW-Authenticate"]; got != c.header {
				t.Errorf("challenge %s, want %s", got, c.header)
			}
		})
	}
}

const ownership = `package crenel.authz
import data.crenel.lib

default decision := false

decision if lib.has_role("admin")

decision if {
	lib.has_role("user")
	lib.owns_object_in(data.owners)
}
`

const ownersJSON = `{"owners": {"p1": "alice", "p2": "bob"}}`

func TestPolicy(t *testing.T) {
	api := parcelAPI()
	rule := func(body string) string { return "package crenel.authz\n" + body }
	body := func(json string) func(*exchange.Exchange) {
		return func(x *exchange.Exchange) {
			root, err := value.JSON([]byte(json), value.Limits{})
			if err != nil {
				panic(err)
			}
			x.Request.Body = &exchange.Body{Bytes: []byte(json), Root: root}
		}
	}
	for name, c := range map[string]struct {
		policy string
		data   string
		op     string
		change func(*exchange.Exchange)
		action exchange.Action
		code   string
		reason string
	}{
		"owner":                   {policy: ownership, data: ownersJSON, op: "getParcel"},
		"not the owner":           {policy: ownership, data: ownersJSON, op: "getParcel", change: func(x *exchange.Exchange) { x.Request.PathParams[0] = "p2" }, action: exchange.Deny, code: "authz.denied"},
		"no such object":          {policy: ownership, data: ownersJSON, op: "getParcel", change: func(x *exchange.Exchange) { x.Request.PathParams[0] = "p3" }, action: exchange.Deny, code: "authz.denied"},
		"a role":                  {policy: ownership, data: ownersJSON, op: "getParcel", change: func(x *exchange.Exchange) { x.Request.PathParams[0] = "p2"; x.Identity.Roles = []string{"admin"} }},
		"built-in comes first":    {policy: rule(`decision := true`), op: "getParcel", change: func(x *exchange.Exchange) { x.Identity.Scopes = nil }, action: exchange.Deny, code: "authz.scope"},
		"public is asked too":     {policy: rule(`decision := false`), op: "ping", action: exchange.Deny, code: "authz.denied"},
		"true":                    {policy: rule(`decision := true`), op: "getParcel"},
		"allow is enough":         {policy: rule(`allow if input.identity.subject == "alice"`), op: "getParcel"},
		"allow is undefined":      {policy: rule(`allow if input.identity.subject == "bob"`), op: "getParcel", action: exchange.Deny, code: "authz.undefined"},
		"decision before allow":   {policy: rule("allow := true\ndecision := false"), op: "getParcel", action: exchange.Deny, code: "authz.denied"},
		"reason":                  {policy: rule(`decision := {"allow": false, "reason": "closed on Saturdays"}`), op: "getParcel", action: exchange.Deny, code: "authz.denied", reason: "closed on Saturdays"},
		"reason of an allow":      {policy: rule(`decision := {"allow": true, "reason": "rule 7", "detail": {"rule": 7}}`), op: "getParcel", reason: "rule 7"},
		"does not say allow":      {policy: rule(`decision := {"reason": "x"}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"allow a string":          {policy: rule(`decision := {"allow": "true"}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"a string":                {policy: rule(`decision := "true"`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"a number":                {policy: rule(`decision := 1`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"null":                    {policy: rule(`decision := null`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"a set":                   {policy: rule(`decision contains "x"`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"misspelt member":         {policy: rule(`decision := {"allow": true, "obligation": {"mask": ["/x"]}}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"misspelt obligation":     {policy: rule(`decision := {"allow": true, "obligations": {"masks": ["/x"]}}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"strip without slash":     {policy: rule(`decision := {"allow": true, "obligations": {"strip": ["x"]}}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"header that frames":      {policy: rule(`decision := {"allow": true, "obligations": {"headers": {"Content-Length": "0"}}}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"header that is trimmed":  {policy: rule(`decision := {"allow": true, "obligations": {"headers": {"X-A": "north "}}}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"header with line break":  {policy: rule(`decision := {"allow": true, "obligations": {"headers": {"X-A": "a\r\nB: c"}}}`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"two answers":             {policy: rule("decision := true if input.identity.subject\ndecision := false if input.identity.verified"), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"built-in function fails": {policy: rule(`decision if not to_number(input.identity.subject) > 5`), op: "getParcel", action: exchange.Unable, code: "authz.error"},
		"endless":                 {policy: rule(`decision if count([x | some x in [1 | some i in numbers.range(1, 9999); some j in numbers.range(1, 9999); i == -j]; x % 7 == 8]) == 0`), op: "getParcel", action: exchange.Unable, code: "authz.timeout"},
		"combinations":            {policy: rule("n := numbers.range(1, 400)\ndecision if count({[a, b, c] | some a in n; some b in n; some c in n; a * b == c}) > 0"), op: "getParcel", action: exchange.Unable, code: "authz.timeout"},
		"body":                    {policy: rule(`decision if input.body.weight <= 10`), op: "putParcel", change: body(`{"weight": 7}`)},
		"body too heavy":          {policy: rule(`decision if input.body.weight <= 10`), op: "putParcel", change: body(`{"weight": 70}`), action: exchange.Deny, code: "authz.undefined"},
		"body not there":          {policy: rule(`decision if input.body.weight <= 10`), op: "putParcel", action: exchange.Deny, code: "authz.undefined"},
		"body whole":              {policy: rule(`decision if input.body == {"a": [1, "x", true, null, {"b": 1.5}]}`), op: "putParcel", change: body(`{"a":[1,"x",true,null,{"b":1.5}]}`)},
		"parameter":               {policy: rule(`decision if input.params.path.id == "p1"`), op: "getParcel"},
		"objects":                 {policy: rule(`decision if input.objects == [{"resource": "parcel", "id": "p1", "in": "path", "param": "id"}]`), op: "getParcel"},
		"operation": {policy: rule(`decision if {
			input.operation.id == "listParcels"; input.operation.method == "GET"; input.operation.path == "/parcels"
			input.operation.tags == ["list"]; input.operation.extensions["x-level"] == input.identity.claims.level }`), op: "listParcels"},
		"context": {policy: rule(`decision if {
			net.cidr_contains("192.0.2.0/24", input.context.client_ip)
			input.context.time == "2026-11-21T12:00:00Z"; time.now_ns() == time.parse_rfc3339_ns(input.context.time)
			input.context.host == "api.test"; input.context.api == "parcels"; input.context.user_agent == "test" }`), op: "getParcel"},
		"risk":                  {policy: rule(`decision if input.risk < 0.5`), op: "getParcel", change: func(x *exchange.Exchange) { x.Risk = 0.7 }, action: exchange.Deny, code: "authz.undefined"},
		"nobody has no subject": {data: `{"owner": ""}`, policy: rule(`decision if input.identity.subject == data.owner`), op: "ping", change: func(x *exchange.Exchange) { x.Identity = exchange.Identity{} }, action: exchange.Deny, code: "authz.undefined"},
		"nobody is anonymous":   {policy: rule(`decision if input.identity.anonymous`), op: "ping", change: func(x *exchange.Exchange) { x.Identity = exchange.Identity{} }},
		"input passed whole":    {policy: rule("f(x) := x.identity.subject\ndecision if f(input) == \"alice\""), op: "getParcel"},
		"input by a variable":   {policy: rule("decision if { some k; input[k].subject == \"alice\" }"), op: "getParcel"},
		"whole body by input":   {policy: rule("decision if { x := input; x.body.weight == 7 }"), op: "putParcel", change: body(`{"weight":7}`)},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, map[string]string{"policy/p.rego": c.policy, "data/d.json": orElse(c.data, "{}")})
			o := options(api)
			o.Config = config.Authz{Policies: []string{dir + "/policy"}, Data: []string{dir + "/data/d.json"}}
			v := decide(t, start(t, o), call(api, c.op, c.change))
			if v.Action != c.action || v.Code != c.code {
				t.Fatalf("%s %q (%s), want %s %q", v.Action, v.Code, v.Reason, c.action, c.code)
			}
			if c.reason != "" && c.action == exchange.Deny && v.Reason != c.reason {
				t.Errorf("reason %q, want %q", v.Reason, c.reason)
			}
		})
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func TestObligations(t *testing.T) {
	api := parcelAPI()
	dir := files(t, map[string]string{"p.rego": `package crenel.authz
decision := {"allow": true, "reason": "own region only", "detail": {"rule": "region"}, "obligations": {
	"strip": ["/items/*/cost"], "mask": {"/items/*/phone"},
	"headers": {"X-Tenant": input.identity.tenant}, "query": {"tenant": input.identity.tenant, "limit": 50, "own": true},
}}`})
	o := options(api)
	o.Config.Policies = []string{dir}
	x := call(api, "listParcels", nil)
	if v := decide(t, start(t, o), x); v.Action != exchange.Allow {
		t.Fatalf("%+v", v)
	}
	want := exchange.Obligations{
		Strip: []string{"/items/*/cost"}, Mask: []string{"/items/*/phone"},
		Headers: map[string]string{"X-Tenant": "north"}, Query: map[string]string{"tenant": "north", "limit": "50", "own": "true"},
	}
	if d := cmp.Diff(want, x.Obligations); d != "" {
		t.Errorf("obligations (-want +got):\n%s", d)
	}
}

func TestStepUp(t *testing.T) {
	api := parcelAPI()
	for name, c := range map[string]struct{ stepUp, code, challenge string }{
		"acr":          {`{"acr_values": ["phr", "phrh"], "max_age": 300}`, "authz.step_up", `Bearer realm="Parcels", error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="phr phrh", max_age="300"`},
		"one acr":      {`{"acr_values": "phr"}`, "authz.step_up", `Bearer realm="Parcels", error="insufficient_user_authentication", error_description="A different authentication level is required", acr_values="phr"`},
		"none":         {`null`, "", ""},
		"false":        {`false`, "", ""},
		"max_age text": {`{"max_age": "5"}`, "authz.error", ""},
		"acr quoted":   {`{"acr_values": ["a\"b"]}`, "authz.error", ""},
		"unknown":      {`{"acr": "x"}`, "authz.error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := files(t, map[string]string{"p.rego": "package crenel.authz\n" + `decision := {"allow": true, "obligations": {"step_up": ` + c.stepUp + `}}`})
			o := options(api)
			o.Config.Policies = []string{dir}
			v := decide(t, start(t, o), call(api, "getParcel", nil))
			if v.Code != c.code || v.Header["WWW-Authenticate"] != c.challenge {
				t.Errorf("%q %q (%s)", v.Code, v.Header["WWW-Authenticate"], v.Reason)
			}
		})
	}
}

// A bad policy never becomes active, and says what is wrong with it.
func TestBadPolicies(t *testing.T) {
	good := "package crenel.authz\ndefault decision := false\n"
	for name, c := range map[string]struct {
		files map[string]string
		query string
		data  string
		want  []string
	}{
		"does not parse":        {files: map[string]string{"p.rego": "package crenel.authz\ndecision := {"}, want: []string{"p.rego:2"}},
		"does not compile":      {files: map[string]string{"p.rego": "package crenel.authz\ndecision if undefined_thing(1)\nother if another_thing(2)"}, want: []string{"p.rego:2", "undefined_thing", "p.rego:3", "another_thing"}},
		"recursion":             {files: map[string]string{"p.rego": "package crenel.authz\ndecision if a\na if b\nb if a"}, want: []string{"recursive"}},
		"old Rego":              {files: map[string]string{"p.rego": "package crenel.authz\ndecision { true }"}, want: []string{"p.rego:2"}},
		"http.send":             {files: map[string]string{"p.rego": "package crenel.authz\ndecision if http.send({\"method\": \"GET\", \"url\": \"http://169.254.169.254/\"})"}, want: []string{"http.send"}},
		"opa.runtime":           {files: map[string]string{"p.rego": "package crenel.authz\ndecision if opa.runtime().env.HOME"}, want: []string{"opa.runtime"}},
		"name look-up":          {files: map[string]string{"p.rego": "package crenel.authz\ndecision if net.lookup_ip_addr(\"x.test\")"}, want: []string{"net.lookup_ip_addr"}},
		"no decision":           {files: map[string]string{"p.rego": "package crenel.authz\nallowed := true"}, want: []string{"data.crenel.authz.decision or data.crenel.authz.allow"}},
		"another query":         {files: map[string]string{"p.rego": good}, query: "data.app.allow", want: []string{"data.app.allow"}},
		"package of the lib":    {files: map[string]string{"p.rego": good, "l.rego": "package crenel.lib\nhas_role(_) := true"}, want: []string{"l.rego", "data.crenel.lib"}},
		"package below the lib": {files: map[string]string{"p.rego": good, "l.rego": "package crenel.lib.more\nx := 1"}, want: []string{"data.crenel.lib.more"}},
		"a failing test":        {files: map[string]string{"p.rego": good, "p_test.rego": "package crenel.authz_test\nimport data.crenel.authz\ntest_one if authz.decision\ntest_two if not authz.decision\ntest_three if authz.decision with input as {}"}, want: []string{"test_one", "p_test.rego:3", "test_three"}},
		"a test that errs":      {files: map[string]string{"p.rego": good, "p_test.rego": "package crenel.authz_test\ntest_one if to_number(\"x\") > 1"}, want: []string{"test_one", "to_number"}},
		"tests do not compile":  {files: map[string]string{"p.rego": good, "p_test.rego": "package crenel.authz_test\ntest_one if nothing(1)"}, want: []string{"nothing"}},
		"only tests":            {files: map[string]string{"p_test.rego": "package crenel.authz_test\ntest_one := true"}, want: []string{"no Rego file"}},
		"nothing":               {files: map[string]string{"readme.txt": "x"}, want: []string{"no Rego file"}},
		"data over a rule":      {files: map[string]string{"p.rego": good}, data: `{"crenel": {"authz": {"decision": true}}}`, want: []string{"conflict"}},
		"data over the lib":     {files: map[string]string{"p.rego": good + "x if data.crenel.lib.authenticated"}, data: `{"crenel": {"lib": {"authenticated": true}}}`, want: []string{"conflict"}},
		"data is rubbish":       {files: map[string]string{"p.rego": good}, data: `{"a": `, want: []string{"d.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["data/d.json"] = orElse(c.data, "{}")
			dir := files(t, c.files)
			o := options(parcelAPI())
			o.Config = config.Authz{Policies: []string{dir}, Data: []string{dir + "/data/d.json"}, Query: c.query}
			g, err := authz.New(o)
			if err == nil {
				g.Close()
				t.Fatal("the policy was taken")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error does not name %q:\n%v", w, err)
				}
			}
			if strings.Contains(err.Error(), "test_two") {
				t.Errorf("a passing test is named:\n%v", err)
			}
		})
	}
	t.Run("a path that is not there", func(t *testing.T) {
		o := options(nil)
		o.Config.Policies = []string{t.TempDir() + "/none"}
		if _, err := authz.New(o); err == nil {
			t.Error("taken")
		}
	})
}

// A step reads a body only where the policy can look at one.
func TestNeeds(t *testing.T) {
	api := parcelAPI()
	no := false
	for name, c := range map[string]struct {
		policy string
		body   *bool
		want   map[string]exchange.Need
	}{
		"no policy":           {"", nil, map[string]exchange.Need{"putParcel": exchange.None, "getParcel": exchange.None, "ping": 255}},
		"looks at no body":    {"decision := input.risk < 1", nil, map[string]exchange.Need{"putParcel": exchange.None, "ping": exchange.None}},
		"looks at the body":   {"decision := input.body.x == 1", nil, map[string]exchange.Need{"putParcel": exchange.Buffered, "getParcel": exchange.None, "upload": exchange.None, "ping": exchange.None}},
		"takes input whole":   {"decision if count(input) > 0", nil, map[string]exchange.Need{"putParcel": exchange.Buffered, "getParcel": exchange.None}},
		"config gives no one": {"decision := input.body.x == 1", &no, map[string]exchange.Need{"putParcel": exchange.None}},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(api)
			if c.policy != "" {
				o.Config.Policies = []string{files(t, map[string]string{"p.rego": "package crenel.authz\n" + c.policy})}
			}
			o.Config.Body = c.body
			g := start(t, o)
			for id, want := range c.want {
				got := exchange.Need(255) // no step applies
				for _, s := range g.Steps() {
					if s.Phase == exchange.RequestBody && s.Applies(operation(api, id)) {
						if got != 255 {
							t.Errorf("%s: two steps apply", id)
						}
						got = s.Needs
					}
				}
				if got != want {
					t.Errorf("%s needs %d, want %d", id, got, want)
				}
			}
		})
	}
}

func TestBodyNotGivenWhenConfigSaysSo(t *testing.T) {
	api, no := parcelAPI(), false
	o := options(api)
	o.Config = config.Authz{Policies: []string{files(t, map[string]string{"p.rego": "package crenel.authz\ndecision if not input.body"})}, Body: &no}
	root, _ := value.JSON([]byte(`{"secret":1}`), value.Limits{})
	x := call(api, "putParcel", func(x *exchange.Exchange) { x.Request.Body = &exchange.Body{Root: root} })
	if v := decide(t, start(t, o), x); v.Action != exchange.Allow {
		t.Errorf("%+v", v)
	}
}

// The library's own tests pass, and there are some.
func TestLibrary(t *testing.T) {
	results, err := authz.TestShipped(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if !r.Passed {
			t.Errorf("%s %s: %s", r.Place, r.Name, r.Error)
		}
	}
	if len(results) < 10 {
		t.Errorf("only %d tests", len(results))
	}
}

// One identity is shared by many requests at once.
func TestConcurrent(t *testing.T) {
	api := parcelAPI()
	dir := files(t, map[string]string{"p.rego": ownership, "d.json": ownersJSON})
	o := options(api)
	o.Config = config.Authz{Policies: []string{dir}, Data: []string{dir + "/d.json"}, Timeout: time.Second}
	g := start(t, o)
	id := alice()
	done := make(chan error)
	for range 4 {
		go func() {
			for n := range 200 {
				object, want := "p1", exchange.Allow
				if n%2 == 1 {
					object, want = "p2", exchange.Deny
				}
				x := call(api, "getParcel", func(x *exchange.Exchange) { x.Identity = id; x.Request.PathParams[0] = object })
				if v := g.Steps()[0].Rule(context.Background(), x); v.Action != want {
					done <- fmt.Errorf("%s: %+v", object, v)
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	api := parcelAPI()
	dir := files(b, map[string]string{"p.rego": ownership, "d.json": ownersJSON})
	id := alice()
	plain := files(b, map[string]string{"p.rego": `package crenel.authz
default decision := false
decision if "admin" in input.identity.roles
decision if {
	input.identity.verified
	"user" in input.identity.roles
	data.owners[input.object.id] == input.identity.subject
}
`})
	least := files(b, map[string]string{"p.rego": "package crenel.authz\ndecision if input.identity.verified"})
	for _, c := range []struct {
		name     string
		policies []string
	}{{"builtin", nil}, {"least", []string{least}}, {"role_and_ownership", []string{plain}}, {"role_and_ownership_by_library", []string{dir}}} {
		b.Run(c.name, func(b *testing.B) {
			o := options(api)
			o.Config.Policies = c.policies
			if c.policies != nil {
				o.Config.Data = []string{dir + "/d.json"}
			}
			g := start(b, o)
			rule := g.Steps()[0].Rule
			x := call(api, "getParcel", func(x *exchange.Exchange) { x.Identity = id })
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if v := rule(ctx, x); v.Action != exchange.Allow {
					b.Fatal(v)
				}
			}
		})
	}
}

// Two APIs that share a browser's session each see it as satisfying their own
// document's scheme, though what is computed of it is kept with the session.
func TestIdentityOfSeveralAPIs(t *testing.T) {
	dir := files(t, map[string]string{"p.rego": `package crenel.authz
decision := {"allow": "oauth" in input.identity.schemes}`})
	o := options(parcelAPI())
	o.Config.Policies = []string{dir}
	g := start(t, o)
	memo := new(exchange.Memo)
	try := func(schemes ...string) exchange.Verdict {
		return decide(t, g, call(o.API, "silent", func(x *exchange.Exchange) { x.Identity.Memo, x.Identity.Schemes = memo, schemes }))
	}
	for range 2 {
		if v := try("oauth"); v.Action != exchange.Allow {
			t.Errorf("%+v", v)
		}
		if v := try("login"); v.Code != "authz.denied" {
			t.Errorf("the other API's scheme counted: %+v", v)
		}
	}
}
