package check

import (
	"context"
	_ "embed"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

const (
	vectorTakeover = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N"
	vectorForger   = "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:N/SC:N/SI:N/SA:N"
)

var (
	_ = register(&Check{
		ID: "jwt-unverified", Title: "A token's signature is not looked at",
		OWASP: "API2:2023", CWE: "CWE-347", WSTG: "WSTG-SESS-10", CVSS: vectorTakeover,
		About: "Presents a user's own token with another signature.",
		Proof: "It opens what the real one opens. Controls: the real token does, no token and a token of no form do not.",
		Fix:   "Verify the signature of every token with a library's verifying call, with the algorithms and keys set by configuration, before reading a claim (RFC 8725).",
		Mode:  Safe,
		Run: func(ctx context.Context, p *Probe) error {
			return p.forged(ctx, []forgery{{do: "jwt.corrupt", note: "with another signature"}, {do: "jwt.strip", note: "without its signature"}})
		},
	})
	_ = register(&Check{
		ID: "jwt-none", Title: "A token that says it needs no signature is believed",
		OWASP: "API2:2023", CWE: "CWE-347", WSTG: "WSTG-SESS-10", CVSS: vectorTakeover,
		About: `Presents a user's own token with the algorithm "none", in several spellings, and no signature.`,
		Proof: "It opens what the real one opens. Controls: the real token does; no token, and one with a wrong signature, do not.",
		Fix:   "Allow only the algorithms that you issue, by configuration and never by the token's header (RFC 8725, section 3.1).",
		Mode:  Safe,
		Run: func(ctx context.Context, p *Probe) error {
			var list []forgery
			for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
				list = append(list, forgery{do: "jwt.none", args: map[string]string{"alg": alg}, note: "with the algorithm " + alg})
			}
			return p.forged(ctx, list)
		},
	})
	_ = register(&Check{
		ID: "jwt-weak-secret", Title: "Tokens are signed with a secret that can be guessed",
		OWASP: "API2:2023", CWE: "CWE-1391", WSTG: "WSTG-SESS-10", CVSS: vectorTakeover,
		About: "Tries a list of usual secrets, without sending anything, on every signed token that answers held; then signs a token anew with the one that fits.",
		Proof: "The token signed anew opens what the user's own opens. Controls: the real token does; no token, and one with a wrong signature, do not.",
		Fix:   "Sign with a random key of at least 256 bits (RFC 7518, section 3.2), kept out of the code, and a different one for each kind of token.",
		Mode:  Safe,
		Run:   jwtWeakSecret,
	})
	_ = register(&Check{
		ID: "jwt-expiry", Title: "Expired tokens go on working",
		OWASP: "API2:2023", CWE: "CWE-613", WSTG: "WSTG-SESS-10", CVSS: vectorForger,
		About: "With a signing secret that was guessed, presents a user's token that has expired an hour ago; where there is none, in another way that signed tokens can be forged. A server that takes tokens without a signature often skips their dates as well, and that is no second hole.",
		Proof: "It opens what the real one opens. Controls: the real token does; no token does not.",
		Fix:   "Refuse tokens whose exp has passed, with a clock skew of a minute at most (RFC 8725, section 3.8; RFC 7519, section 4.1.4).",
		Mode:  Safe, Alone: true, // after those that find how tokens are forged here, while nothing changes what the user reads
		Run: jwtExpiry,
	})
)

// forgery is one way to change a user's token.
type forgery struct {
	do   string
	args map[string]string
	note string
	free bool // a wrong signature need not be refused first
	// before are steps that fetch what the forgery is made of.
	before []scenario.Step
	// compute makes further variables for it; serve is what the listener says meanwhile.
	compute []scenario.Compute
	serve   []scenario.Serve
	// refused is a token that differs from the forgery in one thing, and must not do.
	refused *forgery
}

// computing are the steps' computations that forge a token out of the user's own.
func (f *forgery) computing(set string) []scenario.Compute {
	args := map[string]string{"token": "${user.token}"}
	maps.Copy(args, f.args)
	return append(slices.Clone(f.compute), scenario.Compute{Set: set, Do: f.do, Args: args})
}

// forged tries forgeries of the user's token, until one opens what the token opens.
func (p *Probe) forged(ctx context.Context, list []forgery) error {
	user := p.Actor(actor.User)
	if user == nil || !isJWT(credential(user)) {
		return nil
	}
	w, err := p.witness(ctx, user)
	if err != nil || w == nil {
		return err
	}
	for _, f := range list {
		x, err := p.present(ctx, w, user, f)
		if err != nil {
			return err
		}
		if x != nil && x.Status/100 == 2 && !scenario.Alike(w.last, x) {
			// What the user reads may have changed since: with the real token, now.
			now, err := p.send(ctx, w.call)
			if err != nil {
				return err
			}
			if now.Status/100 == 2 {
				w.last = now
			}
		}
		if x == nil || !scenario.Alike(w.last, x) {
			p.Note(w.call.Op, Clean)
			continue
		}
		h, err := p.forgeHypothesis(w, f)
		if err != nil {
			return err
		}
		if ok, err := p.Prove(ctx, h); err != nil || ok {
			if ok {
				p.forges(&f)
			}
			return err
		}
	}
	return nil
}

