package check

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/finding"
)

// Mode is how much a run may do to its target.
type Mode int

// The modes, the gentlest first: Safe reads, and changes only what the run
// made itself; Default changes state as a user could; Aggressive sends bursts,
// large inputs and what may hurt.
const (
	Safe Mode = iota
	Default
	Aggressive
)

var modes = []string{"safe", "default", "aggressive"}

func (m Mode) String() string { return modes[m] }

// Check is one thing that the scanner looks for.
type Check struct {
	ID    string // stable, lower case, words joined by "-": "bola-read"
	Title string // what an attacker can do: "Another user's object can be read"
	OWASP string // "API1:2023"
	CWE   string // "CWE-639"
	WSTG  string // "WSTG-ATHZ-04"
	CVSS  string // CVSS v4.0 vector of a usual case
	About string // what is sent and why, in a sentence or two
	Proof string // what proves it, and which controls keep honest behaviour apart
	Fix   string // how to mend it, for a developer
	Mode  Mode   // the least mode in which it runs
	// Dirty checks change what the run made (its texts, its fields): they run
	// after those that look for it.
	Dirty bool
	// Late checks change or destroy what others lean on: they run after all
	// others, one at a time.
	Late bool
	// Last checks are Late ones that run after those: they look back at the run.
	Last bool
	// Alone checks measure time: nothing else is sent meanwhile.
	Alone bool
	// Off checks run only when named (--check ID).
	Off bool
	// Run looks for it. An error ends the run (budget, context, dead target);
	// what concerns one operation only is told to the Probe and passed over.
	Run func(ctx context.Context, p *Probe) error
}

// urgency is which checks go first when there is not room for all: those of whose
// objects they are, by reading, which take few requests and which nothing but two
// accounts finds; then by writing, of who somebody is and of whose functions they
// are; then of what objects hold, and of ways round what was refused.
func (c *Check) urgency() int {
	around := strings.HasSuffix(c.ID, "-variant")
	switch {
	case c.OWASP == "API1:2023" && c.Mode == Safe:
		return 0
	case !around && (c.OWASP == "API1:2023" || c.OWASP == "API2:2023" || c.OWASP == "API5:2023"):
		return 1
	case around, c.OWASP == "API3:2023":
		return 2
	}
	return 3
}

var checks []*Check

// register adds a check; each check's file does so.
func register(c *Check) *Check { //nolint:unparam // a result lets a check be registered where it is declared
	checks = append(checks, c)
	return c
}

// All lists the checks, by OWASP item and id.
func All() []*Check {
	out := slices.Clone(checks)
	slices.SortFunc(out, func(a, b *Check) int {
		return strings.Compare(rank(a.OWASP)+a.ID, rank(b.OWASP)+b.ID)
	})
	return out
}

func rank(owasp string) string {
	if strings.HasPrefix(owasp, "API10") {
		return "APIX"
	}
	return owasp
}

// Find is the check of an id, nil when there is none.
func Find(id string) *Check {
	for _, c := range checks {
		if c.ID == id {
			return c
		}
	}
	return nil
}

var (
	reID    = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	reOWASP = regexp.MustCompile(`^API([1-9]|10):2023$`)
	reCWE   = regexp.MustCompile(`^CWE-\d+$`)
	reWSTG  = regexp.MustCompile(`^WSTG-[A-Z]{4}-\d\d$`)
)

// Valid says what is wrong with a check's description, all of it together.
func (c *Check) Valid() error {
	var wrong []string
	for _, f := range []struct {
		name, value string
		re          *regexp.Regexp
	}{{"id", c.ID, reID}, {"owasp", c.OWASP, reOWASP}, {"cwe", c.CWE, reCWE}, {"wstg", c.WSTG, reWSTG}} {
		if !f.re.MatchString(f.value) {
			wrong = append(wrong, fmt.Sprintf("%s is %q, want %s", f.name, f.value, f.re))
		}
	}
	for name, v := range map[string]string{"title": c.Title, "about": c.About, "proof": c.Proof, "fix": c.Fix} {
		if strings.TrimSpace(v) == "" {
			wrong = append(wrong, name+" is empty")
		}
	}
	if _, _, err := finding.Rate(c.CVSS); err != nil {
		wrong = append(wrong, err.Error())
	}
	if c.Run == nil {
		wrong = append(wrong, "it does nothing")
	}
	if wrong != nil {
		slices.Sort(wrong)
		return fmt.Errorf("check %q: %s", c.ID, strings.Join(wrong, "; "))
	}
	return nil
}
