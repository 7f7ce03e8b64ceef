package harbour

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Step is one move of an attack. Honest steps prepare it and read afterwards
// what it did; hostile ones are what a guard should refuse.
//
// Texts may hold ${name}: a value saved by an earlier step, or one of ${nonce}
// (new in each run), ${NONCE}, ${now} and ${later} (Unix seconds, an hour apart),
// ${callback} (URL of the listener), ${n} (the turn of a repeated step, from 1),
// ${range:1:50} (1,2,…,50), ${NAME.email} and ${NAME.password} of an account.
type Step struct {
	Name string `yaml:"name"` // what proofs call it
	// As is who sends it: a seeded account's short name; a name beginning with
	// "new", for an account registered for this run; "old:NAME", with a session
	// token that has expired; "oauth:CLIENT:SCOPE SCOPE", with an OAuth2 access
	// token; or nothing, without credentials.
	As      string            `yaml:"as"`
	Token   string            `yaml:"token"` // a bearer token instead of As
	Hostile bool              `yaml:"hostile"`
	Send    string            `yaml:"send"` // "METHOD /path"
	Query   map[string]string `yaml:"query"`
	Headers map[string]string `yaml:"headers"`
	JSON    string            `yaml:"json"` // a body of application/json
	XML     string            `yaml:"xml"`  // a body of application/xml
	Form    *FormFile         `yaml:"form"` // a body of multipart/form-data
	Want    []int             `yaml:"want"` // statuses that mean it worked; 2xx when empty
	Save    map[string]string `yaml:"save"` // name: JSON pointer into the answer
	Repeat  int               `yaml:"repeat"`
	// Parallel sends that many copies at the same time.
	Parallel int `yaml:"parallel"`

	// Instead of sending, a step may work offline.
	Crack *Crack `yaml:"crack"`
	Forge *Forge `yaml:"forge"`
}

// FormFile is a form with one file.
type FormFile struct {
	Fields      map[string]string `yaml:"fields"`
	FileName    string            `yaml:"file_name"`
	ContentType string            `yaml:"content_type"`
	Content     string            `yaml:"content"`
}

// Env is what an attack needs beside an address. The zero value will do for
// attacks that need neither old nor OAuth2 tokens.
type Env struct {
	// Token gives a session token of a seeded account. When nil, RunAttack logs in.
	Token func(ctx context.Context, account string) (string, error)
	// OldToken gives a session token that Harbour issued and that has expired.
	OldToken func(ctx context.Context, account string) (string, error)
	// AccessToken gives an OAuth2 access token of the issuer that Harbour trusts.
	AccessToken func(ctx context.Context, client string, scopes []string) (string, error)
	// Callback records what Harbour fetches. When nil, RunAttack opens one for the run.
	Callback *Callback
	Now      func() time.Time // time.Now when nil
	Nonce    string           // random when empty
}

// Exchange is one request of an attack and its answer.
type Exchange struct {
	Step          string
	Hostile       bool
	Method        string
	URL           string
	RequestHeader http.Header
	RequestBody   string
	Status        int
	Header        http.Header
	Body          string
}

// Result says how an attack went.
type Result struct {
	Hole      string
	Open      bool   // the proof holds: the attack worked
	RefusedAt string // the first hostile step that did not get through
	Evidence  string // what shows Open, or what stopped it
	Exchanges []Exchange
}

// ErrSetup is returned when an honest step of an attack fails, so that nothing
// can be said about the hole.
var ErrSetup = errors.New("preparing the attack")

