package actor

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// Config is what the user says of accounts. The zero value is good: then the run
// makes its own, where the API lets it.
type Config struct {
	// Run is the run's id: accounts carry it, so that a second run does not collide.
	Run string `yaml:"-"`
	// Seed of everything that is drawn.
	Seed uint64 `yaml:"-"`
	// Dir is the folder that files are named relative to; "" the working directory.
	Dir string `yaml:"-"`

	// NoRegister keeps the run from making accounts.
	NoRegister bool `yaml:"no_register"`
	// Accounts by actor: "user", "peer", "foreign", "admin", or any other name.
	Accounts map[string]Account `yaml:"accounts"`
	// WFC is a Web Fuzzing Commons authentication file, read as well. Its users
	// are the actors of the same name; the first others become user, peer ….
	WFC string `yaml:"wfc"`
}

// Account says how one actor gets its credentials. Exactly one of the ways is given;
// Login alone means the API's own login, found by trying.
type Account struct {
	// Role as the API calls it; shown in reports.
	Role string `yaml:"role"`
	// Facts are what is known of the account: id, email, username, tenant ….
	Facts map[string]Secret `yaml:"facts"`

	// Headers, Cookies and Query are sent as they are.
	Headers map[string]Secret `yaml:"headers"`
	Cookies map[string]Secret `yaml:"cookies"`
	Query   map[string]Secret `yaml:"query"`
	// Basic is RFC 7617.
	Basic *Basic `yaml:"basic"`
	// Digest is RFC 7616.
	Digest *Basic `yaml:"digest"`
	// Bearer is a token of RFC 6750.
	Bearer Secret `yaml:"bearer"`
	// APIKey is a key in a header, query parameter or cookie.
	APIKey *APIKey `yaml:"api_key"`
	// Login is an account that logs in by the API's own operation.
	Login *Login `yaml:"login"`
	// OAuth2 gets tokens at an authorization server.
	OAuth2 *OAuth2 `yaml:"oauth2"`
	// Steps are requests that end in a credential.
	Steps *Steps `yaml:"steps"`
	// Script is a command that prints the credentials.
	Script *Script `yaml:"script"`

	create *LoginStep     // makes the account, once
	draw   []wfcGenerator // what placeholders in Steps and create stand for
}

// Basic is a user name and a password.
type Basic struct {
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
}

// APIKey is a key and where it goes.
type APIKey struct {
	In    string `yaml:"in"` // "header", "query", "cookie"
	Name  string `yaml:"name"`
	Value Secret `yaml:"value"`
}

// Login is an account for the API's own login operation. Fields are sent under
// whatever names that operation has for them.
type Login struct {
	Email    string `yaml:"email"`
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
}

// OAuth2 is a grant of RFC 6749.
type OAuth2 struct {
	Grant        string `yaml:"grant"`     // "client_credentials", "password", "refresh_token"
	TokenURL     string `yaml:"token_url"` // whole address; its origin must be in scope
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
	// Auth is how the client shows itself: "basic" (default) or "body".
	Auth         string            `yaml:"auth"`
	Username     string            `yaml:"username"`
	Password     Secret            `yaml:"password"`
	RefreshToken Secret            `yaml:"refresh_token"`
	Scopes       []string          `yaml:"scopes"`
	Extra        map[string]string `yaml:"extra"` // further parameters: audience, resource …
}

// Steps are requests, in order, each of which may save values for those after it
// and for Use. Cookies are kept from one to the next.
type Steps struct {
	Requests []LoginStep `yaml:"requests"`
	// Use are the credentials: "${token}" stands for what a step saved.
	Use []Use `yaml:"use"`
	// Cookies sends the cookies that the steps brought along.
	Cookies bool `yaml:"cookies"`
}

// LoginStep is one request.
type LoginStep struct {
	Method string            `yaml:"method"`
	Path   string            `yaml:"path"` // or a whole address, whose origin must be in scope
	Root   bool              `yaml:"root"` // Path is from the root of the host, not below the base path
	Header map[string]string `yaml:"headers"`
	Body   string            `yaml:"body"`
	Type   string            `yaml:"type"` // of the body; "" is application/json
	Save   []SaveValue       `yaml:"save"`
	// Status that is expected: "2xx" when "".
	Status string `yaml:"status"`
}

// SaveValue takes a value out of an answer.
type SaveValue struct {
	As      string `yaml:"as"`
	At      string `yaml:"at"` // JSON pointer
	Header  string `yaml:"header"`
	Cookie  string `yaml:"cookie"`
	Pattern string `yaml:"pattern"` // first group of a regular expression over the body, or over the header when both are given
}

// Use is a credential and where it goes.
type Use struct {
	In    string `yaml:"in"`
	Name  string `yaml:"name"`
	Value string `yaml:"value"` // "Bearer ${token}"
	CSRF  bool   `yaml:"csrf"`
}

