package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
	"github.com/crenel-project/crenel/internal/scan/scantest"
	"github.com/crenel-project/crenel/internal/scan/world"
)

// published reads a schema that others published.
func published(t *testing.T, name string) any {
	t.Helper()
	dir := os.Getenv("CRENEL_TESTDATA")
	if dir == "" {
		dir = "../../../../shared/testdata"
	}
	data, err := os.ReadFile(filepath.Join(dir, "schemas", name))
	if os.IsNotExist(err) {
		if _, up := os.Stat("../../../../../shared/testdata/schemas"); up == nil {
			data, err = os.ReadFile(filepath.Join("../../../../../shared/testdata/schemas", name))
		}
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the published schemas are needed: %v", err)
		}
		t.Skipf("SKIPPED: no published schemas: set CRENEL_TESTDATA: %v", err)
	}
	if strings.HasSuffix(name, ".yaml") {
		if data, err = yaml.YAMLToJSON(data); err != nil {
			t.Fatal(err)
		}
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func validate(t *testing.T, schema any, doc []byte) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("https://example.test/schema.json", schema); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("https://example.test/schema.json")
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%v", err)
	}
}

// variants are reports of all kinds: a real one, a hostile one, one with all
// that a baseline adds, an empty one.
func variants(t *testing.T) map[string]*scan.Report {
	t.Helper()
	marked := *scanned(t).Report
	yes, no := true, false
	for i, f := range marked.Findings {
		f.New = &no
		if i == 0 {
			f.New = &yes
			f.Suppressed = &finding.Suppression{Fingerprint: f.Fingerprint, Reason: "accepted", By: "ann", Expires: "2099-01-01"}
		}
	}
	marked.Gone = []finding.Known{{Fingerprint: strings.Repeat("a", 32), Check: "bola-read", Title: "gone", Severity: finding.High, Method: "GET", Path: "/x"}}
	marked.Idle = []finding.Suppression{{Fingerprint: strings.Repeat("b", 32), Reason: "old", Expires: "2020-01-01"}}
	return map[string]*scan.Report{
		"real": scanned(t).Report, "hostile": hostile(t), "marked": &marked,
		"empty": {Tool: scan.Tool{Name: "crenel"}, Target: "http://127.0.0.1:1", Run: "r", Mode: "default", Started: time.Unix(0, 0), Ended: "the target is down"},
	}
}

func TestSARIF(t *testing.T) {
	schema := published(t, "sarif-schema-2.1.0.json")
	for name, r := range variants(t) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := SARIF(&b, r, sample.dir); err != nil {
				t.Fatal(err)
			}
			validate(t, schema, b.Bytes())
			if name != "real" {
				return
			}
			for _, want := range []string{`"uri": "api.yaml"`, `"ruleId": "bola-read"`, `"security-severity": "`, r.Findings[0].Fingerprint, `"executionSuccessful": true`, "GET /broken was not reached"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("%s is not in it: %s", want, b.String())
				}
			}
			line := lineOf(t, scantest.Spec, "operationId: getNote")
			if f := r.Findings[0]; f.Place == nil || f.Place.Line < line-2 || f.Place.Line > line+1 {
				t.Errorf("place %+v, want about line %d", f.Place, line)
			}
		})
	}
}

func lineOf(t *testing.T, text, part string) int {
	t.Helper()
	at := strings.Index(text, part)
	if at < 0 {
		t.Fatalf("%q is not in the text", part)
	}
	return 1 + strings.Count(text[:at], "\n")
}

func TestWebFuzzingCommons(t *testing.T) {
	schema := published(t, "wfc-report.yaml")
	for name, r := range variants(t) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WFC(&b, r); err != nil {
				t.Fatal(err)
			}
			validate(t, schema, b.Bytes())
		})
	}
}

// The report itself is as the schema in the docs says.
func TestJSONSchema(t *testing.T) {
	data, err := os.ReadFile("../../../docs/scan-report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range variants(t) {
		t.Run(name, func(t *testing.T) {
			if name == "empty" { // Run never leaves these out
				return
			}
			doc, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			validate(t, schema, doc)
		})
	}
}