// RunAttack runs a hole's attack against an address, Harbour's own or that of a
// gateway before it. An attack makes the objects it needs, so it can be run again.
func RunAttack(ctx context.Context, client *http.Client, baseURL string, hole Hole, env Env) (Result, error) {
	r := &run{ctx: ctx, base: strings.TrimRight(baseURL, "/"), hole: hole, env: env, vars: map[string]string{}, tokens: map[string]string{}}
	if client == nil {
		client = http.DefaultClient
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r.client = &own
	err := r.prepare()
	if err != nil {
		return Result{Hole: hole.ID}, err
	}
	if r.ownCallback {
		defer func() { _ = r.env.Callback.Close() }() // it was opened for this one attack
	}
	result := Result{Hole: hole.ID}
	for i, step := range hole.Attack {
		if step.Name == "" {
			step.Name = fmt.Sprintf("step %d", i+1)
		}
		err = r.do(step)
		if errors.Is(err, errStopped) {
			break
		}
		if err != nil {
			result.Exchanges = r.exchanges
			return result, fmt.Errorf("attack %s, %s: %w", hole.ID, step.Name, err)
		}
	}
	result.RefusedAt, result.Exchanges = r.refusedAt, r.exchanges
	if r.stopped != "" {
		result.Evidence = r.stopped
		return result, nil
	}
	result.Open, result.Evidence = r.prove()
	if result.Open {
		result.RefusedAt = ""
	}
	return result, nil
}

// run is one attack under way.
type run struct {
	ctx         context.Context
	client      *http.Client
	base        string
	hole        Hole
	env         Env
	ownCallback bool
	vars        map[string]string
	tokens      map[string]string
	exchanges   []Exchange
	refusedAt   string
	stopped     string // why the attack could not go on
}

// errStopped ends a run whose next step needs what a refused step did not get.
var errStopped = errors.New("the attack cannot go on")

func (r *run) prepare() error {
	if r.env.Now == nil {
		r.env.Now = time.Now
	}
	if r.env.Nonce == "" {
		var b [5]byte
		if _, err := crand.Read(b[:]); err != nil {
			return fmt.Errorf("making a nonce: %w", err)
		}
		r.env.Nonce = hex.EncodeToString(b[:])
	}
	if r.env.Callback == nil {
		cb, err := NewCallback()
		if err != nil {
			return err
		}
		r.env.Callback, r.ownCallback = cb, true
	}
	now := r.env.Now().Unix()
	r.vars["nonce"], r.vars["NONCE"] = r.env.Nonce, strings.ToUpper(r.env.Nonce)
	r.vars["now"], r.vars["later"] = fmt.Sprint(now), fmt.Sprint(now+3600)
	r.vars["callback"] = r.env.Callback.URL()
	for _, a := range Accounts() {
		r.vars[a.Name+".email"], r.vars[a.Name+".password"], r.vars[a.Name+".id"] = a.Email, a.Password, fmt.Sprint(a.ID)
	}
	return nil
}

// bearer finds the token that a step is sent with.
func (r *run) bearer(step Step) (string, error) {
	switch {
	case step.Token != "":
		return r.text(step.Token)
	case step.As == "":
		return "", nil
	}
	if token, ok := r.tokens[step.As]; ok {
		return token, nil
	}
	token, err := r.fetchToken(step.As)
	if err != nil {
		return "", fmt.Errorf("%w: getting a token for %s: %w", ErrSetup, step.As, err)
	}
	r.tokens[step.As] = token
	return token, nil
}

func (r *run) fetchToken(actor string) (string, error) {
	if name, ok := strings.CutPrefix(actor, "old:"); ok {
		if r.env.OldToken == nil {
			return "", errors.New("Env.OldToken is not set")
		}
		return r.env.OldToken(r.ctx, name)
	}
	if rest, ok := strings.CutPrefix(actor, "oauth:"); ok {
		if r.env.AccessToken == nil {
			return "", errors.New("Env.AccessToken is not set")
		}
		client, scopes, _ := strings.Cut(rest, ":")
		return r.env.AccessToken(r.ctx, client, strings.Fields(scopes))
	}
	if strings.HasPrefix(actor, "new") {
		err := r.enrol(actor)
		if err != nil {
			return "", err
		}
	} else if r.env.Token != nil {
		return r.env.Token(r.ctx, actor)
	}
	return r.login(actor)
}

// enrol registers an account for this run.
func (r *run) enrol(actor string) error {
	email, password := actor+"-"+r.env.Nonce+"@visitors.example", actor+"-password-"+r.env.Nonce
	r.vars[actor+".email"], r.vars[actor+".password"] = email, password
	x, err := r.send(Step{
		Name: "register " + actor, Send: "POST /v2/register",
		JSON: fmt.Sprintf(`{"email":%q,"password":%q,"name":"A Newcomer"}`, email, password),
	}, "")
	if err == nil && x.Status != http.StatusAccepted {
		err = fmt.Errorf("registering %s: status %d", actor, x.Status)
	}
	return err
}

func (r *run) login(actor string) (string, error) {
	x, err := r.send(Step{
		Name: "log in " + actor, Send: "POST /v2/login",
		JSON: fmt.Sprintf(`{"email":%q,"password":%q}`, r.vars[actor+".email"], r.vars[actor+".password"]),
	}, "")
	if err != nil {
		return "", err
	}
	token, ok := x.at("/access_token")
	if x.Status != http.StatusOK || !ok {
		return "", fmt.Errorf("logging in %s: status %d", actor, x.Status)
	}
	if id, ok := x.at("/user/id"); ok {
		r.vars[actor+".id"] = plain(id)
	}
	return plain(token), nil
}
