package graph

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// moneyPurposes: payment, coupon, transfer.
func (b *builder) moneyPurposes(t *traits) {
	op := t.op
	changes := op.Method != http.MethodGet && op.Method != http.MethodHead && op.Method != http.MethodDelete
	var e evidence
	if w := t.saysAny("pay", "payment", "payments", "checkout", "charge", "charges", "purchase", "purchases", "buy", "billing", "refund", "refunds", "capture", "topup", "top up", "payment intents", "invoice pay", "place order", "settle", "return order", "subscribe"); w != "" {
		e.add(0.45, "is called %q", w)
	} else if w := t.tellsAny("payment", "pay", "checkout", "charge", "purchase", "buy", "refund"); w != "" {
		e.add(0.2, "its words say %q", w)
	}
	if t.takes(MeansMoney) {
		e.add(0.2, "takes an amount")
	}
	if slices.ContainsFunc(op.Inputs, func(in *Input) bool { return cardish(in.Name) }) {
		e.add(0.25, "takes a card or a payment method")
	}
	if t.takes(MeansQuantity) && slices.Contains([]Kind{Create, Action}, op.Kind) && op.About != nil && (op.About.Name == "order" || op.About.Name == "cart" || op.About.Name == "basket" || op.About.Name == "booking") {
		e.add(0.3, "orders a quantity")
	}
	if op.Kind == Action || op.Kind == Create {
		e.add(0.1, "does something")
	}
	if !changes {
		e.add(-0.6, "")
	}
	if op.Kind == Update && t.saysAny("pay", "payment", "checkout", "charge", "refund") == "" {
		e.add(-0.2, "")
	}
	op.guess(Payment, &e)

	e = evidence{}
	if w := t.saysAny("coupon", "coupons", "voucher", "vouchers", "promo", "promocode", "redeem", "gift card", "giftcard", "giftcards", "vote", "votes", "upvote", "claim", "claims", "reward", "rewards", "apply coupon", "discount", "validate coupon", "referral", "bonus", "like", "likes", "rating", "ratings", "checkin", "check in", "spin", "lottery"); w != "" {
		e.add(0.4, "is called %q", w)
	}
	if t.takes(MeansCoupon) {
		e.add(0.4, "takes a coupon")
	}
	if w := t.saysAny("redeem", "apply", "use", "claim", "vote", "apply coupon"); w != "" {
		e.add(0.25, "is called %q", w)
	} else if op.Kind == Action {
		e.add(0.1, "does something")
	}
	if !changes {
		e.add(-0.6, "")
	}
	if b.adminWords(t) != "" {
		e.add(-0.3, "")
	}
	op.guess(Coupon, &e)

	e = evidence{}
	if w := t.saysAny("transfer", "transfers", "transaction", "transactions", "send money", "withdraw", "withdrawal", "withdrawals", "deposit", "payout", "payouts", "remit", "wire", "send"); w != "" {
		e.add(0.35, "is called %q", w)
	}
	if t.takes(MeansMoney) {
		e.add(0.3, "takes an amount")
	}
	if fromTo(op) {
		e.add(0.3, "takes where from or where to")
	}
	if !changes || !t.takes(MeansMoney) && !fromTo(op) && t.saysAny("transfer", "withdraw", "payout", "payouts", "withdrawal", "withdrawals", "transfers") == "" {
		e.add(-0.5, "")
	}
	op.guess(Transfer, &e)
}

func cardish(name string) bool {
	n := strings.ToLower(strings.ReplaceAll(name, "_", ""))
	for _, x := range []string{"cardnumber", "cardid", "cvv", "cvc", "paymentmethod", "iban", "creditcard", "cardtoken", "paymenttoken", "paymenttype"} {
		if strings.Contains(n, x) {
			return true
		}
	}
	return false
}

// fromTo: the inputs name whom or what account something goes to.
func fromTo(op *Op) bool {
	return slices.ContainsFunc(op.Inputs, func(in *Input) bool {
		w := spec.Words(in.Name)
		if len(w) == 0 || in.In == "query" {
			return false
		}
		switch w[0] {
		case "to", "from", "recipient", "receiver", "beneficiary", "destination", "payee", "target":
			return len(w) == 1 && in.Type != "object" && w[0] != "from" && in.Meaning != MeansDate || len(w) > 1 && (idEnds[w[len(w)-1]] || slices.Contains(w, "account") || slices.Contains(w, "user") || slices.Contains(w, "wallet"))
		}
		return false
	})
}

var hookNouns = set(`webhook hook callback subscription endpoint notification listener`)

var adminPhrases = []string{"admin", "admins", "administrator", "administration", "backoffice", "back office", "superuser", "super admin", "superadmin", "staff", "manage", "management", "moderator", "moderation", "root", "sysadmin", "operator", "impersonate", "support", "console"}

// reForThem are the words of a refusal for all but administrators.
var reForThem = regexp.MustCompile(`\b(?:admin|admins|administrators|superusers)[ -]only\b|\bonly (?:for |by |to )?(?:the )?(?:admins?|administrators?|superusers?)\b|\b(?:not an? |must be an? |requires? (?:an? |the )?)(?:admin(?:istrator)?|superuser)\b`)

