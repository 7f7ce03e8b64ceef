package scan

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// surveyors keep reports that all of them see, change and sign in whose name they like.
type surveyors struct {
	desk  *desk
	owned bool // each sees their own alone, and yet may change all by their number

	mu      sync.Mutex
	reports map[string]map[string]string
}

const surveyorsSpec = deskSpec + `
  /reports:
    get:
      summary: All reports
      responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Report'}}}}}}
    post:
      summary: File a report
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Report'}}}}}
  /reports/{id}:
    parameters: [{in: path, name: id, required: true, schema: {type: string}}]
    get: {summary: One report, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Report'}}}}}}
    patch:
      summary: Correct a report
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {text: {type: string}}}}}}
      responses: {"200": {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Report'}}}}}
`

func (s *surveyors) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	id, at := strings.CutPrefix(q.URL.Path, "/reports/")
	if !at && q.URL.Path != "/reports" {
		s.desk.ServeHTTP(w, q)
		return
	}
	s.desk.mu.Lock()
	me := s.desk.tokens[strings.TrimPrefix(q.Header.Get("Authorization"), "Bearer ")]
	s.desk.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	var in map[string]string
	if q.Method != http.MethodGet && json.NewDecoder(q.Body).Decode(&in) != nil {
		say(400, map[string]string{"error": "no JSON"})
		return
	}
	sees := func(r map[string]string) bool { return r["created_by"] == me || !s.owned }
	r := s.reports[id]
	switch {
	case me == "":
		say(401, map[string]string{"error": "who are you?"})
	case !at && q.Method == http.MethodPost:
		r = map[string]string{"id": fmt.Sprintf("r-%04d", len(s.reports)*7+12), "text": in["text"], "created_by": me}
		s.reports[r["id"]] = r
		say(201, r)
	case !at:
		list := []map[string]string{}
		for _, id := range slices.Sorted(maps.Keys(s.reports)) {
			if sees(s.reports[id]) {
				list = append(list, s.reports[id])
			}
		}
		say(200, list)
	case r == nil || q.Method == http.MethodGet && !sees(r):
		say(404, map[string]string{"error": "no such report"})
	case q.Method == http.MethodPatch:
		for _, name := range []string{"text", "created_by"} {
			if v := in[name]; v != "" {
				r[name] = v
			}
		}
		say(200, r)
	default:
		say(200, r)
	}
}

// What all members' own lists show, and what names its maker and no owner, may be there
// for members to work on: that they can is told, and weighs little. Where others are not
// shown it, it is a hole.
func TestAmongMembers(t *testing.T) {
	for _, c := range []struct {
		owned, shared bool
		want          []string
	}{
		{owned: false, shared: true, want: []string{"low bola-write path.id", "low graphql-object variables.updateMemo.id", "low mass-assignment body./created_by"}},
		{owned: true, shared: false, want: []string{"high bola-write path.id", "high graphql-object variables.updateMemo.id", "high mass-assignment body./created_by"}},
	} {
		s := &surveyors{owned: c.owned, reports: map[string]map[string]string{}, desk: &desk{
			open: map[string]bool{"write": true, "shared": c.shared, "read": c.shared}, people: map[string]map[string]string{}, tokens: map[string]string{}, memos: map[string]map[string]string{},
		}}
		text := strings.Replace(surveyorsSpec, "components: {", "components: {schemas: {Report: {type: object, properties: {id: {type: string}, text: {type: string}, created_by: {type: string}}}}, ", 1)
		var got []string
		for _, f := range tested(t, text, s, "bola-write", "mass-assignment", "graphql-object").Report.Findings {
			got = append(got, fmt.Sprintf("%s %s %s", f.Severity, f.Check, f.Where))
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("owned %v: %q, want %q", c.owned, got, c.want)
		}
	}
}
