package scan

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite" // one of the stacks's databases
)

// stacks is a public API over a real database, that pastes what it takes into
// its statements: as texts, numbers, lists, patterns, orders and limits, from
// paths, queries, bodies, headers and cookies. Its fixed twin passes values as
// parameters and takes orders from a list; it is slow at random, and repeats
// what it was asked.
type stacks struct {
	t      *testing.T
	db     *sql.DB
	dollar bool // $1, $2 in place of ?
	serial string
	open   bool
	errors string // what becomes of the database's: "shown", "hidden" (a plain 500), "swallowed" (nothing found)
}

const stacksSpec = `openapi: 3.0.3
info: {title: Stacks, version: "1"}
paths:
  /books:
    get:
      summary: List the books of an author
      parameters: [{name: author, in: query, schema: {type: string, example: Ada}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /books/{bookId}:
    get:
      summary: One book
      parameters: [{name: bookId, in: path, required: true, schema: {type: integer, example: 2}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Book'}}}}, "404": {description: none}}
  /sorted-books:
    get:
      summary: List all books in an order
      parameters: [{name: sort, in: query, schema: {type: string, enum: [title, author, year], default: title}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /directed-books:
    get:
      summary: List all books by year
      parameters: [{name: dir, in: query, schema: {type: string, enum: [asc, desc]}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /search:
    get:
      summary: Search titles
      parameters: [{name: q, in: query, required: true, schema: {type: string, example: sea}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /folded:
    get:
      summary: Find books by their title, in any case
      parameters: [{name: title, in: query, required: true, schema: {type: string, example: Engines}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /recent:
    get:
      summary: List the newest books
      parameters: [{name: limit, in: query, schema: {type: integer, example: 3}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /lookup:
    post:
      summary: Find books by their numbers
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [numbers], properties: {numbers: {type: array, items: {type: integer, example: 2}}}}}}}
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /by-authors:
    post:
      summary: Find books by their authors
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [authors], properties: {authors: {type: array, items: {type: string, example: Ada}}}}}}}
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /since:
    post:
      summary: Search books since a year
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [year], properties: {year: {type: integer, example: 1900}}}}}}
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Book'}}}}}}
  /client:
    get:
      summary: What a client may do
      parameters: [{name: X-Client, in: header, required: false, schema: {type: string, example: desk}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {loans: {type: integer}}}}}}, "404": {description: none}}
  /opening:
    get:
      summary: Opening hours in the visitor's language
      parameters: [{name: lang, in: cookie, schema: {type: string, example: en}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {hours: {type: string}}}}}}, "404": {description: none}}
  /reviews:
    post:
      summary: Write a review
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [remark], properties: {remark: {type: string, maxLength: 400}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Review'}}}}}
  /reviews/{reviewId}:
    parameters: [{name: reviewId, in: path, required: true, schema: {type: integer}}]
    get:
      summary: One review
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Review'}}}}, "404": {description: none}}
    patch:
      summary: Change a review
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [remark], properties: {remark: {type: string, maxLength: 400}}}}}}
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Review'}}}}, "404": {description: none}}
components:
  schemas:
    Book: {type: object, properties: {id: {type: integer}, title: {type: string}, author: {type: string}, year: {type: integer}}}
    Review: {type: object, properties: {id: {type: integer}, remark: {type: string}}}
`

// stacksHoles are the stacks's, by what is pasted.
var stacksHoles = []hole{
	{"sqli", "GET", "/books", "query.author"},
	{"sqli", "GET", "/books/{bookId}", "path.bookId"},
	{"sqli", "GET", "/sorted-books", "query.sort"},
	{"sqli", "GET", "/directed-books", "query.dir"},
	{"sqli", "GET", "/search", "query.q"},
	{"sqli", "GET", "/folded", "query.title"},
	{"sqli", "GET", "/recent", "query.limit"},
	{"sqli", "POST", "/lookup", "body./numbers/*"},
	{"sqli", "POST", "/by-authors", "body./authors/*"},
	{"sqli", "POST", "/since", "body./year"},
	{"sqli", "GET", "/client", "header.X-Client"},
	{"sqli", "GET", "/opening", "cookie.lang"},
	{"sqli", "POST", "/reviews", "body./remark"},
	{"sqli", "PATCH", "/reviews/{reviewId}", "body./remark"},
	{"sqli", "GET", "/reviews/{reviewId}", "path.reviewId"},
	{"sqli", "PATCH", "/reviews/{reviewId}", "path.reviewId"},
}

