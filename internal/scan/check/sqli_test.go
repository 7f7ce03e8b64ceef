package check

import (
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// What databases and their drivers say of a lone quote, each as its vendor has it;
// and what others say, who know quotes, numbers and syntax as well.
func TestSQLErrors(t *testing.T) {
	for _, c := range []struct {
		text   string
		status int
		is     bool
	}{
		// SQL Server: Database Engine events and errors 105, 102, 156, 245, 8114, 205.
		{`Unclosed quotation mark after the character string ''.`, 200, true},
		{`Unclosed quotation mark before the character string 'x'.`, 200, true},
		{`Incorrect syntax near 'O'.`, 200, true},
		{`Incorrect syntax near the keyword 'ORDER'.`, 500, true},
		{`Conversion failed when converting the varchar value '1''' to data type int.`, 200, true},
		{`Conversion failed when converting the nvarchar value 'a' to data type int.`, 200, true},
		{`Error converting data type varchar to numeric.`, 200, true},
		{`All queries combined using a UNION, INTERSECT or EXCEPT operator must have an equal number of expressions in their target lists.`, 200, true},
		{`[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]The multi-part identifier "a.b" could not be bound.`, 200, true},
		{`System.Data.SqlClient.SqlException (0x80131904): Invalid column name 'x'.`, 500, true},
		{`Microsoft.Data.SqlClient.SqlException: Invalid object name`, 500, true},
		{`mssql: Invalid column name 'x'.`, 500, true},
		// Oracle: Database Error Messages, ORA-00900 to ORA-01799, and ORA-03048 to ORA-03050 of 23ai.
		{`ORA-01756: quoted string not properly terminated`, 200, true},
		{`ORA-00933: SQL command not properly ended`, 200, true},
		{`ORA-00933: SQL 命令未正确结束`, 200, true},
		{`ORA-00936: missing expression`, 200, true},
		{`ORA-00911: invalid character`, 200, true},
		{`ORA-01722: invalid number`, 200, true},
		{`ORA-01789: query block has incorrect number of result columns`, 200, true},
		{`ORA-03048: SQL reserved word 'AND' is not syntactically valid following 'WHERE'`, 200, true},
		{`java.sql.SQLSyntaxErrorException: ORA-00907: missing right parenthesis`, 500, true},
		// MySQL, PostgreSQL, SQLite.
		{`You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version`, 200, true},
		{`ERROR: unterminated quoted string at or near "'" (SQLSTATE 42601)`, 200, true},
		{`SQL logic error: unrecognized token: "'" (1)`, 200, true},
		{`near "O": syntax error`, 500, true},
		// What is none.
		{`near "O": syntax error`, 400, false},
		{`Incorrect user name or password near the gate`, 400, false},
		{`a quotation mark is missing`, 400, false},
		{`order ORA-0 is unknown`, 404, false},
		{`part FLORA-01756X is not there`, 404, false},
		{`Conversion failed: 'x' is no currency`, 422, false},
		{`we union all queries, and intersect some`, 200, false},
		{`sh: 1: Syntax error: Unterminated quoted string`, 500, false},
		{`Unexpected token ' in JSON at position 7`, 400, false},
		{`the value has an unclosed quotation`, 400, false},
	} {
		if got := sqlError(&target.Exchange{Status: c.status, Body: []byte(`{"error":"` + c.text + `"}`)}); got != c.is {
			t.Errorf("%d %s: a database's error: %v", c.status, c.text, got)
		}
	}
}

// What makes each database wait, as it is written for waits of nothing, of the
// check's, and of three times that.
//
//   - SQL Server: WAITFOR DELAY 'time_to_pass', hh:mm[[:ss].fff] (Transact-SQL
//     reference); it is a statement of its own, so it goes only where nothing changes.
//   - Oracle: DBMS_PIPE.RECEIVE_MESSAGE(pipename, timeout in whole seconds) returns
//     an INTEGER, 1 when the time is over (PL/SQL Packages and Types Reference).
//   - PostgreSQL: pg_sleep(seconds), with fractions (9.9.5); MySQL: SLEEP(seconds), with fractions (14.23).
func TestDelays(t *testing.T) {
	for _, c := range []struct {
		db, method string
		number     bool
		want       []string // for 0, wait and 3*wait tenths; none: it is not tried there
	}{
		{"SQL Server", http.MethodGet, false, []string{"a'; WAITFOR DELAY '0:0:0.0'-- ", "a'; WAITFOR DELAY '0:0:0.6'-- ", "a'; WAITFOR DELAY '0:0:1.8'-- "}},
		{"SQL Server", http.MethodGet, true, []string{"3; WAITFOR DELAY '0:0:0.0'-- ", "3; WAITFOR DELAY '0:0:0.6'-- ", "3; WAITFOR DELAY '0:0:1.8'-- "}},
		{"SQL Server", http.MethodPost, false, nil},
		{"SQL Server", http.MethodPut, true, nil},
		{"Oracle", http.MethodGet, false, []string{"a'||DBMS_PIPE.RECEIVE_MESSAGE('crenel',0)||'", "a'||DBMS_PIPE.RECEIVE_MESSAGE('crenel',1)||'", "a'||DBMS_PIPE.RECEIVE_MESSAGE('crenel',2)||'"}},
		{"Oracle", http.MethodPost, true, []string{"3 AND 7+DBMS_PIPE.RECEIVE_MESSAGE('crenel',0)>0", "3 AND 7+DBMS_PIPE.RECEIVE_MESSAGE('crenel',1)>0", "3 AND 7+DBMS_PIPE.RECEIVE_MESSAGE('crenel',2)>0"}},
		{"PostgreSQL", http.MethodPost, false, []string{"a'||(SELECT 'x' FROM PG_SLEEP(0.0))||'", "a'||(SELECT 'x' FROM PG_SLEEP(0.6))||'", "a'||(SELECT 'x' FROM PG_SLEEP(1.8))||'"}},
		{"MySQL", http.MethodGet, true, []string{"3 AND (SELECT 7 FROM (SELECT SLEEP(0.0))crenel)=7", "3 AND (SELECT 7 FROM (SELECT SLEEP(0.6))crenel)=7", "3 AND (SELECT 7 FROM (SELECT SLEEP(1.8))crenel)=7"}},
	} {
		var got []string
		for _, d := range delaysFor(c.method, c.number) {
			if d.db == c.db && got == nil {
				v := "a"
				if c.number {
					v = "3"
				}
				got = []string{d.text(v, 0), d.text(v, wait), d.text(v, 3*wait)}
			}
		}
		if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
			t.Errorf("%s, %s, number %v: %q, want %q", c.db, c.method, c.number, got, c.want)
		}
	}
}

// A second statement's row as each database reads it: Oracle wants a table (FROM
// DUAL, before 23ai) and columns of the same kinds, to which NULL belongs; SQL Server,
// MySQL and SQLite make of a text what the column is.
func TestUnited(t *testing.T) {
	rows := unionRows(2)
	for _, want := range []string{
		"none' UNION SELECT CAST(31*37 AS CHAR(9)),CAST(31*37 AS CHAR(9)) FROM DUAL -- ",
		"none' UNION SELECT NULL,CAST(31*37 AS CHAR(9)) FROM DUAL -- ",
		"none' UNION SELECT 31*37,NULL FROM DUAL -- ",
		"none' UNION SELECT '7',31*37 FROM DUAL -- ",
	} {
		found := false
		for _, row := range rows {
			found = found || united("none'", row, " FROM DUAL", [2]int{31, 37}) == want
		}
		if !found {
			t.Errorf("%s is not tried", want)
		}
	}
}
