package authn

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// maxDate is the largest NumericDate taken: the end of the year 9999.
const maxDate = 253402300799

// date reads a NumericDate (RFC 7519 section 2).
func date(claims *value.Value, name string) (t time.Time, present bool, f *failure) {
	v := claims.Get(name)
	if v == nil {
		return time.Time{}, false, nil
	}
	n, err := strconv.ParseFloat(v.Text, 64)
	if v.Kind != value.Number || err != nil || n < 0 || n > maxDate {
		return time.Time{}, false, fail("authn.malformed", "claim "+name+" is not a date")
	}
	whole, part := math.Modf(n)
	return time.Unix(int64(whole), int64(part*1e9)), true, nil
}

// window checks the token's times against the clock, with the skew allowed, and
// returns from when until when it may be used.
func window(claims *value.Value, now time.Time, skew time.Duration, requireExp bool) (from, until time.Time, f *failure) {
	exp, hasExp, f := date(claims, "exp")
	if f != nil {
		return from, until, f
	}
	nbf, hasNbf, f := date(claims, "nbf")
	if f != nil {
		return from, until, f
	}
	iat, hasIat, f := date(claims, "iat")
	if f != nil {
		return from, until, f
	}
	if !hasExp && requireExp {
		return from, until, fail("authn.expired", "the token has no exp: it would be good for ever")
	}
	if hasExp {
		until = exp.Add(skew)
		if hasIat && exp.Before(iat) || hasNbf && exp.Before(nbf) {
			return from, until, fail("authn.malformed", "the token expires before it begins")
		}
		if !now.Before(until) {
			return from, until, fail("authn.expired", "the token expired at "+exp.UTC().Format(time.RFC3339))
		}
	}
	if hasNbf {
		from = nbf.Add(-skew)
	}
	if i := iat.Add(-skew); hasIat && i.After(from) {
		from = i
	}
	if now.Before(from) {
		return from, until, fail("authn.not_yet_valid", "the token is not valid before "+from.Add(skew).UTC().Format(time.RFC3339))
	}
	return from, until, nil
}

// audience checks aud against those wanted. Nothing wanted: nothing checked.
func audience(claims *value.Value, want []string) *failure {
	aud := claims.Get("aud")
	var have []string
	if aud != nil {
		var ok bool
		if have, ok = texts(aud); !ok {
			return fail("authn.malformed", "claim aud is neither a string nor a list of strings")
		}
	}
	if len(want) == 0 {
		return nil
	}
	for _, a := range have {
		if slices.Contains(want, a) {
			return nil
		}
	}
	if len(have) == 0 {
		return fail("authn.audience", "the token names no audience (aud)")
	}
	const told = 3 // who takes too few audiences sees which with the first ones
	for i, a := range have[:min(told, len(have))] {
		have[i] = sent(a)
	}
	return fail("authn.audience", "the token is for "+strings.Join(have[:min(told, len(have))], ", ")+", and not for this API")
}

// texts reads a string or a list of strings.
func texts(v *value.Value) ([]string, bool) {
	switch v.Kind {
	case value.String:
		return []string{v.Text}, true
	case value.Array:
		out := make([]string, 0, len(v.Kids))
		for i := range v.Kids {
			if v.Kids[i].Kind != value.String {
				return nil, false
			}
			out = append(out, v.Kids[i].Text)
		}
		return out, true
	}
	return nil, false
}

// claim follows a dotted path. Names may hold dots themselves, as
// "https://example.com/roles" does: the longest name that is there wins.
func claim(v *value.Value, path string) *value.Value {
	if m := v.Get(path); m != nil {
		return m
	}
	for i := len(path) - 1; i > 0; i-- {
		if path[i] != '.' {
			continue
		}
		if m := v.Get(path[:i]); m != nil && m.Kind == value.Object {
			if found := claim(m, path[i+1:]); found != nil {
				return found
			}
		}
	}
	return nil
}

// mapping is a method's Claims, with the defaults told apart from a choice.
type mapping struct{ subject, roles, tenant, scope string }

func newMapping(c config.Claims) mapping {
	m := mapping{c.Subject, c.Roles, c.Tenant, c.Scope}
	// The config fills in its defaults; here they stand for "as issuers do it".
	if m.subject == "sub" {
		m.subject = ""
	}
	if m.roles == "roles" {
		m.roles = ""
	}
	if m.scope == "scope" {
		m.scope = ""
	}
	return m
}