func TestJUnit(t *testing.T) {
	for name, r := range variants(t) {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := JUnit(&b, r, r.Counted(finding.Info, false)); err != nil {
				t.Fatal(err)
			}
			var got struct {
				Failures int `xml:"failures,attr"`
				Suites   []struct {
					Name  string `xml:"name,attr"`
					Tests int    `xml:"tests,attr"`
					Cases []struct {
						Name    string    `xml:"name,attr"`
						Failure *struct{} `xml:"failure"`
						Error   *struct{} `xml:"error"`
					} `xml:"testcase"`
				} `xml:"testsuite"`
			}
			if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
				t.Fatalf("%v in %s", err, b.String())
			}
			if want := len(r.Counted(finding.Info, false)); got.Failures != want {
				t.Errorf("%d failures, want %d", got.Failures, want)
			}
			failed := 0
			for _, s := range got.Suites {
				if len(s.Cases) != s.Tests {
					t.Errorf("suite %s says %d tests and has %d", s.Name, s.Tests, len(s.Cases))
				}
				for _, c := range s.Cases {
					if c.Error != nil {
						failed++
					}
				}
			}
			if (r.Ended != "") != (failed > 0) {
				t.Errorf("ended early: %q, errors: %d", r.Ended, failed)
			}
		})
	}
}

func TestMarkdown(t *testing.T) {
	for name, r := range variants(t) {
		var b bytes.Buffer
		if err := Markdown(&b, r, r.Counted(finding.Info, false)); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		if !strings.HasPrefix(text, marker+"\n") || len(text) > 65_536 {
			t.Errorf("%s: %d bytes, begins with %.40q", name, len(text), text)
		}
		// What stands in code is shown as it is; elsewhere nothing may be obeyed.
		prose := withoutCode(text)
		for _, bad := range []string{"<script", "<img", "](javascript", "@everyone", "\x1b", "https://evil"} {
			if strings.Contains(prose, bad) {
				t.Errorf("%s: %q is in the prose: %s", name, bad, prose)
			}
		}
		if r.Ended != "" && !strings.Contains(text, "ended early") {
			t.Errorf("%s does not say that the run ended early", name)
		}
	}
}

// withoutCode takes out fenced blocks and code in lines, as CommonMark ends them.
func withoutCode(s string) string {
	var out []string
	fence := ""
	for l := range strings.SplitSeq(s, "\n") {
		run := len(l) - len(strings.TrimLeft(l, "`"))
		switch {
		case fence == "" && run >= 3:
			fence = l[:run]
		case fence != "" && run >= len(fence) && strings.Trim(l, "`") == "":
			fence = ""
		case fence == "":
			out = append(out, inline(l))
		}
	}
	return strings.Join(out, "\n")
}

func inline(l string) string {
	var b strings.Builder
	for i := 0; i < len(l); {
		if l[i] == '\\' && i+1 < len(l) {
			i += 2 // a character that is escaped means nothing
			continue
		}
		if l[i] != '`' {
			b.WriteByte(l[i])
			i++
			continue
		}
		n := 0
		for i+n < len(l) && l[i+n] == '`' {
			n++
		}
		end := -1
		for j := i + n; j < len(l); {
			if l[j] != '`' {
				j++
				continue
			}
			m := 0
			for j+m < len(l) && l[j+m] == '`' {
				m++
			}
			if m == n {
				end = j + m
				break
			}
			j += m
		}
		if end < 0 {
			b.WriteString(l[i : i+n])
			i += n
			continue
		}
		i = end
	}
	return b.String()
}

