package actor

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// known tries the accounts that the description itself shows as examples of a
// login, once each, where no account could be registered. It says whether one worked.
func (p *People) known(ctx context.Context) bool {
	names := []string{User, Peer}
	seen := map[string]bool{}
	for _, op := range p.candidates(graph.Login, 0.3) {
		for _, facts := range examplesOf(op) {
			key := facts[factUsername] + "\x00" + facts[factEmail]
			if seen[key] || len(names) == 0 {
				continue
			}
			seen[key] = true
			a := &Actor{Name: names[0], Facts: facts, who: newPersona(p.cfg.Run, names[0], p.cfg.Seed)}
			p.c.Secrets().Add(facts[factPassword])
			wrong := maxWrong - 1
			a.who.facts = facts
			open, err := p.discoverBy(ctx, op, a.Name, a.who, &wrong)
			if err != nil {
				if stops(err) {
					return false
				}
				continue
			}
			a.Session, a.by, a.witness, a.Proven = open.s, open.by, open.v.witness, open.v.proven()
			p.setDoor(open.by)
			learnFacts(a, open.ex)
			p.whoAmI(ctx, a)
			p.add(a)
			p.note(fmt.Sprintf("%s is an account that the description shows as an example of %s %s", a.Name, op.Method, op.Path))
			names = names[1:]
		}
	}
	return p.Get(User) != nil
}

// examplesOf are the accounts in the examples of a login.
func examplesOf(op *graph.Op) []map[string]string {
	var out []map[string]string
	add := func(get func(in *graph.Input) *value.Value) {
		facts := map[string]string{}
		for _, in := range op.Inputs {
			if v := get(in); v != nil && v.Kind == value.String && v.Text != "" {
				switch f := factOf(in); f {
				case factEmail, factUsername, factPassword:
					facts[f] = v.Text
				}
			}
		}
		if facts[factPassword] != "" && facts[factEmail]+facts[factUsername] != "" {
			out = append(out, facts)
		}
	}
	if op.Body != nil {
		for _, m := range op.Body.Content {
			for _, e := range m.Examples {
				add(func(in *graph.Input) *value.Value { return e.At(in.Pointer) })
			}
		}
	}
	add(func(in *graph.Input) *value.Value {
		if in.Schema == nil {
			return nil
		}
		if ex := in.Schema.Examples(); len(ex) > 0 {
			return ex[0]
		}
		return in.Schema.Default()
	})
	return out[:min(len(out), 3)]
}

// reWrongPassword is a refusal of a name and a password, and of nothing else.
var reWrongPassword = regexp.MustCompile(`(?i)(?:wrong|invalid|incorrect|bad|not match|mismatch|authentication failed).*(?:password|credential|login|user)|(?:password|credentials?|login|user ?name|e-?mail).*(?:wrong|invalid|incorrect|mismatch|not (?:match|recogni[sz]ed|valid))|\bbad credentials\b`)

// adviceFor says what a person can do about what kept somebody out.
func adviceFor(err error) string {
	bl, ok := asBlocked(err)
	switch {
	case ok && bl.stop == obstacleVerify:
		return "Give accounts that are confirmed already: actors.accounts.user.login and actors.accounts.peer.login, or let the test environment confirm by itself."
	case ok && bl.stop == obstacleCaptcha:
		return "Switch the captcha off in the test environment, or give accounts: actors.accounts.user and actors.accounts.peer."
	case ok && bl.stop == obstacleInvite:
		return "Give accounts that exist: actors.accounts.user and actors.accounts.peer; or an invitation in the test environment."
	case ok && bl.stop == obstacleOTP:
		return "Give credentials that are past the second factor: actors.accounts.user.bearer, .steps or .script, or accounts without one."
	case ok && bl.stop == obstacleLogin:
		return "Accounts are made by someone who is logged in: give actors.accounts.admin, or actors.accounts.user and actors.accounts.peer."
	case ok && bl.stop == obstacleClosed:
		return "Open registration in the test environment, or give accounts: actors.accounts.user and actors.accounts.peer."
	case ok && bl.stop == obstacleRate:
		return "Lift the limit for the test environment, or give accounts: actors.accounts.user and actors.accounts.peer."
	case errors.Is(err, target.ErrScope):
		return "Name that origin among those in scope: --scope https://login.example.com, or also: [https://login.example.com] in scan.yaml."
	case errors.Is(err, ErrCannotRegister):
		return "Give accounts: actors.accounts.user and actors.accounts.peer, by login, bearer, api_key, headers, oauth2, steps or script."
	case errors.Is(err, ErrCannotLogin) && ok && bl.last != nil && reWrongPassword.MatchString(firstComplaint(bl.last)):
		return "Correct the name or the password of that account in scan.yaml: the API says that they are wrong. If they are right, the account may be locked, or meant for another way in."
	case errors.Is(err, ErrCannotLogin):
		return "Look at the last answer above. If the way to log in is unusual, describe it: actors.accounts.NAME.steps, or .script."
	}
	return "Correct the account in the configuration."
}
