package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// adviceFor is what a person can do about an account that was given in this way and
// does not get in.
func (a Account) adviceFor(err error) string {
	if !errors.Is(err, ErrCannotLogin) {
		return adviceFor(err)
	}
	switch {
	case a.Script != nil:
		return "Run the command by hand, from the folder of scan.yaml and with its env: it should end with 0 and print JSON with headers, cookies, query or token, or lines \"Name: value\"."
	case a.OAuth2 != nil:
		return a.OAuth2.adviceFor(err)
	case a.Steps != nil:
		return "Look at the answer above, and at what that step sends (--record FILE keeps it): its body, its type, and whether the facts and secrets in it are right."
	}
	return adviceFor(err)
}

// adviceFor goes by the error codes of RFC 6749, section 5.2.
func (o *OAuth2) adviceFor(err error) string {
	bl, ok := asBlocked(err)
	if !ok || bl.last == nil {
		return adviceFor(err)
	}
	if bl.last.Err != nil {
		return fmt.Sprintf("Look whether the authorization server runs, and whether oauth2.token_url (%s) is right.", o.TokenURL)
	}
	switch tree(bl.last).Get("error").Str() {
	case "invalid_client":
		return "Correct oauth2.client_id and client_secret, or say how the client shows itself there: auth: basic or auth: body."
	case "invalid_grant":
		if o.Grant == "refresh_token" {
			return "Give another oauth2.refresh_token: this one has ended, was taken back, or was used before by a run that was given a new one for it."
		}
		return "Correct oauth2.username and password; if they are right, the account may be locked."
	case "unauthorized_client", "unsupported_grant_type":
		return fmt.Sprintf("Allow this client the grant %s at the authorization server, or give another one that it may use: oauth2.grant.", o.Grant)
	case "invalid_scope":
		return "Correct oauth2.scopes: the authorization server does not know them, or does not give them to this client."
	}
	return fmt.Sprintf("Look at the answer above: it is no token of RFC 6749. Is oauth2.token_url (%s) the token endpoint, and does it want further parameters (oauth2.extra)?", o.TokenURL)
}

// Outside are the accounts that were given and do not get in, in order: they log in by
// nothing, or their credentials open nothing.
func (p *People) Outside() []string {
	var out []string
	p.mu.Lock()
	problems := slices.Clone(p.report.Problems)
	p.mu.Unlock()
	for _, pr := range problems {
		made, given := p.given[pr.Who]
		if a := p.Get(pr.Who); given && !slices.Contains(out, pr.Who) && (a == nil || a.Made == made && a.Proven == "" && p.refusing > 0) {
			out = append(out, pr.Who)
		}
	}
	return out
}

// ranOut: a script was ended because it took too long, and nobody ended the run.
func ranOut(outer, own context.Context) bool {
	return outer.Err() == nil && errors.Is(own.Err(), context.DeadlineExceeded)
}