// forges remembers that tokens can be forged in this way: rather one that signs
// them than one that leaves the signature out, which says little of other checks.
func (l *Lab) forges(f *forgery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forger == nil || l.forger.do == "jwt.none" {
		l.forger = f
	}
}

// present sends the witness' call once with the forged token.
func (p *Probe) present(ctx context.Context, w *witness, user *actor.Actor, f forgery) (*target.Exchange, error) {
	args := maps.Clone(f.args)
	if args == nil {
		args = map[string]string{}
	}
	args["token"] = credential(user)
	v, err := scenario.Call(f.do, args)
	if err != nil {
		return nil, nil //nolint:nilerr // the token cannot be forged in this way
	}
	r, err := p.World.Request(w.call)
	if err != nil {
		return nil, fmt.Errorf("the witness' request: %w", err)
	}
	s := actor.Session{Parts: slices.Clone(user.Session.Parts)}
	for i := range s.Parts {
		if !s.Parts[i].CSRF {
			s.Parts[i].Value = fmt.Sprint(v)
			break
		}
	}
	s.Apply(r)
	return p.Stage.Sender.Do(ctx, actor.User, r)
}

func (p *Probe) forgeHypothesis(w *witness, f forgery) (Hypothesis, error) {
	own, err := p.look(w, "own", scenario.Control, actor.User, "the user's token opens it", scenario.Expect{Status: "2xx"})
	if err != nil {
		return Hypothesis{}, err
	}
	nobody, _ := p.look(w, "nobody", scenario.Control, actor.Nobody, "no token does not", scenario.Expect{Unlike: "own"})
	wrong, _ := p.look(w, "wrong", scenario.Control, actor.User, "something that is no token does not", scenario.Expect{Unlike: "own"})
	wrong.Send.Credential = "not-a-token"
	if f.do != "jwt.corrupt" && f.do != "jwt.strip" && !f.free {
		wrong.Note = "a token with a wrong signature does not"
		wrong.Compute = []scenario.Compute{{Set: "wrong", Do: "jwt.corrupt", Args: map[string]string{"token": "${user.token}"}}}
		wrong.Send.Credential = "${wrong}"
	}
	list := append(slices.Clone(f.before), own, nobody, wrong)
	if f.refused != nil {
		almost, _ := p.look(w, "almost", scenario.Control, actor.User, "a token "+f.refused.note+" does not", scenario.Expect{Unlike: "own"})
		almost.Compute, almost.Send.Credential = f.refused.computing("almost"), "${almost}"
		list = append(list, almost)
	}
	attack, _ := p.look(w, "attack", scenario.Attack, actor.User, "the forged token, "+f.note+", does", scenario.Expect{Status: "2xx", Like: "own"})
	attack.Compute, attack.Serve, attack.Send.Credential = f.computing("forged"), f.serve, "${forged}"
	return Hypothesis{
		Where: "credential", Title: p.Check.Title,
		Description: fmt.Sprintf("A user's token, changed %s, opens %s %s as the real one does.", f.note, w.call.Op.Method, w.call.Op.Path),
		Scenario:    &scenario.Scenario{Name: p.Check.Title, Steps: append(list, attack)},
	}, nil
}

// credential is the value of an actor's first credential, "" when it has none.
func credential(a *actor.Actor) string {
	if a != nil && a.Session != nil {
		for _, part := range a.Session.Parts {
			if !part.CSRF {
				return part.Value
			}
		}
	}
	return ""
}

func isJWT(text string) bool {
	_, _, err := scenario.ParseJWT(text)
	return err == nil
}

//go:embed secrets.txt
var secretsText string

