package graph

import (
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// operatorPurposes: administration, debugging, health.
func (b *builder) operatorPurposes(t *traits) {
	b.admin(t)
	b.debug(t)
	b.health(t)
	b.hazard(t)
}

// admin: for operators of the service alone.
func (b *builder) admin(t *traits) {
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
	if w := b.staffOnly(strings.ToLower(op.Summary + "\n" + op.Description)); w != "" {
		e.add(0.55, "its description says %q", w)
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
}

// debug: shows the inside of the service.
func (b *builder) debug(t *traits) {
	op := t.op
	var e evidence
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
}

// health: says whether the service lives.
func (b *builder) health(t *traits) {
	op := t.op
	var e evidence
	if t.reads && len(op.route.objects) == 0 {
		if t.last("health", "healthz", "healthcheck", "health check", "ping", "alive", "ready", "readyz", "livez", "live", "liveness", "readiness", "heartbeat", "up") {
			e.add(0.9, "its path ends in %q", lastText(op))
		} else if t.last("status", "version", "info", "server status", "about") && len(op.Inputs) == 0 && len(op.route.nouns) <= 1 {
			e.add(0.6, "its path ends in %q", lastText(op))
		}
	}
	op.guess(Health, &e)
}

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
		if w := b.staffOnly(strings.ToLower(r.Description)); w != "" {
			return w
		}
	}
	return ""
}

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