// Script is a command. It prints JSON, {"headers": {…}, "cookies": {…}, "query":
// {…}, "token": "…", "expires_in": 300}, or header lines "Name: value".
type Script struct {
	Command []string          `yaml:"command"`
	Timeout time.Duration     `yaml:"timeout"` // 0: 30 s
	Env     map[string]Secret `yaml:"env"`
}

// Secret is a text, or where to find it: {env: NAME} or {file: PATH}. It prints as
// [redacted].
type Secret struct {
	text, env, file string
}

// Text makes a Secret of a text.
func Text(s string) Secret { return Secret{text: s} }

// UnmarshalYAML reads a Secret.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if unmarshal(&text) == nil {
		*s = Secret{text: text}
		return nil
	}
	var m map[string]string
	if err := unmarshal(&m); err != nil || len(m) != 1 || m["env"] == "" && m["file"] == "" {
		return errors.New("a secret is a text, {env: NAME} or {file: PATH}")
	}
	*s = Secret{env: m["env"], file: m["file"]}
	return nil
}

// String does not show the secret.
func (s Secret) String() string {
	switch {
	case s.env != "":
		return "{env: " + s.env + "}"
	case s.file != "":
		return "{file: " + s.file + "}"
	case s.text == "":
		return ""
	}
	return "[redacted]"
}

// GoString does not show the secret either.
func (s Secret) GoString() string { return s.String() }

// MarshalText writes what String shows.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// IsZero reports whether no secret was given.
func (s Secret) IsZero() bool { return s == Secret{} }

// reveal gets the secret.
func (s Secret) reveal(dir string) (string, error) {
	switch {
	case s.env != "":
		v, ok := os.LookupEnv(s.env)
		if !ok || v == "" {
			return "", fmt.Errorf("the environment variable %s is not set", s.env)
		}
		return v, nil
	case s.file != "":
		b, err := os.ReadFile(under(dir, s.file))
		if err != nil {
			return "", fmt.Errorf("reading a secret: %w", err)
		}
		v := strings.TrimRight(string(b), "\r\n")
		if v == "" {
			return "", fmt.Errorf("the file %s, which should hold a secret, is empty", s.file)
		}
		return v, nil
	}
	return s.text, nil
}

func under(dir, name string) string {
	if dir == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return dir + "/" + name
}

