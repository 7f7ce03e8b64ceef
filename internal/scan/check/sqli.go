package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "sqli", Title: "An input is pasted into an SQL statement",
	OWASP: "API8:2023", CWE: "CWE-89", WSTG: "WSTG-INPV-05",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:H/VA:L/SC:N/SI:N/SA:N",
	About: "Puts quotes, and then pairs of conditions that are true and false, into each text that operations take; into sort orders, expressions that order one way or the other.",
	Proof: "A true condition is answered in one way and a false one in another, and so is a second pair with other constants; or a lone quote brings a database's error and a doubled one does not. Controls: the plain value, twice the same.",
	Fix:   "Pass values to the database as parameters, never in the statement's text; choose sort columns from a fixed list.",
	Mode:  Default, Dirty: true,
	Run: func(ctx context.Context, p *Probe) error {
		if err := p.sqlNumbers(ctx); err != nil {
			return err
		}
		return p.everySlot(ctx, func(*slot) bool { return true }, p.sqlSlot)
	},
})

// reSQLError are the words of databases and their drivers.
var reSQLError = regexp.MustCompile(`(?i)SQL syntax.{0,40}MySQL|you have an error in your sql|valid MySQL result|MySqlException|PostgreSQL.{0,20}ERROR|syntax error at or near|unterminated quoted string at or near|pg_query\(|PSQLException|SQLSTATE\[?\w{5}|sqlite3?\.(Operational|Programming)?Error|SQLITE_ERROR|SQL logic error|Unclosed quotation mark|quoted string not properly terminated|ORA-0\d{4}|ODBC SQL Server Driver|Incorrect syntax near|Sequelize\w*Error|QueryFailedError|JDBC|org\.hibernate|DataIntegrityViolation|Microsoft OLE DB`)

// reLexerError are words of databases that other languages' readers have as well:
// they count only where the server broke over them.
var reLexerError = regexp.MustCompile(`(?i)unrecognized token|near ".{1,40}": syntax error|incomplete input`)

func sqlError(x *target.Exchange) bool {
	return reSQLError.Match(x.Body) || x.Status >= 500 && reLexerError.Match(x.Body)
}

// reShellError are the words of shells, which miss quotes as databases do.
var reShellError = regexp.MustCompile(`(?i)\b(ba|da|k|z)?sh: (\d+|line \d+|-c): |/bin/\w*sh\b|Command failed: `)

func (p *Probe) sqlSlot(ctx context.Context, s *slot) error {
	if s.in.Meaning == graph.MeansSort || strings.Contains(strings.ToLower(s.in.Name), "sort") || strings.Contains(strings.ToLower(s.in.Name), "order_by") {
		if done, err := p.sqlSort(ctx, s); err != nil || done {
			return err
		}
	}
	again, err := p.send(ctx, s.call)
	if err != nil {
		return err
	}
	stable := scenario.Alike(s.base, again)
	one, err := p.send(ctx, s.with(s.value+"'"))
	if err != nil {
		return err
	}
	two, err := p.send(ctx, s.with(s.value+"''"))
	if err != nil {
		return err
	}
	searches := s.op.Method == http.MethodGet && s.in.In == "query" && s.in.Object == nil && (s.op.Answered == "list" || s.op.Has(graph.Search) || s.op.Kind == graph.List)
	complains := one.Status >= 500 && two.Status < 500 || sqlError(one) && !sqlError(two)
	// Where two plain calls are answered differently, a difference says nothing.
	if stable && (searches || complains || !scenario.Alike(one, two, s.value+"''", s.value+"'")) {
		if done, err := p.sqlBoolean(ctx, s); err != nil || done {
			return err
		}
	}
	if !sqlError(one) || sqlError(two) || sqlError(s.base) || reShellError.Match(one.Body) {
		return nil
	}
	says := scenario.Expect{Matches: reSQLError.String()}
	if !reSQLError.Match(one.Body) {
		says = scenario.Expect{Status: "5xx", Matches: reLexerError.String()}
	}
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "a plain value brings no error", s.value, scenario.Expect{Status: "!5xx"}))
	l.add(p.slotStep(s, "doubled", scenario.Control, "a doubled quote neither", s.value+"''", scenario.Expect{Status: "!5xx"}))
	l.add(p.slotStep(s, "quote", scenario.Attack, "a lone quote brings the database's error", s.value+"'", says))
	_, err = p.injected(ctx, s, "SQL injection", "A lone quote ends the statement's text early, and the database complains; a doubled one, which stands for itself in SQL, does not.", &l)
	return err
}

// sqlPairs are ways to add a condition, with %s for it; each must be neutral when it is true.
var sqlPairs = []string{
	"%[1]s' AND %[2]s AND '1'='1",
	"%[1]s' AND %[2]s -- ",
	"%[1]s%%' AND %[2]s AND '%%'='",
	"%[1]s%%' AND %[2]s -- ",
	"%[1]s') AND %[2]s AND ('1'='1",
	"%[1]s%%') AND %[2]s -- ",
	"%[1]s' OR %[2]s -- ",
	"%[1]s') OR %[2]s -- ",
	"%[1]s')) OR %[2]s -- ",
	"%[1]s\" AND %[2]s AND \"1\"=\"1",
	"%[1]s AND %[2]s",
}

