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

// contentPurposes: upload, download, webhook, search, export, batch.
func (b *builder) contentPurposes(t *traits) {
	op := t.op
	changes := op.Method != http.MethodGet && op.Method != http.MethodHead && op.Method != http.MethodDelete

	var e evidence
	for _, in := range t.in[MeansFile] {
		switch {
		case in.In != "body":
		case in.Format == "binary":
			e.add(0.7, "takes a file (%s)", in.Where())
		case in.Format == "byte":
			e.add(0.45, "takes base64 (%s)", in.Where())
		default:
			e.add(0.3, "takes %s", in.Where())
		}
	}
	if op.media != nil && strings.HasPrefix(op.media.Type, "multipart/") && len(t.in[MeansFile]) > 0 && e.score < 0.5 {
		e.add(0.3, "in a form of parts")
	}
	if op.Body != nil {
		for _, m := range op.Body.Content {
			if binaryType(m.Type) {
				e.add(0.7, "takes %s", m.Type)
				break
			}
			if m.Type == "multipart/form-data" && m != op.media && m.Schema != nil {
				for _, l := range b.cache.of(m.Schema).list {
					if l.format == "binary" {
						e.add(0.6, "takes a file in a form (%s)", l.pointer)
						break
					}
				}
			}
			if m.Type == "multipart/form-data" && len(op.Body.Content) == 1 && m.Schema == nil {
				e.add(0.5, "takes multipart/form-data")
			}
		}
	}
	if w := t.saysAny("upload", "uploads", "import", "attach", "attachment", "attachments", "avatar", "picture", "photo", "image"); w != "" {
		e.add(0.25, "is called %q", w)
		if w == "upload" {
			e.add(0.15, "uploads")
		}
	}
	if !changes {
		e.add(-0.8, "")
	}
	op.guess(Upload, &e)

	e = evidence{}
	for _, r := range successes(op.Operation) {
		for _, m := range r.Content {
			if binaryType(m.Type) || m.Schema != nil && (m.Schema.Format() == "binary" || m.Schema.Format() == "byte") {
				e.add(0.6, "answers %s", m.Type)
				break
			}
		}
	}
	if w := t.saysAny("download", "file", "files", "attachment", "raw", "content", "pdf", "image", "media", "document", "blob"); w != "" && t.reads {
		e.add(0.25, "is called %q", w)
		if w == "download" {
			e.add(0.3, "downloads")
		}
	}
	if t.takes(MeansFileName) && t.reads {
		e.add(0.3, "takes a file's name")
	}
	op.guess(Download, &e)

	e = evidence{}
	if len(op.Callbacks) > 0 {
		e.add(0.7, "promises to call back (%s)", op.Callbacks[0].Name)
	}
	for _, in := range t.in[MeansCallback] {
		if in.In == "body" || in.In == "query" {
			e.add(0.5, "takes %s", in.Where())
			break
		}
	}
	if w := t.saysAny("webhook", "webhooks", "hook", "hooks", "callback", "callbacks", "subscription", "subscriptions", "notification endpoint", "event subscriptions"); w != "" {
		about := op.About != nil && hookNouns[lastWord(op.About.Name)]
		if t.takes(MeansURL, MeansCallback) && (about || !strings.HasPrefix(w, "subscription")) {
			e.add(0.5, "is called %q and takes an address", w)
		} else {
			e.add(0.15, "is called %q", w)
		}
	}
	if !changes {
		e.add(-0.6, "")
	}
	op.guess(Webhook, &e)

	e = evidence{}
	if w := t.saysAny("search", "query", "find", "lookup", "autocomplete", "suggest", "suggestions", "typeahead", "filter", "suche", "buscar", "recherche"); w != "" {
		e.add(0.6, "is called %q", w)
	}
	for _, in := range op.Inputs {
		if n := strings.Join(spec.Words(in.Name), "_"); in.In != "path" && searchWords[n] {
			e.add(0.4, "takes %s", in.Where())
			if in.Required || op.Answered == "list" || op.Kind == List {
				e.add(0.2, "answers what fits")
			}
			break
		}
	}
	if op.Method == http.MethodDelete || op.Method == http.MethodPatch || op.Method == http.MethodPut {
		e.add(-0.6, "")
	}
	op.guess(Search, &e)

	e = evidence{}
	if w := t.saysAny("export", "exports", "report", "reports", "dump", "backup", "csv", "download all", "statement", "xlsx", "excel"); w != "" {
		e.add(0.35, "is called %q", w)
		if w == "export" || w == "dump" || w == "backup" || w == "csv" {
			e.add(0.3, "exports")
		}
	}
	if n := len(op.route.steps); n > 0 && !op.route.steps[n-1].isVar() && strings.HasSuffix(op.route.steps[n-1].text, ".csv") {
		e.add(0.3, "its path ends in .csv")
	}
	for _, r := range successes(op.Operation) {
		for _, m := range r.Content {
			if strings.Contains(m.Type, "csv") || strings.Contains(m.Type, "excel") || strings.Contains(m.Type, "spreadsheet") || strings.Contains(m.Type, "zip") || strings.Contains(m.Type, "ndjson") {
				e.add(0.3, "answers %s", m.Type)
				break
			}
		}
	}
	if op.Method == http.MethodDelete || op.Method == http.MethodPut || op.Method == http.MethodPatch || op.Kind == Create && t.saysAny("export", "dump", "backup") == "" {
		e.add(-0.4, "")
	}
	op.guess(Export, &e)

	e = evidence{}
	if w := t.saysAny("batch", "bulk", "multi", "mass", "batches", "multiple"); w != "" {
		e.add(0.55, "is called %q", w)
	}
	for _, in := range op.Inputs {
		if in.In == "body" && in.Listed && in.Meaning == MeansID && t.body <= 4 {
			e.add(0.5, "takes a list of ids (%s)", in.Where())
			break
		}
		if in.In == "body" && strings.HasPrefix(in.Pointer, "/*") {
			e.add(0.5, "takes a list")
			break
		}
	}
	op.guess(Batch, &e)
}

