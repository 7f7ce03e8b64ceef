package harbour

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

var owaspTitles = map[string]string{
	"API1:2023": "Broken Object Level Authorization", "API2:2023": "Broken Authentication",
	"API3:2023": "Broken Object Property Level Authorization", "API4:2023": "Unrestricted Resource Consumption",
	"API5:2023": "Broken Function Level Authorization", "API6:2023": "Unrestricted Access to Sensitive Business Flows",
	"API7:2023": "Server Side Request Forgery", "API8:2023": "Security Misconfiguration",
	"API9:2023": "Improper Inventory Management", "API10:2023": "Unsafe Consumption of APIs",
}

// HolesMarkdown is HOLES.md, made from the same files that the attacks run from.
func HolesMarkdown() string {
	var b strings.Builder
	all := Holes()
	fmt.Fprintf(&b, `# Harbour's holes

<!-- Generated from holes/*.yaml by "go generate ./demo/harbour"; do not edit. -->

Harbour has %d documented holes. `+"`--holes all|none|ID,ID`"+` says which are open; with
`+"`none`"+` each one is fixed as described. The machine-readable form, with the attack that
shows each hole and the proof that it worked, is in `+"`holes/*.yaml`"+`. The 2023 edition of
the OWASP list has no item for injection and uploads; they are under API8 here.

Each hole names the general rules of a gateway that stop its attack without knowing the hole: the
contract (contract-request, contract-response, contract-route: what the OpenAPI document does not have is
refused), token (signature, algorithm, expiry), role and scope, ownership (customer_id, company_id,
courier_id), rate and concurrency limits, signature (attack patterns), session-end (a token that has logged
out or been renewed is dead), headers (what is added and taken away). Where several are named, one is enough.

In the requests, `+"`${…}`"+` stands for a value of an earlier step. Lines with a `+"`!`"+` are the hostile ones.

| hole | OWASP | CWE | severity | what |
|---|---|---|---|---|
`, len(all))
	for _, h := range all {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s | %s | %s |\n", h.ID, h.ID, h.OWASP, h.CWE, h.Severity, h.Title)
	}
	item := ""
	for _, h := range all {
		if h.OWASP != item {
			item = h.OWASP
			fmt.Fprintf(&b, "\n## %s %s\n", item, owaspTitles[item])
		}
		number := strings.TrimPrefix(h.CWE, "CWE-")
		fmt.Fprintf(&b, "\n### %s\n\n**%s.** `%s` · [%s](https://cwe.mitre.org/data/definitions/%s.html) · %s\n\n%s\n\n```http\n", h.ID, h.Title, h.Where, h.CWE, number, h.Severity, h.Why)
		for _, step := range h.Attack {
			b.WriteString(step.markdown())
		}
		fmt.Fprintf(&b, "```\n\n*Fix:* %s\n\n*General rules that stop it:* %s\n", h.Fix, strings.Join(h.Guards, ", "))
	}
	return b.String()
}

func (s Step) markdown() string {
	mark, who := "  ", s.As
	if s.Hostile {
		mark = "! "
	}
	if who == "" {
		who = "anybody"
	}
	if s.Token != "" {
		who = "with the token " + s.Token
	}
	switch {
	case s.Crack != nil:
		return mark + "offline: guess the secret of " + s.Crack.Token + "\n"
	case s.Forge != nil:
		return mark + "offline: forge a token, alg " + s.Forge.Alg + ", claims " + s.Forge.Claims + "\n"
	}
	line := mark + s.Send
	for _, name := range slices.Sorted(maps.Keys(s.Query)) {
		value := s.Query[name]
		line += fmt.Sprintf(" [%s=%s]", name, value)
	}
	line += "   # " + who
	if s.Parallel > 1 {
		line += fmt.Sprintf(", %d at once", s.Parallel)
	}
	if s.Repeat > 1 {
		line += fmt.Sprintf(", %d times", s.Repeat)
	}
	line += "\n"
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		value := s.Headers[name]
		line += "    " + name + ": " + value + "\n"
	}
	if body := strings.TrimSpace(s.JSON + s.XML); body != "" {
		line += "    " + strings.ReplaceAll(body, "\n", "\n    ") + "\n"
	}
	if s.Form != nil {
		line += fmt.Sprintf("    form: file %s (%s): %s\n", s.Form.FileName, s.Form.ContentType, s.Form.Content)
	}
	return line
}
