package limit

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

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
//
// Tries are counted by a name folded as far as any API folds names, and a success
// counts for the name exactly as it was sent: whoever has an account of a name like
// another's (on an API that tells them apart) buys no tries at the other by logging in.
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
	spelled account // failed tries of a name as it was sent, for a success to forget
}

// accountPlace is where an operation's account stands.
type accountPlace struct {
	in   string // "body", "path", "query", "header", "identity"
	name string // JSON pointer or parameter
	// also are pointers to other members of the body that name an account where the
	// first need not be there.
	also []string
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
	// It counts, and makes nobody wait.
	l.spelled = g.newAccount("login", "spelled", state.Law{Kind: state.Backoff, Unit: 1, Capacity: 1, Extra: low, Keep: int64(l.set.Forget)})
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

// sharedWords are those of accountWords by which other things are called, too, such as
// an account that many users have: beside another they name no account.
var sharedWords = []string{"account", "name"}

// accountOf finds the account among a body's members: by the most telling name, and where
// a login may do without it by the others.
func accountOf(op *spec.Operation) *accountPlace {
	names := bodyFields(op)
	var found *accountPlace
	for _, word := range accountWords {
		for _, n := range names {
			if plain(n) != word {
				continue
			}
			at := "/" + value.EscapeToken(n)
			if found != nil {
				if !slices.Contains(sharedWords, word) {
					found.also = append(found.also, at)
				}
				continue
			}
			found = &accountPlace{in: "body", name: at}
			if always(op, n) {
				return found
			}
		}
	}
	return found
}

// always reports whether every body of an operation has a member.
func always(op *spec.Operation, name string) bool {
	for _, m := range op.Body.Content {
		if m.Schema == nil || !slices.Contains(m.Schema.Required(), name) {
			return false
		}
	}
	return true
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

// mostNames are how many accounts one try may be of; what is beyond them is one more.
const mostNames = 3

// read returns the accounts of a try as they were sent: mostly one. Where a document lets
// them be lists or objects, all texts in them are.
func (p *accountPlace) read(x *exchange.Exchange) (names []string) {
	add := func(text string) bool {
		if strings.TrimSpace(text) != "" && !slices.Contains(names, text) {
			names = append(names, text)
		}
		return len(names) <= mostNames
	}
	switch p.in {
	case "identity":
		return []string{string(appendCaller(nil, x, [2]uint8{32, 64}))}
	case "body":
		b := x.Request.Body
		if b == nil {
			return nil
		}
		whole := leaves(b.Root.At(p.name), add)
		for _, at := range p.also {
			whole = whole && leaves(b.Root.At(at), add)
		}
		if !whole {
			names[mostNames-1] = "\ufffe and more" // no name is folded to it
			names = names[:mostNames]
		}
	default:
		if q := x.Param(p.in, p.name); q != nil {
			add(q.Raw)
		} else if p.in == "header" {
			add(x.Request.Header.Get(p.name))
		}
	}
	return names
}

// leaves gives the texts of a value, until add has enough: of an object that names an
// account, as {"email": …, "language": …} does, no others.
func leaves(v *value.Value, add func(string) bool) bool {
	if v == nil {
		return true
	}
	switch v.Kind {
	case value.Array, value.Object:
		named := func(k value.Value) bool { return slices.Contains(accountWords, plain(k.Name)) }
		some := v.Kind == value.Object && slices.ContainsFunc(v.Kids, named)
		for i := range v.Kids {
			if some && !named(v.Kids[i]) {
				continue
			}
			if !leaves(&v.Kids[i], add) {
				return false
			}
		}
		return true
	case value.Null:
		return true
	}
	return add(v.Text)
}

// fold makes names alike that an API or its database may take for the same, by case,
// spaces around, accents, width and characters that are not seen (MySQL compares so).
func fold(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || c < ' ' {
			return strings.ToLower(strings.TrimSpace(strings.Map(func(r rune) rune {
				if unicode.In(r, unicode.Mn, unicode.Cf, unicode.Cc) {
					return -1
				}
				return r
			}, norm.NFKD.String(name))))
		}
	}
	return name
}

// try is one login attempt.
type try struct {
	account string            // a keyed digest of the names as they were sent
	counted [mostNames]string // and of each, folded: under which it was counted
	failed  int64             // tries under the names as they were sent that have not succeeded, this one among them
	device  string            // number of the device's token; "" where it is not known
	skip    bool              // the number of accounts was not charged: this one had failed before
	trusted bool              // the address or the device is known
}

// rule counts a try, or refuses it.
func (l *logins) rule(ctx context.Context, x *exchange.Exchange) exchange.Verdict {
	names := l.places[x.Operation.Index].read(x)
	if len(names) == 0 {
		return exchange.Verdict{} // there is no account to guess for
	}
	g := l.g
	t := try{account: string(g.signer.sum(append([]string{"account"}, names...)...))}
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
	mark := l.known.debit(pairKey(x, t.account), 0)
	mark.step = 1
	t.trusted = g.charge(ctx, []debit{mark}, out[:], false)
	charged := t
	for i, name := range names {
		t.counted[i] = string(g.signer.sum("folded", fold(name)))
		if v := l.count(ctx, x, &t, i); v.Action != exchange.Allow {
			l.giveBack(x, &charged, 1, 0)
			return v
		}
		charged = t
	}
	g.notes(x).try = t
	return exchange.Verdict{}
}

// count counts a try for one of its names; with the first, what it counts for whatever
// it names.
func (l *logins) count(ctx context.Context, x *exchange.Exchange, t *try, n int) exchange.Verdict {
	g := l.g
	var room [mostDebits]debit
	var out [mostDebits]state.Balance
	debits := func() []debit {
		list := append(room[:0], l.pair.debit(pairKey(x, t.counted[n]), 1))
		if n == 0 {
			list = append(list, l.many.debit(appendAddress(nil, x.Client, [2]uint8{32, 64}), 1))
			list[1].fresh = true
		}
		if !t.trusted {
			list = append(list, l.account.debit([]byte(t.counted[n]), 1))
			if n == 0 {
				list = append(list, l.all.debit([]byte("all"), 1))
			}
		}
		if n == 0 {
			list = append(list, l.spelled.debit(pairKey(x, t.account), 1))
		}
		return list
	}
	list := debits()
	if !g.charge(ctx, list, out[:], false) {
		if !out[0].OK {
			return refuseLogin("one account from this address", longestWait(out[:1]))
		}
		if n == 0 && !out[1].OK {
			return refuseLogin("many accounts from this address", longestWait(out[1:2]))
		}
		// Only what others may have done stands against it: then work is enough.
		if v, worked := g.signer.worked(ctx, x, "login"); !worked {
			return v
		}
		if n > 0 {
			// For its first name it was counted as others are.
			g.charge(ctx, []debit{l.account.debit([]byte(t.counted[0]), -1), l.all.debit([]byte("all"), -1)}, out[:], true)
			for i := 1; i < n; i++ {
				g.charge(ctx, []debit{l.account.debit([]byte(t.counted[i]), -1)}, out[:], true)
			}
		}
		t.trusted = true // neither is it charged for what others are
		if list = debits(); !g.charge(ctx, list, out[:], false) {
			return refuseLogin("one account from this address", longestWait(out[:min(2, len(list))]))
		}
	}
	if n == 0 {
		t.skip, t.failed = out[1].Skipped, out[len(list)-1].Debt
	}
	return exchange.Verdict{}
}

// pairKey is one account from one address.
func pairKey(x *exchange.Exchange, account string) []byte {
	return appendAddress(appendParts(nil, account), x.Client, [2]uint8{32, 64})
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
	if t.device != "" {
		var out [1]state.Balance
		g.charge(ctx, []debit{l.device.debit(appendParts(nil, t.account, t.device), cost)}, out[:], true)
		return
	}
	if cost == -1 {
		l.giveBack(x, t, 1, 0)
		return
	}
	l.giveBack(x, t, max(t.failed, 1), 1)
}

// giveBack takes so many tries off what was counted for one, and with known makes the
// address known.
func (l *logins) giveBack(x *exchange.Exchange, t *try, tries, known int64) {
	var room [mostDebits]debit
	var out [mostDebits]state.Balance
	for n, name := range t.counted {
		if name == "" {
			return
		}
		list := append(room[:0], l.pair.debit(pairKey(x, name), -tries))
		if n == 0 && !t.skip {
			list = append(list, l.many.debit(appendAddress(nil, x.Client, [2]uint8{32, 64}), -1))
		}
		if !t.trusted {
			list = append(list, l.account.debit([]byte(name), -1))
			if n == 0 {
				list = append(list, l.all.debit([]byte("all"), -1))
			}
		}
		if n == 0 {
			if known > 0 {
				list = append(list, l.known.debit(pairKey(x, t.account), known))
			}
			list = append(list, l.spelled.debit(pairKey(x, t.account), -tries))
		}
		l.g.charge(context.Background(), list, out[:], true)
	}
}
