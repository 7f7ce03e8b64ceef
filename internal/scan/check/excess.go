package check

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "excessive-data", Title: "An answer holds what nobody asked for",
	OWASP: "API3:2023", CWE: "CWE-213", WSTG: "WSTG-INFO-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Reads all answers of reads for password hashes, passwords in clear, private keys, keys of other services by their formats, database addresses with passwords, full payment card numbers, and random texts under names that secrets have.",
	Proof: "The answer holds such a value, again when it is asked again. It is none that the run has put there itself; a text that only its name makes a secret must be in a field that the description does not have.",
	Fix:   "Answer with a type of its own that has the fields which callers need, and validate answers against the description.",
	Mode:  Safe,
	Run:   excessiveData,
})

// leak is a kind of value that no read should hold.
type leak struct {
	what string
	cwe  string
	re   *regexp.Regexp
	also func(text string) bool // nil: the pattern is enough
	any  bool                   // whatever the field is called and declared as
	name *regexp.Regexp         // else the field's name
	// undeclared: only where the description of the answer does not have the field.
	undeclared bool
	beside     *regexp.Regexp // a member beside it that there must be; nil: none
	entered    bool           // what the run has put there itself counts as well
}

var leaks = []leak{
	{what: "a password's hash", cwe: "CWE-213", any: true, re: regexp.MustCompile(`^(\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(i|d|id)\$.+|\$pbkdf2.*\$.+|pbkdf2[_:$-]?sha\d+.{10,}|\$scrypt\$.+|scrypt:.+|\$[156]\$[./A-Za-z0-9]+\$[./A-Za-z0-9]+|\{(bcrypt|SSHA|SHA|MD5)\}.+|sha(1|256|512)\$.+\$.+)$`)},
	{what: "a password's hash", cwe: "CWE-213", re: regexp.MustCompile(`^([0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})$`), name: regexp.MustCompile(`(pass(word|wd)?|pw|pwd)[_-]?(hash|digest)|^(hash|pwd|passwd|password)$`)},
	{what: "a password's hash", cwe: "CWE-213", re: regexp.MustCompile(`^\S{20,}$`), name: regexp.MustCompile(`(pass(word|wd)?|pw|pwd)[_-]?(hash|digest)|hash(ed)?[_-]?(pass|pw)`)},
	{what: "a private key", cwe: "CWE-321", any: true, re: regexp.MustCompile(`-----BEGIN (RSA |EC |OPENSSH |)PRIVATE KEY-----`)},
	{what: "a full payment card number", cwe: "CWE-359", re: regexp.MustCompile(`^(?:\d[ -]?){13,19}$`), also: luhn, name: reCardName, entered: true},
	{what: "a password in clear", cwe: "CWE-256", re: regexp.MustCompile(`^[^*•·]{4,72}$`), name: regexp.MustCompile(`^(password|passwd|pwd|pass_?word_?plain|plain_?password)$`), beside: regexp.MustCompile(`(?i)^(e?-?mail|user_?name|login|user)$`), also: noMask},
	{what: "a key of another service", cwe: "CWE-522", any: true, re: regexp.MustCompile(`^((sk|rk)_(live|test)_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{40,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{20,}|SG\.[\w-]{16,}\.[\w-]{16,}|npm_[A-Za-z0-9]{36}|dop_v1_[0-9a-f]{64})$|AccountKey=[A-Za-z0-9+/]{40,}`)},
	{what: "a password within an address", cwe: "CWE-522", any: true, re: regexp.MustCompile(`^(postgres(ql)?|mysql|mariadb|mongodb(\+srv)?|rediss?|amqps?|mssql|ldaps?|ftp|smtps?)://[^/\s:@]*:[^/\s@]{3,}@[^/\s]+`)},
	{what: "a secret access key", cwe: "CWE-522", re: regexp.MustCompile(`^[A-Za-z0-9/+]{40}$`), name: regexp.MustCompile(`aws|secret_?access`), also: random},
	{what: "a secret", cwe: "CWE-522", undeclared: true, re: regexp.MustCompile(`^\S{12,}$`), also: random, name: regexp.MustCompile(`(^|_)(client|api|app|totp|otp|mfa|two_?factor|webhook|signing|jwt|session)_?secret$|(^|_)(private|signing|encryption|master)_?key$|(^|_)(reset|recovery|verification|activation|confirm(ation)?|remember|password)_?token$`)},
}

// random reports whether a text looks drawn: it has at least 3.2 bits a character.
func random(text string) bool {
	count := map[rune]int{}
	for _, r := range text {
		count[r]++
	}
	bits := 0.0
	for _, n := range count {
		f := float64(n) / float64(len([]rune(text)))
		bits -= f * math.Log2(f)
	}
	return bits >= 3.2
}

