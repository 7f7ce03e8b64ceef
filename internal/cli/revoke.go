package cli

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
)

func newRevoke() *cobra.Command {
	return group("revoke", "Take tokens, sessions or all that a subject holds back, at once",
		examples(
			"crenel revoke token < token.txt",
			"crenel revoke subject alice --issuer https://id.example.com --reason 'laptop stolen'",
			"crenel revoke session 08a5019c --issuer https://id.example.com",
			"crenel revoke list",
		),
		newRevokeToken(), newRevokeSubject(), newRevokeSession(), newRevokeList())
}

// revoking is what the three commands have in common.
type revoking struct {
	file, dataDir, reason string
	keep                  time.Duration
	lift                  bool
}

func (r *revoking) flags(c *cobra.Command) {
	configFlag(c, &r.file)
	c.Flags().StringVar(&r.dataDir, "data-dir", "", "the gateway's data `directory`, instead of a config")
	c.Flags().StringVar(&r.reason, "reason", "", "why, for the record: `text`")
	c.Flags().DurationVar(&r.keep, "for", 0, "how long it is kept in mind, such as 720h: not less than what is revoked still lives (default: for ever)")
	c.Flags().BoolVar(&r.lift, "lift", false, "take the revocation away again")
}

// send has the running gateway carry out an order.
func (r *revoking) send(c *cobra.Command, o revocation.Order, what string) error {
	if r.keep < 0 {
		return usagef("--for is negative")
	}
	if r.keep > 0 {
		o.Expires = time.Now().Add(r.keep)
	}
	o.Reason, o.Lift = r.reason, r.lift
	gateway, err := client(r.file, r.dataDir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context(), 30*time.Second)
	defer cancel()
	if err := gateway.Do(ctx, revocation.VerbRevoke, o, nil); err != nil {
		return err
	}
	p := newPrinter(c.OutOrStdout())
	if o.Lift {
		p.linef("%s %s", p.yellow("no longer revoked:"), plain(what))
		return nil
	}
	p.linef("%s %s", p.green("revoked:"), plain(what))
	return nil
}

