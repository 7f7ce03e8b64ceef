package finding

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Finding is one hole, with its proof.
type Finding struct {
	Fingerprint string   `json:"fingerprint"` // 16 bytes, hex; Print makes it
	Check       string   `json:"check"`       // id of what found it: "bola-read"
	Title       string   `json:"title"`       // one line: what an attacker can do, and where
	OWASP       string   `json:"owasp"`       // "API1:2023"
	CWE         string   `json:"cwe"`         // "CWE-639"
	WSTG        string   `json:"wstg"`        // "WSTG-ATHZ-04"
	Severity    Severity `json:"severity"`
	CVSS        string   `json:"cvss"`                  // CVSS v4.0 vector
	Score       float64  `json:"score"`                 // of the vector, 0 to 10
	Method      string   `json:"method"`                // upper case; "" when it is about no one operation
	Path        string   `json:"path"`                  // template, as the description writes it
	Operation   string   `json:"operation,omitempty"`   // operationId
	Where       string   `json:"where,omitempty"`       // place in the request or answer: "path.id", "body./role", "header.Authorization"
	Description string   `json:"description,omitempty"` // what was shown, in a few sentences
	// Cause, where it is set, is what the hole comes from in the program as a whole, for
	// people, such as "DELETE is not described, and works": findings of one check with
	// one cause are one row.
	Cause string `json:"cause,omitempty"`
	// Places are those in which the hole shows, the row's own first; nil for one alone.
	Places []At `json:"places,omitempty"`
	// Evidence is the exchanges that prove it, in order, credentials taken out.
	Evidence []Evidence `json:"evidence"`
	// Reproduce is a shell script of curl calls that shows it again.
	Reproduce string `json:"reproduce"`
	Fix       string `json:"fix"`
	// Place is where the description speaks of the operation.
	Place *Place `json:"place,omitempty"`
	// Requests is how many requests a proof from scratch takes.
	Requests int `json:"requests,omitempty"`
	// Regression names the file that proves it again, relative to the report.
	Regression string `json:"regression,omitempty"`
	// Suppressed is why it does not count, nil when it does.
	Suppressed *Suppression `json:"suppressed,omitempty"`
	// New says that the baseline does not have it; nil without a baseline.
	New *bool `json:"new,omitempty"`
}

// Evidence is one exchange of a proof.
type Evidence struct {
	Step     string  `json:"step"`           // id
	Part     string  `json:"part"`           // setup, control, attack, observe, cleanup
	Note     string  `json:"note,omitempty"` // what it shows, for people
	As       string  `json:"as"`             // actor; "" nobody
	Request  Message `json:"request"`
	Response Message `json:"response"`
	Millis   float64 `json:"ms"`
	// Sent is when the request went out.
	Sent time.Time `json:"sent,omitzero"`
}

// Message is a request or an answer.
type Message struct {
	Method    string      `json:"method,omitempty"`
	URL       string      `json:"url,omitempty"`
	Status    int         `json:"status,omitempty"` // 0 in an answer: there was none
	Header    [][2]string `json:"header,omitempty"`
	Body      string      `json:"body,omitempty"` // text, or "base64:…" for what is none
	Truncated bool        `json:"truncated,omitempty"`
}

// Place is a line of a document.
type Place struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"` // 1-based
	Pointer string `json:"pointer,omitempty"`
}

// Print is the fingerprint of a hole: of the check, the operation and the place
// in it. Values, hosts, actors and times have no part in it.
func Print(check, method, path, where string) string {
	h := sha256.New()
	for _, s := range []string{"crenel.finding.v1", check, strings.ToUpper(method), path, where} {
		fmt.Fprintf(h, "%d:%s,", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Sort orders findings by severity, the gravest first, then by path, method,
// check and place.
func Sort(list []*Finding) {
	slices.SortStableFunc(list, func(a, b *Finding) int {
		return cmp.Or(
			cmp.Compare(b.Severity.rank(), a.Severity.rank()),
			cmp.Compare(b.Score, a.Score),
			cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Method, b.Method),
			cmp.Compare(a.Check, b.Check),
			cmp.Compare(a.Where, b.Where),
		)
	})
}