// sqlForms are those of the pairs that a call may carry: in a statement that
// changes rows, a condition that is always true, or a comment over the rest of
// the statement, would change all of them.
func sqlForms(method string) []string {
	if method == http.MethodGet {
		return sqlPairs
	}
	return slices.DeleteFunc(slices.Clone(sqlPairs), func(form string) bool {
		return strings.Contains(form, " OR ") || strings.Contains(form, "--")
	})
}

func (p *Probe) sqlBoolean(ctx context.Context, s *slot) (bool, error) {
	values := []string{s.value}
	if s.value == "" {
		values = []string{"a"}
	}
	for _, v := range values {
		for _, form := range sqlForms(s.op.Method) {
			yes, err := p.send(ctx, s.with(fmt.Sprintf(form, v, "7=7")))
			if err != nil {
				return false, err
			}
			if yes.Status/100 != 2 {
				continue
			}
			no, err := p.send(ctx, s.with(fmt.Sprintf(form, v, "7=8")))
			if err != nil {
				return false, err
			}
			if no.Status >= 500 || scenario.Alike(yes, no, fmt.Sprintf(form, v, "7=7"), fmt.Sprintf(form, v, "7=8"), "7=7", "7=8") {
				continue
			}
			ok, err := p.sqlProof(ctx, s, v, form)
			if err != nil || ok {
				return ok, err
			}
		}
	}
	return false, nil
}

// sqlProof proves that conditions which a form adds to a value are worked out.
func (p *Probe) sqlProof(ctx context.Context, s *slot, v, form string) (bool, error) {
	var l steps
	l.add(p.unechoed(s, "true", scenario.Control, "with a condition that is true", fmt.Sprintf(form, v, "7=7"), scenario.Expect{Status: "2xx"}))
	l.add(p.unechoed(s, "false", scenario.Attack, "with one that is false the answer is another", fmt.Sprintf(form, v, "7=8"), scenario.Expect{Status: "!5xx", Unlike: "true"}))
	l.add(p.unechoed(s, "true2", scenario.Attack, "with another that is true it is as with the first", fmt.Sprintf(form, v, "'ab'='ab'"), scenario.Expect{Like: "true"}))
	l.add(p.unechoed(s, "false2", scenario.Attack, "with another that is false as with the second", fmt.Sprintf(form, v, "'ab'='ba'"), scenario.Expect{Like: "false"}))
	l.add(p.unechoed(s, "computed", scenario.Attack, "with one that the database has to work out", fmt.Sprintf(form, v, "(31*37)=1147"), scenario.Expect{Like: "true"}))
	l.add(p.unechoed(s, "computed2", scenario.Attack, "and with a wrong sum", fmt.Sprintf(form, v, "(31*37)=1148"), scenario.Expect{Like: "false"}))
	return p.injected(ctx, s, "SQL injection", "Conditions that are put into the input are worked out by the database: the answer follows whether they are true.", &l)
}

// sqlSort: an order that is worked out.
func (p *Probe) sqlSort(ctx context.Context, s *slot) (bool, error) {
	columns := []string{"id"}
	for _, out := range s.op.Outputs {
		if (out.Type == "integer" || out.Type == "number") && len(columns) < 3 && out.Name != "id" && strings.Contains(out.Pointer, "*") {
			columns = append(columns, out.Name)
		}
	}
	for _, c := range columns {
		for _, form := range []string{"(CASE WHEN %[1]s THEN %[2]s ELSE -%[2]s END)", "%[2]s*(CASE WHEN %[1]s THEN 1 ELSE -1 END)"} {
			yes, err := p.send(ctx, s.with(fmt.Sprintf(form, "7=7", c)))
			if err != nil {
				return false, err
			}
			no, err := p.send(ctx, s.with(fmt.Sprintf(form, "7=8", c)))
			if err != nil {
				return false, err
			}
			if yes.Status/100 != 2 || no.Status/100 != 2 || scenario.Alike(yes, no, "7=7", "7=8") {
				continue
			}
			var l steps
			l.add(p.slotStep(s, "true", scenario.Control, "ordered by an expression that is true", fmt.Sprintf(form, "7=7", c), scenario.Expect{Status: "2xx"}))
			l.add(p.slotStep(s, "false", scenario.Attack, "by one that is false the order is another", fmt.Sprintf(form, "7=8", c), scenario.Expect{Status: "2xx", Unlike: "true"}))
			l.add(p.slotStep(s, "true2", scenario.Attack, "by another that is true as by the first", fmt.Sprintf(form, "(31*37)=1147", c), scenario.Expect{Like: "true"}))
			l.add(p.slotStep(s, "false2", scenario.Attack, "by a wrong sum as by the second", fmt.Sprintf(form, "(31*37)=1148", c), scenario.Expect{Like: "false"}))
			ok, err := p.injected(ctx, s, "SQL injection", "Expressions that are put into the sort order are worked out by the database.", &l)
			if err != nil || ok {
				return ok, err
			}
		}
	}
	return false, nil
}
