package check

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

var _ = register(&Check{
	ID: "sqli", Title: "An input is pasted into an SQL statement",
	OWASP: "API8:2023", CWE: "CWE-89", WSTG: "WSTG-INPV-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:L/SC:N/SI:N/SA:N",
	About: "Puts quotes, and then pairs of conditions that are true and false, into each text and number that operations take, in headers and cookies, too; into orders, expressions that order one way or the other, or break one way; where a statement reads, a second one with UNION.",
	Proof: "A true condition is answered in one way and a false one in another, and so are a second and a third pair with other constants; or the answer holds the product of two numbers of which only the factors were sent, worked out by a UNION SELECT; or a lone quote brings a database's error and a doubled one does not. Controls: the plain value, twice the same.",
	Fix:   "Pass values to the database as parameters, never in the statement's text; choose sort columns from a fixed list.",
	Mode:  Default, Dirty: true,
	Run: func(ctx context.Context, p *Probe) error {
		return p.everySlotThat(ctx, takesSQL, p.sqlSlot)
	},
})

// reSQLError are the words of databases and their drivers.
var reSQLError = regexp.MustCompile(`(?i)SQL syntax.{0,40}MySQL|you have an error in your sql|valid MySQL result|MySqlException|` +
	`PostgreSQL.{0,20}ERROR|syntax error at or near|unterminated quoted string at or near|pg_query\(|PSQLException|SQLSTATE\[?\w{5}|` +
	`sqlite3?\.(Operational|Programming)?Error|SQLITE_ERROR|SQL logic error|` +
	// SQL Server: errors 105, 102, 156, 245, 8114 and 205, and what its drivers put before them.
	`Unclosed quot(e|ation mark) (after|before) the character string|Incorrect syntax near|Conversion failed when converting the n?varchar value|Error converting data type n?varchar to|All queries combined using a UNION, INTERSECT|\[SQL Server\]|ODBC (SQL Server Driver|Driver \d+ for SQL Server)|SqlClient\.SqlException|\bmssql: |Microsoft OLE DB|` +
	// Oracle: all that its parser says is ORA-00900 to ORA-01799, and from version 23 on ORA-03048 to ORA-03050.
	`quoted string not properly terminated|\bORA-0\d{4}\b|` +
	`Sequelize\w*Error|QueryFailedError|JDBC|org\.hibernate|DataIntegrityViolation`)

// reLexerError are words of databases that other languages' readers have as well:
// they count only where the server broke over them.
var reLexerError = regexp.MustCompile(`(?i)unrecognized token|near ".{1,40}": syntax error|incomplete input|ORDER BY (term out of range|position \d+ is not in)|Unknown column '\d+' in 'order clause'`)

func sqlError(x *target.Exchange) bool {
	return reSQLError.Match(x.Body) || x.Status >= 500 && reLexerError.Match(x.Body)
}

// wordsOf is an answer's kind, and whether it holds words of a database's reader: some
// answer a statement that is wrong as they answer others, with those words for a result.
func wordsOf(x *target.Exchange) string {
	if reLexerError.Match(x.Body) || reSQLError.Match(x.Body) {
		return kindOf(x) + " of a database"
	}
	return kindOf(x)
}

// reShellError are the words of shells, which miss quotes as databases do.
var reShellError = regexp.MustCompile(`(?i)\b(ba|da|k|z)?sh: (\d+|line \d+|-c): |/bin/\w*sh\b|Command failed: `)

// takesSQL: an input that programs paste into statements, by what the description
// says: texts and numbers, one of a list as well, and what is carried in headers
// and cookies of the API's own.
func takesSQL(in *graph.Input) bool {
	switch {
	case in.In == "cookie" || in.In == "header":
		name := strings.ToLower(in.Name)
		return in.Type != "boolean" && in.Type != "object" && in.Type != "array" && in.Meaning != graph.MeansToken && in.Meaning != graph.MeansCSRF && !reCarried.MatchString(name)
	case in.ReadOnly || strings.Count(in.Pointer, "*") > 1:
		return false
	case numeric(in):
		return true
	case in.Type == "string" && in.Schema != nil && len(in.Schema.Rules().Enum) > 0 && in.Format == "":
		return true
	}
	return takesText(in)
}

// reCarried are headers and cookies that are not the API's own, or that carry sessions.
var reCarried = regexp.MustCompile(`^(authorization|cookie|host|accept(-.*)?|content-.*|if-.*|idempotency-key|user-agent|origin|referer|range|sec-.*|.*(token|session|sess|sid|jwt|auth|signature|secret|csrf|xsrf|api-?key).*)$`)

func numeric(in *graph.Input) bool { return in.Type == "integer" || in.Type == "number" }

// reOrders are names of inputs that say in which order a list is.
var reOrders = regexp.MustCompile(`(?i)sort|order_?by|^order$|^dir(ection)?$|^ord$`)