func TestHTML(t *testing.T) {
	for name, r := range variants(t) {
		var b bytes.Buffer
		if err := HTML(&b, r, scanned(t).Graph); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		for _, bad := range []string{"<script", "<img src=x", "javascript:alert(1)\"", "src=\"http", "href=\"http", "url(http", "@import", "\x1b", "ZgotmplZ"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: the page holds %q", name, bad)
			}
		}
		for _, want := range []string{"default-src 'none'", "data:image/svg&#43;xml;base64,"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: the page does not hold %q", name, want)
			}
		}
		if file := os.Getenv("CRENEL_SCAN_PAGE"); file != "" && name == "marked" {
			if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestHAR(t *testing.T) {
	for name, r := range variants(t) {
		var b bytes.Buffer
		if err := HAR(&b, r); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Log struct {
				Version string
				Pages   []struct{ ID string }
				Entries []struct {
					Pageref, StartedDateTime string
					Request                  struct{ Method, URL string }
					Response                 struct{ Status int }
				}
			}
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range r.Findings {
			n += len(f.Evidence)
		}
		if got.Log.Version != "1.2" || len(got.Log.Entries) != n || len(got.Log.Pages) != len(r.Findings) {
			t.Errorf("%s: %d entries on %d pages, want %d on %d", name, len(got.Log.Entries), len(got.Log.Pages), n, len(r.Findings))
		}
		for _, e := range got.Log.Entries {
			if _, err := time.Parse(time.RFC3339, e.StartedDateTime); err != nil || e.Request.Method == "" {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
}

func TestTerminal(t *testing.T) {
	for name, r := range variants(t) {
		for _, colour := range []bool{false, true} {
			var b bytes.Buffer
			if err := (Terminal{Colour: colour, Width: 80, All: true}).Write(&b, r); err != nil {
				t.Fatal(err)
			}
			text := b.String()
			if strings.Contains(text, "\x1b[2J") || strings.Contains(text, "\u202e") {
				t.Errorf("%s: the terminal would obey the target: %q", name, text)
			}
			if !colour && strings.Contains(text, "\x1b") {
				t.Errorf("%s: colours that nobody asked for: %q", name, text)
			}
			for _, f := range r.Findings {
				if !strings.Contains(text, f.Fingerprint) {
					t.Errorf("%s: %s is not in it", name, f.Fingerprint)
				}
			}
			if testing.Verbose() && !colour && name == "real" {
				t.Log(text)
			}
		}
	}
}

// No finding is good news only of what was reached.
func TestTerminalNothingReached(t *testing.T) {
	for reached, want := range map[int]string{0: "Nothing was reached", 3: "Nothing was found in what was reached"} {
		r := *scanned(t).Report
		r.Findings, r.Stats.Reached = nil, reached
		var b bytes.Buffer
		if err := (Terminal{}).Write(&b, &r); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) {
			t.Errorf("%d reached: no %q in %s", reached, want, b.String())
		}
	}
}

// What was left behind is told by kind, not one by one.
func TestTerminalLeft(t *testing.T) {
	r := *scanned(t).Report
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		r.Left = append(r.Left, world.Leftover{Resource: "upload", ID: id, Why: "no operation deletes it"})
	}
	r.Left = append(r.Left, world.Leftover{Resource: "note", ID: "7", Why: "409"})
	var b bytes.Buffer
	if err := (Terminal{}).Write(&b, &r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"upload 1, 2, 3 and 2 more: no operation deletes it", "note 7: 409"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in it: %s", want, b.String())
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 10, ""},
		{"one two three", 7, "one two|three"},
		{"averyverylongword x", 5, "averyverylongword|x"},
		{"a\nb\x1b[2J", 20, `a b\u001b[2J`},
	} {
		if got := strings.Join(wrap(c.text, c.width), "|"); got != c.want {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}

// What comes from outside makes no link and turns no line around: not by a scheme, not
// by www., not by marks of direction, not by separators of lines that are no newline.
func TestTextFromOutside(t *testing.T) {
	for _, bad := range []string{"see www.evil.example", "(WWW.evil.example)", "see https://evil.example", "mail bob@evil.example"} {
		for _, at := range []string{"www.e", "WWW.e", "://", "@e"} {
			if got := md(bad); strings.Contains(got, at) {
				t.Errorf("%q became %q", bad, got)
			}
		}
	}
	for _, r := range "\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\u0085\x1b\x7f" {
		if got := clean("a" + string(r) + "b"); got != fmt.Sprintf(`a\u%04xb`, r) {
			t.Errorf("%U is shown as %q", r, got)
		}
	}
	if got := clean("naïve – „ok“ 日本"); got != "naïve – „ok“ 日本" {
		t.Errorf("%q", got)
	}
}

// A suppression that does nothing says why: its day has come, or nothing is as it says.
func TestTerminalIdleSuppressions(t *testing.T) {
	r := *scanned(t).Report
	mark := strings.Repeat("c", 32)
	for expires, want := range map[string]string{
		r.Started.AddDate(0, 0, -3).Format(time.DateOnly): "is expired: what it names counts again",
		r.Started.Format(time.DateOnly):                   "is expired: what it names counts again", // from that day on
		r.Started.AddDate(0, 0, 2).Format(time.DateOnly):  "names nothing that was found",
	} {
		r.Idle = []finding.Suppression{{Fingerprint: mark, Reason: "shut at the gateway", Expires: expires}}
		var b bytes.Buffer
		if err := (Terminal{}).Write(&b, &r); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), "the suppression of "+mark+" (shut at the gateway, until "+expires+") "+want) {
			t.Errorf("until %s: want %q in\n%s", expires, want, b.String())
		}
	}
}

// Whoever has the page read out goes by its headings: one of the first level, and none
// that leaves a level out.
func TestHTMLHeadings(t *testing.T) {
	for name, r := range variants(t) {
		var b bytes.Buffer
		if err := HTML(&b, r, scanned(t).Graph); err != nil {
			t.Fatal(err)
		}
		last, first := 0, 0
		for _, m := range regexp.MustCompile(`<h([1-6])[ >]`).FindAllStringSubmatch(b.String(), -1) {
			level := int(m[1][0] - '0')
			if level > last+1 {
				t.Errorf("%s: a heading of level %d follows one of level %d", name, level, last)
			}
			if level == 1 {
				first++
			}
			last = level
		}
		if first != 1 {
			t.Errorf("%s: %d headings of the first level", name, first)
		}
	}
}
