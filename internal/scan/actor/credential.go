package actor

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// secret is something in an answer that may be a credential.
type secret struct {
	value  string
	prefix string // that it came with: "Bearer "
	from   string // where it was: "body /data/token", "header X-Auth-Token", "pair username" (made of the account itself)
	name   string // of the field or header
	rank   int    // the lower the likelier
}

var jwtText = regexp.MustCompile(`eyJ[A-Za-z0-9_+/-]{5,}={0,2}\.[A-Za-z0-9_+/-]{5,}={0,2}\.[A-Za-z0-9_+/-]*={0,2}`)

// secretsIn lists what an answer holds that looks like a credential, the
// likeliest first. known are values that the caller sent, which are none.
func secretsIn(ex *target.Exchange, known map[string]string) []secret {
	var out []secret
	seen := map[string]bool{}
	for _, v := range known {
		seen[v] = true
	}
	add := func(s secret) {
		if s.value == "" || len(s.value) > 16<<10 || seen[s.value] || headerText(s.value) != s.value || headerText(s.prefix) != s.prefix {
			return
		}
		seen[s.value] = true
		out = append(out, s)
	}
	for name, vs := range ex.Header {
		for _, v := range vs {
			prefix := ""
			rank, is := headerRank(name)
			if !is {
				if jwtText.FindString(v) != v || v == "" {
					continue
				}
				rank = 2
			}
			if scheme, rest, ok := strings.Cut(v, " "); ok && rest != "" && len(scheme) < 12 {
				prefix, v = scheme+" ", strings.TrimSpace(rest)
			}
			add(secret{v, prefix, "header " + name, name, rank})
		}
	}
	v := tree(ex)
	if v == nil {
		text := strings.TrimSpace(string(ex.Body[:min(len(ex.Body), 64<<10)]))
		switch {
		case jwtText.MatchString(text):
			add(secret{jwtText.FindString(text), "", "text", "", 1})
		case opaque(text):
			add(secret{text, "", "text", "", 4})
		}
	}
	for _, s := range scalars(v) {
		if s.v.Kind != value.String && s.v.Kind != value.Number {
			continue
		}
		text, prefix := strings.TrimSpace(s.v.Text), ""
		if scheme, rest, ok := strings.Cut(text, " "); ok && (strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "token") || strings.EqualFold(scheme, "jwt") || strings.EqualFold(scheme, "basic")) {
			prefix, text = scheme+" ", strings.TrimSpace(rest)
		}
		rank, is := fieldRank(s.name, s.above)
		if rank < 0 {
			continue
		}
		_, jwt := jwtClaims(text)
		switch {
		case is && s.v.Kind == value.Number && len(text) < 4, is && strings.Contains(text, " "):
			continue
		case is:
		case jwt:
			rank = 2
		case s.name == "" && opaque(text): // the whole answer is a string
			rank = 3
		case s.v.Kind == value.String && opaque(text) && s.name != "":
			rank = 8
		default:
			continue
		}
		if jwt {
			rank--
		}
		add(secret{text, prefix, "body " + s.pointer, s.name, rank})
	}
	slices.SortStableFunc(out, func(a, b secret) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.from, b.from))
	})
	return out
}

// fieldRank says whether a member is called like a credential, and how surely.
// Below 0: it surely is none that makes a request somebody's.
func fieldRank(name string, above []string) (rank int, is bool) {
	w := words(name)
	joined := strings.Join(w, "")
	switch {
	case anyWord(w, "csrf", "xsrf") || strings.Contains(joined, "csrf"), anyWord(w, "type", "expires", "expiry", "expiration", "ttl") && len(w) > 1,
		anyWord(w, "refresh"), joined == "tokentype", anyWord(w, "reset", "verification", "confirmation", "activation"), anyWord(w, "password", "hash"),
		joined == "email", joined == "url", joined == "avatar", joined == "uuid", joined == "requestid", joined == "traceid", joined == "correlationid":
		return -1, false
	}
	switch joined {
	case "accesstoken", "authtoken", "authenticationtoken", "bearertoken", "access":
		return 0, true
	case "token", "jwt", "jwttoken", "sessiontoken", "apitoken", "usertoken", "bearer", "authorization", "authorizationtoken":
		return 1, true
	case "idtoken", "apikey", "xapikey", "accesskey", "secretkey", "authkey", "appkey", "clientkey", "apisecret", "key":
		return 3, true
	case "sessionid", "sessionkey", "session", "sid", "sessid", "jsessionid", "ticket", "auth", "credential", "credentials":
		return 3, true
	}
	if anyWord(w, "token", "jwt") {
		return 2, true
	}
	if anyWord(w, "apikey", "session") || strings.Contains(joined, "apikey") {
		return 4, true
	}
	for _, a := range above {
		if n := strings.Join(words(a), ""); n == "token" || n == "tokens" || n == "jwt" || n == "accesstoken" || n == "session" {
			if joined == "value" || joined == "access" || joined == "id" && n == "session" || joined == "key" {
				return 2, true
			}
		}
	}
	return 9, false
}