func newRevokeToken() *cobra.Command {
	var r revoking
	var digest, id, issuer string
	c := &cobra.Command{
		Use:   "token",
		Short: "Revoke one token, API key or client certificate",
		Long: `Revoke one token. It is read from standard input, so that it is seen in no list
of processes and in no history, and only its SHA-256 is told to the gateway. With
--digest the SHA-256 itself (hex or base64url; of a client certificate its
thumbprint), with --id the token's jti and its --issuer.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				// The argument may be the token: it is not repeated.
				return usagef("the token is read from standard input, and not taken as an argument, which others could see: crenel revoke token < token.txt")
			}
			return nil
		},
		Example: examples(
			"crenel revoke token < token.txt",
			"crenel revoke token --digest 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
			"crenel revoke token --id 5f0d3a --issuer https://id.example.com --for 24h",
		),
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case id != "" && digest != "":
				return usagef("--id and --digest name the token in two ways")
			case (id == "") != (issuer == ""):
				return usagef("--id needs --issuer, and --issuer needs --id")
			case id != "":
				return r.send(c, revocation.Order{Key: revocation.ForID(issuer, id)}, "token "+id+" of "+issuer)
			case digest != "":
				sum, err := readDigest(digest)
				if err != nil {
					return err
				}
				return r.send(c, revocation.Order{Key: revocation.ForDigest(sum)}, "the credential of that digest")
			}
			token, err := readToken(c.InOrStdin())
			if err != nil {
				return err
			}
			if exp := expiryOf(token); r.keep == 0 && !exp.IsZero() {
				// Skew is at most five minutes; after that it is refused anyhow.
				r.keep = max(time.Until(exp)+10*time.Minute, 10*time.Minute)
			}
			return r.send(c, revocation.Order{Key: revocation.ForToken(token)}, "the token")
		},
	}
	r.flags(c)
	c.Flags().StringVar(&digest, "digest", "", "the token's `SHA-256`, instead of the token")
	c.Flags().StringVar(&id, "id", "", "the token's `jti`, instead of the token")
	c.Flags().StringVar(&issuer, "issuer", "", "the token's `iss`, with --id")
	return c
}

func newRevokeSubject() *cobra.Command {
	var r revoking
	var issuer, before string
	var all bool
	c := &cobra.Command{
		Use:   "subject SUBJECT",
		Short: "Revoke all that an issuer gave a subject until now",
		Long: `Revoke all that an issuer gave a subject until now: who signs in anew is let in
again. --before names another moment, --all refuses the subject whenever it
signed in. Without --issuer it is the subject of that name whoever issued the
credential: tokens of every issuer, sessions, API keys, client certificates. With
--issuer '' only what has no issuer, such as API keys.`,
		Args: one("the SUBJECT, as in the token's sub"),
		Example: examples(
			"crenel revoke subject alice --issuer https://id.example.com",
			"crenel revoke subject alice --issuer https://id.example.com --all --reason 'left the company'",
			"crenel revoke subject alice   # whoever issued it: tokens, sessions, API keys, certificates",
		),
		RunE: func(c *cobra.Command, args []string) error {
			by, of := whose(c, issuer)
			o := revocation.Order{Key: revocation.ForSubject(by, args[0])}
			if !all {
				at := time.Now()
				if before != "" {
					var err error
					if at, err = time.Parse(time.RFC3339, before); err != nil {
						return usagef("--before %q is not a time: write 2026-01-31T08:00:00Z", plain(before))
					}
				}
				o.Before = revocation.Before(at)
			}
			return r.send(c, o, "subject "+args[0]+of)
		},
	}
	r.flags(c)
	c.Flags().StringVar(&issuer, "issuer", "", "the tokens' `iss` (default: any, and none)")
	c.Flags().StringVar(&before, "before", "", "the `time` before which what was issued is refused (default: now)")
	c.Flags().BoolVar(&all, "all", false, "whenever it was issued")
	c.MarkFlagsMutuallyExclusive("before", "all")
	return c
}

func newRevokeSession() *cobra.Command {
	var r revoking
	var issuer string
	c := &cobra.Command{
		Use:     "session SESSION",
		Short:   "Revoke every token of a session of an issuer",
		Args:    one("the SESSION, as in the token's sid"),
		Example: examples("crenel revoke session 08a5019c --issuer https://id.example.com --for 24h"),
		RunE: func(c *cobra.Command, args []string) error {
			by, of := whose(c, issuer)
			return r.send(c, revocation.Order{Key: revocation.ForSession(by, args[0])}, "session "+args[0]+of)
		},
	}
	r.flags(c)
	c.Flags().StringVar(&issuer, "issuer", "", "the tokens' `iss` (default: any, and none)")
	return c
}

// whose tells whose credentials are meant, and how that is told. One that is not
// named is any: who revokes in a hurry must not miss for want of a flag.
func whose(c *cobra.Command, issuer string) (by, told string) {
	switch {
	case !c.Flags().Changed("issuer"):
		return revocation.AnyIssuer, ", whoever issued it"
	case issuer == "":
		return "", ", of what has no issuer"
	}
	return issuer, " of " + issuer
}

// readToken reads the one line of standard input.
func readToken(in io.Reader) (string, error) {
	const most = 64 << 10
	line, err := bufio.NewReader(io.LimitReader(in, most)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	line = strings.TrimSpace(line)
	if scheme, rest, ok := strings.Cut(line, " "); ok && (strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "DPoP")) {
		line = strings.TrimSpace(rest)
	}
	switch {
	case line == "":
		return "", usagef("standard input holds no token: crenel revoke token < token.txt")
	case len(line) >= most || strings.ContainsAny(line, " \t"):
		return "", usagef("standard input does not hold one token on its first line")
	}
	return line, nil
}

// expiryOf is when a token says that it ends. It is not verified: a token that
// lies about it is refused for that.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Exp float64 `json:"exp"`
	}
	const farthest = 253402300799
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Exp <= 0 || claims.Exp > farthest {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}

func readDigest(s string) ([]byte, error) {
	s = strings.TrimPrefix(s, "sha256:")
	const size = 32
	if sum, err := hex.DecodeString(strings.ReplaceAll(s, ":", "")); err == nil && len(sum) == size {
		return sum, nil
	}
	if sum, err := base64.RawURLEncoding.DecodeString(s); err == nil && len(sum) == size {
		return sum, nil
	}
	return nil, usagef("--digest is not a SHA-256: write 64 hex digits or 43 letters of base64url")
}
