package check

import (
	"strings"
	"testing"
)

// Every check says what it is in the lists that its readers use, and how to mend what it finds.
func TestDescriptions(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All() {
		if err := c.Valid(); err != nil {
			t.Error(err)
		}
		if seen[c.ID] {
			t.Errorf("two checks are called %s", c.ID)
		}
		seen[c.ID] = true
		if Find(c.ID) != c {
			t.Errorf("check %s is not found by its id", c.ID)
		}
	}
	if len(seen) == 0 {
		t.Fatal("there are no checks")
	}
}

func TestValidRefuses(t *testing.T) {
	err := (&Check{ID: "Bad Name", OWASP: "API11:2023", CWE: "79", WSTG: "x", CVSS: "CVSS:3.1/AV:N"}).Valid()
	for _, want := range []string{"id is", "owasp is", "cwe is", "wstg is", "title is empty", "CVSS", "does nothing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q in it", err, want)
		}
	}
}

func TestAbsent(t *testing.T) {
	for _, id := range []string{"7", "1042", "123456789012", "a3f1b2c4-1111-4222-8333-abcdefabcdef", "ORD-2024-0001", "my-first-post", "", "507f1f77bcf86cd799439011"} {
		a := absent(id)
		if a == id || id != "" && len(id) > 10 && len(a) != len(id) {
			t.Errorf("absent(%q) = %q", id, a)
		}
		if strings.Trim(id, "0123456789") == "" && strings.Trim(a, "0123456789") != "" {
			t.Errorf("absent(%q) = %q: want a number", id, a)
		}
		if len(id) == 36 && (a[14] != id[14] || a[19] != id[19]) {
			t.Errorf("absent(%q) = %q: not a UUID of the same version", id, a)
		}
	}
}
