package actor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

func asBlocked(err error) (*blocked, bool) {
	var b *blocked
	ok := errors.As(err, &b)
	return b, ok
}

func onlyNew(from, have map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range from {
		if _, there := have[k]; !there || have[k] == "" {
			out[k] = v
		}
	}
	return out
}

// learnFacts takes the scalars of an answer about an account: by their names,
// and what identifies it and its tenant also as "id" and "tenant".
func learnFacts(a *Actor, ex *target.Exchange) {
	v := tree(ex)
	if v == nil || v.Kind != value.Object {
		return
	}
	all := scalars(v)
	if len(all) > 200 {
		all = all[:200]
	}
	for _, s := range all {
		if s.v.Kind == value.Null || s.name == "" || s.v.Text == "" || len(s.v.Text) > 512 || strings.ContainsAny(s.pointer, "*") {
			continue
		}
		if rank, is := fieldRank(s.name, s.above); is || rank < 0 && !strings.EqualFold(s.name, factEmail) {
			continue
		}
		a.put(s)
	}
	for _, s := range secretsIn(ex, nil) {
		if claims, ok := jwtClaims(s.value); ok {
			for name, c := range claims {
				switch c := c.(type) {
				case string:
					a.put(scalar{name: name, v: &value.Value{Kind: value.String, Text: c}})
				case json.Number:
					a.put(scalar{name: name, v: &value.Value{Kind: value.Number, Text: c.String()}})
				}
			}
		}
	}
}

var notFacts = setOf("iat", "exp", "nbf", "jti", "iss", "aud", "typ", "alg", "message", "msg", "status", "success", "code", "timestamp", "expires_in", "token_type", "tokentype", "expiresin", "detail", "title")

func (a *Actor) put(s scalar) {
	if notFacts[strings.ToLower(s.name)] {
		return
	}
	if a.Facts[s.name] == "" {
		a.Facts[s.name] = s.v.Text
	}
	w := words(s.name)
	j := strings.Join(w, "")
	under := ""
	if len(s.above) > 0 {
		under = strings.Join(words(s.above[len(s.above)-1]), "")
	}
	switch j {
	case "id", "userid", "uid", "accountid", "customerid", "memberid", "sub", "uuid":
		if a.Facts[factID] == "" && !tenantWords[under] {
			a.Facts[factID] = s.v.Text
		}
	case "role", "usertype", "usertype1":
		if a.Role == "" {
			a.Role = s.v.Text
		}
	}
	if tenantWords[under] && (j == "id" || j == "uuid") || len(w) > 1 && tenantWords[w[0]] && (w[len(w)-1] == "id" || w[len(w)-1] == "uuid") {
		a.Facts[factTenant] = s.v.Text
	}
}

var tenantWords = setOf("tenant", "company", "organization", "organisation", "org", "workspace", "realm")

// whoAmI asks who an actor is, where a call tells, for what it says of the account.
func (p *People) whoAmI(ctx context.Context, a *Actor) {
	for _, op := range p.candidates(graph.WhoAmI, 0.5) {
		if !op.Reads() || strings.Contains(op.Path, "{") {
			continue
		}
		r, err := p.plainCall(op)
		if err != nil {
			continue
		}
		a.Session.Apply(r)
		ex, err := p.c.Do(ctx, a.Name, r)
		if err != nil {
			return
		}
		p.keepUp(a.Session, ex, "")
		if !worked(ex) {
			continue
		}
		learnFacts(a, ex)
		if own(ex, a.Facts) && (a.witness == nil || !strings.HasPrefix(a.Proven, r.Method)) {
			for _, w := range p.witnesses {
				if w.op == op && w.judge(ex, a.Facts) >= likely {
					a.witness, a.Proven = w, fmt.Sprintf("%s %s", r.Method, op.Path)
				}
			}
		}
		return
	}
}