func headerRank(name string) (int, bool) {
	n := strings.Join(words(strings.TrimPrefix(strings.ToLower(name), "x-")), "")
	switch n {
	case "authorization":
		return 0, true
	case "authtoken", "accesstoken", "token", "subjecttoken", "jwt", "sessiontoken", "apitoken", "usertoken", "authenticationtoken":
		return 1, true
	case "apikey", "sessionid", "session", "auth":
		return 3, true
	}
	return 9, false
}

// opaque: a text that looks as if a machine had drawn it.
func opaque(s string) bool {
	if len(s) < 16 || len(s) > 4096 {
		return false
	}
	digits, letters, other := 0, 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			letters++
		case strings.IndexByte("-_.~+/=:|", c) >= 0:
			other++
		default:
			return false
		}
	}
	if strings.HasPrefix(s, "http") || strings.HasPrefix(s, "/") || strings.HasPrefix(s, "$2") || strings.Count(s, "-") >= 2 && strings.Count(s, ":") >= 2 {
		return false // an address, a path, a hash, a time
	}
	return digits >= 2 && letters >= 2 && other <= len(s)/4
}

// refreshIn is the refresh token of an answer.
func refreshIn(v *value.Value) string {
	for _, s := range scalars(v) {
		w := words(s.name)
		joined := strings.Join(w, "")
		if s.v.Kind == value.String && s.v.Text != "" && (joined == "refreshtoken" || joined == "refresh" || joined == "refreshjwt") {
			return s.v.Text
		}
	}
	return ""
}

// at takes the secret out of another answer of the same kind.
func (s secret) at(ex *target.Exchange) (secret, bool) {
	for _, other := range secretsIn(ex, nil) {
		if other.from == s.from {
			other.prefix = s.prefix
			return other, true
		}
	}
	return secret{}, false
}

// carrier is a place for a credential.
type carrier struct {
	in, name, prefix string
	declared         bool
}

func (c carrier) part(value string) Part {
	return Part{In: c.in, Name: c.name, Prefix: c.prefix, Value: value}
}

// authSchemes are what stands before a credential in Authorization. "Token token="
// is a scheme with a parameter, as Rails reads it.
var authSchemes = []string{"Bearer ", "Token ", "Token token=", "JWT ", ""}

// plainHeaders are where APIs take credentials that do not go by Authorization.
var plainHeaders = []string{"X-Auth-Token", "X-Access-Token", "X-API-Key", "Token", "X-Token", "X-Session-Token", "X-Session-Id", "X-Api-Token", "X-User-Token", "Access-Token", "Api-Key", "Auth-Token",
	"X-Authorization", "Authorization-Token", "X-JWT", "X-JWT-Token", "X-Auth", "X-Session", "Session-Id", "Session", "Auth", "JWT", "Authentication", "X-Authentication"}

var cookieNames = []string{"token", "access_token", "jwt", "session", "session_id", "sessionid", "sid", "auth_token", "auth", "connect.sid"}
var queryNames = []string{"token", "access_token", "api_key", "apikey", "key", "auth_token", "session", "sid", "jwt", "auth"}

