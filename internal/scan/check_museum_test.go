package scan

import (
	"database/sql"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the museum's database
)

// museum is a public API over a real SQL database, with imitations of a
// directory, of an XML store, of a logger and of an importer, each with the
// flaw that such things have; its fixed twin has none.
type museum struct {
	open bool
	db   *sql.DB

	mu    sync.Mutex
	notes []string
}

const museumSpec = `openapi: 3.0.0
info: {title: Museum, version: "1"}
paths:
  /pieces/{pieceNumber}:
    get:
      summary: One piece
      parameters: [{name: pieceNumber, in: path, required: true, schema: {type: integer, example: 3}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {title: {type: string}}}}}}, "404": {description: none}}
  /visits:
    get:
      summary: How a visit goes
      parameters: [{name: ticket, in: query, required: true, schema: {type: string, example: T-100}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {thanks: {type: boolean}}}}}}}
  /staff:
    get:
      summary: Somebody of the staff
      parameters: [{name: person, in: query, required: true, schema: {type: string, example: gerda}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {mail: {type: string}}}}}}, "404": {description: none}}
  /catalogue/search:
    post:
      summary: Search the old catalogue
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [shelf], properties: {shelf: {type: string, example: B12}}}}}}
      responses: {"200": {description: them, content: {application/json: {schema: {type: object, properties: {books: {type: array, items: {type: string}}}}}}}}
  /vouchers/check:
    post:
      summary: Check a voucher
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [voucher], properties: {voucher: {type: string}}}}}}
      responses: {"200": {description: good, content: {application/json: {schema: {type: object, properties: {worth: {type: integer}}}}}}, "404": {description: none}}
  /settings/import:
    post:
      summary: Import settings
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [backup], properties: {backup: {type: string, example: e30=}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {done: {type: boolean}}}}}}}
  /guestbook:
    get:
      summary: The page of the guest book
      responses: {"200": {description: it, content: {text/html: {schema: {type: string}}}}}
    post:
      summary: Write into the guest book
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [remark], properties: {remark: {type: string, maxLength: 200}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {remark: {type: string}}}}}}}
  /guestbook.csv:
    get:
      summary: Export the guest book
      responses: {"200": {description: it, content: {text/csv: {schema: {type: string}}}}}
  /greeting:
    get:
      summary: A greeting
      parameters: [{name: whom, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: it}}
  /newsletter:
    post:
      summary: Check an address for the newsletter
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email], properties: {email: {type: string, format: email, maxLength: 100}}}}}}
      responses: {"200": {description: fine}, "400": {description: no address}}
`

func newMuseum(t *testing.T, open bool) http.Handler {
	db, err := sql.Open("sqlite", ":memory:")
	if err == nil {
		db.SetMaxOpenConns(1)
		_, err = db.ExecContext(t.Context(), `CREATE TABLE pieces (n INTEGER, title TEXT); INSERT INTO pieces VALUES (1,'Urn'),(2,'Coin'),(3,'Vase'); CREATE TABLE visits (ticket TEXT); INSERT INTO visits VALUES ('T-100')`)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &museum{open: open, db: db}
}

var (
	reLower  = regexp.MustCompile(`\$\{lower:(.)\}`)
	reLookup = regexp.MustCompile(`\$\{jndi:ldap://([^/}]+)/([^}]+)\}`)
	reXPath  = regexp.MustCompile(`^([^']*)' and (string-length|starts-with)\('([^']*)'(?:,'([^']*)')?\)(?:=(\d+))? and '1'='1$`)
	rePickle = regexp.MustCompile(`^curllib\.request\nurlopen\n\(V(.*)\ntR\.$`)
)

// log is what the museum's logger does with a text.
func (s *museum) log(text string) {
	if !s.open {
		return
	}
	m := reLookup.FindStringSubmatch(reLower.ReplaceAllString(text, "$1"))
	if m == nil {
		return
	}
	c, err := net.DialTimeout("tcp", m[1], time.Second)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	_, _ = c.Write([]byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00})
	_, _ = c.Read(make([]byte, 64))
	_, _ = c.Write(append([]byte{0x30, byte(len(m[2]) + 7), 0x02, 0x01, 0x02, 0x63, byte(len(m[2]) + 2), 0x04, byte(len(m[2]))}, m[2]...))
	_, _ = c.Read(make([]byte, 64))
}

// filterText is what a text stands for in an LDAP filter.
func filterText(text string) string {
	return regexp.MustCompile(`\\[0-9a-f]{2}`).ReplaceAllStringFunc(text, func(e string) string {
		b, _ := hex.DecodeString(e[1:]) // the pattern allows nothing else
		return string(b)
	})
}

