package graph

import (
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// reFewOnly is a text that says whom an operation is for: "keepers only", "(the
// keepers)", "only by keepers", "must be a keeper". What is said so of things ("names
// only") is told apart by staffOnly.
var reFewOnly = regexp.MustCompile(`\b([a-z]{3,})[ -]only\b|\bonly (?:for |by |to )?(?:the )?([a-z]{3,})\b|\((?:for |by )?(?:the )?([a-z]{3,})\)|\b(?:must|has to|need to) be an? ([a-z]{3,})\b`)

// reStaff are those who run a place, by their standing or by what people of a trade are
// called in English: trades end alike, and there are too many of them to name.
var reStaff = regexp.MustCompile(`^(?:staff|personnel|(?:employee|manager|supervisor|moderator|operator|maintainer|coordinator|director|superintendent|approver|auditor|officer|[a-z]{4,}ian|[a-z]{3,}[^l]ist|[a-z]{3,}eer|[a-z]*keeper|[a-z]*clerk|[a-z]*master)s?)$`)

// reDoersOnly is a sentence, or what stands in brackets, that says nothing but whom an
// operation is for, by what they do: "Winders only.", "Set the clock (winders)".
var reDoersOnly = regexp.MustCompile(`(?:^|[.;:(!\n] ?)(?:for )?([a-z]{3,}(?:er|or))s[ -]only(?:[.;:)!\n]|$)|\((?:for |by )?(?:the )?([a-z]{3,}(?:er|or))s\)\.?(?:\n|$)`)

// noDoers are words of descriptions that end as those for people do, and are things.
var noDoers = set(`number letter header parameter character integer pointer container server paper order offer folder layer counter marker filter cluster answer computer color error sensor motor vector footer identifier transfer voucher register buffer trigger worker adapter provider browser`)

// commonRoles are what those are called whom a service is there for.
var commonRoles = set(`user member customer client guest visitor reader viewer subscriber buyer seller owner author person individual anonymous public volunteer tourist civilian guardian musician`)

// staffOnly is what a text (in lower case) says where it says that an operation is for
// those who run the place; "" where it does not. Beside the words that all use, that is
// who has a role of the API's own, unless whoever registers may choose it.
func (b *builder) staffOnly(text string) string {
	for _, m := range reFewOnly.FindAllStringSubmatch(text, 4) {
		for i, who := range m[1:] {
			one := strings.TrimSuffix(who, "s")
			plural := one != who
			switch {
			case who == "" || commonRoles[one] || !plural && i != 3 && one != "staff" && one != "personnel":
			case reStaff.MatchString(who), b.roles()[one]:
				return strings.Trim(m[0], " ().,;:")
			}
		}
	}
	for _, m := range reDoersOnly.FindAllStringSubmatch(text, 4) {
		who := m[1] + m[2]
		if few, known := b.roles()[who]; (few || !known) && !commonRoles[who] && !noDoers[who] && !b.nouns[who] {
			return strings.Trim(m[0], " ().,;:!\n")
		}
	}
	return ""
}

// roles are the API's own: the values of what says what somebody may do, singular and in
// lower case; false for those that are chosen beside a new password.
func (b *builder) roles() map[string]bool {
	if b.named != nil {
		return b.named
	}
	b.named = map[string]bool{}
	chosen := map[string]bool{}
	for _, op := range b.g.Ops {
		registers := false
		for _, in := range op.Inputs {
			registers = registers || in.Meaning == MeansPassword
		}
		for _, in := range op.Inputs {
			if in.Meaning != MeansRole || in.Schema == nil {
				continue
			}
			for _, v := range in.Schema.Rules().Enum {
				into := b.named
				if registers {
					into = chosen
				}
				into[roleWord(v.Text)] = true
			}
		}
		for _, out := range op.Outputs {
			if out.Meaning == MeansRole {
				for _, v := range out.Values {
					b.named[roleWord(v)] = true
				}
			}
		}
	}
	for word := range chosen {
		b.named[word] = false
	}
	return b.named
}

// roleWord is the last word of a role's name: "ROLE_KEEPER" is a keeper.
func roleWord(text string) string {
	w := spec.Words(text)
	if len(w) == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(w[len(w)-1]), "s")
}