func newStacks(t *testing.T, db *sql.DB, dollar bool, serial string, open bool, errs string) *stacks {
	t.Helper()
	a := &stacks{t: t, db: db, dollar: dollar, serial: serial, open: open, errors: errs}
	for _, s := range []string{
		"DROP TABLE IF EXISTS books", "DROP TABLE IF EXISTS reviews", "DROP TABLE IF EXISTS clients", "DROP TABLE IF EXISTS opening",
		"CREATE TABLE books (id INTEGER PRIMARY KEY, title VARCHAR(100), author VARCHAR(100), year INTEGER)",
		"INSERT INTO books VALUES (1,'The sea','Ada',1951),(2,'Engines','Ada',1843),(3,'Stars','Caroline',1787),(4,'By the sea','Emmy',1918),(5,'Rings','Emmy',1921)",
		"CREATE TABLE reviews (id " + serial + ", remark VARCHAR(500))",
		"CREATE TABLE clients (name VARCHAR(100), loans INTEGER)", "INSERT INTO clients VALUES ('desk',9),('web',3)",
		"CREATE TABLE opening (lang VARCHAR(10), hours VARCHAR(100))", "INSERT INTO opening VALUES ('en','nine to five'),('de','neun bis fünf')",
	} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return a
}

// marks are a statement's marks for values, as the database has them.
func (a *stacks) marks(query string) string {
	for n := 1; a.dollar && strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
	}
	return query
}

