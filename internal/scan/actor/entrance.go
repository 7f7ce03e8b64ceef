package actor

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// entrance is how an account gets a session: what is sent, where in the answer
// the credential is, and how it is presented. It is found once, by trying, and
// used again for every other account and every renewal.
type entrance struct {
	form *form // nil: there is no call to log in
	// fetch gets a session without a form: from the configuration, or from a registration.
	fetch func(ctx context.Context, a *Actor) (*Session, *target.Exchange, error)
	way   way
	fixed bool // fetch gives the same each time
}

// way is where a credential is found and how it is presented.
type way struct {
	secret  secret // value is not used
	carrier carrier
	cookies bool // the answer's cookies go along
	only    bool // the cookies are all there is
}

// jar is the cookies and the CSRF token that answers have given so far.
type jar struct {
	cookies []*http.Cookie
	csrf    string
	header  string // that csrf goes in
	field   string // of a form, that csrf goes in
}

func (j *jar) take(ex *target.Exchange) {
	set, gone := cookiesOf(ex)
	for _, c := range set {
		j.cookies = append(slices.DeleteFunc(j.cookies, func(o *http.Cookie) bool { return o.Name == c.Name }), c)
	}
	j.cookies = slices.DeleteFunc(j.cookies, func(o *http.Cookie) bool { return slices.Contains(gone, o.Name) })
	if token, header, field := csrfIn(ex); token != "" {
		j.csrf, j.header, j.field = headerText(token), headerText(header), field
	}
}

// parts writes the jar as a session's parts, the likeliest session cookie first.
func (j *jar) parts(g *graph.Graph) []Part {
	cookies := slices.Clone(j.cookies)
	slices.SortStableFunc(cookies, func(a, b *http.Cookie) int { return cookieRank(a) - cookieRank(b) })
	var out []Part
	for _, c := range cookies {
		out = append(out, Part{In: "cookie", Name: c.Name, Value: c.Value, CSRF: isCSRFName(c.Name)})
	}
	return append(out, j.csrfParts(g)...)
}

// csrfParts are the header fields by which a request shows that it is no
// other site's: the token that an answer gave, or a cookie's value once more (double submit).
func (j *jar) csrfParts(g *graph.Graph) []Part {
	token, header := j.csrf, j.header
	var double *http.Cookie
	for _, c := range j.cookies {
		if isCSRFName(c.Name) {
			double = c
		}
	}
	if double != nil && !double.HttpOnly && (token == "" || header == "") {
		token = double.Value
		switch strings.ToLower(double.Name) {
		case "xsrf-token", "xsrf_token":
			header = "X-XSRF-TOKEN"
		case "csrftoken":
			header = "X-CSRFToken"
		}
	}
	if token == "" {
		return nil
	}
	if h := declaredCSRF(g); h != "" {
		header = h
	}
	if header == "" {
		header = "X-CSRF-Token"
	}
	return []Part{{In: "header", Name: header, Value: token, CSRF: true}}
}

// declaredCSRF is the header parameter for it that the description knows.
func declaredCSRF(g *graph.Graph) string {
	for _, op := range g.Ops {
		for _, p := range op.Parameters {
			if p.In == "header" && isCSRFName(p.Name) {
				return p.Name
			}
		}
	}
	return ""
}

// tokenTypeIn is what an answer calls the kind of its token ("Bearer").
func tokenTypeIn(ex *target.Exchange) string {
	for _, s := range scalars(tree(ex)) {
		if j := strings.Join(words(s.name), ""); j == "tokentype" || j == "authtype" || j == "authscheme" {
			return s.v.Text
		}
	}
	return ""
}

// session makes the session that a way takes from an answer; ok is false when what it needs is not there.
func (p *People) session(w way, ex *target.Exchange, j *jar, facts map[string]string) (*Session, bool) {
	s := &Session{Opened: time.Now()}
	switch {
	case w.only:
		if len(j.cookies) == 0 {
			return nil, false
		}
	case strings.HasPrefix(w.secret.from, "pair "):
		for _, pair := range pairs(facts) {
			if pair.from == w.secret.from {
				s.Parts = append(s.Parts, w.carrier.part(pair.value))
			}
		}
		if len(s.Parts) == 0 {
			return nil, false
		}
	default:
		found, ok := w.secret.at(ex)
		if !ok {
			return nil, false
		}
		s.Parts = append(s.Parts, w.carrier.part(found.value))
		s.Expires = expiryOf(found.value, tree(ex), ex.Sent)
	}
	if w.cookies || w.only {
		for _, part := range j.parts(p.g) {
			if len(s.Parts) == 0 || part.In != s.Parts[0].In || part.Name != s.Parts[0].Name {
				s.Parts = append(s.Parts, part)
			}
		}
		if w.only {
			for _, c := range j.cookies {
				if len(s.Parts) > 0 && c.Name == s.Parts[0].Name {
					s.Expires = cookieEnd(c, ex.Sent)
				}
			}
		}
	}
	s.Refresh = refreshIn(tree(ex))
	p.hide(s)
	return s, true
}

// maxCookieAge is 400 days in seconds: browsers keep no cookie longer (RFC 6265bis, 5.5),
// and more than 292 years are no Duration.
const maxCookieAge = 400 * 86400

func cookieEnd(c *http.Cookie, now time.Time) time.Time {
	if c.MaxAge > 0 {
		return now.Add(time.Duration(min(c.MaxAge, maxCookieAge)) * time.Second)
	}
	return c.Expires
}

// hide keeps a session's credentials out of all records.
func (p *People) hide(s *Session) {
	for _, part := range s.Parts {
		p.c.Secrets().Add(part.Value)
	}
	p.c.Secrets().Add(s.Refresh)
}

// declaredCarriers are the places for credentials that the description says or implies.
func (p *People) declaredCarriers() []carrier {
	var out []carrier
	for _, c := range p.g.Carriers {
		d := carrier{in: c.In, name: c.Name, prefix: c.Prefix, declared: true}
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// schemesAsked are the schemes that the witnesses ask nobody for.
func (p *People) schemesAsked() []string {
	var refusals []*target.Exchange
	for _, w := range p.panel() {
		refusals = append(refusals, w.nobody)
	}
	return schemesAsked(refusals)
}

// takeOver takes the values that o's parts have come to have while it was tried.
func (s *Session) takeOver(o *Session) {
	s.rotates = o.rotating()
	if !s.rotates {
		return
	}
	for _, part := range o.Snapshot() {
		for i := range s.Parts {
			if s.Parts[i].In == part.In && s.Parts[i].Name == part.Name {
				s.Parts[i].Value = part.Value
			}
		}
	}
}

// together presents a secret in many places at once, and when that is of use
// finds out by halves which one it is.
func (p *People) together(ctx context.Context, as string, sec secret, list []carrier, facts map[string]string, try func(carrier) (bool, error)) (bool, error) {
	if len(list) == 0 {
		return false, nil
	}
	works := func(cs []carrier) (bool, error) {
		s := &Session{}
		for _, c := range cs {
			s.Parts = append(s.Parts, c.part(sec.value))
		}
		v, err := p.examine(ctx, as, s, facts, 2)
		return v.sure >= maybe, err
	}
	if ok, err := works(list); err != nil || !ok {
		return false, err
	}
	for len(list) > 1 {
		half := list[:len(list)/2]
		ok, err := works(half)
		if err != nil {
			return false, err
		}
		if ok {
			list = half
		} else {
			list = list[len(list)/2:]
		}
	}
	return try(list[0])
}
