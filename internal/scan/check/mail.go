package check

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "header-injection", Title: "A line break begins a header of the caller's own",
	OWASP: "API8:2023", CWE: "CWE-93", WSTG: "WSTG-INPV-15",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:L/VA:N/SC:N/SI:L/SA:N",
	About: "Puts a line break, and after it a header, into texts that may become part of an answer's headers or of a mail's.",
	Proof: "The answer has the header; or it says that the mail goes to the address which the header added, as a whole value of its own. Controls: the same text without the line break does neither.",
	Fix:   "Refuse control characters in what becomes a header; build mails with a library.",
	Mode:  Default, Dirty: true,
	Run: func(ctx context.Context, p *Probe) error {
		return p.everySlot(ctx, func(s *slot) bool {
			return reHeaderText.MatchString(s.in.Name) || sendsMail(s.op) || s.in.Meaning == graph.MeansFileName
		}, p.breaksLines)
	},
})

var (
	reHeaderText = regexp.MustCompile(`(?i)subject|title|redirect|return|next|url|file_?name|lang|locale|from|reply|sender|recipient|to$|name$|header`)
	reMail       = regexp.MustCompile(`(?i)\b(e-?mail|mails?|send|share|invite|notify|contact|message)\b`)
)

func sendsMail(op *graph.Op) bool {
	return op.Method == http.MethodPost && (reMail.MatchString(op.Summary) || reMail.MatchString(strings.ReplaceAll(strings.ReplaceAll(op.Path, "/", " "), "_", " ")))
}

func (p *Probe) breaksLines(ctx context.Context, s *slot) error {
	for _, line := range []string{"\r\n", "\n"} {
		// In the answer's own head.
		x, err := p.send(ctx, s.with(s.value+line+"X-Crenel-Probe: crenelprobe"))
		if err != nil {
			return err
		}
		if x.Header.Get("X-Crenel-Probe") != "" {
			var l steps
			const text = "X-Crenel-Probe: ${canary.head}"
			l.add(p.slotStep(s, "plain", scenario.Control, "without the line break there is no such header", s.value+" "+text, scenario.Expect{Header: "X-Crenel-Probe", Missing: true}))
			l.add(p.slotStep(s, "attack", scenario.Attack, "with it there is", s.value+line+text, scenario.Expect{Header: "X-Crenel-Probe", Matches: "^${canary.head}"}))
			if ok, err := p.injected(ctx, s, "a line break begins a header", "The text becomes a header of the answer, and a line break in it ends that header and begins another.", &l); err != nil || ok {
				return err
			}
		}
		if !sendsMail(s.op) {
			continue
		}
		// In a mail's: what it goes to is in the answer.
		for _, head := range []string{"Bcc", "Cc"} {
			const seen = "crenelprobe@example.com"
			x, err := p.send(ctx, s.with(s.value+line+head+": "+seen))
			if err != nil {
				return err
			}
			at := wholeAt(x.Body, seen)
			if x.Status/100 != 2 || at == "" {
				continue
			}
			var l steps
			address := "${canary.to}@example.com"
			l.add(p.slotStep(s, "plain", scenario.Control, "without the line break the mail does not go there", s.value+" "+head+": "+address, scenario.Expect{Status: "any"}, scenario.Expect{Lacks: []string{`"` + address + `"`}}))
			l.add(p.slotStep(s, "attack", scenario.Attack, "with it, it does", s.value+line+head+": "+address, scenario.Expect{Status: "2xx", At: at, Equals: &address}))
			if ok, err := p.injected(ctx, s, "a line break adds recipients to a mail", "The text becomes a header of a mail, and a line break in it ends that header and begins another: the mail goes to whom the caller names.", &l); err != nil || ok {
				return err
			}
		}
	}
	return nil
}

// wholeAt is where an answer holds a text as a whole value, "" nowhere.
func wholeAt(body []byte, text string) string {
	v, ok := scenario.Decode(body)
	if !ok {
		return ""
	}
	out := ""
	scenario.Walk(v, func(at string, s any) {
		if s == text {
			out = wild(at)
		}
	})
	return out
}