func (s *museum) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.log(r.UserAgent())
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	in := map[string]any{}
	raw, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(raw, &in)
	text := func(name string) string { v, _ := in[name].(string); return v }
	q := r.URL.Query()
	if n, ok := strings.CutPrefix(r.URL.Path, "/pieces/"); ok {
		query, args := "SELECT title FROM pieces WHERE n="+n, []any(nil)
		if !s.open {
			query, args = "SELECT title FROM pieces WHERE n=?", []any{n}
		}
		title := ""
		if s.db.QueryRowContext(r.Context(), query, args...).Scan(&title) != nil {
			answer(404, map[string]any{"error": "there is no piece " + n})
			return
		}
		answer(200, map[string]any{"title": title})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /visits":
		query, args := "SELECT count(*) FROM visits WHERE ticket='"+q.Get("ticket")+"'", []any(nil)
		if !s.open {
			query, args = "SELECT count(*) FROM visits WHERE ticket=?", []any{q.Get("ticket")}
		}
		n := 0
		_ = s.db.QueryRowContext(r.Context(), query, args...).Scan(&n) // whatever comes of it, the answer is one and the same
		answer(200, map[string]any{"thanks": true})
	case "GET /staff":
		who := q.Get("person")
		if s.open {
			who = filterText(who)
		}
		switch who {
		case "gerda", "otto":
			answer(200, map[string]any{"mail": who + "@museum.example"})
		default:
			answer(404, map[string]any{"error": "nobody is called " + who})
		}
	case "POST /catalogue/search":
		shelf, holds := text("shelf"), true
		if m := reXPath.FindStringSubmatch(shelf); m != nil && s.open {
			shelf = m[1]
			holds = m[2] == "string-length" && fmt.Sprint(len(m[3])) == m[5] || m[2] == "starts-with" && strings.HasPrefix(m[3], m[4])
		}
		books := []string{}
		if shelf == "B12" && holds {
			books = []string{"A history of glass"}
		}
		answer(200, map[string]any{"books": books})
	case "POST /vouchers/check":
		ok := in["voucher"] == "SPRING-2291"
		if m, isObject := in["voucher"].(map[string]any); isObject && s.open {
			_, ne := m["$ne"]
			_, gt := m["$gt"]
			ok = ne || gt
		}
		if !ok {
			answer(404, map[string]any{"error": "no such voucher"})
			return
		}
		answer(200, map[string]any{"worth": 10})
	case "POST /settings/import":
		plain, err := base64.StdEncoding.DecodeString(text("backup"))
		if m := rePickle.FindSubmatch(plain); err == nil && m != nil && s.open {
			if x, err := http.Get(string(m[1])); err == nil {
				_ = x.Body.Close()
			}
		}
		answer(200, map[string]any{"done": err == nil})
	case "GET /guestbook", "POST /guestbook", "GET /guestbook.csv":
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case r.Method == "POST":
			s.notes = append(s.notes, text("remark"))
			answer(201, map[string]any{"remark": text("remark")})
		case strings.HasSuffix(r.URL.Path, "csv"):
			w.Header().Set("Content-Type", "text/csv")
			c := csv.NewWriter(w)
			for i, n := range s.notes {
				if !s.open && strings.IndexAny(n, "=+-@\t\r") == 0 {
					n = "'" + n
				}
				_ = c.Write([]string{fmt.Sprint(i), n})
			}
			c.Flush()
		default:
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			for _, n := range s.notes {
				if !s.open {
					n = html.EscapeString(n)
				}
				_, _ = io.WriteString(w, "<p>"+n+"</p>")
			}
		}
	case "GET /greeting":
		kind := "application/json"
		if s.open {
			kind = "text/html" // what a script gets that sets no type
		}
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, `{"greeting":"Hello `+q.Get("whom")+`"}`)
	case "POST /newsletter":
		email := text("email")
		if n := strings.Count(strings.TrimRight(email, "!"), "a"); s.open && strings.HasSuffix(email, "!") && strings.Trim(email, "a!") == "" {
			time.Sleep(min(time.Duration(1<<min(n, 40))*500*time.Nanosecond, 3*time.Second)) // as long as a pattern that backtracks
		}
		if !strings.Contains(email, "@") {
			answer(400, map[string]any{"error": "no address"})
			return
		}
		answer(200, map[string]any{})
	default:
		answer(404, map[string]any{"error": "none"})
	}
}

func TestMuseum(t *testing.T) {
	t.Parallel()
	twins(t, museumSpec, newMuseum, []hole{
		{"sqli", "GET", "/pieces/{pieceNumber}", "path.pieceNumber"},
		{"sqli-time", "GET", "/visits", "query.ticket"},
		{"ldap-injection", "GET", "/staff", "query.person"},
		{"xpath-injection", "POST", "/catalogue/search", "body./shelf"},
		{"nosql-operator", "POST", "/vouchers/check", "body./voucher"},
		{"deserialization", "POST", "/settings/import", "body./backup"},
		{"html-injection", "GET", "/guestbook", "stored.remark"},
		{"csv-formula", "GET", "/guestbook.csv", "stored.remark"},
		{"html-injection", "GET", "/greeting", "query.whom"},
		{"regex-time", "POST", "/newsletter", "body./email"},
		{"log-lookup", "GET", "/pieces/{pieceNumber}", "header.User-Agent"},
	}, "sqli", "sqli-time", "ldap-injection", "xpath-injection", "nosql-operator", "deserialization", "html-injection", "csv-formula", "regex-time", "log-lookup", "command-injection", "template-injection")
}
