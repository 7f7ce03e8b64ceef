package world

import (
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

var (
	reBegins = regexp.MustCompile(`(?i)(?:must|should|has to|have to|needs? to|does not|doesn't|can only|may only) (?:start|begin) with:? ?(?:the )?(?:word |command |prefix |text )?(?:["'\x60]([^"'\x60]{1,40})["'\x60]|([^\s"'\x60,;]{1,40}))`)
	reOnly   = regexp.MustCompile(`(?i)\bonly (?:the )?((?:(?:,? ?(?:and|or) |, ?)?["'\x60][^"'\x60]{1,40}["'\x60])+) ?(?:\w+ ){0,2}(?:is|are|can be|may be) (?:allowed|permitted|supported|accepted|used)`)
	reOnlyOf = regexp.MustCompile(`(?i)\bonly (?:the )?([\w./-]{1,40}(?:, ?[\w./-]{1,40})*(?:,? (?:and|or) [\w./-]{1,40})?) (?:commands?|hosts?|domains?|tools?|programs?|formats?) (?:is|are|can be|may be) (?:allowed|permitted|supported|accepted|used)`)
)

// permitted are the texts that a message names as those that a value may be or begin
// with: "must start with 'ping'", "only 'df' is allowed". None: it names none. What is
// permitted as it is begins as permitted as well.
func permitted(text string) []string {
	if m := reBegins.FindStringSubmatch(text); m != nil {
		return []string{strings.TrimRight(m[1]+m[2], ".!)")}
	}
	if m := reOnly.FindStringSubmatch(text); m != nil {
		var out []string
		for _, q := range inQuotes.FindAllStringSubmatch(m[1], -1) {
			out = append(out, q[1])
		}
		return out
	}
	if m := reOnlyOf.FindStringSubmatch(text); m != nil {
		return strings.FieldsFunc(strings.NewReplacer(" and ", ",", " or ", ",").Replace(m[1]), func(r rune) bool { return r == ',' || r == ' ' })
	}
	return nil
}

// onlyText is the one free text that a call sends, for a message that names what a value
// may be and not which: "" when there is none, or are several.
func onlyText(c *Call, k *Complaint) string {
	if k.Rule != isEnum || len(permitted(k.Text)) == 0 {
		return ""
	}
	only := ""
	for _, in := range c.Op.Inputs {
		if _, sent := c.Values[in.Where()]; !sent || in.In != "body" && in.In != "query" || in.Type != "" && in.Type != "string" || in.Meaning == graph.MeansPassword || linked(in) {
			continue
		}
		if only != "" {
			return ""
		}
		only = in.Where()
	}
	return only
}
