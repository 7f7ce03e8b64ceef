package actor

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
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
			return err
		}
		order = append(order, more.place(accounts)...)
	}
	p.given = make(map[string]bool, len(order))
	for _, name := range order {
		p.given[name] = accounts[name].create != nil
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
			p.problem(name, err.Error(), acc.adviceFor(err))
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
		own, err := p.schemeWitnesses(ctx, a.Session)
		if err != nil {
			return err
		}
		if v, err = p.examineBy(ctx, a.Name, a.Session, a.Facts, own); err != nil {
			return err
		}
	}
	if v.sure == no {
		if len(p.panel()) > 0 {
			p.openNothing(a)
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
	if acc.IsFixed() {
		parts, err := acc.fixedParts(dir)
		if err != nil {
			return nil, err
		}
		for _, pair := range []*Basic{acc.Basic, acc.Digest} {
			if pair == nil {
				continue
			}
			if pw, err := pair.Password.reveal(dir); err == nil {
				p.c.Secrets().Add(pw)
			}
		}
		return fixed(parts...), nil
	}
	switch {
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

// IsFixed reports whether the credentials are given as they are sent.
func (a Account) IsFixed() bool {
	return len(a.Headers)+len(a.Cookies)+len(a.Query) > 0 || a.Basic != nil || a.Digest != nil || !a.Bearer.IsZero() || a.APIKey != nil
}

// fixedParts are the credentials of an account that are given as they are sent.
func (a Account) fixedParts(dir string) ([]Part, error) {
	switch {
	case a.Basic != nil:
		pw, err := a.Basic.Password.reveal(dir)
		if err != nil {
			return nil, fmt.Errorf("basic: %w", err)
		}
		return []Part{{In: "header", Name: "Authorization", Prefix: "Basic ", Value: base64.StdEncoding.EncodeToString([]byte(a.Basic.Username + ":" + pw))}}, nil
	case a.Digest != nil:
		pw, err := a.Digest.Password.reveal(dir)
		if err != nil {
			return nil, fmt.Errorf("digest: %w", err)
		}
		return []Part{{In: "header", Name: "Authorization", Prefix: target.DigestPrefix, Value: a.Digest.Username + ":" + pw}}, nil
	case !a.Bearer.IsZero():
		t, err := a.Bearer.reveal(dir)
		if err != nil {
			return nil, fmt.Errorf("bearer: %w", err)
		}
		return []Part{{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: t}}, nil
	case a.APIKey != nil:
		t, err := a.APIKey.Value.reveal(dir)
		if err != nil {
			return nil, fmt.Errorf("api_key: %w", err)
		}
		return []Part{splitPart(a.APIKey.In, a.APIKey.Name, t)}, nil
	}
	var parts []Part
	for _, m := range []struct {
		in   string
		list map[string]Secret
	}{{"header", a.Headers}, {"cookie", a.Cookies}, {"query", a.Query}} {
		for _, n := range slices.Sorted(maps.Keys(m.list)) {
			text, err := m.list[n].reveal(dir)
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", m.in, n, err)
			}
			parts = append(parts, splitPart(m.in, n, text))
		}
	}
	return parts, nil
}

// Fixed are the sessions of the accounts whose credentials are given as they are
// sent, by name: those that can be used before anything is known of the API.
func (c Config) Fixed() (map[string]*Session, error) {
	out := map[string]*Session{}
	for name, acc := range c.Accounts {
		if !acc.IsFixed() {
			continue
		}
		parts, err := acc.fixedParts(c.Dir)
		if err != nil {
			return nil, fmt.Errorf("accounts.%s.%w", name, err)
		}
		out[name] = &Session{Parts: parts, Opened: time.Now()}
	}
	return out, nil
}

// oneParameter is a credential that is its scheme's only parameter: token=….
var oneParameter = regexp.MustCompile(`^([a-z_]{2,20}=)([^\s,;="]+)$`)

// splitPart takes the scheme off a value, so that checks can forge the credential alone.
func splitPart(in, name, text string) Part {
	part := Part{In: in, Name: name, Value: text, CSRF: isCSRFName(name)}
	if in == "header" && strings.EqualFold(name, "Authorization") {
		if scheme, rest, ok := strings.Cut(text, " "); ok {
			part.Prefix, part.Value = scheme+" ", rest
			if m := oneParameter.FindStringSubmatch(rest); m != nil {
				part.Prefix, part.Value = part.Prefix+m[1], m[2]
			}
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
		p.c.Secrets().Add(refresh)
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
	var one sync.Mutex // a refresh token may serve once: two who renew must not use the same
	return &entrance{fetch: func(ctx context.Context, a *Actor) (*Session, *target.Exchange, error) {
		one.Lock()
		defer one.Unlock()
		r, err := p.whole(o.TokenURL)
		if err != nil {
			return nil, nil, err
		}
		r.Method = "POST"
		f := maps.Clone(form)
		if o.Grant == "refresh_token" {
			f.Set("refresh_token", refresh)
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
		// An authorization server may give a new one with each use, and end the one before
		// (RFC 6749, 6), whichever session it was used for.
		refresh = cmp.Or(v.Get("refresh_token").Str(), refresh)
		s := &Session{Opened: time.Now(), Refresh: v.Get("refresh_token").Str(), Expires: expiryOf(token, v, ex.Sent)}
		s.Parts = []Part{{In: "header", Name: "Authorization", Prefix: "Bearer ", Value: token}}
		return s, ex, nil
	}}, nil
}