// identity reads the caller from verified claims.
func (m mapping) identity(claims *value.Value) (*exchange.Identity, *failure) {
	id := &exchange.Identity{Method: "jwt", Verified: true, Memo: new(exchange.Memo)}
	var f *failure
	take := func(path string) string {
		if path == "" || f != nil {
			return ""
		}
		v := claim(claims, path)
		if v == nil || v.Kind == value.Null {
			return ""
		}
		if path == m.tenant && v.Kind == value.Array && len(v.Kids) == 1 {
			v = &v.Kids[0] // Keycloak lists a user's organizations; of one it is clear which is meant
		}
		// Ids are numbers in many APIs; the literal is the id.
		if v.Kind != value.String && v.Kind != value.Number || !plain(v.Text) {
			f = fail("authn.malformed", "claim "+path+" is not a short string or number")
			return ""
		}
		return v.Text
	}
	first := func(paths ...string) string {
		for _, p := range paths {
			if s := take(p); s != "" {
				return s
			}
		}
		return ""
	}
	id.Issuer = take("iss")
	id.ClientID = first("client_id", "azp", "appid", "cid")
	if m.subject == "" {
		id.Subject = take("sub")
	} else {
		id.Subject = take(m.subject)
	}
	id.Tenant = take(m.tenant)
	id.Session = first("sid", "jti")
	if f != nil {
		return nil, f
	}
	if id.Subject == "" {
		// A client of its own (client credentials) may have no other subject.
		if m.subject != "" || id.ClientID == "" {
			return nil, fail("authn.invalid", "the token names no subject")
		}
		id.Subject = id.ClientID
	}
	if id.Roles, f = m.readRoles(claims); f != nil {
		return nil, f
	}
	if id.Scopes, f = m.readScopes(claims); f != nil {
		return nil, f
	}
	if id.Issued, f = issuedAt(claims); f != nil {
		return nil, f
	}
	id.Claims, _ = decoded(claims).(map[string]any)
	return id, nil
}

// readRoles takes a string as one role, a list of strings, or an object whose
// names are the roles (as Zitadel writes them). Unless told otherwise it reads
// "roles", and Keycloak's "realm_access.roles" beside it.
func (m mapping) readRoles(claims *value.Value) ([]string, *failure) {
	paths := []string{m.roles}
	if m.roles == "" {
		paths = []string{"roles", "realm_access.roles"}
	}
	var out []string
	for _, path := range paths {
		v := claim(claims, path)
		if v == nil || v.Kind == value.Null {
			continue
		}
		var list []string
		ok := true
		if v.Kind == value.Object {
			for i := range v.Kids {
				list = append(list, v.Kids[i].Name)
			}
		} else {
			list, ok = texts(v)
		}
		for _, r := range list {
			ok = ok && plain(r)
			if r != "" && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
		if !ok {
			return nil, fail("authn.malformed", "claim "+path+" holds no list of roles")
		}
	}
	return out, nil
}

// readScopes takes the space-delimited string of RFC 8693 and RFC 9068, or a list.
func (m mapping) readScopes(claims *value.Value) ([]string, *failure) {
	paths := []string{m.scope}
	if m.scope == "" {
		paths = []string{"scope", "scp"}
	}
	for _, path := range paths {
		v := claim(claims, path)
		if v == nil || v.Kind == value.Null {
			continue
		}
		list, ok := texts(v)
		var out []string
		for _, s := range list {
			out = append(out, strings.Fields(s)...)
		}
		for _, s := range out {
			ok = ok && plain(s)
		}
		if !ok {
			return nil, fail("authn.malformed", "claim "+path+" holds no scopes")
		}
		return out, nil
	}
	return nil, nil
}

// plain reports whether a value may go into headers, logs and policies: short
// and without control characters.
func plain(s string) bool {
	if len(s) > maxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// decoded is v as decoded JSON with numbers as float64, owning its strings.
func decoded(v *value.Value) any {
	switch v.Kind {
	case value.Bool:
		return v.Text == "true"
	case value.Number:
		n, _ := strconv.ParseFloat(v.Text, 64) // the decoder refused what does not fit
		return n
	case value.String:
		return v.Text
	case value.Array:
		out := make([]any, len(v.Kids))
		for i := range v.Kids {
			out[i] = decoded(&v.Kids[i])
		}
		return out
	case value.Object:
		out := make(map[string]any, len(v.Kids))
		for i := range v.Kids {
			out[v.Kids[i].Name] = decoded(&v.Kids[i])
		}
		return out
	}
	return nil
}
