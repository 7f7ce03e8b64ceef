package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// The authentication file of Web Fuzzing Commons
// (github.com/WebFuzzing/Commons, wfc/schemas/auth.yaml).
type wfcFile struct {
	Auth     []wfcUser `yaml:"auth"`
	template map[string]any
}

type wfcUser struct {
	Name         string      `yaml:"name"`
	FixedHeaders []wfcHeader `yaml:"fixedHeaders"`
	Login        *wfcLogin   `yaml:"loginEndpointAuth"`
	Create       *wfcCreate  `yaml:"createUsers"`
}

type wfcHeader struct {
	Name  string `yaml:"name"`
	Value string `yaml:"value"`
}

type wfcLogin struct {
	Endpoint    string      `yaml:"endpoint"`
	External    string      `yaml:"externalEndpointURL"`
	PayloadRaw  string      `yaml:"payloadRaw"`
	UserPwd     *wfcUserPwd `yaml:"payloadUserPwd"`
	Headers     []wfcHeader `yaml:"headers"`
	Verb        string      `yaml:"verb"`
	ContentType string      `yaml:"contentType"`
	Token       *wfcToken   `yaml:"token"`
	Cookies     bool        `yaml:"expectCookies"`
}

type wfcUserPwd struct {
	Username      string `yaml:"username"`
	Password      string `yaml:"password"`
	UsernameField string `yaml:"usernameField"`
	PasswordField string `yaml:"passwordField"`
}

type wfcToken struct {
	ExtractFrom string `yaml:"extractFrom"`
	Selector    string `yaml:"extractSelector"`
	SendIn      string `yaml:"sendIn"`
	SendName    string `yaml:"sendName"`
	Template    string `yaml:"sendTemplate"`
}

type wfcCreate struct {
	Endpoint    string         `yaml:"endpoint"`
	External    string         `yaml:"externalEndpointURL"`
	PayloadRaw  string         `yaml:"payloadRaw"`
	Verb        string         `yaml:"verb"`
	ContentType string         `yaml:"contentType"`
	Generators  []wfcGenerator `yaml:"generators"`
}

type wfcGenerator struct {
	PlaceHolder string `yaml:"placeHolder"`
	MinLength   int    `yaml:"minLength"`
	MaxLength   int    `yaml:"maxLength"`
	Prefix      string `yaml:"prefix"`
	Postfix     string `yaml:"postfix"`
}

func readWFC(path string) (*wfcFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the Web Fuzzing Commons file: %w", err)
	}
	f, err := parseWFC(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// parseWFC reads a file and merges its template into each user that says nothing else.
func parseWFC(b []byte) (*wfcFile, error) {
	if len(b) > 1<<20 {
		return nil, errors.New("an authentication file of more than 1 MiB")
	}
	var raw struct {
		Auth     []map[string]any `yaml:"auth"`
		Template map[string]any   `yaml:"authTemplate"`
	}
	if err := yaml.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("no authentication file of Web Fuzzing Commons: %w", err)
	}
	if len(raw.Auth) == 0 {
		return nil, errors.New("auth is missing or empty: it lists the users")
	}
	f := &wfcFile{template: raw.Template}
	var all []error
	for i, m := range raw.Auth {
		merged, err := yaml.Marshal(merge(raw.Template, m))
		if err != nil {
			return nil, fmt.Errorf("auth[%d]: %w", i, err)
		}
		var u wfcUser
		if err := yaml.Unmarshal(merged, &u); err != nil {
			all = append(all, fmt.Errorf("auth[%d]: %w", i, err))
			continue
		}
		if err := u.check(); err != nil {
			all = append(all, fmt.Errorf("auth[%d] (%s): %w", i, u.Name, err))
			continue
		}
		f.Auth = append(f.Auth, u)
	}
	return f, errors.Join(all...)
}

