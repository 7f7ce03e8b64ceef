package scan

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/world"
)

// mast is a weather station that is asked in a little language of its own, of which an
// error names the one word that a question begins with. Open, a shell reads the rest.
type mast struct{ open, only bool }

const mastSpec = `openapi: 3.0.3
info: {title: Mast, version: '1'}
paths:
  /v1/ask:
    post: {summary: Ask the station, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [question], properties: {question: {type: string}}}}}}, responses: {'200': {description: the answer, content: {application/json: {schema: {type: object, properties: {said: {type: string}}}}}}, '400': {description: no question}}}
`

func (m *mast) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	var in struct{ Question string }
	if r.URL.Path != "/v1/ask" || json.NewDecoder(r.Body).Decode(&in) != nil {
		answer(404, map[string]string{"error": "nothing here"})
		return
	}
	if !strings.HasPrefix(in.Question, "wind") {
		if m.only {
			answer(400, map[string]string{"error": "Only 'wind' questions are allowed"})
			return
		}
		answer(400, map[string]string{"error": "A question must start with wind"})
		return
	}
	if !m.open {
		if strings.Trim(in.Question, "abcdefghijklmnopqrstuvwxyz 0123456789") != "" {
			answer(400, map[string]string{"error": "letters only"})
			return
		}
		answer(200, map[string]string{"said": "wind 4"})
		return
	}
	ctx, stop := context.WithTimeout(r.Context(), 3*time.Second)
	defer stop()
	out, _ := exec.CommandContext(ctx, "sh", "-c", "wind() { echo wind 4; }; "+in.Question).Output() // what it says is the answer, whatever it ends with
	answer(200, map[string]string{"said": string(out)})
}

// TestMast: a value that begins as the error says lets in, and what is put behind it runs.
func TestMast(t *testing.T) {
	for _, c := range []mast{{true, false}, {true, true}, {false, false}, {false, true}} {
		r := tested(t, mastSpec, &c, "command-injection").Report
		if found := has(r.Findings, "command-injection", "POST", "/v1/ask", "body./question"); found != c.open {
			t.Errorf("%+v: found %v", c, found)
		}
		if !slices.ContainsFunc(r.Coverage, func(o world.Coverage) bool { return o.Path == "/v1/ask" && o.Reached }) {
			t.Errorf("%+v: the question was not learnt", c)
		}
	}
}
