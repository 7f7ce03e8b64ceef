package check

import (
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/spec"
)

// A path to a file of the system goes only into reads: a call that writes would
// put its own text in that file's place.
func TestTraversalOnlyReads(t *testing.T) {
	for _, c := range []struct {
		method string
		kind   graph.Kind
		want   bool
	}{
		{"GET", graph.Read, true}, {"GET", graph.List, true}, {"POST", graph.Create, false}, {"POST", graph.Action, false},
		{"PUT", graph.Update, false}, {"PATCH", graph.Update, false}, {"DELETE", graph.Delete, false},
	} {
		op := &graph.Op{Operation: &spec.Operation{Method: c.method}, Kind: c.kind}
		in := &graph.Input{Op: op, In: "query", Name: "file_name", Meaning: graph.MeansFileName}
		if got := takesPath(&slot{op: op, in: in}); got != c.want {
			t.Errorf("%s %s: tried %v, want %v", c.method, c.kind, got, c.want)
		}
	}
}

// A condition that holds for every row, and a comment over a statement's end, go
// only where rows are read: an UPDATE or DELETE would reach all of them.
func TestSQLConditionsSpareRows(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
		forms := sqlForms(method)
		if len(forms) == 0 {
			t.Errorf("%s: nothing is tried at all", method)
		}
		for _, form := range forms {
			text := strings.ToUpper(form.text)
			if strings.Contains(text, " OR ") || strings.Contains(text, "--") {
				t.Errorf("%s carries %s", method, form.text)
			}
			// In MySQL || is OR: what stands between is no number but nought.
			if strings.Contains(text, "||") && !strings.Contains(text, "'||(CASE WHEN %[2]S THEN '' ELSE NULL END)||'") {
				t.Errorf("%s carries %s, a condition that widens in MySQL", method, form.text)
			}
		}
	}
	if len(sqlForms("GET")) != len(sqlTexts) {
		t.Error("reads do not carry every form")
	}
}

// What makes a database wait widens no statement where rows are changed: nothing
// ends the statement or comments the rest out, and what is added is joined by AND
// or to a function that fails in every other database.
func TestSQLDelaysSpareRows(t *testing.T) {
	for _, number := range []bool{true, false} {
		list := delaysFor("DELETE", number)
		if len(list) < 4 {
			t.Errorf("number=%v: only %d are tried", number, len(list))
		}
		for _, d := range list {
			if d.unit == nil {
				d.unit = rows(1)
			}
			text := strings.ToUpper(d.text("V", 2))
			if strings.Contains(text, " OR ") || strings.Contains(text, "--") || strings.Contains(text, ";") {
				t.Errorf("a call that changes rows carries %s", text)
			}
			if strings.Contains(text, "||") && !strings.Contains(text, "PG_SLEEP") && !strings.Contains(text, "DBMS_PIPE") {
				t.Errorf("%s is a condition that widens in MySQL", text)
			}
		}
	}
	if len(delaysFor("GET", false)) <= len(delaysFor("POST", false)) {
		t.Error("reads do not carry more than writes")
	}
}
