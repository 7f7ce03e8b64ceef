package scan

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

const typesetterSpec = `openapi: 3.0.3
info: {title: Typesetter, version: "1"}
paths:
  /widths:
    get:
      summary: How many letters a line has
      parameters: [{name: line, in: query, required: true, schema: {type: string, example: word}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {letters: {type: integer}}}}}}}
  /heights:
    get:
      summary: How many letters a column has
      parameters: [{name: column, in: query, required: true, schema: {type: string, example: word}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {letters: {type: integer}}}}}}}
  /proofs:
    post:
      summary: Print a proof
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [printer], properties: {printer: {type: string, example: big}}}}}}
      responses: {"202": {description: begun}}
`

// newTypesetter is an API that hands what it takes to a real shell: in quotes and in
// double quotes, where nothing shows but a count, and where nothing shows but time.
// Its fixed twin starts programs with arguments.
func newTypesetter(t *testing.T, open bool) http.Handler {
	t.Helper()
	run := func(r *http.Request, line, text string) string {
		c := exec.CommandContext(r.Context(), "/bin/sh", "-c", strings.ReplaceAll(line, "@", text))
		if !open {
			c = exec.CommandContext(r.Context(), "/bin/sh", "-c", strings.NewReplacer(`'@'`, `"$1"`, `"@"`, `"$1"`).Replace(line), "sh", text)
		}
		out, _ := c.Output() // what cannot be run prints nothing
		return strings.TrimSpace(string(out))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		count := func(line, text string) {
			n, _ := strconv.Atoi(run(r, line, text)) // nothing is none
			_ = json.NewEncoder(w).Encode(map[string]int{"letters": n})
		}
		switch r.URL.Path {
		case "/widths":
			count(`printf %s '@' | wc -c`, r.URL.Query().Get("line"))
		case "/heights":
			count(`printf %s "@" | wc -c`, r.URL.Query().Get("column"))
		case "/proofs":
			var in struct{ Printer string }
			if json.NewDecoder(r.Body).Decode(&in) != nil || in.Printer == "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			run(r, `true --printer '@'`, in.Printer)
			w.WriteHeader(http.StatusAccepted)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	})
}

func TestTypesetter(t *testing.T) {
	t.Parallel()
	twins(t, typesetterSpec, newTypesetter, []hole{
		{"command-injection", "GET", "/widths", "query.line"},
		{"command-injection", "GET", "/heights", "query.column"},
		{"command-injection", "POST", "/proofs", "body./printer"}, // it calls the listener
	}, "command-injection")
}

// Where nobody can be called and nothing is shown, time tells.
func TestTypesetterTime(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("measures time")
	}
	for _, open := range []bool{true, false} {
		found := false
		for try := 0; try < 3 && !found && (open || try == 0); try++ { // a busy machine tells no times apart
			o := served(t, typesetterSpec, newTypesetter(t, open), "command-time")
			o.Listener.Off = true
			all := scanned(t, o).Report.Findings
			found = has(all, "command-time", "POST", "/proofs", "body./printer")
			if len(all) > 1 || !open && len(all) > 0 {
				t.Errorf("found %q", wheres(all))
			}
		}
		if found != open {
			t.Errorf("open: %v, found: %v", open, found)
		}
	}
}