// rows runs a statement into whose @ the values were pasted, or, in the fixed
// twin, passed.
func (a *stacks) rows(ctx context.Context, query string, values ...any) ([]map[string]any, error) {
	if a.open {
		for _, v := range values {
			query = strings.Replace(query, "@", fmt.Sprint(v), 1)
		}
		values = nil
	} else {
		for _, quoted := range []string{"'%@%'", "'@'", "@"} {
			query = strings.ReplaceAll(query, quoted, "?")
		}
		query = a.marks(query)
	}
	r, err := a.db.QueryContext(ctx, query, values...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	names, err := r.Columns()
	if err != nil {
		return nil, err
	}
	out := []map[string]any{}
	for r.Next() {
		cells, into := make([]any, len(names)), make([]any, len(names))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := r.Scan(into...); err != nil {
			return nil, err
		}
		row := map[string]any{}
		for i, n := range names {
			if b, ok := cells[i].([]byte); ok {
				cells[i] = string(b)
			}
			row[n] = cells[i]
		}
		out = append(out, row)
	}
	return out, r.Err()
}

var errNone = errors.New("none")

// number reads what must be one, where the stacks is careful.
func (a *stacks) number(v any) (any, error) {
	if a.open {
		return v, nil
	}
	return strconv.ParseInt(strings.TrimSuffix(fmt.Sprint(v), ".0"), 10, 32)
}

func (a *stacks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !a.open && rand.IntN(20) == 0 {
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
	}
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	v, status, err := a.answer(r)
	switch {
	case err == nil:
		answer(status, v)
	case errors.Is(err, errNone):
		answer(404, map[string]any{"error": "there is none", "asked": r.URL.RequestURI()})
	case !a.open && errors.Is(err, strconv.ErrSyntax):
		answer(400, map[string]any{"error": "not a number: " + err.Error()})
	case a.errors == "shown":
		answer(500, map[string]any{"error": err.Error()})
	case a.errors == "hidden":
		answer(500, map[string]any{"error": "something went wrong"})
	default:
		answer(200, []any{})
	}
}

func (a *stacks) answer(r *http.Request) (any, int, error) {
	ctx, q := r.Context(), r.URL.Query()
	in := map[string]any{}
	raw, _ := io.ReadAll(r.Body)
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	_ = d.Decode(&in)
	list := func(query string, values ...any) (any, int, error) {
		rows, err := a.rows(ctx, query, values...)
		return rows, 200, err
	}
	one := func(query string, values ...any) (any, int, error) {
		rows, err := a.rows(ctx, query, values...)
		if err == nil && len(rows) == 0 {
			err = errNone
		}
		if err != nil {
			return nil, 0, err
		}
		return rows[0], 200, nil
	}
	route := r.Method + " " + r.URL.Path
	if id, ok := strings.CutPrefix(r.URL.Path, "/books/"); ok {
		n, err := a.number(id)
		if err != nil {
			return nil, 0, err
		}
		return one("SELECT id, title, author, year FROM books WHERE id=@", n)
	}
	if id, ok := strings.CutPrefix(r.URL.Path, "/reviews/"); ok {
		n, err := a.number(id)
		if err != nil {
			return nil, 0, err
		}
		if r.Method == http.MethodPatch {
			text, _ := in["remark"].(string)
			if err := a.change(ctx, "UPDATE reviews SET remark='@' WHERE id=@", text, n); err != nil {
				return nil, 0, err
			}
		}
		return one("SELECT id, remark FROM reviews WHERE id=@", n)
	}
	switch route {
	case "GET /books":
		return list("SELECT id, title, author, year FROM books WHERE author='@'", q.Get("author"))
	case "GET /sorted-books":
		by := q.Get("sort")
		if by == "" || !a.open && by != "author" && by != "year" {
			by = "title"
		}
		return a.literally(ctx, "SELECT id, title, author, year FROM books ORDER BY "+by)
	case "GET /directed-books":
		dir := q.Get("dir")
		if !a.open && dir != "desc" {
			dir = "asc"
		}
		return a.literally(ctx, "SELECT id, title, author, year FROM books ORDER BY year "+dir)
	case "GET /search":
		text := q.Get("q")
		if !a.open {
			text = "%" + text + "%"
		}
		return list("SELECT id, title, author, year FROM books WHERE title LIKE '%@%'", text)
	case "GET /folded":
		return list("SELECT id, title, author, year FROM books WHERE (year > 0 AND LOWER(title)=LOWER('@'))", q.Get("title"))
	case "GET /recent":
		n, err := a.number(q.Get("limit"))
		if q.Get("limit") == "" {
			n, err = 3, nil
		}
		if err != nil {
			return nil, 0, err
		}
		return list("SELECT id, title, author, year FROM books ORDER BY year DESC LIMIT @", n)
	case "POST /lookup", "POST /by-authors":
		name, mark := "numbers", "@"
		if route == "POST /by-authors" {
			name, mark = "authors", "'@'"
		}
		all, _ := in[name].([]any)
		if len(all) == 0 || len(all) > 20 {
			return []any{}, 200, nil
		}
		for i, v := range all {
			var err error
			if all[i] = fmt.Sprint(v); name == "numbers" {
				if all[i], err = a.number(v); err != nil {
					return nil, 0, err
				}
			}
		}
		column := map[string]string{"numbers": "id", "authors": "author"}[name]
		return list("SELECT id, title, author, year FROM books WHERE "+column+" IN ("+strings.TrimPrefix(strings.Repeat(","+mark, len(all)), ",")+")", all...)
	case "POST /since":
		n, err := a.number(in["year"])
		if err != nil {
			return nil, 0, err
		}
		return list("SELECT id, title, author, year FROM books WHERE year > @", n)
	case "GET /client":
		name := r.Header.Get("X-Client")
		if name == "" {
			name = "web"
		}
		return one("SELECT loans FROM clients WHERE name='@'", name)
	case "GET /opening":
		lang := "en"
		if c, err := r.Cookie("lang"); err == nil {
			if lang, err = url.PathUnescape(c.Value); err != nil {
				return nil, 0, errNone
			}
		}
		return one("SELECT hours FROM opening WHERE lang='@'", lang)
	case "POST /reviews":
		text, _ := in["remark"].(string)
		if err := a.change(ctx, "INSERT INTO reviews (remark) VALUES ('@')", text); err != nil {
			return nil, 0, err
		}
		rows, err := a.rows(ctx, "SELECT MAX(id) AS id FROM reviews")
		if err != nil {
			return nil, 0, err
		}
		return map[string]any{"id": rows[0]["id"], "remark": text}, 201, nil
	}
	return nil, 0, errNone
}

// literally runs a statement as it is.
func (a *stacks) literally(ctx context.Context, query string) (any, int, error) {
	rows, err := a.rows(ctx, query)
	return rows, 200, err
}

func (a *stacks) change(ctx context.Context, query string, values ...any) error {
	if a.open {
		for _, v := range values {
			query = strings.Replace(query, "@", fmt.Sprint(v), 1)
		}
		values = nil
	} else {
		query = a.marks(strings.ReplaceAll(strings.ReplaceAll(query, "'@'", "?"), "@", "?"))
	}
	_, err := a.db.ExecContext(ctx, query, values...)
	return err
}

// everyStack scans the stacks over a database: what it pastes is found whatever
// becomes of the database's errors, and of the twin nothing.
func everyStack(t *testing.T, db *sql.DB, dollar bool, serial string) {
	for _, errs := range []string{"shown", "hidden", "swallowed"} {
		if errs != "shown" && testing.Short() {
			continue
		}
		t.Run(errs, func(t *testing.T) {
			twins(t, stacksSpec, func(t *testing.T, open bool) http.Handler {
				return newStacks(t, db, dollar, serial, open, errs)
			}, stacksHoles, append([]string{"sqli"}, map[string][]string{"hidden": {"sqli-time"}}[errs]...)...)
		})
	}
}

func TestStacksSQLite(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	everyStack(t, db, false, "INTEGER PRIMARY KEY")
}
