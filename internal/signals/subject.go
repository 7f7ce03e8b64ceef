package signals

import (
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/guard/authn/posture"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/value"
)

// subject is whom an event is about, as keys of the shared sets.
type subject struct {
	sessions []string // of tokens and sessions
	users    []string
	devices  []string
	// foreign says that some identifier was of an issuer for which the transmitter may
	// not speak, and other that one was of a kind that no token here can be known by.
	foreign, other bool
}

// claimOf is the claim that identifiers of a format stand for, where the config
// says nothing.
var claimOf = map[string]string{
	"email": "email", "account": "email", "phone_number": "phone_number", "opaque": "sub", "uri": "sub", "did": "sub",
}

const (
	maxAliases = 64
	maxPart    = 1 << 10 // bytes of one member of an identifier
)

// readSubject reads a subject identifier (RFC 9493; SSF 1.0 section 3), whole or
// complex. device says that a simple one is a device's, as the event is about one.
func (r *transmitter) readSubject(v *value.Value, device bool) (*subject, error) {
	s := &subject{}
	if v == nil || v.Kind != value.Object {
		return nil, bad("the subject is missing or not an object")
	}
	if format(v) != "complex" && !isComplex(v) {
		into := &s.users
		if device {
			into = &s.devices
		}
		return s, r.identify(v, s, into, 0)
	}
	for i := range v.Kids {
		member := &v.Kids[i]
		var into *[]string
		switch member.Name {
		case "user":
			into = &s.users
		case "session":
			into = &s.sessions
		case "device":
			into = &s.devices
		case "application", "tenant", "org_unit", "group":
			s.other = true
			continue
		default:
			continue // "format", and members of later versions
		}
		if err := r.identify(member, s, into, 0); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// isComplex finds complex subjects of drafts, which have no format of their own.
func isComplex(v *value.Value) bool {
	return format(v) == "" && slices.ContainsFunc(v.Kids, func(k value.Value) bool {
		return k.Kind == value.Object && (k.Name == "user" || k.Name == "session" || k.Name == "device" || k.Name == "tenant")
	})
}

// format is the identifier's. Drafts call it subject_type and write hyphens.
func format(v *value.Value) string {
	f := v.Get("format").Str()
	if f == "" {
		f = strings.ReplaceAll(v.Get("subject_type").Str(), "-", "_")
	}
	return f
}

// identify adds the keys of one identifier.
func (r *transmitter) identify(v *value.Value, s *subject, into *[]string, depth int) error {
	if v.Kind != value.Object {
		return bad("a subject identifier is not an object")
	}
	text := func(name string) (string, error) {
		t := v.Get(name).Str()
		if t == "" || len(t) > maxPart {
			return "", bad("a subject identifier lacks " + name + ", or it is too long")
		}
		return t, nil
	}
	switch f := format(v); f {
	case "iss_sub":
		iss, err := text("iss")
		if err != nil {
			return err
		}
		sub, err := text("sub")
		if err != nil {
			return err
		}
		if !slices.Contains(r.issuers, iss) {
			s.foreign = true
			return nil
		}
		r.add(s, into, iss, "sub", sub)
	case "jwt_id":
		iss, err := text("iss")
		if err != nil {
			return err
		}
		jti, err := text("jti")
		if err != nil {
			return err
		}
		if !slices.Contains(r.issuers, iss) {
			s.foreign = true
			return nil
		}
		s.sessions = append(s.sessions, revocation.ForID(iss, jti))
	case "email", "phone_number", "opaque", "account", "uri", "did":
		name := map[string]string{"opaque": "id", "account": "uri", "did": "url"}[f]
		if name == "" {
			name = f
		}
		id, err := text(name)
		if err != nil {
			return err
		}
		if f == "account" {
			id = strings.TrimPrefix(id, "acct:")
		}
		claim := r.subjects[f]
		if claim == "" {
			claim = claimOf[f]
		}
		for _, iss := range r.issuers {
			r.add(s, into, iss, claim, id)
		}
	case "aliases":
		list := v.Get("identifiers")
		if depth > 0 || list == nil || list.Kind != value.Array || len(list.Kids) == 0 || len(list.Kids) > maxAliases {
			return bad("aliases are not a list of 1 to 64 identifiers")
		}
		for i := range list.Kids {
			if err := r.identify(&list.Kids[i], s, into, depth+1); err != nil {
				return err
			}
		}
	case "":
		return bad("a subject identifier has no format")
	default: // saml_assertion_id, ip-addresses, and what is yet to come
		s.other = true
	}
	return nil
}

// add adds the key of what an issuer calls id. Devices and sessions are called
// by their ids, people by a claim of their tokens.
func (r *transmitter) add(s *subject, into *[]string, iss, claim, id string) {
	var key string
	switch {
	case into == &s.devices:
		key = posture.Key(iss, id)
	case into == &s.sessions:
		key = revocation.ForSession(iss, id)
	case claim == "email":
		key = revocation.ForEmail(iss, id)
	case claim == "phone_number":
		key = revocation.ForPhone(iss, id)
	default:
		key = revocation.ForSubject(iss, id)
	}
	if !slices.Contains(*into, key) {
		*into = append(*into, key)
	}
}