// noMask reports whether a text is no stand-in for a password.
func noMask(text string) bool {
	return !reMask.MatchString(text)
}

var reMask = regexp.MustCompile(`(?i)^(x+|\.+|-+|_+|#+|<.*>|\[.*\]|\{.*\}|redacted|hidden|secret|protected|filtered|removed|masked|null|none|n/a|undefined|string|password|\(.*\))$`)

// sent reports whether the run itself put a text into an object of the kind that
// an operation is about.
func (p *Probe) sent(op *graph.Op, text string) bool {
	if op.About == nil {
		return false
	}
	for _, o := range p.World.Objects(op.About, nil) {
		if o.MadeBy == nil {
			continue
		}
		for _, v := range o.MadeBy.Values {
			if strings.Contains(v, text) {
				return true
			}
		}
	}
	return false
}

// siblings are the names of the members beside one.
func siblings(body any, at string) []string {
	i := strings.LastIndexByte(at, '/')
	if i < 0 {
		return nil // the answer is a text as a whole
	}
	var out []string
	for _, holder := range scenario.Find(body, at[:i]) {
		if m, ok := holder.(map[string]any); ok {
			out = slices.AppendSeq(out, maps.Keys(m))
		}
	}
	return out
}

// fits reports whether a field's name and value are of the kind.
func (k *leak) fits(name, text string) bool {
	return k.re.MatchString(text) && (k.any || k.name.MatchString(strings.ToLower(name)) || k.name.MatchString(snakeCase(name))) && (k.also == nil || k.also(text))
}

// luhn reports whether a text is a card number by its check digit (ISO/IEC
// 7812-1) and by what cards begin with.
func luhn(text string) bool {
	var d []int
	for _, r := range text {
		if r >= '0' && r <= '9' {
			d = append(d, int(r-'0'))
		}
	}
	if len(d) < 13 || len(d) > 19 || d[0] < 3 || d[0] > 6 {
		return false
	}
	sum := 0
	for i := range d {
		v := d[len(d)-1-i]
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

var reCardName = regexp.MustCompile(`pan|card|number|account_?no|cc`)

func excessiveData(ctx context.Context, p *Probe) error {
	user := p.Actor(actor.User)
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method != http.MethodGet && !p.onlyReads(op) || op.Has(graph.Hazard) {
			return nil
		}
		c, err := p.World.Call(ctx, op, user, nil)
		if err != nil {
			p.Note(op, Skipped)
			return nil //nolint:nilerr // an operation that cannot be called does not end the run
		}
		x, err := p.send(ctx, c)
		if err != nil {
			return err
		}
		body, ok := scenario.Decode(x.Body)
		if x.Status/100 != 2 || !ok {
			p.Note(op, Skipped)
			return nil
		}
		p.Note(op, Clean)
		type hit struct{ at, what, cwe, re string }
		var hits []hit
		seen := map[string]bool{}
		scenario.Walk(body, func(at string, v any) {
			text, isText := v.(string)
			if n, ok := v.(json.Number); ok {
				text, isText = string(n), len(n) >= 13
			}
			if !isText || text == "" {
				return
			}
			beside := siblings(body, at)
			at = wild(at)
			name := at[strings.LastIndexByte(at, '/')+1:]
			for i := range leaks {
				k := &leaks[i]
				if seen[at] || !k.fits(name, text) || k.undeclared && declares(op, at) || k.beside != nil && !slices.ContainsFunc(beside, k.beside.MatchString) || !k.entered && p.sent(op, text) {
					continue
				}
				if user != nil && text == user.Facts["password"] {
					continue // the caller's own, which another check proves
				}
				seen[at] = true
				hits = append(hits, hit{at, k.what, k.cwe, k.re.String()})
			}
		})
		for _, h := range hits {
			s := p.afresh(c)
			l := steps{list: s.setup}
			st, err := s.step(p, c, "attack", scenario.Attack)
			st.Note, st.Expect = "the answer holds "+h.what, []scenario.Expect{{Status: "2xx", At: h.at, Matches: h.re}}
			l.add(st, err)
			if l.err != nil {
				continue
			}
			if _, err := p.Prove(ctx, Hypothesis{
				Op: op, Where: "answer." + h.at, CWE: h.cwe, Title: fmt.Sprintf("%s %s gives %s away", op.Method, op.Path, h.what),
				Description: fmt.Sprintf("The answer holds %s at %s.", h.what, h.at),
				Scenario:    &scenario.Scenario{Name: h.what + " in an answer", Steps: l.list},
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

var reIndex = regexp.MustCompile(`/\d+(/|$)`)

// wild is a pointer with * for the places in lists.
func wild(at string) string {
	for reIndex.MatchString(at) {
		at = reIndex.ReplaceAllString(at, "/*$1")
	}
	return at
}
