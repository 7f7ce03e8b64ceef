package pdp

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/value"
)

// maxPage bounds a page of results; a client may ask for less.
const maxPage = 1000

// search answers who may, on what, or what may be done, where the policy says it:
// by the rules subject, resource and action of the package search below that of
// the rule that decides (data.crenel.authz.search.subject).
func (q *question) search(ctx context.Context, body *value.Value, kind string) (*answer, *failure) {
	t := readTuple(body)
	if f := t.check(kind); f != nil {
		return nil, f
	}
	limit, from, f := readPage(body)
	if f != nil {
		return nil, f
	}
	// What is looked for is not known, whatever the question says of it.
	if kind == searchAction {
		t.action = nil
	}
	if q.guard.Engine() == nil {
		return nil, q.evaluationFailed(authz.ErrNoPolicy)
	}
	p, err := q.guard.Engine().Current(q.begin)
	if err != nil {
		return nil, q.evaluationFailed(err)
	}
	path := strings.Split(strings.TrimPrefix(p.Rule(), "data."), ".")
	path = append(path[:len(path)-1:len(path)-1], "search", kind)
	a, err := q.guard.Ask(ctx, path, q.inputOf(t), "")
	if err != nil {
		q.ruled(false, "decision.failed", err.Error(), 0, map[string]any{"search": kind})
		return nil, q.evaluationFailed(err)
	}
	if a.Value == nil {
		return nil, fail("decision.not_found", "the policies do not say it: there is no rule data.%s", strings.Join(path, "."))
	}
	all, err := results(a.Value, kind, t)
	if err != nil {
		return nil, q.evaluationFailed(err)
	}
	// A page goes on where the one before it ended, in the same answer of the same policy.
	same := fingerprint(a)
	start := 0
	if from != "" {
		if start, err = readToken(from, same); err != nil {
			return nil, fail("decision.request", "page.token is not one of this search, or what was found has changed: begin again")
		}
	}
	start = min(start, len(all))
	end := min(start+limit, len(all))
	next := ""
	if end < len(all) {
		next = token(end, same)
	}
	q.ruled(true, "", "", a.Took, map[string]any{"search": kind, "found": len(all), "revisions": a.Policy.Revisions()})
	return &answer{body: map[string]any{
		"results": all[start:end],
		"page":    map[string]any{"next_token": next, "count": end - start, "total": len(all)},
	}}, nil
}

// results reads a set or list of ids, or of entities as they are to be answered.
func results(v ast.Value, kind string, t tuple) ([]any, error) {
	out := []any{}
	var typ string
	switch kind {
	case searchSubject:
		typ = member(t.subject, "type").Text
	case searchThing:
		typ = member(t.resource, "type").Text
	}
	one := func(e *ast.Term) error {
		switch e := e.Value.(type) {
		case ast.String:
			if kind == searchAction {
				out = append(out, map[string]any{"name": string(e)})
			} else {
				out = append(out, map[string]any{"type": typ, "id": string(e)})
			}
		case ast.Object:
			j, err := ast.JSON(e)
			if err != nil {
				return err
			}
			out = append(out, j)
		default:
			return errors.New("the rule gives something that is neither a text nor an object")
		}
		return nil
	}
	var err error
	switch v := v.(type) {
	case *ast.Array:
		err = v.Iter(one)
	case ast.Set:
		err = v.Iter(one)
	default:
		err = errors.New("the rule gives neither a set nor a list")
	}
	return out, err
}

func readPage(body *value.Value) (limit int, from string, f *failure) {
	page := member(body, "page")
	if page == nil {
		return maxPage, "", nil
	}
	if page.Kind != value.Object {
		return 0, "", fail("decision.request", "page must be an object")
	}
	limit = maxPage
	if l := member(page, "limit"); l != nil {
		n, ok := ast.Number(l.Text).Int()
		if l.Kind != value.Number || !ok || n < 0 {
			return 0, "", fail("decision.request", "page.limit must be a whole number")
		}
		if n > 0 {
			limit = min(n, maxPage)
		}
	}
	// Drafts named it next_token.
	for _, name := range []string{"token", "next_token"} {
		if m := member(page, name); m != nil {
			if m.Kind != value.String {
				return 0, "", fail("decision.request", "page.%s must be a text", name)
			}
			from = m.Text
		}
	}
	return limit, from, nil
}

// fingerprint tells one answer of a search from another.
func fingerprint(a *authz.Asked) [8]byte {
	sum := sha256.Sum256([]byte(a.Value.String()))
	return [8]byte(sum[:8])
}

func token(at int, same [8]byte) string {
	b := binary.AppendUvarint(same[:], uint64(at))
	return base64.RawURLEncoding.EncodeToString(b)
}

var errToken = errors.New("not a token of this search")

func readToken(s string, same [8]byte) (int, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) < 9 || [8]byte(b[:8]) != same {
		return 0, errToken
	}
	n, size := binary.Uvarint(b[8:])
	if size != len(b)-8 || n > 1<<31 {
		return 0, errToken
	}
	return int(n), nil
}

// metadata answers the well-known path: where what is asked. It tells nothing of
// policies, and so asks for no key.
func (q *question) metadata() {
	q.endpoint = "authzen"
	rest := strings.TrimPrefix(q.r.URL.Path, wellKnown)
	name, ok := strings.CutPrefix(rest, "/apis/")
	known := rest == ""
	for _, c := range q.h.clients {
		for _, api := range c.APIs {
			known = known || ok && api == name
		}
	}
	if !known || q.r.Method != http.MethodGet {
		q.write(http.StatusNotFound, "there is nothing at this path")
		return
	}
	base := strings.TrimSuffix(q.h.cfg.URL, "/")
	if base == "" {
		base = "http://" + q.r.Host
		if q.r.TLS != nil {
			base = "https://" + q.r.Host
		}
	}
	base += rest
	q.write(http.StatusOK, map[string]any{
		"policy_decision_point":       base,
		"access_evaluation_endpoint":  base + pathOne,
		"access_evaluations_endpoint": base + pathSeveral,
		"search_subject_endpoint":     base + pathSearch + searchSubject,
		"search_resource_endpoint":    base + pathSearch + searchThing,
		"search_action_endpoint":      base + pathSearch + searchAction,
	})
}