var adminPhrases = []string{"admin", "admins", "administrator", "administration", "backoffice", "back office", "superuser", "super admin", "superadmin", "staff", "manage", "management", "moderator", "moderation", "root", "sysadmin", "operator", "impersonate", "support", "console"}

// reStaffOnly is a text that says that an operation is for those who run the
// place: "librarians only", "(moderators)", "only by clerks".
var reStaffOnly = func() *regexp.Regexp {
	const who = `(?:staff|personnel|employees|(?:librarian|manager|supervisor|moderator|operator|editor|curator|registrar|receptionist|dispatcher|warden|clerk|cashier|accountant|auditor|steward|coordinator|director|technician|maintainer|superintendent|inspector|approver|officer|janitor|caretaker|treasurer)s)`
	return regexp.MustCompile(`\b` + who + `[ -]only\b|\bonly (?:for |by |to )?(?:the )?` + who + `\b|\((?:for |by )?(?:the )?` + who + `\)|\b(?:must|has to|need to) be an? (?:librarian|manager|supervisor|moderator|operator|editor|registrar|clerk|treasurer)\b`)
}()

// administers reports whether most of an API, this operation among it, lies below a
// word for administration: then the word names the API, and nothing of who may call it.
func (b *builder) administers(op *Op) bool {
	return slices.ContainsFunc(op.route.steps[:op.route.shared], func(s step) bool {
		return slices.ContainsFunc(s.words, func(w string) bool { return slices.Contains(adminPhrases[:3], w) || w == "backoffice" })
	})
}

func (b *builder) adminWords(t *traits) string {
	return t.saysAny("admin", "admins", "administrator", "administration", "backoffice", "back office", "superuser", "superadmin", "super admin", "sysadmin")
}