func (p *Probe) sqlSlot(ctx context.Context, s *slot) error {
	s, err := p.filled(ctx, s)
	if err != nil || s == nil {
		return err
	}
	if s.in.Meaning == graph.MeansSort || reOrders.MatchString(s.in.Name) {
		if done, err := p.sqlSort(ctx, s); err != nil || done {
			return err
		}
	}
	if numeric(s.in) {
		return p.sqlNumber(ctx, s)
	}
	if err := p.settled(ctx, s); err != nil {
		return err
	}
	one, err := p.send(ctx, s.with(s.value+"'"))
	if err != nil {
		return err
	}
	searches := s.in.In != "path" && (s.base.Status == http.StatusNotFound && looksUp(s.op) || s.op.Answered == "list" && s.base.Status == http.StatusOK || looksUp(s.op) && (s.op.Has(graph.Search) || s.op.Kind == graph.List || s.in.In == "header" || s.in.In == "cookie"))
	if !searches && one.Status < 500 && !sqlError(one) && (s.stable && scenario.Alike(s.base, one, s.value, s.value+"'") || !s.stable && kindOf(one) == kindOf(s.base)) {
		return nil // a lone quote is a text like any other
	}
	two, err := p.send(ctx, s.with(s.value+"''"))
	if err != nil {
		return err
	}
	complains := one.Status >= 500 && two.Status < 500 || sqlError(one) && !sqlError(two) || wordsOf(one) != wordsOf(two)
	if complains || s.stable && (searches || !scenario.Alike(one, two, s.value+"''", s.value+"'")) {
		if done, err := p.sqlBoolean(ctx, s, sqlForms(s.op.Method)); err != nil || done {
			return err
		}
	}
	if complains {
		if done, err := p.sqlUnion(ctx, s); err != nil || done {
			return err
		}
	}
	if !complains && s.op.Method == http.MethodGet && findsNothing(s) && scenario.Alike(s.base, one, s.value, s.value+"'") {
		if done, err := p.sqlUnionBlind(ctx, s); err != nil || done {
			return err
		}
	}
	if !sqlError(one) || sqlError(two) || sqlError(s.base) || reShellError.Match(one.Body) {
		return nil
	}
	_, err = p.sqlComplaint(ctx, s, one)
	return err
}

// settled finds out whether the slot's call is answered the same each time: where
// two plain calls are answered differently, only a difference in kind says anything.
// It is asked once for all the places of one call.
func (p *Probe) settled(ctx context.Context, s *slot) error {
	p.mu.Lock()
	known := p.steady[s.call]
	p.mu.Unlock()
	if known == nil {
		again, err := p.send(ctx, s.call)
		if err != nil {
			return err
		}
		known = &steady{base: s.base, same: scenario.Alike(s.base, again)}
		if !known.same {
			// It may have been another check that changed something since.
			third, err := p.send(ctx, s.call)
			if err != nil {
				return err
			}
			known.base, known.same = third, scenario.Alike(again, third)
		}
		p.mu.Lock()
		p.steady[s.call] = known
		p.mu.Unlock()
	}
	s.base, s.stable = known.base, known.same
	return nil
}

// steady is whether a call is answered the same each time, and how.
type steady struct {
	base *target.Exchange
	same bool
}

// filled is the slot with a value in it that works, and finds something: what the
// description gives for an input that calls leave out. nil: none works.
func (p *Probe) filled(ctx context.Context, s *slot) (*slot, error) {
	if s.value != "" && (numeric(s.in) || s.in.Meaning == graph.MeansID || items(s.base.Body, s.op.ListAt) != 0) {
		return s, nil
	}
	var values []string
	if s.in.Schema != nil {
		for _, v := range s.in.Schema.Examples() {
			if v.Kind == value.String || v.Kind == value.Number {
				values = append(values, v.Text)
			}
		}
		for _, v := range s.in.Schema.Rules().Enum {
			if v.Kind == value.String || v.Kind == value.Number {
				values = append(values, v.Text)
			}
		}
	}
	if numeric(s.in) {
		values = append(values, "1")
	}
	for _, v := range values[:min(len(values), 2)] {
		call := s.with(v)
		x, err := p.send(ctx, call)
		if err != nil {
			return nil, err
		}
		if x.Status/100 == 2 {
			return &slot{op: s.op, in: s.in, call: call, value: v, base: x}, nil
		}
	}
	if s.value == "" && (numeric(s.in) || s.in.In == "header" || s.in.In == "cookie") {
		return nil, nil
	}
	return s, nil
}

// sqlComplaint proves that a lone quote brings the database's error.
func (p *Probe) sqlComplaint(ctx context.Context, s *slot, one *target.Exchange) (bool, error) {
	says := scenario.Expect{Matches: reSQLError.String()}
	if !reSQLError.Match(one.Body) {
		says = scenario.Expect{Status: "5xx", Matches: reLexerError.String()}
	}
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "a plain value brings no error", s.value, scenario.Expect{Status: "!5xx"}))
	l.add(p.slotStep(s, "doubled", scenario.Control, "a doubled quote neither", s.value+"''", scenario.Expect{Status: "!5xx"}))
	l.add(p.slotStep(s, "quote", scenario.Attack, "a lone quote brings the database's error", s.value+"'", says))
	return p.injected(ctx, s, "SQL injection", "A lone quote ends the statement's text early, and the database complains; a doubled one, which stands for itself in SQL, does not.", &l)
}
