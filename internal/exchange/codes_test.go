package exchange

import (
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/codes.md anew")

var codesPage = filepath.Join("..", "..", "docs", "codes.md")

// TestGenerated holds docs/codes.md to the table: what clients may lean on is
// what the page says.
func TestGenerated(t *testing.T) {
	want := codesMarkdown()
	if *update {
		if err := os.WriteFile(codesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(codesPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("docs/codes.md is not current: go generate ./internal/exchange\n%s", diff)
	}
}

// TestCodes holds every code to what the rest leans on: its guard's name first, a
// status that refuses, words for the client and for the reader.
func TestCodes(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]+\.[a-z0-9_]+$`)
	groups := map[string]bool{}
	for _, g := range codeGroups {
		groups[g.prefix] = true
	}
	for _, c := range AllCodes() {
		if !form.MatchString(c.Code) {
			t.Errorf("%s: a code is GUARD.reason in lower case", c.Code)
		}
		if c.Status < 400 || c.Status > 599 {
			t.Errorf("%s: status %d does not refuse", c.Code, c.Status)
		}
		if c.Title == "" || c.Means == "" || !strings.HasSuffix(c.Means, ".") {
			t.Errorf("%s: title %q, means %q", c.Code, c.Title, c.Means)
		}
		if prefix, _, _ := strings.Cut(c.Code, "."); !groups[prefix] {
			t.Errorf("%s: docs/codes.md has no section for %s", c.Code, prefix)
		}
	}
	if c, ok := LookupCode("no.such_code"); ok || c.Code != "gateway.internal" {
		t.Errorf("an unknown code gives %+v, %v; it must deny as an internal error", c, ok)
	}
}

// TestCodesUsed finds codes that nothing refuses with: the page would promise
// what no client can get.
func TestCodesUsed(t *testing.T) {
	var sources strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || d.Name() == "codes.go" {
			return err
		}
		text, err := os.ReadFile(path)
		sources.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range AllCodes() {
		// The decoders' faults become codes by their names: "dtd" is body.dtd.
		fault, _ := strings.CutPrefix(c.Code, "body.")
		if !strings.Contains(sources.String(), strconv.Quote(c.Code)) && !strings.Contains(sources.String(), "Fault = "+strconv.Quote(fault)) {
			t.Errorf("nothing refuses with %s", c.Code)
		}
	}
}

// codeGroups are the page's sections, in the order of the walk.
var codeGroups = []struct{ prefix, title, text string }{
	{"gateway", "The gateway itself", "Before an operation is known, or when the upstream or the gateway itself fails."},
	{"body", "Reading the body", "A body is decoded once, strictly. These stand for every content type that has a tree: JSON, forms, multipart, XML, text."},
	{"contract", "Guard `contract`", "See [guards/contract.md](guards/contract.md)."},
	{"authn", "Guard `authn`", "See [guards/authn.md](guards/authn.md)."},
	{"login", "Login of browsers", "Of the login's own pages. See [guards/login.md](guards/login.md)."},
	{"authz", "Guard `authz`", "See [guards/authz.md](guards/authz.md) and [policies.md](policies.md)."},
	{"decision", "The decision point", "See [decision-point.md](decision-point.md)."},
	{"limit", "Guard `limit`", "See [guards/limit.md](guards/limit.md)."},
	{"waf", "Guard `waf`", "See [guards/waf.md](guards/waf.md)."},
	{"upload", "Guard `upload`", "See [guards/upload.md](guards/upload.md)."},
}

func codesMarkdown() string {
	var b strings.Builder
	b.WriteString(`# Denials

Generated from the table in ` + "`internal/exchange`" + ` by ` + "`go generate ./internal/exchange`" + `; edit the table, not this page.

A denial is a problem document (RFC 9457, ` + "`application/problem+json`" + `). It says what a client may know:

    {
      "type": "urn:crenel:code:contract.unknown_property",
      "title": "Unprocessable content",
      "status": 422,
      "code": "contract.unknown_property",
      "request_id": "019ab3f2-7c1e-7d55-8a37-0c1f6f1f9b1e",
      "at": "/owner_id"
    }

` + "`code`" + ` is stable: clients, tests and alerts may lean on it. ` + "`at`" + ` is where: a JSON pointer into the body, or
` + "`query:limit`, `header:x-id`, `path:id`, `cookie:sid`" + `. A step that finds several faults lists the others in ` + "`more`" + `. Why it was refused stands in the event file alone:
` + "`crenel event REQUEST_ID`" + `.

## By status

| status | | codes |
|---|---|---|
`)
	byStatus := map[int][]string{}
	var statuses []int
	for _, c := range AllCodes() {
		if byStatus[c.Status] == nil {
			statuses = append(statuses, c.Status)
		}
		byStatus[c.Status] = append(byStatus[c.Status], "`"+c.Code+"`")
	}
	slices.Sort(statuses)
	for _, s := range statuses {
		text := http.StatusText(s)
		if s == 499 {
			text = "Client closed request (never sent: nobody is there)"
		}
		fmt.Fprintf(&b, "| %d | %s | %s |\n", s, text, strings.Join(byStatus[s], ", "))
	}
	for _, g := range codeGroups {
		b.WriteString("\n## " + g.title + "\n\n" + g.text + "\n\n| code | status | means |\n|---|---|---|\n")
		for _, c := range AllCodes() {
			if prefix, _, _ := strings.Cut(c.Code, "."); prefix == g.prefix {
				b.WriteString("| `" + c.Code + "` | " + strconv.Itoa(c.Status) + " | " + c.Means + " |\n")
			}
		}
	}
	return b.String()
}