// operatorPurposes: administration, debugging, health, hazard.
func (b *builder) operatorPurposes(t *traits) {
	op := t.op
	var e evidence
	weigh := 1.0
	if b.administers(op) {
		weigh = 0.5 // all of it is called administration: what is there besides is administered
	}
	if w := b.adminWords(t); w != "" {
		e.add(0.8*weigh, "is called %q", w)
	} else if w := t.saysAny(adminPhrases...); w != "" {
		e.add(0.25*weigh, "is called %q", w)
	}
	for _, tag := range op.Tags {
		l := strings.ToLower(tag)
		if strings.Contains(l, "admin") || l == "backoffice" || l == "management" || l == "internal" {
			if weigh < 1 {
				break // it says no more than the path
			}
			e.add(0.5, "tag %q", tag)
			break
		}
	}
	for _, h := range []string{"admin only", "only admin", "admins only", "administrators only", "for admins", "staff only", "must be admin", "admin-only", "only for admin", "as admin", "by an admin", "by admin", "admin role"} {
		if strings.Contains(t.text, h) {
			e.add(0.5, "its description says %q", h)
			break
		}
	}
	for _, h := range []string{"requires admin", "administrator", "admin privilege", "admin user", "superuser", "admin access"} {
		if strings.Contains(t.text, h) {
			e.add(0.35, "its description says %q", h)
			break
		}
	}
	if m := reStaffOnly.FindStringSubmatch(t.text); m != nil {
		e.add(0.55, "its description says %q", strings.Trim(m[0], " ().,;:"))
	}
	if w := b.refusesOthers(op); w != "" {
		e.add(0.5, "its 403 says %q", w)
	}
	for name, v := range op.Extensions {
		l := strings.ToLower(name)
		if (strings.Contains(l, "role") || strings.Contains(l, "permission") || strings.Contains(l, "scope") || strings.Contains(l, "auth")) && holdsAdmin(v) {
			e.add(0.6, "%s names an admin", name)
			break
		}
	}
	for _, r := range op.Security {
		for _, u := range r {
			for _, s := range u.Scopes {
				if w := spec.Words(s); slices.Contains(w, "admin") || slices.Contains(w, "superuser") || slices.Contains(w, "staff") {
					e.add(0.6, "scope %q", s)
				}
			}
			if w := spec.Words(u.Scheme.Name); slices.Contains(w, "admin") {
				e.add(0.6, "security scheme %q", u.Scheme.Name)
			}
		}
	}
	if w := b.unlikeSiblings(op); w != "" {
		e.add(0.3, "%s", w)
	}
	op.guess(Admin, &e)

	e = evidence{}
	if w := t.saysAny("debug", "trace", "actuator", "heapdump", "threaddump", "phpinfo", "env", "dump", "diagnostics", "profiler", "pprof", "metrics", "internal", "test", "devtools", "loggers", "beans", "configprops", "introspect", "console", "sandbox"); w != "" {
		switch w {
		case "debug", "actuator", "heapdump", "threaddump", "phpinfo", "pprof", "devtools", "configprops", "beans":
			e.add(0.8, "is called %q", w)
		case "env", "trace", "diagnostics", "metrics", "loggers", "profiler":
			if len(op.route.objects) == 0 && t.reads {
				e.add(0.5, "is called %q", w)
			}
		default:
			e.add(0.2, "is called %q", w)
		}
	}
	if slices.ContainsFunc(op.route.steps, func(s step) bool {
		return !s.isVar() && strings.HasPrefix(s.text, "_") && len(s.words) > 0 && s.words[0] == "debug"
	}) {
		e.add(0.2, "is hidden behind an underscore")
	}
	if strings.Contains(t.text, "debug") {
		e.add(0.3, "its description says \"debug\"")
	}
	op.guess(Debug, &e)

	e = evidence{}
	if t.reads && len(op.route.objects) == 0 {
		if t.last("health", "healthz", "healthcheck", "health check", "ping", "alive", "ready", "readyz", "livez", "live", "liveness", "readiness", "heartbeat", "up") {
			e.add(0.9, "its path ends in %q", lastText(op))
		} else if t.last("status", "version", "info", "server status", "about") && len(op.Inputs) == 0 && len(op.route.nouns) <= 1 {
			e.add(0.6, "its path ends in %q", lastText(op))
		}
	}
	op.guess(Health, &e)
	b.hazard(t)
}

func lastText(op *Op) string {
	if n := len(op.route.steps); n > 0 {
		return op.route.steps[n-1].text
	}
	return ""
}

// refusesOthers is what the description of a 403 says of those whom the operation is for: "staff only".
func (b *builder) refusesOthers(op *Op) string {
	for _, r := range op.Responses {
		if r.Status != "403" {
			continue
		}
		if m := reForThem.FindString(strings.ToLower(r.Description)); m != "" {
			return strings.Trim(m, " ().,;:")
		}
		if m := reStaffOnly.FindString(strings.ToLower(r.Description)); m != "" {
			return strings.Trim(m, " ().,;:")
		}
	}
	return ""
}

// reForThem are the words of a refusal for all but administrators.
var reForThem = regexp.MustCompile(`\b(?:admin|admins|administrators|superusers)[ -]only\b|\bonly (?:for |by |to )?(?:the )?(?:admins?|administrators?|superusers?)\b|\b(?:not an? |must be an? |requires? (?:an? |the )?)(?:admin(?:istrator)?|superuser)\b`)

func holdsAdmin(v any) bool {
	switch v := v.(type) {
	case string:
		l := strings.ToLower(v)
		return strings.Contains(l, "admin") || strings.Contains(l, "superuser") || l == "staff" || l == "root"
	case []any:
		return len(v) > 0 && !slices.ContainsFunc(v, func(x any) bool { return !holdsAdmin(x) })
	case map[string]any:
		for _, x := range v {
			if holdsAdmin(x) {
				return true
			}
		}
	}
	return false
}

// unlikeSiblings: it demands a scheme or a scope that no other operation on the
// same resource does, and they are all alike.
func (b *builder) unlikeSiblings(op *Op) string {
	if op.About == nil || len(op.About.Ops) < 4 || len(op.Security) == 0 || len(op.About.Ops) > 200 {
		return ""
	}
	mine := demand(op)
	others := map[string]int{}
	for _, o := range op.About.Ops {
		if o != op {
			others[demand(o)]++
		}
	}
	if len(others) == 1 && others[mine] == 0 && others[""] == 0 && op.Method != http.MethodGet {
		return "it demands " + mine + " and its siblings do not"
	}
	return ""
}

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