var secrets = sync.OnceValue(func() []string {
	var out []string
	for line := range strings.Lines(secretsText) {
		if line = strings.TrimRight(line, "\r\n"); line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
})

// guesses are the list's secrets, and those made of the API's own nouns.
func (p *Probe) guesses() []string {
	out := slices.Clone(secrets())
	seen := map[string]bool{}
	text := strings.ToLower(p.Graph.API.Title)
	for _, r := range p.Graph.Resources[:min(len(p.Graph.Resources), 150)] {
		text += " " + r.Name
	}
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return r < 'a' || r > 'z' }) {
		if len(w) < 3 || seen[w] {
			continue
		}
		seen[w] = true
		for _, form := range []string{"%s", "%ssecret", "%s-secret", "%s_secret", "%skey", "%s-key", "%s123", "%s1234", "secret%s", "secret-%s", "%sjwt", "jwt-%s", "%s-jwt", "%s-jwt-secret", "%s_jwt_secret", "%stoken", "%s-token", "%s2024", "%s2025", "%s2026", "%s!", "my%s", "my-%s-secret"} {
			out = append(out, fmt.Sprintf(form, w), strings.ToUpper(w[:1])+fmt.Sprintf(form, w)[min(1, len(fmt.Sprintf(form, w))):])
		}
	}
	return out
}

// secretsOf are a list's secrets, and then those that people make of a few words:
// "SuperSecret", "app-key", "strong_token123".
func secretsOf(list []string) iter.Seq[string] {
	before := []string{"", "super", "my", "your", "the", "top", "very", "safe", "secure", "strong", "good", "not", "app", "api", "web", "auth", "access", "refresh", "session", "user", "admin", "private", "shared", "hmac", "jwt", "token", "signing", "secret", "test", "dev", "local", "demo", "prod", "some", "a", "hello", "change", "random", "hard", "default", "simple", "node", "express", "go", "java", "php"}
	after := []string{"secret", "key", "password", "token", "jwt", "pass", "passphrase", "code", "salt", "phrase", "string", "me", "world", "value"}
	ends := []string{"", "1", "12", "123", "1234", "12345", "123456", "!", "key", "-key", "_key", "Key", "2023", "2024", "2025", "2026"}
	title := func(s string) string {
		if s == "" {
			return s
		}
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return func(yield func(string) bool) {
		for _, k := range list {
			if !yield(k) {
				return
			}
		}
		for _, b := range before {
			for _, a := range after {
				for _, gap := range []string{"", "-", "_", " ", "."} {
					if b == "" && gap != "" {
						continue
					}
					for _, stem := range []string{b + gap + a, title(b) + gap + title(a), strings.ToUpper(b + gap + a), b + gap + title(a), title(b) + gap + a} {
						for _, end := range ends {
							if !yield(stem + end) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// cracked is the secret that signs a token seen in this run, "" when none is found.
func (p *Probe) cracked(ctx context.Context) string {
	if ctx.Err() != nil {
		return "" // this check's time is over: the next one guesses
	}
	p.crack.Do(func() {
		tokens := p.Notebook.Tokens()
		if t := credential(p.Actor(actor.User)); isJWT(t) {
			tokens = append([]string{t}, tokens...)
		}
		list := p.guesses()
		done := map[string]bool{}
		for _, t := range tokens {
			h, c, err := scenario.ParseJWT(t)
			kind := fmt.Sprint(h["alg"], h["kid"], c["iss"], c["aud"], slices.Sorted(maps.Keys(c)))
			if err != nil || done[kind] {
				continue
			}
			done[kind] = true
			signs := scenario.HMACVerifier(t)
			for k := range secretsOf(list) {
				if signs([]byte(k)) {
					p.secret = k
					return
				}
			}
		}
	})
	return p.secret
}

func jwtWeakSecret(ctx context.Context, p *Probe) error {
	key := p.cracked(ctx)
	if key == "" {
		return nil
	}
	_, claims, _ := scenario.ParseJWT(credential(p.Actor(actor.User)))
	return p.forged(ctx, []forgery{{do: "jwt.hmac", args: map[string]string{"key": key, "claims": otherClaim(claims)}, note: "signed anew with a guessed secret"}})
}

// otherClaim is what a token that is signed anew says otherwise, so that it is no copy:
// of its own claims, for some count or list those that they take.
func otherClaim(claims map[string]any) string {
	if _, ends := claims["exp"]; !ends && claims["iat"] != nil {
		return `{"iat":"@now-90"}`
	}
	return `{"exp":"@now+600"}`
}

func jwtExpiry(ctx context.Context, p *Probe) error {
	const past = `{"exp":"@now-3600","iat":"@now-7200","nbf":"@now-7200"}`
	if key := p.cracked(ctx); key != "" && scenario.HMACVerifies(credential(p.Actor(actor.User)), []byte(key)) {
		return p.forged(ctx, []forgery{{do: "jwt.hmac", args: map[string]string{"key": key, "claims": past}, note: "signed anew and an hour past its end"}})
	}
	// A token without a signature tells nothing of those with one, whose dates are
	// looked at where the signature is.
	if f := p.forgedBy(); f != nil && f.do != "jwt.none" {
		_, err := p.forgedWith(ctx, f.claiming(past, f.note+", and an hour past its end"))
		return err
	}
	return nil
}
