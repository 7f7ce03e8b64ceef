package check

import (
	"regexp"
	"slices"
	"sync"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// Notebook is what is worth keeping of all that a run was answered. It is safe
// for concurrent use.
type Notebook struct {
	mu     sync.Mutex
	tokens []string
	emails []string
}

const maxNoted = 500 // of each kind

var (
	reAnyJWT = regexp.MustCompile(`eyJ[A-Za-z0-9_+/-]{5,}={0,2}\.[A-Za-z0-9_+/-]{5,}={0,2}\.[A-Za-z0-9_+/-]{10,}={0,2}`)
	reEmail  = regexp.MustCompile(`[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
)

// Note looks at an exchange.
func (n *Notebook) Note(x *target.Exchange) {
	if n == nil || x.Status == 0 {
		return
	}
	tokens := reAnyJWT.FindAllString(string(x.Body), 8)
	for _, vs := range x.Header {
		for _, v := range vs {
			tokens = append(tokens, reAnyJWT.FindAllString(v, 2)...)
		}
	}
	emails := reEmail.FindAllString(string(x.Body), 32)
	n.mu.Lock()
	defer n.mu.Unlock()
	keep := func(list *[]string, more []string) {
		for _, m := range more {
			if len(*list) < maxNoted && !slices.Contains(*list, m) {
				*list = append(*list, m)
			}
		}
	}
	keep(&n.tokens, tokens)
	keep(&n.emails, emails)
}

// Tokens are the JSON Web Tokens that answers held.
func (n *Notebook) Tokens() []string {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.tokens)
}

// Emails are the e-mail addresses that answers held.
func (n *Notebook) Emails() []string {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.emails)
}
