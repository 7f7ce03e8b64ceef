package actor

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// configured logs in everyone that the configuration names.
func (p *People) configured(ctx context.Context) error {
	accounts := maps.Clone(p.cfg.Accounts)
	if accounts == nil {
		accounts = map[string]Account{}
	}
	order := ranked(accounts)
	if p.cfg.WFC != "" {
		more, err := readWFC(under(p.cfg.Dir, p.cfg.WFC))
		if err != nil {
			p.problem("", err.Error(), "Correct the file, or leave it out.")
		}
		for _, name := range more.place(accounts) {
			order = append(order, name)
		}
	}
	// The admin first: accounts may have to be made by it.
	slices.SortStableFunc(order, func(a, b string) int {
		return boolInt(b == Admin) - boolInt(a == Admin)
	})
	for _, name := range order {
		acc := accounts[name]
		a, err := p.account(ctx, name, acc)
		if err != nil {
			if stops(err) {
				return err
			}
			p.problem(name, err.Error(), adviceFor(err))
			continue
		}
		p.add(a)
	}
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ranked lists names, those that checks know first.
func ranked(accounts map[string]Account) []string {
	var out []string
	for _, n := range []string{User, Peer, Foreign, Admin} {
		if _, ok := accounts[n]; ok {
			out = append(out, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(accounts)) {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// account makes one configured actor.
func (p *People) account(ctx context.Context, name string, acc Account) (*Actor, error) {
	a := &Actor{Name: name, Role: acc.Role, Facts: map[string]string{}}
	for k, v := range acc.Facts {
		text, err := v.reveal(p.cfg.Dir)
		if err != nil {
			return nil, err
		}
		a.Facts[k] = text
	}
	a.who = newPersona(p.cfg.Run, name, p.cfg.Seed)
	if acc.Login != nil {
		return p.loginAccount(ctx, a, acc.Login)
	}
	acc = acc.drawn(a.who.rng)
	if acc.create != nil {
		if _, err := p.stepRequest(ctx, a, *acc.create, nil, &jar{}); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCannotRegister, err)
		}
		a.Made = true
	}
	by, err := p.sourceOf(acc)
	if err != nil {
		return nil, err
	}
	a.by = by
	s, ex, err := p.enter(ctx, a)
	if err != nil {
		return nil, err
	}
	a.Session = s
	if ex != nil {
		learnFacts(a, ex)
	}
	if acc.Role != "" {
		a.Role = acc.Role
	}
	return a, p.prove(ctx, a)
}

// prove looks which call answers an actor otherwise than nobody.
func (p *People) prove(ctx context.Context, a *Actor) error {
	for _, part := range a.Session.Snapshot() {
		if claims, ok := jwtClaims(part.Value); ok {
			for n, c := range claims {
				if t, ok := c.(string); ok && a.Facts[n] == "" && !notFacts[n] {
					a.Facts[n] = t
				}
			}
		}
	}
	v, err := p.examine(ctx, a.Name, a.Session, a.Facts, maxWitnesses)
	if err != nil {
		return err
	}
	if v.sure == no {
		if len(p.panel()) > 0 {
			p.problem(a.Name, "the credentials that were given open nothing: every call answers as it does without them",
				"Look whether they are still valid, and whether they belong into another header, cookie or parameter.")
		}
		return nil
	}
	a.witness, a.Proven = v.witness, v.proven()
	p.whoAmI(ctx, a)
	return nil
}

// loginAccount logs in an account that the user has given, by the API's own operation.
func (p *People) loginAccount(ctx context.Context, a *Actor, l *Login) (*Actor, error) {
	pw, err := l.Password.reveal(p.cfg.Dir)
	if err != nil {
		return nil, err
	}
	p.c.Secrets().Add(pw)
	a.Facts[factPassword] = pw
	if l.Email != "" {
		a.Facts[factEmail] = l.Email
	}
	if l.Username != "" {
		a.Facts[factUsername] = l.Username
	}
	return p.withFacts(ctx, a)
}

// withFacts logs in an account whose facts are known.
func (p *People) withFacts(ctx context.Context, a *Actor) (*Actor, error) {
	a.who.facts = maps.Clone(a.Facts)
	if p.theDoor() != nil {
		s, ex, err := p.through(ctx, p.theDoor(), a.Name, maps.Clone(a.Facts), a.who)
		if err == nil {
			a.Session, a.by = s, p.theDoor()
			if ex != nil {
				learnFacts(a, ex)
			}
			return a, p.prove(ctx, a)
		}
		if stops(err) {
			return nil, err
		}
	}
	open, err := p.discover(ctx, a.Name, a.who, nil)
	if err != nil {
		return nil, err
	}
	a.Session, a.by, a.witness, a.Proven = open.s, open.by, open.v.witness, open.v.proven()
	if p.theDoor() == nil {
		p.setDoor(open.by)
	}
	if open.ex != nil {
		learnFacts(a, open.ex)
	}
	p.whoAmI(ctx, a)
	return a, nil
}

// sourceOf is how a configured account gets a session.
func (p *People) sourceOf(acc Account) (*entrance, error) {
	dir := p.cfg.Dir
	fixed := func(parts ...Part) *entrance {
		return &entrance{fixed: true, fetch: func(context.Context, *Actor) (*Session, *target.Exchange, error) {
			s := &Session{Parts: slices.Clone(parts), Opened: time.Now()}
			s.Expires = expiryOf(s.Parts[0].Value, nil, s.Opened)
			return s, nil, nil
		}}
	}
	switch {
	case len(acc.Headers)+len(acc.Cookies)+len(acc.Query) > 0:
		var parts []Part
		for _, m := range []struct {
			in   string
			list map[string]Secret
		}{{"header", acc.Headers}, {"cookie", acc.Cookies}, {"query", acc.Query}} {
			for _, n := range slices.Sorted(maps.Keys(m.list)) {
				text, err := m.list[n].reveal(dir)
				if err != nil {
					return nil, fmt.Errorf("%s %s: %w", m.in, n, err)
				}
				parts = append(parts, splitPart(m.in, n, text))
			}
		}
		return fixed(parts...), nil
	case acc.Basic != nil:
		pw, err := acc.Basic.Password.reveal(dir)
		if err != nil {
			return nil, fmt.Errorf("basic: %w", err)
		}
		p.c.Secrets().Add(pw)
		return fixed(Part{In: "header", Name: "Authorization", Prefix: "Basic ", Value: base64.StdEncoding.EncodeToString([]byte(acc.Basic.Username + ":" + pw))}), nil
	case !acc.Bearer.IsZero():
		t, err := acc.Bearer.reveal(dir)
		if err != nil {
			return nil, fmt.Errorf("bearer: %w", err)
		}
		return fixed(Part{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: t}), nil
	case acc.APIKey != nil:
		t, err := acc.APIKey.Value.reveal(dir)
		if err != nil {
			return nil, fmt.Errorf("api_key: %w", err)
		}
		return fixed(splitPart(acc.APIKey.In, acc.APIKey.Name, t)), nil
	case acc.OAuth2 != nil:
		return p.grant(acc.OAuth2)
	case acc.Steps != nil:
		return &entrance{fetch: func(ctx context.Context, a *Actor) (*Session, *target.Exchange, error) {
			return p.steps(ctx, a, acc.Steps)
		}}, nil
	case acc.Script != nil:
		return &entrance{fetch: func(ctx context.Context, _ *Actor) (*Session, *target.Exchange, error) {
			s, err := p.script(ctx, acc.Script)
			return s, nil, err
		}}, nil
	}
	return nil, fmt.Errorf("%w: no way to get credentials is given", ErrCannotLogin)
}

// splitPart takes the scheme off a value, so that checks can forge the credential alone.
func splitPart(in, name, text string) Part {
	part := Part{In: in, Name: name, Value: text, CSRF: isCSRFName(name)}
	if in == "header" && strings.EqualFold(name, "Authorization") {
		if scheme, rest, ok := strings.Cut(text, " "); ok {
			part.Prefix, part.Value = scheme+" ", rest
		}
	}
	return part
}

// whole takes an address apart into an origin and a request's path and query.
// Addresses of the target itself lose neither scope nor rights.
func (p *People) whole(address string) (*target.Request, error) {
	if strings.HasPrefix(address, "/") {
		path, query, _ := strings.Cut(address, "?")
		return &target.Request{Path: path, Query: query}, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address %q: %w", address, err)
	}
	origin := u.Scheme + "://" + u.Host
	if !p.c.InScope(origin) {
		return nil, fmt.Errorf("%w: %s; name it among the origins in scope", target.ErrScope, origin)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return &target.Request{Path: path, Query: u.RawQuery, Origin: origin, Root: true}, nil
}

// grant gets tokens at an OAuth2 token endpoint (RFC 6749, 4.3, 4.4 and 6).
func (p *People) grant(o *OAuth2) (*entrance, error) {
	form := url.Values{"grant_type": {o.Grant}}
	secret, err := o.ClientSecret.reveal(p.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("oauth2.client_secret: %w", err)
	}
	p.c.Secrets().Add(secret)
	if o.Grant == "password" {
		pw, err := o.Password.reveal(p.cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("oauth2.password: %w", err)
		}
		p.c.Secrets().Add(pw)
		form.Set("username", o.Username)
		form.Set("password", pw)
	}
	refresh := ""
	if o.Grant == "refresh_token" {
		if refresh, err = o.RefreshToken.reveal(p.cfg.Dir); err != nil {
			return nil, fmt.Errorf("oauth2.refresh_token: %w", err)
		}
	}
	if len(o.Scopes) > 0 {
		form.Set("scope", strings.Join(o.Scopes, " "))
	}
	for k, v := range o.Extra {
		form.Set(k, v)
	}
	if _, err := p.whole(o.TokenURL); err != nil {
		return nil, fmt.Errorf("oauth2.token_url: %w", err)
	}
	return &entrance{fetch: func(ctx context.Context, a *Actor) (*Session, *target.Exchange, error) {
		r, err := p.whole(o.TokenURL)
		if err != nil {
			return nil, nil, err
		}
		r.Method = "POST"
		f := maps.Clone(form)
		if o.Grant == "refresh_token" {
			// An authorization server may give a new one with each use (RFC 6749, 6).
			use := refresh
			if a.Session != nil {
				if last := a.Session.refresh(); last != "" {
					use = last
				}
			}
			f.Set("refresh_token", use)
		}
		r.Header = []target.Field{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}, {Name: "Accept", Value: "application/json"}}
		switch {
		case o.ClientID == "":
		case o.Auth == "body" || secret == "":
			f.Set("client_id", o.ClientID)
			if secret != "" {
				f.Set("client_secret", secret)
			}
		default:
			pair := url.QueryEscape(o.ClientID) + ":" + url.QueryEscape(secret) // RFC 6749, 2.3.1
			r.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		}
		r.Body = []byte(f.Encode())
		ex, err := p.c.Do(ctx, a.Name, r)
		if err != nil {
			return nil, nil, fmt.Errorf("asking for a token: %w", err)
		}
		v := tree(ex)
		token := v.Get("access_token").Str()
		if !ok2xx(ex) || token == "" {
			return nil, ex, &blocked{err: ErrCannotLogin, why: firstComplaint(ex), last: ex}
		}
		s := &Session{Opened: time.Now(), Refresh: v.Get("refresh_token").Str(), Expires: expiryOf(token, v, ex.Sent)}
		s.Parts = []Part{{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: token}}
		return s, ex, nil
	}}, nil
}

func (s *Session) refresh() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.Refresh
}

// steps logs in by the requests that the user has written down.
func (p *People) steps(ctx context.Context, a *Actor, st *Steps) (*Session, *target.Exchange, error) {
	saved := map[string]string{}
	for k, v := range a.Facts {
		saved["fact."+k] = v
	}
	j := &jar{}
	var ex *target.Exchange
	for i, step := range st.Requests {
		var err error
		if ex, err = p.stepRequest(ctx, a, step, saved, j); err != nil {
			return nil, ex, fmt.Errorf("login step %d: %w", i+1, err)
		}
		for _, sv := range step.Save {
			v, err := sv.from(ex)
			if err != nil {
				return nil, ex, fmt.Errorf("%w: step %d, saving %s: %w", ErrCannotLogin, i+1, sv.As, err)
			}
			saved[sv.As] = v
			p.c.Secrets().Add(v)
		}
	}
	s := &Session{Opened: time.Now()}
	for _, u := range st.Use {
		part := splitPart(u.In, u.Name, headerText(fill(u.Value, saved, nil)))
		part.CSRF = part.CSRF || u.CSRF
		s.Parts = append(s.Parts, part)
	}
	if st.Cookies {
		for _, part := range j.parts(p.g) {
			if !slices.ContainsFunc(s.Parts, func(o Part) bool { return o.In == part.In && strings.EqualFold(o.Name, part.Name) }) {
				s.Parts = append(s.Parts, part)
			}
		}
	}
	if len(s.Parts) == 0 {
		return nil, ex, fmt.Errorf("%w: the steps brought no cookie", ErrCannotLogin)
	}
	s.Expires = expiryOf(s.Parts[0].Value, tree(ex), ex.Sent)
	s.Refresh = refreshIn(tree(ex))
	return s, ex, nil
}

// stepRequest sends one request that the user has written down.
func (p *People) stepRequest(ctx context.Context, a *Actor, step LoginStep, saved map[string]string, j *jar) (*target.Exchange, error) {
	r, err := p.whole(fill(step.Path, saved, url.PathEscape))
	if err != nil {
		return nil, err
	}
	r.Root = r.Root || step.Root
	r.Method = strings.ToUpper(step.Method)
	if r.Method == "" {
		r.Method = "POST"
	}
	for _, n := range slices.Sorted(maps.Keys(step.Header)) {
		r.Header = append(r.Header, target.Field{Name: n, Value: headerText(fill(step.Header[n], saved, nil))})
	}
	if step.Body != "" {
		typ := step.Type
		if typ == "" {
			typ = "application/json"
		}
		r.Set("Content-Type", typ)
		r.Body = []byte(fill(step.Body, saved, escaperFor(typ)))
	}
	for _, c := range j.cookies {
		Part{In: "cookie", Name: c.Name, Value: c.Value}.apply(r)
	}
	ex, err := p.c.Do(ctx, a.Name, r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	if ex.Err != nil {
		return ex, fmt.Errorf("%s %s: %w", r.Method, r.Path, ex.Err)
	}
	j.take(ex)
	if !statusFits(step.Status, ex.Status) {
		return ex, fmt.Errorf("%w: %s %s should answer %s and answers %d: %s", ErrCannotLogin, r.Method, r.Path, orText(step.Status, "2xx"), ex.Status, firstComplaint(ex))
	}
	return ex, nil
}

func orText(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// statusFits: "2xx", "200", "302|200".
func statusFits(want string, got int) bool {
	if want == "" {
		want = "2xx|3xx"
	}
	for w := range strings.SplitSeq(want, "|") {
		w = strings.TrimSpace(w)
		if len(w) == 3 && strings.EqualFold(w[1:], "xx") && int(w[0]-'0') == got/100 || w == strconv.Itoa(got) {
			return true
		}
	}
	return false
}

func escaperFor(typ string) func(string) string {
	switch {
	case strings.Contains(typ, "json"):
		return func(s string) string {
			b, err := json.Marshal(s)
			if err != nil || len(b) < 2 {
				return ""
			}
			return string(b[1 : len(b)-1])
		}
	case strings.Contains(typ, "urlencoded"):
		return url.QueryEscape
	}
	return nil
}

// fill puts saved values in place of ${name}, encoded for where they stand.
func fill(text string, saved map[string]string, escape func(string) string) string {
	return rePlaceholder.ReplaceAllStringFunc(text, func(m string) string {
		v, ok := saved[m[2:len(m)-1]]
		if !ok {
			return m
		}
		if escape != nil {
			v = escape(v)
		}
		return v
	})
}

// from takes the value out of an answer.
func (sv SaveValue) from(ex *target.Exchange) (string, error) {
	text := string(ex.Body)
	switch {
	case sv.Header != "":
		if text = ex.Header.Get(sv.Header); text == "" {
			return "", fmt.Errorf("the answer has no header %s", sv.Header)
		}
	case sv.Cookie != "":
		set, _ := cookiesOf(ex)
		for _, c := range set {
			if c.Name == sv.Cookie {
				return c.Value, nil
			}
		}
		return "", fmt.Errorf("the answer sets no cookie %s", sv.Cookie)
	case sv.At != "":
		v := tree(ex).At(sv.At)
		if v == nil || v.Text == "" {
			return "", fmt.Errorf("the answer holds nothing at %s", sv.At)
		}
		return v.Text, nil
	}
	if sv.Pattern == "" {
		return text, nil
	}
	re, err := regexp.Compile(sv.Pattern)
	if err != nil {
		return "", fmt.Errorf("the pattern: %w", err)
	}
	m := re.FindStringSubmatch(text)
	if len(m) < 2 {
		return "", fmt.Errorf("the pattern %s does not match", sv.Pattern)
	}
	return m[1], nil
}

// script runs the user's command and reads the credentials that it prints.
func (p *People) script(ctx context.Context, sc *Script) (*Session, error) {
	limit := sc.Timeout
	if limit <= 0 {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, sc.Command[0], sc.Command[1:]...) //nolint:gosec // the user's own command
	cmd.Dir = p.cfg.Dir
	cmd.Env = os.Environ()
	for _, n := range slices.Sorted(maps.Keys(sc.Env)) {
		v, err := sc.Env[n].reveal(p.cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("script.env.%s: %w", n, err)
		}
		cmd.Env = append(cmd.Env, n+"="+v)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%w: the script %s: %w (it said: %s)", ErrCannotLogin, sc.Command[0], err, clip(strings.TrimSpace(stderr.String()), 300))
	}
	s, err := printed(stdout.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: the script %s: %w", ErrCannotLogin, sc.Command[0], err)
	}
	return s, nil
}

// printed reads what a script printed: JSON, or header lines.
func printed(out []byte) (*Session, error) {
	s := &Session{Opened: time.Now()}
	text := strings.TrimSpace(string(out))
	if strings.HasPrefix(text, "{") {
		var m struct {
			Headers   map[string]string `json:"headers"`
			Cookies   map[string]string `json:"cookies"`
			Query     map[string]string `json:"query"`
			Token     string            `json:"token"`
			ExpiresIn float64           `json:"expires_in"`
		}
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			return nil, fmt.Errorf("what it printed is no JSON: %w", err)
		}
		if m.Token != "" {
			s.Parts = append(s.Parts, Part{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: headerText(m.Token)})
		}
		for _, l := range []struct {
			in string
			m  map[string]string
		}{{"header", m.Headers}, {"cookie", m.Cookies}, {"query", m.Query}} {
			for _, n := range slices.Sorted(maps.Keys(l.m)) {
				s.Parts = append(s.Parts, splitPart(l.in, n, headerText(l.m[n])))
			}
		}
		if m.ExpiresIn > 0 && m.ExpiresIn < 1e9 {
			s.Expires = s.Opened.Add(time.Duration(m.ExpiresIn * float64(time.Second)))
		}
	} else {
		for line := range strings.SplitSeq(text, "\n") {
			name, v, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok || name == "" || strings.ContainsAny(name, " \t") {
				continue
			}
			s.Parts = append(s.Parts, splitPart("header", name, headerText(strings.TrimSpace(v))))
		}
	}
	if len(s.Parts) == 0 {
		return nil, fmt.Errorf("it printed no credential; it should print JSON with headers, cookies, query or token, or lines \"Name: value\"")
	}
	if s.Expires.IsZero() {
		s.Expires = expiryOf(s.Parts[0].Value, nil, s.Opened)
	}
	return s, nil
}