// carriersFor lists where a secret may be presented. The first list is tried one by
// one; the second all at once first, for nothing in it excludes anything else in it.
// asked are the schemes that refusals ask for.
func carriersFor(s secret, declared []carrier, tokenType string, asked []string) (single, together []carrier) {
	seen := map[carrier]bool{}
	put := func(list *[]carrier, c carrier) {
		key := c
		key.declared, key.name = false, strings.ToLower(c.name)
		if !seen[key] {
			seen[key] = true
			*list = append(*list, c)
		}
	}
	auth := func(prefix string) { put(&single, carrier{in: "header", name: "Authorization", prefix: prefix}) }
	if strings.HasPrefix(s.from, "pair") {
		auth("Basic ")
		for _, d := range declared {
			if d.name != "Authorization" {
				put(&single, carrier{in: d.in, name: d.name, declared: true})
			}
		}
		for _, n := range plainHeaders {
			put(&together, carrier{in: "header", name: n})
		}
		return single, together
	}
	if s.prefix != "" {
		auth(s.prefix)
	}
	for _, d := range declared {
		if d.prefix != "Basic " || looksPair(s.value) {
			put(&single, d)
		}
	}
	if validName(tokenType) != "" && len(tokenType) < 16 {
		auth(strings.ToUpper(tokenType[:1]) + tokenType[1:] + " ")
	}
	for _, scheme := range asked {
		auth(scheme + " ")
		if strings.EqualFold(scheme, "token") {
			auth(scheme + " token=")
		}
	}
	if strings.HasPrefix(s.from, "header ") && !strings.EqualFold(s.name, "Authorization") {
		put(&single, carrier{in: "header", name: s.name})
	}
	for _, p := range authSchemes {
		auth(p)
	}
	if looksPair(s.value) {
		auth("Basic ")
	}
	for _, d := range declared {
		if d.name == "Authorization" {
			continue
		}
		for _, p := range []string{"", "Bearer ", "Token "} {
			put(&single, carrier{in: d.in, name: d.name, prefix: p, declared: true})
		}
	}
	// The name of the field may be that of its place.
	if validName(s.name) != "" && !strings.HasPrefix(s.from, "header ") {
		put(&together, carrier{in: "cookie", name: s.name})
		put(&together, carrier{in: "query", name: s.name})
		if n := headerName(s.name); n != "" {
			put(&together, carrier{in: "header", name: n})
			put(&together, carrier{in: "header", name: "X-" + n})
		}
	}
	for _, n := range plainHeaders {
		put(&together, carrier{in: "header", name: n})
	}
	for _, n := range cookieNames {
		put(&together, carrier{in: "cookie", name: n})
	}
	for _, n := range queryNames {
		put(&together, carrier{in: "query", name: n})
	}
	for _, p := range []string{"Bearer token=", "ApiKey ", "Api-Key ", "Key ", "Session ", "Basic ", "OAuth "} {
		put(&single, carrier{in: "header", name: "Authorization", prefix: p})
	}
	return single, together
}

// schemesAsked are the schemes that refusals ask for (WWW-Authenticate, RFC 9110,
// section 11.6.1), but those that are no place for a token.
func schemesAsked(refusals []*target.Exchange) []string {
	var out []string
	for _, ex := range refusals {
		for _, line := range ex.Header["Www-Authenticate"] {
			scheme, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			scheme = strings.TrimSuffix(scheme, ",")
			switch strings.ToLower(scheme) {
			case "", "basic", "digest", "negotiate", "ntlm", "dpop":
				continue
			}
			if validName(scheme) != "" && len(scheme) < 24 && len(out) < 2 && !slices.Contains(out, scheme) {
				out = append(out, scheme)
			}
		}
	}
	return out
}

// headerName writes a member's name as a header's: "authToken" as "Auth-Token".
func headerName(name string) string {
	w := words(name)
	for i := range w {
		for _, r := range w[i] {
			if r > 126 {
				return ""
			}
		}
		w[i] = strings.ToUpper(w[i][:1]) + w[i][1:]
	}
	return validName(strings.Join(w, "-"))
}

// looksPair: the base64 form of "name:password" or of "token:".
func looksPair(s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && len(b) > 2 && strings.Contains(string(b), ":")
}

// pairs are the ways of Basic for an account.
func pairs(facts map[string]string) []secret {
	var out []secret
	pw := facts[factPassword]
	if pw == "" {
		return nil
	}
	for _, who := range []string{factUsername, factEmail} {
		if facts[who] != "" {
			out = append(out, secret{value: base64.StdEncoding.EncodeToString([]byte(facts[who] + ":" + pw)), from: "pair " + who, rank: 5})
		}
	}
	return out
}

// cookiesOf reads the cookies that an answer sets; gone are those that it takes away.
func cookiesOf(ex *target.Exchange) (set []*http.Cookie, gone []string) {
	for _, line := range ex.Header["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			continue
		}
		if c.MaxAge < 0 || c.Value == "" || !c.Expires.IsZero() && c.Expires.Before(ex.Sent) {
			gone = append(gone, c.Name)
			continue
		}
		set = append(set, c)
	}
	return set, gone
}

// cookieRank puts the cookies that are likelier to be the session first.
func cookieRank(c *http.Cookie) int {
	w := words(c.Name)
	joined := strings.Join(w, "")
	_, jwt := jwtClaims(c.Value)
	switch {
	case isCSRFName(c.Name):
		return 9
	case jwt || anyWord(w, "session", "token", "jwt", "auth", "sid", "sess") || strings.Contains(joined, "sess") || strings.HasSuffix(joined, "sid"):
		return 0
	case c.HttpOnly:
		return 1
	case opaque(c.Value):
		return 2
	}
	return 3
}

func isCSRFName(name string) bool {
	j := strings.Join(words(name), "")
	return strings.Contains(j, "csrf") || strings.Contains(j, "xsrf") || strings.Contains(j, "authenticitytoken") || strings.Contains(j, "antiforgery") || strings.Contains(j, "requestverificationtoken")
}
