package check

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "excessive-data", Title: "An answer holds what nobody asked for",
	OWASP: "API3:2023", CWE: "CWE-213", WSTG: "WSTG-INFO-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Reads all answers of reads for password hashes, private keys, full payment card numbers, and for personal data in what is open to anybody.",
	Proof: "The answer holds such a value, again when it is asked again, in a field that the description does not have or has for something else (a masked number).",
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
}

var leaks = []leak{
	{what: "a password's hash", cwe: "CWE-213", any: true, re: regexp.MustCompile(`^(\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(i|d|id)\$.+|\$pbkdf2.*\$.+|pbkdf2[_:$-]?sha\d+.{10,}|\$scrypt\$.+|scrypt:.+|\$[156]\$[./A-Za-z0-9]+\$[./A-Za-z0-9]+|\{(bcrypt|SSHA|SHA|MD5)\}.+|sha(1|256|512)\$.+\$.+)$`)},
	{what: "a password's hash", cwe: "CWE-213", re: regexp.MustCompile(`^([0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})$`), name: regexp.MustCompile(`pass(word|wd)?[_-]?(hash|digest)|^(hash|pwd|passwd|password)$`)},
	{what: "a password's hash", cwe: "CWE-213", re: regexp.MustCompile(`^\S{20,}$`), name: regexp.MustCompile(`pass(word|wd)?[_-]?(hash|digest)|hash(ed)?[_-]?pass`)},
	{what: "a private key", cwe: "CWE-321", any: true, re: regexp.MustCompile(`-----BEGIN (RSA |EC |OPENSSH |)PRIVATE KEY-----`)},
	{what: "a full payment card number", cwe: "CWE-359", any: true, re: regexp.MustCompile(`^(?:\d[ -]?){13,19}$`), also: luhn, name: nil},
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
		if op.Method != http.MethodGet || op.Has(graph.Hazard) {
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
			at = wild(at)
			name := strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
			for _, k := range leaks {
				if seen[at] || !k.re.MatchString(text) || k.also != nil && !(k.also(text) && reCardName.MatchString(name)) || !k.any && !k.name.MatchString(name) {
					continue
				}
				if text == user.Facts[name] {
					continue // what the caller has just sent
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
