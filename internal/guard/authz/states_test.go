package authz

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// measured is a table that knows how large it is.
type measured struct{ rows }

func (m measured) Size() (members int, bytes int64) { return len(m.rows), 500 }

// What is told of sources is what decides: news that are refused make the source
// fail and what decides grow older.
func TestStates(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	e, err := NewEngine("data.p.allow", []Source{{Name: "files"}, {Name: "users", MaxAge: time.Hour}, {Name: "absent"}}, slog.New(slog.DiscardHandler), c.now)
	if err != nil {
		t.Fatal(err)
	}
	state := func(name string) SourceState {
		t.Helper()
		for _, s := range e.States() {
			if s.Name == name {
				return s
			}
		}
		t.Fatalf("%s is not told of", name)
		return SourceState{}
	}
	if s := state("users"); !s.Heard.IsZero() || s.Failures != 0 || s.Err != nil || s.Revision != "" {
		t.Errorf("before anything: %+v", s)
	}
	e.Fail("absent", errors.New("connection refused"))
	e.Fail("absent", errors.New("connection refused"))
	if s := state("absent"); s.Failures != 2 || s.Err == nil || !strings.Contains(s.Err.Error(), "connection refused") || !s.Heard.IsZero() {
		t.Errorf("absent: %+v", s)
	}
	parts := map[string]*Part{
		"files":  {Revision: "f1", Modules: parse(t, map[string]string{"p.rego": "package p\nallow if data.users.ann"})},
		"users":  {Revision: "u1", Tables: map[string]Table{"users": measured{rows{"ann": "x", "bob": "y"}}}},
		"absent": {Revision: "a1"},
	}
	if err := e.Update(t.Context(), parts); err != nil {
		t.Fatal(err)
	}
	if s := state("users"); s.Revision != "u1" || s.Members != 2 || s.Bytes != 500 || !s.Heard.Equal(c.at) {
		t.Errorf("users: %+v", s)
	}
	if s := state("files"); s.Bytes != 0 || s.Revision != "f1" {
		t.Errorf("files: %+v", s)
	}
	heard := c.at
	c.at = c.at.Add(10 * time.Minute)
	e.Confirm("users", c.at)
	if s := state("users"); !s.Heard.Equal(c.at) || s.Err != nil {
		t.Errorf("confirmed: %+v", s)
	}
	if err := e.Update(t.Context(), map[string]*Part{"files": {Revision: "f2", Modules: parse(t, map[string]string{"p.rego": "package p\nallow if true", "p_test.rego": "package p_test\ntest_a if false"})}}); err == nil {
		t.Fatal("a policy whose test fails was activated")
	}
	if s := state("files"); s.Failures != 1 || s.Err == nil || s.Revision != "f1" || !s.Heard.Equal(heard) {
		t.Errorf("refused: %+v", s)
	}
}
