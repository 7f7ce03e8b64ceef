package limit

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/value"
)

// logins counts tries at operations where passwords can be guessed. A try is
// counted before it is made, so that many at once are no more than they are one
// by one, and given back when it turns out not to have failed.
//
//	pair      one account from one address: waits that double
//	device    one account from a device that its owner has logged in with: the same
//	accounts  different accounts from one address: credential stuffing
//	account   one account from everywhere unknown, and
//	all       all accounts from there: beyond these, work is asked for
//
// Nobody can lock others out: a wait holds for the address or device that has
// failed, and what many addresses do to an account costs its owner at most the work
// of a challenge, and nothing from where he has logged in before.
type logins struct {
	g       *Guard
	set     config.LoginLimit
	failed  []int
	places  []*accountPlace // by Operation.Index; nil: no login
	pair    account
	device  account
	many    account
	account account
	all     account
	known   account // addresses that accounts have logged in from
}

// accountPlace is where an operation's account stands.
type accountPlace struct {
	in   string // "body", "path", "query", "header", "identity"
	name string // JSON pointer or parameter
}

// newLogins finds the operations; nil when there are none.
func (g *Guard) newLogins(o *Options) (*logins, error) {
	l := &logins{g: g, set: o.Config.Login, failed: o.Config.Login.Failed}
	if o.API == nil {
		return nil, nil
	}
	detect := l.set.Detect == nil || *l.set.Detect
	l.places = make([]*accountPlace, len(o.API.Operations))
	some := false
	for i, op := range o.API.Operations {
		found := accountOf(op)
		if !detect || !looksLikeLogin(op) {
			found = nil
		}
		for j := range o.Overrides {
			mark := o.Overrides[j].Login
			if mark == nil || !o.Overrides[j].Matches(op.ID, op.Method, op.Path) {
				continue
			}
			switch {
			case mark.Off:
				found = nil
			case mark.Account == "identity":
				found = &accountPlace{in: "identity"}
			case strings.HasPrefix(mark.Account, "/"):
				found = &accountPlace{in: "body", name: mark.Account}
			case mark.Account != "":
				in, name, _ := strings.Cut(mark.Account, ":")
				found = &accountPlace{in: in, name: name}
			default:
				if found = accountOf(op); found == nil {
					return nil, fmt.Errorf("operations[%d].login: no field of %s looks like an account: say where it stands (account)", j, op.ID)
				}
			}
		}
		l.places[i] = found
		some = some || found != nil
	}
	if !some {
		return nil, nil
	}
	l.defaults()
	backoff := func(tries int) state.Law {
		return state.Law{Kind: state.Backoff, Unit: int64(l.set.Delay), Capacity: int64(l.set.Longest), Extra: int64(tries), Keep: int64(l.set.Forget)}
	}
	laws := map[string]state.Law{}
	for name, text := range map[string]string{"accounts": l.set.Accounts, "account": l.set.Account, "all": l.set.All} {
		law, _, err := parse(config.Rate{Rate: text})
		if err != nil {
			return nil, fmt.Errorf("guards.limit.login.%s: %w", name, err)
		}
		laws[name] = law
	}
	l.pair, l.device = g.newAccount("login", "pair", backoff(l.set.Tries)), g.newAccount("login", "device", backoff(l.set.Tries))
	l.many, l.account, l.all = g.newAccount("login", "accounts", laws["accounts"]), g.newAccount("login", "account", laws["account"]), g.newAccount("login", "all", laws["all"])
	l.known = g.newAccount("login", "known", state.Law{Kind: state.Sequence, Keep: int64(l.set.Known)})
	return l, nil
}

// defaults fills in what a config that was not loaded leaves out.
func (l *logins) defaults() {
	s := &l.set
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	text := func(t *string, v string) {
		if *t == "" {
			*t = v
		}
	}
	set(&s.Delay, time.Second)
	set(&s.Longest, 15*time.Minute)
	set(&s.Forget, 24*time.Hour)
	set(&s.Known, 720*time.Hour)
	text(&s.Accounts, "20/h")
	text(&s.Account, "30/h")
	text(&s.All, "600/h")
	text(&s.Device, "crenel-device")
	if s.Tries == 0 {
		s.Tries = 5
	}
	if len(l.failed) == 0 {
		l.failed = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity}
	}
}

// Words by which fields and paths say that they are of a login.
var (
	accountWords  = []string{"email", "username", "login", "user", "account", "phone", "mobile", "identifier", "userid", "emailaddress", "accountname", "loginid", "phonenumber", "name"}
	passwordWords = []string{"password", "passwd", "pwd", "passcode", "pin", "secret"}
	loginWords    = []string{"login", "signin", "logon", "authenticate", "authentication", "auth", "token", "tokens", "session", "sessions"}
	otherWords    = []string{"register", "registration", "signup", "logout", "signout", "reset", "revoke"}
)

func plain(name string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "").Replace(strings.ToLower(name))
}