// merge puts what the template says under what the user says, at every depth.
func merge(under, over map[string]any) map[string]any {
	out := make(map[string]any, len(under)+len(over))
	for k, v := range under {
		out[k] = v
	}
	for k, v := range over {
		if a, ok := out[k].(map[string]any); ok {
			if b, ok := v.(map[string]any); ok {
				out[k] = merge(a, b)
				continue
			}
		}
		out[k] = v
	}
	return out
}

// check is the schema's x-required.
func (u *wfcUser) check() error {
	var all []error
	need := func(ok bool, what string) {
		if !ok {
			all = append(all, errors.New(what))
		}
	}
	need(u.Name != "", "name is missing")
	need(u.Login != nil || len(u.FixedHeaders) > 0, "neither loginEndpointAuth nor fixedHeaders is given")
	for _, h := range u.FixedHeaders {
		need(h.Name != "" && !strings.ContainsAny(h.Name, ": \r\n"), "a fixed header has no name")
	}
	if l := u.Login; l != nil {
		need(l.Verb != "", "loginEndpointAuth.verb is missing")
		need((l.Endpoint == "") != (l.External == ""), "loginEndpointAuth needs one of endpoint and externalEndpointURL")
		need(l.Endpoint == "" || strings.HasPrefix(l.Endpoint, "/"), "loginEndpointAuth.endpoint must begin with /")
		need(l.Token != nil || l.Cookies || len(u.FixedHeaders) > 0, "loginEndpointAuth needs token or expectCookies: else the login leads to nothing")
		if t := l.Token; t != nil {
			need(t.ExtractFrom == "body" || t.ExtractFrom == "header", "token.extractFrom must be body or header")
			need(t.Selector != "", "token.extractSelector is missing")
			need(t.ExtractFrom != "body" || strings.HasPrefix(t.Selector, "/"), "token.extractSelector must be a JSON pointer: /token")
			need(t.SendIn == "header" || t.SendIn == "query", "token.sendIn must be header or query")
			need(t.SendName != "", "token.sendName is missing")
			need(t.Template == "" || strings.Contains(t.Template, "{token}"), "token.sendTemplate must hold {token}")
		}
		if w := l.UserPwd; w != nil {
			need(w.Username != "" && w.Password != "" && w.UsernameField != "" && w.PasswordField != "", "payloadUserPwd needs username, password, usernameField and passwordField")
		}
	}
	if c := u.Create; c != nil {
		need(c.Verb != "", "createUsers.verb is missing")
		need(c.PayloadRaw != "", "createUsers.payloadRaw is missing")
		need((c.Endpoint == "") != (c.External == ""), "createUsers needs one of endpoint and externalEndpointURL")
		need(len(c.Generators) > 0, "createUsers.generators is missing")
		for _, g := range c.Generators {
			need(g.PlaceHolder != "", "a generator has no placeHolder")
			need(g.MinLength >= 0 && g.MaxLength >= 0 && g.MaxLength < 10_000 && (g.MaxLength == 0 || g.MaxLength >= g.MinLength), "a generator's lengths do not go together")
		}
	}
	return errors.Join(all...)
}

// place turns the users into accounts, under names that checks know where those
// are free, and says under which.
func (f *wfcFile) place(accounts map[string]Account) []string {
	var order []string
	take := func(name string, u wfcUser) {
		accounts[name] = u.account()
		order = append(order, name)
	}
	var rest []wfcUser
	for _, u := range f.Auth {
		name := strings.ToLower(u.Name)
		if _, taken := accounts[name]; !taken && slices.Contains([]string{User, Peer, Foreign, Admin}, name) {
			take(name, u)
			continue
		}
		rest = append(rest, u)
	}
	for _, u := range rest {
		var name string
		free := func(n string) bool { _, taken := accounts[n]; return !taken }
		switch {
		case anyWord(words(u.Name), privileged...) && free(Admin):
			name = Admin
		case !anyWord(words(u.Name), privileged...) && free(User):
			name = User
		case !anyWord(words(u.Name), privileged...) && free(Peer):
			name = Peer
		default:
			base := "wfc-" + clip(plain(u.Name), 30)
			name = base
			for i := 2; !free(name); i++ {
				name = fmt.Sprintf("%s-%d", base, i)
			}
		}
		take(name, u)
	}
	return order
}

