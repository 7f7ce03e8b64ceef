package signature

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// DefaultCovered is what a signature must cover where nothing else is said.
var DefaultCovered = []string{"@method", "@target-uri", "content-digest", "authorization"}

// Policy says which signatures are enough.
type Policy struct {
	// Covered are names of components. @target-uri may also be covered by
	// @request-target with @authority, or by @authority, @path and, where there is
	// one, @query. content-digest must be covered when the request has content,
	// other fields when it has the field.
	Covered []string
	// Tag is what a signature's tag must be; "" takes any.
	Tag string
	// MaxAge is for how long after created a signature is taken.
	MaxAge time.Duration
	// Skew is by how much clocks may differ.
	Skew time.Duration
	// NeedExpires and NeedNonce demand the parameters.
	NeedExpires, NeedNonce bool
}

// ErrStale is returned for a signature that is not of this time.
var ErrStale = errors.New("the signature is not of this time")

// Check reports why a signature is not enough for a request; content says that
// the request has some, or may have.
func (p *Policy) Check(s *Signature, m *Message, content bool, now time.Time) error {
	if p.Tag != "" && s.Tag != p.Tag {
		return fmt.Errorf("its tag is not %q", p.Tag)
	}
	if err := p.time(s, now); err != nil {
		return err
	}
	if p.NeedNonce && s.Nonce == "" {
		return errors.New("it has no nonce")
	}
	for _, name := range p.Covered {
		if err := s.covers(name, m, content); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) time(s *Signature, now time.Time) error {
	switch {
	case s.Created.IsZero():
		return fmt.Errorf("%w: it does not say when it was created", ErrStale)
	case s.Created.After(now.Add(p.Skew)):
		return fmt.Errorf("%w: it was created in the future", ErrStale)
	case now.Sub(s.Created) >= p.MaxAge+p.Skew:
		return fmt.Errorf("%w: it is older than %s", ErrStale, p.MaxAge)
	case s.Expires.IsZero() && p.NeedExpires:
		return fmt.Errorf("%w: it does not say when it expires", ErrStale)
	case s.Expires.IsZero():
		return nil
	case s.Expires.Before(s.Created):
		return fmt.Errorf("%w: it expires before it is created", ErrStale)
	case !now.Before(s.Expires.Add(p.Skew)):
		return fmt.Errorf("%w: it has expired", ErrStale)
	}
	return nil
}

// Life is for how long a signature could be used again.
func (p *Policy) Life(s *Signature, now time.Time) time.Duration {
	end := s.Created.Add(p.MaxAge + p.Skew)
	if e := s.Expires.Add(p.Skew); !s.Expires.IsZero() && e.Before(end) {
		end = e
	}
	return max(end.Sub(now), time.Second)
}

func (s *Signature) covers(name string, m *Message, content bool) error {
	switch {
	case name == "@target-uri":
		return s.coversTarget(m)
	case name == "content-digest" && !content, name[0] != '@' && name != "content-digest" && !has(m.Header, name):
		return nil
	case !s.Covers(name):
		return fmt.Errorf("it does not cover %s", name)
	}
	return nil
}

// coversTarget reports why a signature does not pin host, path and query down.
func (s *Signature) coversTarget(m *Message) error {
	if s.Covers("@target-uri") {
		return nil
	}
	if !s.Covers("@authority") && !s.Covers("host") {
		return errors.New("it covers neither @target-uri nor @authority")
	}
	if s.Covers("@request-target") {
		return nil
	}
	_, _, query, err := m.pathQuery()
	switch {
	case err != nil:
		return err
	case !s.Covers("@path"):
		return errors.New("it covers neither @target-uri nor @path")
	case query && !s.Covers("@query"):
		return errors.New("it does not cover @query, and the request has one")
	}
	return nil
}

// Covers reports whether a signature covers the whole of a component.
func (s *Signature) Covers(name string) bool {
	return slices.ContainsFunc(s.Components, func(c *Component) bool { return c.Name == name && c.whole() })
}