func demand(op *Op) string {
	var parts []string
	for _, r := range op.Security {
		for _, u := range r {
			parts = append(parts, u.Scheme.Name+" "+strings.Join(u.Scopes, " "))
		}
	}
	slices.Sort(parts)
	return strings.TrimSpace(strings.Join(parts, ", "))
}

var (
	wipeWords  = []string{"wipe", "purge", "flush", "truncate", "nuke", "drop", "erase all", "delete all", "deleteall", "remove all", "clear all", "clearall", "destroy all", "factory reset", "reset all", "resetall", "reset db", "resetdb", "reset database", "create db", "createdb", "init db", "initdb", "seed db", "seeddb", "populate", "seed", "reseed", "reinit", "reinitialize", "shutdown", "shut down", "reboot", "restart server", "poweroff", "halt", "terminate", "kill", "self destruct", "reload config", "clear cache", "clear data", "reset data", "wipe data", "empty", "truncate all", "rollback", "restore backup", "restore database"}
	softHazard = []string{"reset", "restart", "clear", "restore", "migrate", "setup", "install", "initialize", "init", "reload", "rebuild", "uninstall", "stop", "defragment", "defrag", "compaction", "vacuum", "failover", "transfer leadership", "step down", "stepdown", "seal", "rekey", "decommission", "drain"}
	systemWide = []string{"db", "database", "all", "system", "server", "data", "everything", "instance", "tests", "state", "environment", "demo", "cache", "maintenance", "cluster", "kv", "storage", "sys", "replication", "leader"}
)

// everybodys are what is one thing for all who use an installation.
var everybodys = []string{"auth", "authentication", "authorization", "security", "rbac", "acl", "tls", "cluster", "replication", "maintenance", "server", "system", "service"}

// switchesAll says why an operation switches something on or off, or changes the machines
// that it runs on, for all who use the installation; "" when it does not.
func (b *builder) switchesAll(t *traits) string {
	op := t.op
	if t.reads || len(op.route.objects) > 0 {
		return ""
	}
	var said [][]string
	for _, s := range op.route.steps {
		if len(s.words) > 0 {
			said = append(said, s.words)
		}
	}
	n := len(said)
	if n >= 2 && len(said[n-1]) == 1 && slices.Contains([]string{"enable", "disable", "on", "off", "pause", "resume"}, said[n-1][0]) && len(said[n-2]) == 1 && slices.Contains(everybodys, said[n-2][0]) {
		return "switches " + strconv.Quote(said[n-2][0]) + " for all"
	}
	for i := 0; i+1 < n; i++ {
		if slices.Contains(said[i], "cluster") && slices.ContainsFunc(said[i+1], func(w string) bool {
			return slices.Contains([]string{"member", "members", "node", "nodes", "peer", "peers"}, w)
		}) && op.Kind != List && op.Kind != Read && !t.last("list", "status") {
			return "changes the machines of a cluster"
		}
	}
	return ""
}

// hazard: what resets, wipes or stops what others share.
func (b *builder) hazard(t *traits) {
	op := t.op
	var e evidence
	personal := t.saysAny("password", "token", "otp", "mfa", "session", "cart", "basket", "notification", "notifications", "avatar", "draft", "key", "secret", "filter", "timer", "counter", "preferences") != ""
	if w := t.saysAny(wipeWords...); w != "" && len(op.route.objects) == 0 {
		e.add(0.7, "is called %q", w)
	} else if w != "" {
		e.add(0.35, "is called %q", w)
	} else if w := t.saysAny(softHazard...); w != "" && len(op.route.objects) == 0 {
		e.add(0.3, "is called %q", w)
		if s := t.saysAny(systemWide...); s != "" || len(op.route.nouns) == 0 && len(op.Inputs) == 0 {
			e.add(0.35, "of everything (%s)", s)
		}
	}
	if w := b.switchesAll(t); w != "" {
		e.add(0.65, "%s", w)
	}
	for _, h := range []string{"all data", "entire database", "resets the database", "wipes", "truncate", "dummy data", "seed data", "destroys all", "shuts down", "irreversib", "factory", "reset the application", "all users will", "drop all", "deletes all", "delete all", "removes all", "populates the database", "initial state"} {
		if strings.Contains(t.text, h) {
			if len(op.route.objects) > 0 {
				e.add(0.15, "its description says %q, of one object", h)
				break
			}
			e.add(0.4, "its description says %q", h)
			break
		}
	}
	if op.Method == http.MethodDelete && len(op.route.objects) == 0 && op.About != nil && !op.Has(Logout) {
		last := op.route.nouns
		many := len(last) > 0 && op.route.steps[last[len(last)-1]].many
		named := slices.ContainsFunc(op.Inputs, func(in *Input) bool { return in.Meaning == MeansID || in.Required })
		self := slices.ContainsFunc(op.route.steps, func(s step) bool { return s.self })
		if many && !named && !self {
			e.add(0.6, "deletes every %s", op.About.Name)
		}
	}
	if personal {
		e.add(-0.4, "")
	}
	if t.reads && op.Kind == List && t.saysAny(wipeWords...) == "" {
		e.add(-0.4, "")
	}
	op.guess(Hazard, &e)
}
