package scan

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the lighthouse's database
)

// lighthouse is an API over a real database in which nothing stands yet: no
// condition can show, a statement that is wrong is answered as one that finds
// nothing, and only a second statement with UNION shows that its inputs are
// pasted in. Its fixed twin passes them as parameters.
const lighthouseSpec = `openapi: 3.0.3
info: {title: Lighthouse, version: "1"}
paths:
  /warnings:
    get:
      summary: List the warnings of a region
      parameters: [{name: region, in: query, required: true, schema: {type: string, example: north}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Warning'}}}}}}
  /wrecks:
    get:
      summary: Find a wreck by its name
      parameters: [{name: name, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {name: {type: string}, depth: {type: integer}}}}}}, "404": {description: none}}
  /keepers:
    get:
      summary: Search keepers
      parameters: [{name: q, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {keepers: {type: array, items: {type: object, properties: {name: {type: string}}}}}}}}}}
components:
  schemas:
    Warning: {type: object, properties: {id: {type: integer}, region: {type: string}, text: {type: string}}}
`

func newLighthouse(t *testing.T, open bool) http.Handler {
	db, err := sql.Open("sqlite", ":memory:")
	if err == nil {
		db.SetMaxOpenConns(1)
		_, err = db.ExecContext(t.Context(), "CREATE TABLE warnings (id INTEGER, region TEXT, text TEXT); CREATE TABLE wrecks (name TEXT, depth INTEGER, found TEXT, hidden INTEGER); CREATE TABLE keepers (id INTEGER, name TEXT)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := map[string]string{
			"/warnings": "SELECT id, region, text FROM warnings WHERE region='@'",
			"/wrecks":   "SELECT * FROM wrecks WHERE (name='@' AND hidden=0)",
			"/keepers":  "SELECT id, name FROM keepers WHERE name LIKE '%@%'",
		}[r.URL.Path]
		if query == "" {
			http.NotFound(w, r)
			return
		}
		var args []any
		switch q := r.URL.Query(); {
		case open:
			query = strings.ReplaceAll(query, "@", q.Get("region")+q.Get("name")+q.Get("q"))
		case r.URL.Path == "/keepers":
			query, args = strings.ReplaceAll(query, "'%@%'", "?"), []any{"%" + q.Get("q") + "%"}
		default:
			query, args = strings.ReplaceAll(query, "'@'", "?"), []any{q.Get("region") + q.Get("name")}
		}
		out := []map[string]any{}
		if rows, err := db.QueryContext(r.Context(), query, args...); err == nil {
			names, _ := rows.Columns()
			for rows.Next() {
				cells, into := make([]any, len(names)), make([]any, len(names))
				for i := range cells {
					into[i] = &cells[i]
				}
				row := map[string]any{}
				if rows.Scan(into...) == nil {
					for i, n := range names {
						row[n] = cells[i]
					}
				}
				out = append(out, row)
			}
			_ = rows.Err()   // an error is nothing found: that is how it is there
			_ = rows.Close() //nolint:sqlclosecheck // at once: there is one connection
		}
		w.Header().Set("Content-Type", "application/json")
		var answer any = out
		switch {
		case r.URL.Path == "/keepers":
			answer = map[string]any{"keepers": out}
		case r.URL.Path == "/wrecks" && len(out) == 0:
			w.WriteHeader(http.StatusNotFound)
			answer = map[string]any{"error": "no such wreck"}
		case r.URL.Path == "/wrecks":
			answer = out[0]
		}
		_ = json.NewEncoder(w).Encode(answer) // to a client of the test's own
	})
}

func TestLighthouse(t *testing.T) {
	twins(t, lighthouseSpec, newLighthouse, []hole{
		{"sqli", "GET", "/warnings", "query.region"},
		{"sqli", "GET", "/wrecks", "query.name"},
		{"sqli", "GET", "/keepers", "query.q"},
	}, "sqli")
}
