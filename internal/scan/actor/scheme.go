package actor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/spec"
)

// maxOwn bounds the witnesses of one scheme, maxSchemes those schemes.
const maxOwn, maxSchemes = 8, 4

// schemeWitnesses are witnesses of the operations whose security names a scheme
// that these credentials are of: a partner's key opens the partners' operations,
// and nothing that members use.
func (p *People) schemeWitnesses(ctx context.Context, s *Session) ([]*witness, error) {
	var out []*witness
	asked := map[*spec.SecurityScheme]int{} // two schemes may look alike: a member's bearer and a partner's
	for _, op := range p.g.Ops {
		scheme := asksFor(op, s.Snapshot())
		if scheme == nil || asked[scheme] >= maxOwn || asked[scheme] == 0 && len(asked) >= maxSchemes {
			continue
		}
		r, ok := p.harmlessCall(op)
		if !ok {
			continue
		}
		ex, err := p.c.Do(ctx, Nobody, r)
		if err != nil {
			if stops(err) {
				return nil, fmt.Errorf("asking %s as nobody: %w", op.ID, err)
			}
			continue
		}
		if denied(ex) || saysNo(tree(ex)) {
			asked[scheme]++
			out = append(out, &witness{op: op, r: r, nobody: ex, shape: shape(ex)})
		}
	}
	return out, nil
}

// asksFor is the scheme in an operation's security that one of the parts is of, or nil.
func asksFor(op *graph.Op, parts []Part) *spec.SecurityScheme {
	for _, alternative := range op.Security {
		for _, use := range alternative {
			if slices.ContainsFunc(parts, func(part Part) bool { return part.isOf(use.Scheme) }) {
				return use.Scheme
			}
		}
	}
	return nil
}

// isOf reports whether a credential stands where a scheme wants it.
func (part Part) isOf(s *spec.SecurityScheme) bool {
	header := part.In == "header" && strings.EqualFold(part.Name, "Authorization")
	prefix, _, _ := strings.Cut(strings.ToLower(part.Prefix), " ")
	switch s.Type {
	case "apiKey":
		return part.In == s.In && (part.Name == s.Key || part.In == "header" && strings.EqualFold(part.Name, s.Key))
	case "http":
		return header && prefix == strings.ToLower(s.Scheme)
	case "oauth2", "openIdConnect":
		return header && prefix == "bearer"
	}
	return false
}

// harmlessCall is a call that tells somebody from nobody and does nothing: one
// that reads, or one whose body is not what the operation takes.
func (p *People) harmlessCall(op *graph.Op) (*target.Request, bool) {
	_, plain := witnessWorth(op)
	broken := !plain && op.Method != http.MethodGet && op.Method != http.MethodDelete && !op.Has(graph.Hazard) && !op.Has(graph.Logout) &&
		op.Content() != nil && strings.Contains(op.Content().Type, "json")
	if !plain && !broken {
		return nil, false
	}
	r, err := p.plainCall(op)
	if err != nil {
		return nil, false
	}
	if broken {
		r.Body = []byte(`{"`)
	}
	return r, true
}
