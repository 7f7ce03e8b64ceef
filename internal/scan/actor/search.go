package actor

import (
	"context"
	"slices"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// option is a session that may be the one that counts.
type option struct {
	w way
	s *Session
}

// bundle is one secret in all the rarer places together.
type bundle struct {
	sec  secret
	list []carrier
}

// search looks for the way in which the credential of an answer is presented.
type search struct {
	p     *People
	as    string
	ex    *target.Exchange
	j     *jar
	facts map[string]string

	// What may be it, in the order of trying but for the cookies, which come
	// before first where the description or the want of a token says so.
	first, cookie, rest []option
	bundles             []bundle
	cookieFirst         bool

	best    option
	verdict verdict // of best
	done    bool
}

// find works out how the credential in an answer is to be presented, by trying.
// The answer is that of a login or a registration of the account with facts.
func (p *People) find(ctx context.Context, as string, ex *target.Exchange, j *jar, facts map[string]string) (way, *Session, verdict, error) {
	f := &search{p: p, as: as, ex: ex, j: j, facts: facts}
	f.gather()
	if err := f.tryAll(ctx); err != nil || f.verdict.sure == no {
		return way{}, nil, f.verdict, err
	}
	w := f.best.w
	if len(j.cookies) > 0 && !w.only {
		w.cookies = w.cookies || len(j.csrfParts(p.g)) > 0
	}
	s, ok := p.session(w, ex, j, facts)
	if !ok {
		return w, f.best.s, f.verdict, nil
	}
	s.takeOver(f.best.s)
	return w, s, f.verdict, nil
}

// gather lists what the answer, its cookies and the account itself offer.
func (f *search) gather() {
	declared := f.p.declaredCarriers()
	if len(f.j.cookies) > 0 {
		w := way{only: true}
		if s, ok := f.p.session(w, f.ex, f.j, f.facts); ok && len(s.Parts) > 0 {
			f.cookie = append(f.cookie, option{w, s})
		}
	}
	secrets := secretsIn(f.ex, f.facts)
	secrets = secrets[:min(len(secrets), 5)]
	kind, asked := tokenTypeIn(f.ex), f.p.schemesAsked()
	for _, sec := range secrets {
		single, together := carriersFor(sec, declared, kind, asked)
		for i, c := range single {
			f.offer(sec, c, i < 4+len(asked) && sec.rank < 5)
		}
		f.bundles = append(f.bundles, bundle{sec, together})
	}
	basic := slices.ContainsFunc(declared, func(c carrier) bool { return c.prefix == "Basic " })
	for _, pair := range pairs(f.facts) {
		single, together := carriersFor(pair, declared, "", nil)
		for _, c := range single {
			f.offer(pair, c, basic && c.prefix == "Basic ")
		}
		f.bundles = append(f.bundles, bundle{pair, together})
	}
	f.cookieFirst = len(secrets) == 0 || secrets[0].rank > 4 ||
		slices.ContainsFunc(declared, func(c carrier) bool { return c.in == "cookie" })
}

// offer keeps a secret in one place, among the likely ones or the others.
func (f *search) offer(sec secret, c carrier, early bool) {
	o := presented(sec, c)
	if early {
		f.first = append(f.first, o)
	} else {
		f.rest = append(f.rest, o)
	}
}

func presented(sec secret, c carrier) option {
	return option{way{secret: sec, carrier: c}, &Session{Parts: []Part{c.part(sec.value)}, Opened: time.Now()}}
}

// tryAll shows the options to witnesses until one is believed. The likeliest
// places are shown to more of them than the others.
func (f *search) tryAll(ctx context.Context) error {
	options := slices.Concat(f.first, f.cookie)
	if f.cookieFirst {
		options = slices.Concat(f.cookie, f.first)
	}
	if err := f.each(ctx, options, 3); err != nil {
		return err
	}
	// All other headers, cookies and parameters at once, before one by one.
	for _, b := range f.bundles {
		if f.done {
			break
		}
		var err error
		f.done, err = f.p.together(ctx, f.as, b.sec, b.list, f.facts, func(c carrier) (bool, error) {
			return f.try(ctx, presented(b.sec, c), 2)
		})
		if err != nil {
			return err
		}
	}
	if err := f.each(ctx, f.rest, 1); err != nil {
		return err
	}
	if f.verdict.sure >= likely || len(f.cookie) == 0 {
		return nil
	}
	// Perhaps a token and the cookies are both wanted.
	var both []option
	for _, o := range f.first[:min(3, len(f.first))] {
		o.w.cookies = true
		if s, ok := f.p.session(o.w, f.ex, f.j, f.facts); ok {
			both = append(both, option{o.w, s})
		}
	}
	return f.each(ctx, both, 3)
}

func (f *search) each(ctx context.Context, list []option, most int) error {
	for _, o := range list {
		if f.done {
			return nil
		}
		var err error
		if f.done, err = f.try(ctx, o, most); err != nil {
			return err
		}
	}
	return nil
}

// try shows an option to so many witnesses at most, and says whether the best so far is believed.
func (f *search) try(ctx context.Context, o option, most int) (bool, error) {
	v, err := f.p.examine(ctx, f.as, o.s, f.facts, most)
	if err != nil {
		return false, err
	}
	if v.sure > f.verdict.sure {
		f.best, f.verdict = o, v
	}
	return f.verdict.sure >= likely, nil
}