// bodyFields are the members of a body that holds text.
func bodyFields(op *spec.Operation) (names []string) {
	if op.Body == nil {
		return nil
	}
	for _, m := range op.Body.Content {
		if m.Schema == nil {
			continue
		}
		for _, p := range m.Schema.Properties() {
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// accountOf finds the account among a body's members: by the most telling name.
func accountOf(op *spec.Operation) *accountPlace {
	names := bodyFields(op)
	for _, word := range accountWords {
		for _, n := range names {
			if plain(n) == word {
				return &accountPlace{in: "body", name: "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(n)}
			}
		}
	}
	return nil
}

// looksLikeLogin reports whether an operation takes an account and a password, at
// a path that says so.
func looksLikeLogin(op *spec.Operation) bool {
	if op.Method != http.MethodPost || accountOf(op) == nil {
		return false
	}
	if !slices.ContainsFunc(bodyFields(op), func(n string) bool { return slices.Contains(passwordWords, plain(n)) }) {
		return false
	}
	says := false
	for _, part := range strings.Split(op.Path, "/") {
		word := plain(part)
		if slices.Contains(otherWords, word) {
			return false
		}
		says = says || slices.Contains(loginWords, word)
	}
	return says
}

// read returns the account of a try, folded as mail providers and most APIs fold
// it, so that "Alice " is no other account than "alice".
func (p *accountPlace) read(x *exchange.Exchange) string {
	text := ""
	switch p.in {
	case "identity":
		return string(appendCaller(nil, x, [2]uint8{32, 64}))
	case "body":
		if b := x.Request.Body; b != nil {
			if v := b.Root.At(p.name); v != nil && (v.Kind == value.String || v.Kind == value.Number) {
				text = v.Text
			}
		}
	default:
		if q := x.Param(p.in, p.name); q != nil {
			text = q.Raw
		} else if p.in == "header" {
			text = x.Request.Header.Get(p.name)
		}
	}
	return strings.ToLower(strings.TrimSpace(text))
}

// try is one login attempt.
type try struct {
	account string // a keyed digest
	device  string // number of the device's token; "" where it is not known
	skip    bool   // the number of accounts was not charged: this one had failed before
	trusted bool   // the address or the device is known
}

// rule counts a try, or refuses it.
func (l *logins) rule(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	p := l.places[x.Operation.Index]
	name := p.read(x)
	if name == "" {
		return exchange.Verdict{} // there is no account to guess for
	}
	g := l.g
	t := try{account: string(g.signer.sum("account", name))}
	if number, ok := g.signer.read(cookie(x, l.cookieName(t.account)), "device "+t.account); ok {
		t.device, t.trusted = number, true
	}
	var out [mostDebits]state.Balance
	if t.device != "" {
		d := []debit{l.device.debit(appendParts(nil, t.account, t.device), 1)}
		if !g.charge(ctx, d, out[:], false) {
			return refuseLogin("this device", longestWait(out[:1]))
		}
		g.notes(x).try = t
		return exchange.Verdict{}
	}
	pair := l.pairKey(x, &t)
	mark := l.known.debit(pair, 0)
	mark.step = 1
	t.trusted = g.charge(ctx, []debit{mark}, out[:], false)
	debits := []debit{l.pair.debit(pair, 1), l.many.debit(appendAddress(nil, x.Client, [2]uint8{32, 64}), 1)}
	debits[1].fresh = true
	if !t.trusted {
		debits = append(debits, l.account.debit([]byte(t.account), 1), l.all.debit([]byte("all"), 1))
	}
	ok := g.charge(ctx, debits, out[:], false)
	if !ok {
		if !out[0].OK {
			return refuseLogin("one account from this address", longestWait(out[:1]))
		}
		if !out[1].OK {
			return refuseLogin("many accounts from this address", longestWait(out[1:2]))
		}
		// Only what others may have done stands against it: then work is enough.
		if v, worked := g.signer.worked(ctx, x, "login"); !worked {
			return v
		}
		t.trusted = true // neither is it charged for what others are
		debits = debits[:2]
		if !g.charge(ctx, debits, out[:], false) {
			return refuseLogin("one account from this address", longestWait(out[:2]))
		}
	}
	t.skip = out[1].Skipped
	g.notes(x).try = t
	return exchange.Verdict{}
}

func (l *logins) pairKey(x *exchange.Exchange, t *try) []byte {
	return appendAddress(appendParts(nil, t.account), x.Client, [2]uint8{32, 64})
}

// cookieName is the device's cookie for one account: several people may share a browser.
func (l *logins) cookieName(account string) string {
	return l.set.Device + "-" + hex.EncodeToString([]byte(account[:3]))
}

func refuseLogin(what string, wait time.Duration) exchange.Verdict {
	return refuseFor("limit.login", "too many failed tries: "+what, wait)
}

// answered makes the device known that has logged in.
func (l *logins) answered(x *exchange.Exchange, t *try) {
	if s := x.Response.Status; s < 200 || s >= 400 || l.places[x.Operation.Index].in == "identity" {
		return
	}
	name := l.cookieName(t.account)
	x.Response.Header.Add("Set-Cookie", setCookie(x, name, l.g.signer.token("device "+t.account, l.set.Known), l.set.Known))
}

// settle gives a try back that did not fail, and forgets the failed ones before a
// success.
func (l *logins) settle(x *exchange.Exchange, t *try, status int) {
	g, ctx := l.g, context.Background()
	if slices.Contains(l.failed, status) {
		return
	}
	cost := int64(-1)
	if status >= 200 && status < 400 {
		cost = -64
	}
	var out [mostDebits]state.Balance
	if t.device != "" {
		g.charge(ctx, []debit{l.device.debit(appendParts(nil, t.account, t.device), cost)}, out[:], true)
		return
	}
	pair := l.pairKey(x, t)
	debits := []debit{l.pair.debit(pair, cost)}
	if !t.skip {
		debits = append(debits, l.many.debit(appendAddress(nil, x.Client, [2]uint8{32, 64}), -1))
	}
	if !t.trusted {
		debits = append(debits, l.account.debit([]byte(t.account), -1), l.all.debit([]byte("all"), -1))
	}
	if cost == -64 {
		debits = append(debits, l.known.debit(pair, 1))
	}
	g.charge(ctx, debits, out[:], true)
}
