package graph

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// traits are what the purposes of one operation are judged by.
type traits struct {
	op    *Op
	in    map[Meaning][]*Input // writable values, wherever they go
	out   map[Meaning][]*Output
	body  int // values of the body
	words string
	said  string // path and operationId, " "-joined with spaces around
	text  string // summary and description, lower case
	reads bool
	post  bool
}

// evidence adds up what speaks for and against a purpose.
type evidence struct {
	score float64
	why   []string
}

func (e *evidence) add(score float64, format string, args ...any) {
	e.score += score
	if score > 0 {
		e.why = append(e.why, fmt.Sprintf(format, args...))
	}
}

func (op *Op) guess(p Purpose, e *evidence) {
	if e.score < 0.25 {
		return
	}
	score := math.Round(min(e.score, 1)*100) / 100
	if old := op.Purposes[p]; old.Score >= score {
		return
	}
	op.Purposes[p] = Guess{Score: score, Why: strings.Join(e.why, "; ")}
}

func readTraits(op *Op) *traits {
	t := &traits{op: op, in: map[Meaning][]*Input{}, out: map[Meaning][]*Output{}}
	for _, in := range op.Inputs {
		if in.ReadOnly {
			continue
		}
		t.in[in.Meaning] = append(t.in[in.Meaning], in)
		if in.In == "body" {
			t.body++
		}
	}
	for _, o := range op.Outputs {
		t.out[o.Meaning] = append(t.out[o.Meaning], o)
	}
	var said []string
	for i, s := range op.route.steps {
		if !s.isVar() && i >= op.route.shared {
			said = append(said, s.words...)
		}
	}
	path := strings.Join(said, " ")
	id := ""
	if !strings.Contains(op.ID, " ") {
		id = strings.Join(spec.Words(op.ID), " ")
	}
	t.said = " " + path + " | " + id + " "
	t.words = t.said + "| " + strings.Join(spec.Words(strings.Join(op.Tags, " ")), " ") + " | " + strings.Join(spec.Words(op.Summary), " ") + " "
	if op.password != "" {
		own := strings.NewReplacer(" "+op.password+" ", " password ")
		t.said, t.words = own.Replace(t.said), own.Replace(t.words)
	}
	t.text = strings.ToLower(op.Summary + " " + op.Description)
	t.reads = op.Method == http.MethodGet || op.Method == http.MethodHead
	t.post = op.Method == http.MethodPost || op.Method == http.MethodPut || op.Method == http.MethodPatch
	return t
}

// saysAny finds the first of the phrases in the path or operationId.
func (t *traits) saysAny(phrases ...string) string {
	for _, p := range phrases {
		if strings.Contains(t.said, " "+p+" ") {
			return p
		}
	}
	return ""
}

// tellsAny finds the first of the phrases in path, operationId, tags or summary.
func (t *traits) tellsAny(phrases ...string) string {
	for _, p := range phrases {
		if strings.Contains(t.words, " "+p+" ") {
			return p
		}
	}
	return ""
}

// last reports whether the path's last literal is one of the phrases.
func (t *traits) last(phrases ...string) bool {
	for i := len(t.op.route.steps) - 1; i >= 0; i-- {
		s := &t.op.route.steps[i]
		if s.isVar() || s.area && len(s.words) == 0 {
			continue
		}
		return slices.Contains(phrases, strings.Join(s.words, " "))
	}
	return false
}

func (t *traits) takes(list ...Meaning) bool {
	return slices.ContainsFunc(list, func(m Meaning) bool { return len(t.in[m]) > 0 })
}

func (t *traits) gives(list ...Meaning) bool {
	return slices.ContainsFunc(list, func(m Meaning) bool { return len(t.out[m]) > 0 })
}

// changes: the operation is made to change something, and not to delete it.
func (t *traits) changes() bool {
	return t.op.Method != http.MethodGet && t.op.Method != http.MethodHead && t.op.Method != http.MethodDelete
}

// givesSession: the answer holds a token, or sets a cookie.
func (t *traits) givesSession() bool {
	return slices.ContainsFunc(t.out[MeansToken], func(o *Output) bool {
		return o.Type == "string" || o.Type == "" || o.Header != ""
	})
}

// purposes judges what an operation is for.
func (b *builder) purposes(op *Op) {
	t := readTraits(op)
	b.accountPurposes(t)
	b.passwordPurposes(t)
	b.moneyPurposes(t)
	b.contentPurposes(t)
	b.operatorPurposes(t)
}

