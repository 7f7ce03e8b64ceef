package target

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"github.com/icholy/digest"
)

// DigestPrefix is how a request asks for HTTP Digest (RFC 7616): the header field
// "Authorization: Digest NAME:PASSWORD". It is never sent so: the Client puts in its
// place what the server's challenge wants, computed anew for each request.
const DigestPrefix = "Digest "

// digestTries bounds how often one request is sent: without credentials or with an old
// nonce, with the nonce that the refusal brought, and once more where that is called stale.
const digestTries = 3

// digests are the challenges that servers gave, for the next request.
type digests struct {
	mu   sync.Mutex
	last map[string]*challenge // by origin and credential
}

// challenge is a nonce and what belongs to it.
type challenge struct {
	digest.Challenge
	mu   sync.Mutex
	used int // the nonce count
}

// signed begins what is computed already, as it goes over the wire.
var signed = regexp.MustCompile(`(?i)^\s*[a-z]+\*?\s*=\s*"`)

// digestPair is the name and the password that a request asks to be computed with.
func digestPair(r *Request) (name, password string, ok bool) {
	v := r.Get("Authorization")
	if !strings.HasPrefix(v, DigestPrefix) || signed.MatchString(v[len(DigestPrefix):]) {
		return "", "", false
	}
	return strings.Cut(v[len(DigestPrefix):], ":")
}

// deliver sends r to o, and answers a challenge of HTTP Digest where r carries what it
// takes. What was only the challenge is counted, and not told as an exchange.
func (c *Client) deliver(ctx context.Context, o *origin, r *Request, ex *Exchange) {
	if _, _, ok := digestPair(r); !ok {
		c.send(ctx, o, r, ex)
		return
	}
	key := o.String() + " " + r.Get("Authorization")
	now := c.digests.known(key)
	for try := 1; ; try++ {
		c.send(ctx, o, c.computed(o, r, now), ex)
		if try > 1 {
			// Others have it after the request that it was given to: a nonce that serves few
			// requests is not used up before that one has had its turn.
			c.digests.keep(key, now)
		}
		if ex.Err != nil || ex.Status != http.StatusUnauthorized {
			return
		}
		fresh := challengeIn(ex.Header)
		if fresh == nil {
			return
		}
		if try == digestTries || try > 1 && !fresh.Stale {
			return // the name or the password is wrong
		}
		if _, err := c.pace.turn(ctx, r); err != nil {
			return
		}
		now = fresh
		*ex = Exchange{Seq: ex.Seq, As: ex.As, For: ex.For, Request: ex.Request}
	}
}

// computed is r as it goes over the wire: without the name and the password and, once
// there is a challenge, with what they make of it.
func (c *Client) computed(o *origin, r *Request, by *challenge) *Request {
	name, password, ok := digestPair(r)
	if !ok {
		return r
	}
	wire := r.Clone()
	wire.Header = wire.Header[:0]
	for _, f := range r.Header {
		if !strings.EqualFold(f.Name, "Authorization") {
			wire.Header = append(wire.Header, f)
		}
	}
	if by == nil {
		return wire
	}
	by.mu.Lock()
	by.used++
	count := by.used
	by.mu.Unlock()
	cred, err := digest.Digest(&by.Challenge, digest.Options{
		Method: r.Method, URI: c.wireTarget(o, r, false), Count: count, Username: name, Password: password,
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil },
	})
	if err == nil { // an algorithm that is not known is not answered: challengeIn leaves those out
		wire.Header = append(wire.Header, Field{Name: "Authorization", Value: cred.String()})
	}
	return wire
}

// computedAll is for requests that leave at one moment: no challenge can be answered then, so
// what is known counts.
func (c *Client) computedAll(o *origin, rs []*Request) []*Request {
	out := make([]*Request, len(rs))
	for i, r := range rs {
		out[i] = c.computed(o, r, c.digests.known(o.String()+" "+r.Get("Authorization")))
	}
	return out
}

func (d *digests) known(key string) *challenge {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last[key]
}

func (d *digests) keep(key string, ch *challenge) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.last[key]; old != nil && old.Nonce == ch.Nonce {
		return // its count goes on
	}
	if d.last == nil {
		d.last = map[string]*challenge{}
	}
	d.last[key] = ch
}

// challengeIn is the challenge of HTTP Digest that a refusal holds, the first that can be
// answered: servers name them in the order of their preference (RFC 7616, section 3.7).
// One field may hold several challenges, of other schemes too.
func challengeIn(h http.Header) *challenge {
	for _, line := range h.Values("WWW-Authenticate") {
		for _, at := range digestScheme.FindAllStringIndex(line, -1) {
			rest := strings.TrimLeft(line[at[0]:], ", ")
			if next := nextScheme.FindStringIndex(rest[len(DigestPrefix):]); next != nil {
				rest = rest[:len(DigestPrefix)+next[0]]
			}
			ch, err := digest.ParseChallenge(rest)
			if err != nil || ch.Nonce == "" {
				continue
			}
			for i := range ch.QOP {
				ch.QOP[i] = strings.TrimSpace(ch.QOP[i])
			}
			if digest.CanDigest(ch) {
				return &challenge{Challenge: *ch}
			}
		}
	}
	return nil
}

var (
	digestScheme = regexp.MustCompile(`(?i)(?:^|,)\s*digest `)
	nextScheme   = regexp.MustCompile(`,\s*[A-Za-z][A-Za-z0-9-]* +[A-Za-z]+\s*=`)
)