var actorName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,40}$`)

// Validate collects all that is wrong with a configuration.
func (c Config) Validate() error {
	var all []error
	bad := func(where, format string, args ...any) {
		all = append(all, fmt.Errorf("accounts.%s: %s", where, fmt.Sprintf(format, args...)))
	}
	for name, a := range c.Accounts {
		if !actorName.MatchString(name) {
			bad(name, "a name is lower-case letters, digits, - and _, and begins with a letter")
		}
		if freshName.MatchString(name) {
			bad(name, "the names fresh1, fresh2 … are for accounts that the run makes")
		}
		ways := a.ways()
		switch len(ways) {
		case 0:
			bad(name, "says no way to get credentials; give one of headers, cookies, query, basic, digest, bearer, api_key, login, oauth2, steps, script")
		case 1:
		default:
			bad(name, "says several ways to get credentials (%s); give one", strings.Join(ways, ", "))
		}
		a.check(func(where, format string, args ...any) { bad(name+"."+where, format, args...) })
	}
	if c.WFC != "" {
		if _, err := readWFC(under(c.Dir, c.WFC)); err != nil {
			all = append(all, fmt.Errorf("wfc: %w", err))
		}
	}
	return errors.Join(all...)
}

var freshName = regexp.MustCompile(`^fresh\d+$`)

// ways lists how the account says it gets credentials. Fixed headers, cookies and
// parameters are one way together.
func (a Account) ways() []string {
	var out []string
	add := func(is bool, name string) {
		if is {
			out = append(out, name)
		}
	}
	add(len(a.Headers)+len(a.Cookies)+len(a.Query) > 0, "headers, cookies, query")
	add(a.Basic != nil, "basic")
	add(a.Digest != nil, "digest")
	add(!a.Bearer.IsZero(), "bearer")
	add(a.APIKey != nil, "api_key")
	add(a.Login != nil, "login")
	add(a.OAuth2 != nil, "oauth2")
	add(a.Steps != nil, "steps")
	add(a.Script != nil, "script")
	return out
}

func (a Account) check(bad func(where, format string, args ...any)) {
	place := func(where, in, name string) {
		if in != "header" && in != "query" && in != "cookie" {
			bad(where+".in", "is %q; it must be header, query or cookie", in)
		}
		if name == "" {
			bad(where+".name", "is missing")
		}
	}
	for n, v := range a.Headers {
		if n == "" || strings.ContainsAny(n, ": \t\r\n") {
			bad("headers", "%q is no name of a header field", n)
		}
		if v.IsZero() {
			bad("headers."+n, "is empty")
		}
	}
	if b := a.Basic; b != nil && (b.Username == "" || strings.Contains(b.Username, ":")) {
		bad("basic.username", "must be there, and hold no colon (RFC 7617)")
	}
	if d := a.Digest; d != nil && (d.Username == "" || strings.Contains(d.Username, ":")) {
		bad("digest.username", "must be there, and hold no colon (RFC 7616, section 3.4.4)")
	}
	if k := a.APIKey; k != nil {
		place("api_key", k.In, k.Name)
		if k.Value.IsZero() {
			bad("api_key.value", "is missing")
		}
	}
	if l := a.Login; l != nil {
		if l.Email == "" && l.Username == "" {
			bad("login", "needs email or username")
		}
		if l.Password.IsZero() {
			bad("login.password", "is missing")
		}
	}
	if o := a.OAuth2; o != nil {
		o.check(func(where, format string, args ...any) { bad("oauth2."+where, format, args...) })
	}
	if s := a.Steps; s != nil {
		s.check(func(where, format string, args ...any) { bad("steps."+where, format, args...) }, place)
	}
	if s := a.Script; s != nil {
		if len(s.Command) == 0 || s.Command[0] == "" {
			bad("script.command", "is missing; it is a list: [\"./login.sh\", \"alice\"]")
		}
		if s.Timeout < 0 {
			bad("script.timeout", "is %s; it must not be negative", s.Timeout)
		}
	}
}

func (o *OAuth2) check(bad func(where, format string, args ...any)) {
	if u, err := url.Parse(o.TokenURL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		bad("token_url", "is %q; it must be a whole address: https://login.example.com/token", o.TokenURL)
	}
	switch o.Grant {
	case "client_credentials":
		if o.ClientID == "" {
			bad("client_id", "is missing: client_credentials needs it")
		}
	case "password":
		if o.Username == "" || o.Password.IsZero() {
			bad("username", "and password are needed by the password grant")
		}
	case "refresh_token":
		if o.RefreshToken.IsZero() {
			bad("refresh_token", "is missing")
		}
	default:
		bad("grant", "is %q; it must be client_credentials, password or refresh_token", o.Grant)
	}
	if o.Auth != "" && o.Auth != "basic" && o.Auth != "body" {
		bad("auth", "is %q; it must be basic or body", o.Auth)
	}
}

func (s *Steps) check(bad func(where, format string, args ...any), place func(where, in, name string)) {
	if len(s.Requests) == 0 {
		bad("requests", "is empty")
	}
	saved := map[string]bool{}
	for i, st := range s.Requests {
		at := fmt.Sprintf("requests[%d]", i)
		if st.Path == "" || !strings.HasPrefix(st.Path, "/") && !strings.HasPrefix(st.Path, "http://") && !strings.HasPrefix(st.Path, "https://") {
			bad(at+".path", "is %q; it must begin with / or be a whole address", st.Path)
		}
		for _, text := range append([]string{st.Path, st.Body}, valuesOf(st.Header)...) {
			for _, n := range placeholders(text) {
				if !saved[n] && !builtin(n) {
					bad(at, "uses ${%s}, which no step before it saves", n)
				}
			}
		}
		for k, sv := range st.Save {
			where := fmt.Sprintf("%s.save[%d]", at, k)
			if sv.As == "" {
				bad(where+".as", "is missing: the name for the value")
			}
			if sv.At == "" && sv.Header == "" && sv.Cookie == "" && sv.Pattern == "" {
				bad(where, "says not where the value is: give at, header, cookie or pattern")
			}
			if sv.At != "" && !strings.HasPrefix(sv.At, "/") {
				bad(where+".at", "is %q; a JSON pointer begins with /", sv.At)
			}
			if sv.Pattern != "" {
				if re, err := regexp.Compile(sv.Pattern); err != nil {
					bad(where+".pattern", "is no regular expression: %v", err)
				} else if re.NumSubexp() < 1 {
					bad(where+".pattern", "has no group: put what is to be saved into ( )")
				}
			}
			saved[sv.As] = true
		}
	}
	if len(s.Use) == 0 && !s.Cookies {
		bad("use", "is empty, and cookies is not set: the steps lead to nothing")
	}
	for i, u := range s.Use {
		at := fmt.Sprintf("steps.use[%d]", i)
		place(at, u.In, u.Name)
		for _, n := range placeholders(u.Value) {
			if !saved[n] && !builtin(n) {
				bad(fmt.Sprintf("use[%d].value", i), "uses ${%s}, which no step saves", n)
			}
		}
	}
}

func valuesOf(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

var rePlaceholder = regexp.MustCompile(`\$\{([a-zA-Z0-9_.-]+)\}`)

func placeholders(s string) []string {
	var out []string
	for _, m := range rePlaceholder.FindAllStringSubmatch(s, -1) {
		out = append(out, m[1])
	}
	return out
}

// builtin: facts of the account may be used like saved values, "fact.email".
func builtin(n string) bool { return strings.HasPrefix(n, "fact.") }