// account is a user as an Account.
func (u wfcUser) account() Account {
	a := Account{}
	if u.Login == nil && u.Create == nil {
		a.Headers = map[string]Secret{}
		for _, h := range u.FixedHeaders {
			a.Headers[h.Name] = Text(h.Value)
		}
		return a
	}
	st := &Steps{}
	for _, h := range u.FixedHeaders {
		st.Use = append(st.Use, Use{In: "header", Name: h.Name, Value: h.Value})
	}
	if l := u.Login; l != nil {
		step := LoginStep{Method: l.Verb, Path: l.Endpoint + l.External, Root: true, Type: l.ContentType, Body: l.PayloadRaw, Header: map[string]string{}}
		for _, h := range l.Headers {
			step.Header[h.Name] = h.Value
		}
		if w := l.UserPwd; w != nil {
			step.Body = w.body(&step.Type)
		}
		if t := l.Token; t != nil {
			sv := SaveValue{As: "token", At: t.Selector}
			if t.ExtractFrom == "header" {
				sv = SaveValue{As: "token", Header: t.Selector}
			}
			step.Save = append(step.Save, sv)
			tpl := t.Template
			if tpl == "" {
				tpl = "{token}"
			}
			st.Use = append([]Use{{In: t.SendIn, Name: t.SendName, Value: strings.ReplaceAll(tpl, "{token}", "${token}")}}, st.Use...)
		}
		st.Cookies = l.Cookies
		st.Requests = append(st.Requests, step)
	}
	a.Steps = st
	if c := u.Create; c != nil {
		a.create = &LoginStep{Method: c.Verb, Path: c.Endpoint + c.External, Root: true, Type: c.ContentType, Body: c.PayloadRaw}
		a.draw = c.Generators
	}
	return a
}

// body writes user name and password in the content type that is set.
func (w *wfcUserPwd) body(typ *string) string {
	if strings.Contains(*typ, "urlencoded") {
		return url.Values{w.UsernameField: {w.Username}, w.PasswordField: {w.Password}}.Encode()
	}
	if *typ == "" {
		*typ = "application/json"
	}
	b, err := json.Marshal(map[string]string{w.UsernameField: w.Username, w.PasswordField: w.Password})
	if err != nil {
		return ""
	}
	return string(b)
}

// generate draws what the placeholders of a user stand for.
func generate(list []wfcGenerator, rng *rand.Rand) *strings.Replacer {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	var pairs []string
	for _, g := range list {
		n := 12
		fixed := len(g.Prefix) + len(g.Postfix)
		if g.MinLength > fixed+n {
			n = g.MinLength - fixed
		}
		if g.MaxLength > 0 && fixed+n > g.MaxLength {
			n = max(1, g.MaxLength-fixed)
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		pairs = append(pairs, g.PlaceHolder, g.Prefix+string(b)+g.Postfix)
	}
	return strings.NewReplacer(pairs...)
}

// drawn is the account with its placeholders replaced, everywhere.
func (a Account) drawn(rng *rand.Rand) Account {
	if len(a.draw) == 0 {
		return a
	}
	r := generate(a.draw, rng)
	step := func(s LoginStep) LoginStep {
		s.Path, s.Body = r.Replace(s.Path), r.Replace(s.Body)
		h := map[string]string{}
		for k, v := range s.Header {
			h[k] = r.Replace(v)
		}
		s.Header = h
		return s
	}
	if a.create != nil {
		c := step(*a.create)
		a.create = &c
	}
	if a.Steps != nil {
		st := *a.Steps
		st.Requests = nil
		for _, s := range a.Steps.Requests {
			st.Requests = append(st.Requests, step(s))
		}
		st.Use = nil
		for _, u := range a.Steps.Use {
			u.Value = r.Replace(u.Value)
			st.Use = append(st.Use, u)
		}
		a.Steps = &st
	}
	a.draw = nil
	return a
}