var (
	loginWords    = []string{"login", "logon", "signin", "sign in", "log in", "authenticate", "authentication", "auth", "oauth token", "token", "tokens", "session", "sessions", "sign on", "signon", "connect token", "obtain token", "jwt", "connexion", "anmelden", "entrar", "access token", "get token", "create token", "generate token"}
	strongLogin   = []string{"login", "logon", "signin", "sign in", "log in", "authenticate", "signon", "login user", "user login", "obtain token"}
	registerWords = []string{"register", "registration", "registrations", "signup", "sign up", "sign ups", "create account", "create user", "new user", "join", "enroll", "enrol", "onboard", "subscribe user", "add user", "registrieren", "inscription", "registro", "new account", "create customer"}
	resetWords    = []string{"forgot", "forget", "forgotten", "reset", "recover", "recovery", "lost", "forgotpassword", "resetpassword", "password reset", "reset password", "resets", "recoveries"}
)

// takesPersonID: an input that names a person is what one logs in by.
func (b *builder) takesPersonID(t *traits) bool {
	return slices.ContainsFunc(t.op.Inputs, func(in *Input) bool {
		if in.In == "path" {
			return false
		}
		n := strings.ToLower(in.Name)
		return n == "login" || n == "user" || n == "userid" || n == "user_id" || n == "identifier" || n == "account" || n == "id" && len(t.op.Inputs) <= 3 || n == "name" && len(t.op.Inputs) <= 3 || n == "client_id" || n == "customerid" || n == "customer_id"
	})
}

func grantInput(op *Op) *Input {
	for _, in := range op.Inputs {
		if n := strings.ToLower(in.Name); n == "grant_type" || n == "granttype" {
			return in
		}
	}
	return nil
}

func (b *builder) takesBasic(op *Op) bool {
	for _, r := range op.Security {
		for _, u := range r {
			if u.Scheme.Type == "http" && u.Scheme.Scheme == "basic" {
				return true
			}
		}
	}
	return false
}

// confirms: an input that repeats a password.
func confirms(in *Input) bool {
	n := strings.ToLower(in.Name)
	return strings.Contains(n, "confirm") || strings.Contains(n, "repeat") || strings.Contains(n, "retype") || strings.Contains(n, "again") || strings.Contains(n, "verify") || strings.HasSuffix(n, "2") || n == "matchingpassword"
}

// oldAndNew: of the passwords one is the present one and one a new one.
func oldAndNew(list []*Input) bool {
	old, fresh := false, false
	for _, in := range list {
		n := strings.ToLower(in.Name)
		switch {
		case strings.Contains(n, "old") || strings.Contains(n, "current") || strings.Contains(n, "existing") || strings.Contains(n, "previous") || n == "present":
			old = true
		case strings.Contains(n, "new") || n == "next" || strings.Contains(n, "password") || strings.Contains(n, "pass"):
			fresh = true
		}
	}
	return old && fresh
}

func required(op *Op) int {
	n := 0
	for _, in := range op.Inputs {
		if in.Required && in.In == "body" {
			n++
		}
	}
	return n
}

func hasCode(op *Op) bool {
	return slices.ContainsFunc(op.Inputs, func(in *Input) bool {
		n := strings.ToLower(in.Name)
		return n == "code" || n == "pin" || n == "key" || n == "hash" || n == "token" || n == "otp"
	})
}

// rivals lets the operations that might log in or register compete: the one
// with more fields registers, the one with fewer logs in, and where one is sure,
// those that merely look alike are not.
func (b *builder) rivals() {
	best := func(p Purpose) (top float64) {
		for _, op := range b.g.Ops {
			top = max(top, op.Purposes[p].Score)
		}
		return top
	}
	for _, p := range []Purpose{Login, Register, WhoAmI} {
		top := best(p)
		for _, op := range b.g.Ops {
			if g := op.Purposes[p]; g.Score >= 0.5 && g.Score < top-0.35 {
				g.Score = 0.45
				g.Why += "; another operation is far likelier"
				op.Purposes[p] = g
			}
		}
	}
	// What looks like both is one: the rule that speaks louder wins.
	for _, op := range b.g.Ops {
		l, r := op.Purposes[Login], op.Purposes[Register]
		if l.Score >= 0.5 && r.Score >= 0.5 {
			if l.Score >= r.Score {
				delete(op.Purposes, Register)
			} else {
				delete(op.Purposes, Login)
			}
		}
	}
	// About nobody in particular: logins and registrations are about the API's people.
	var person *Resource
	for _, r := range b.g.Resources {
		if strongPeople[r.Name] && (person == nil || len(r.Ops) > len(person.Ops)) {
			person = r
		}
	}
	for _, op := range b.g.Ops {
		self := len(op.route.steps) > 0 && op.route.steps[len(op.route.steps)-1].self
		if op.About == nil && person != nil && (self || op.Has(Login) || op.Has(Register) || op.Has(WhoAmI)) {
			op.About = person
			person.Ops = append(person.Ops, op)
		}
	}
}
