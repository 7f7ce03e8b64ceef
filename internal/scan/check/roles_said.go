package check

import (
	"regexp"
	"slices"
	"strings"
)

// reRoleSaid is a role in what a refusal says: "Only Editors may …", "requires the
// role editor", "you must be an editor".
var reRoleSaid = regexp.MustCompile(`(?i)(?:\bonly (?:for )?(?:an? |the )?|\brequires? (?:the )?role (?:of )?(?:an? )?|\bmust be (?:an? |the )?)["'\x60]?([a-z][a-z_-]{2,24})["'\x60]?(?:(?: role| users?| accounts?)?(?: is| are| can| may| must)\b|[.!)]|$)`)

// noRoles are words that stand where roles do.
var noRoles = map[string]bool{
	"authenticated": true, "authorized": true, "authorised": true, "registered": true, "logged": true, "user": true, "owner": true, "member": true, "customer": true,
	"you": true, "one": true, "this": true, "unique": true, "valid": true, "string": true, "integer": true, "number": true, "boolean": true, "positive": true, "present": true, "provided": true,
}

// rolesSaid are roles that refusals of this run spoke of, as they wrote them: what
// is called an administrator elsewhere has a name of its own here.
func (p *Probe) rolesSaid() []string {
	var out []string
	for _, c := range p.World.Coverage() {
		if c.Reached || !strings.Contains(c.Reason, "403") && !strings.Contains(c.Reason, "401") {
			continue
		}
		for _, m := range reRoleSaid.FindAllStringSubmatch(c.Reason, 2) {
			role := m[1]
			if len(role) > 4 {
				role = strings.TrimSuffix(role, "s") // "Only Editors may"
			}
			if !noRoles[strings.ToLower(role)] && !slices.Contains(out, role) && len(out) < 3 {
				out = append(out, role)
			}
		}
	}
	return out
}

// rolesLike are roles that a caller would like better than one that is called so: JSON texts.
func (p *Probe) rolesLike(now string) []string {
	var out []string
	for _, r := range append(p.rolesSaid(), "admin") {
		if text := jsonString(styled(r, now)); !strings.EqualFold(r, now) && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}
