package waf

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// crsTest is one message of CRS's own regression tests, as go-ftw reads them.
type crsTest struct {
	id   string // 942100-1, with /2 for a second stage
	raw  []byte // the message
	want []int  // rules that must match at some level
}

type crsInput struct {
	Method   string            `yaml:"method"`
	URI      string            `yaml:"uri"`
	Version  string            `yaml:"version"`
	Headers  map[string]string `yaml:"headers"`
	Data     string            `yaml:"data"`
	Encoded  string            `yaml:"encoded_request"`
	Complete *bool             `yaml:"autocomplete_headers"`
}

type crsFile struct {
	RuleID int `yaml:"rule_id"`
	Tests  []struct {
		ID     int `yaml:"test_id"`
		Stages []struct {
			Input  crsInput `yaml:"input"`
			Output struct {
				Log struct {
					Expect []int `yaml:"expect_ids"`
				} `yaml:"log"`
			} `yaml:"output"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

// repeats is the one template that the tests use.
var repeats = regexp.MustCompile(`\{\{ *"([^"]*)" *\| *repeat +([0-9]+) *\}\}`)

// message writes the request as go-ftw sends it.
func (in *crsInput) message() ([]byte, error) {
	if in.Encoded != "" {
		return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(in.Encoded), ""))
	}
	in.Data = repeats.ReplaceAllStringFunc(in.Data, func(s string) string {
		m := repeats.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2]) // digits
		return strings.Repeat(m[1], n)
	})
	method, uri, version := in.Method, in.URI, in.Version
	if method == "" {
		method = "GET"
	}
	if uri == "" {
		uri = "/"
	}
	if version == "" {
		version = "HTTP/1.1"
	}
	names := make([]string, 0, len(in.Headers))
	has := map[string]bool{}
	for n := range in.Headers {
		names = append(names, n)
		has[strings.ToLower(n)] = true
	}
	slices.Sort(names)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", method, uri, version)
	for _, n := range names {
		fmt.Fprintf(&b, "%s: %s\r\n", n, in.Headers[n])
	}
	if in.Complete == nil || *in.Complete {
		if in.Data != "" && !has["content-type"] {
			b.WriteString("Content-Type: application/x-www-form-urlencoded\r\n")
		}
		if in.Data != "" && !has["content-length"] && !has["transfer-encoding"] {
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(in.Data))
		}
		if !has["connection"] {
			b.WriteString("Connection: close\r\n")
		}
	}
	b.WriteString("\r\n" + in.Data)
	return []byte(b.String()), nil
}

// crsTests reads all that are about requests.
func crsTests(t testing.TB) (out []crsTest) {
	t.Helper()
	files, err := fs.Glob(tests.FS, "REQUEST-9*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no regression tests in the module", err)
	}
	for _, name := range files {
		b, err := fs.ReadFile(tests.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		var f crsFile
		if err := yaml.Unmarshal(b, &f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, c := range f.Tests {
			for n := range c.Stages {
				s := &c.Stages[n]
				id := strconv.Itoa(f.RuleID) + "-" + strconv.Itoa(c.ID)
				if n > 0 {
					id += "/" + strconv.Itoa(n+1)
				}
				raw, err := s.Input.message()
				if err != nil {
					t.Fatalf("%s: %v", id, err)
				}
				out = append(out, crsTest{id: id, raw: raw, want: s.Output.Log.Expect})
				// Written with line feeds only, a multipart body is none: it is tried as it
				// stands in the file and as it was meant.
				if in := s.Input; strings.Contains(in.Data, "\n--") && !strings.Contains(in.Data, "\r\n") {
					in.Data = strings.ReplaceAll(in.Data, "\n", "\r\n")
					if raw, err = in.message(); err != nil {
						t.Fatalf("%s: %v", id, err)
					}
					out = append(out, crsTest{id: id + "~crlf", raw: raw, want: s.Output.Log.Expect})
				}
			}
		}
	}
	return out
}

// read reads the message as the server does.
func (c *crsTest) read() (*http.Request, []byte, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(c.raw))))
	if err != nil {
		return nil, nil, err
	}
	if r.Method == http.MethodConnect {
		return nil, nil, errors.New("CONNECT is not served")
	}
	body, err := io.ReadAll(r.Body)
	return r, body, err
}

// plainEngine is Coraza with CRS as its authors set it up, at a paranoia level.
func plainEngine(t testing.TB, level int) coraza.WAF {
	t.Helper()
	cfg := coraza.NewWAFConfig().WithRootFS(rulesFS{}).WithDirectives(fmt.Sprintf(`SecRuleEngine On
SecRequestBodyAccess On
SecResponseBodyAccess Off
SecAuditEngine Off
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "^application/[a-z0-9.-]+[+]json" "id:200006,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecDefaultAction "phase:1,nolog,noauditlog,pass"
SecDefaultAction "phase:2,nolog,noauditlog,pass"
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d"
SecAction "id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version=4250"
`, level))
	for _, f := range []string{
		"901-INITIALIZATION", "905-COMMON-EXCEPTIONS", "911-METHOD-ENFORCEMENT", "913-SCANNER-DETECTION", "920-PROTOCOL-ENFORCEMENT",
		"921-PROTOCOL-ATTACK", "922-MULTIPART-ATTACK", "930-APPLICATION-ATTACK-LFI", "931-APPLICATION-ATTACK-RFI", "932-APPLICATION-ATTACK-RCE",
		"933-APPLICATION-ATTACK-PHP", "934-APPLICATION-ATTACK-GENERIC", "941-APPLICATION-ATTACK-XSS", "942-APPLICATION-ATTACK-SQLI",
		"943-APPLICATION-ATTACK-SESSION-FIXATION", "944-APPLICATION-ATTACK-JAVA", "949-BLOCKING-EVALUATION",
	} {
		cfg = cfg.WithDirectives("Include @owasp_crs/REQUEST-" + f + ".conf")
	}
	e, err := coraza.NewWAF(cfg.WithDirectives("SecRuleRemoveById 942200"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closeEngine(e) })
	return e
}

// finding is what an inspection comes to.
type finding struct {
	Refused bool  `json:"refused"`
	Rules   []int `json:"rules,omitempty"`
}

// plainly inspects a request as Coraza's own middleware does.
func plainly(t testing.TB, e coraza.WAF, r *http.Request, body []byte) finding {
	t.Helper()
	tx := e.NewTransaction()
	defer func() { _ = tx.Close() }()
	tx.ProcessConnection("203.0.113.7", 0, "", 0)
	tx.ProcessURI(r.URL.String(), r.Method, r.Proto)
	for name, list := range r.Header {
		for _, v := range list {
			tx.AddRequestHeader(name, v)
		}
	}
	if r.Host != "" {
		tx.AddRequestHeader("Host", r.Host)
		tx.SetServerName(r.Host)
	}
	if len(r.TransferEncoding) > 0 {
		tx.AddRequestHeader("Transfer-Encoding", r.TransferEncoding[0])
	}
	tx.ProcessRequestHeaders()
	if _, _, err := tx.WriteRequestBody(body); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ProcessRequestBody(); err != nil {
		t.Fatal(err)
	}
	return finding{Refused: tx.Interruption() != nil, Rules: judging(tx.MatchedRules())}
}

// judging are the ids of the rules that judge, as a verdict names them.
func judging(matched []types.MatchedRule) (out []int) {
	for _, m := range matched {
		id := m.Rule().ID()
		if id >= firstRule && id < evaluation && id%1000 >= 100 && m.Message() != "" && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// exchanged is the request as the data plane hands it to the guard, with no API
// document to rule on it before.
func exchanged(t testing.TB, r *http.Request, body []byte) *exchange.Exchange {
	t.Helper()
	host, _, _ := strings.Cut(strings.ToLower(r.Host), ":")
	x := &exchange.Exchange{ID: "r1", Client: netip.MustParseAddr("203.0.113.7"), Request: exchange.Request{
		Method: r.Method, Scheme: "https", Host: host, Authority: r.Host, Target: r.RequestURI, Proto: r.Proto, Length: r.ContentLength,
		Path: r.URL.Path, RawPath: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header,
	}}
	if len(body) == 0 {
		return x
	}
	b := &exchange.Body{Bytes: body}
	var params map[string]string
	b.MediaType, params, _ = mime.ParseMediaType(r.Header.Get("Content-Type"))
	var err error
	switch m := b.MediaType; {
	case m == "application/json" || strings.HasSuffix(m, "+json"):
		b.Root, err = value.JSON(body, value.Limits{})
	case strings.HasSuffix(m, "xml"):
		b.Root, err = value.XML(body, value.Limits{})
	case m == "text/plain":
		b.Root, err = value.Text(body, value.Limits{})
	case m == "application/x-www-form-urlencoded":
		b.Root, err = value.Form(body, value.Limits{})
	case m == "multipart/form-data":
		b.Root, b.Parts, err = value.Multipart(body, params["boundary"], value.Limits{})
	}
	if err != nil {
		var fault *value.Error
		if !errors.As(err, &fault) {
			t.Fatal(err)
		}
		b.Root, b.Parts, b.Err = nil, nil, fault
	}
	x.Request.Body = b
	return x
}

// exactly inspects a request with the guard. code is why it refuses.
func exactly(t testing.TB, g *Guard, x *exchange.Exchange) (f finding, code string) {
	t.Helper()
	v := g.rule(t.Context(), x)
	f.Refused = v.Action != exchange.Allow
	if v.Detail != nil {
		f.Rules, _ = v.Detail["rules"].([]int)
	}
	return f, v.Code
}

// The causes of differences between plain Coraza and the exact inspection; the
// table that docs/waf-regression.json is explains them by these names.
const (
	causeUndecodable = "undecodable" // the contract refuses the body; here it is inspected as one text
	causePrivateURL  = "private_url" // refused beside the rules: a URL into a private network
	causeText        = "text"        // text/plain is one text; CRS takes it for a form
	causeAttribute   = "attribute"   // XML attributes are judged as texts are
	causeJSONPart    = "json_part"   // a part of JSON is judged leaf by leaf too
	causeFragment    = "fragment"    // the target with its fragment, as it was sent
	causePartHeaders = "part_header" // what the strict multipart decoder refuses or ignores in a part's header
)

var causes = map[string]string{
	causeUndecodable: "the body is not what its content type says: the contract refuses the request (400 or 422); where the contract only monitors, the body is inspected as one text",
	causePrivateURL:  "the same rules; refused beside them, because the value is a URL into a private network",
	causeText:        "a text/plain body is one text; plain CRS takes it for a form and splits it at & and =",
	causeAttribute:   "attributes of an XML document are judged as its texts are; plain CRS shows most rules texts only",
	causeJSONPart:    "a multipart part of a structured type is judged leaf by leaf beside as a whole",
	causeFragment:    "the target is judged as it was sent, with its fragment; Coraza's middleware drops it",
	causePartHeaders: "header fields of multipart parts: the strict decoder refuses what these rules look for, or nobody reads it",
}

// cause finds out why the two differ, "" when there is no good reason.
func cause(x *exchange.Exchange, plain, exact finding, code string) string {
	b := x.Request.Body
	same := slices.Equal(plain.Rules, exact.Rules)
	more := !slices.ContainsFunc(plain.Rules, func(id int) bool { return !slices.Contains(exact.Rules, id) })
	switch {
	case b != nil && b.Err != nil:
		return causeUndecodable
	case same && exact.Refused && code == "waf.ssrf":
		return causePrivateURL
	case more && strings.Contains(x.Request.Target, "#"):
		return causeFragment
	case b == nil:
		return ""
	case b.MediaType == "text/plain":
		return causeText
	case more && strings.HasSuffix(b.MediaType, "xml"):
		return causeAttribute
	case b.MediaType == "multipart/form-data" && !slices.ContainsFunc(plain.Rules, func(id int) bool {
		return !slices.Contains(exact.Rules, id) && id/1000 != 922
	}):
		if more {
			return causeJSONPart
		}
		return causePartHeaders
	}
	return ""
}

// regressionLine is one difference.
type regressionLine struct {
	Test   string  `json:"test"`
	Levels []int   `json:"levels"`
	Plain  finding `json:"plain"`
	Exact  finding `json:"exact"`
	Cause  string  `json:"cause"`
}

type regressionLevel struct {
	Level     int            `json:"level"`
	Messages  int            `json:"messages"`
	Unread    int            `json:"unread"` // the HTTP server refuses them
	Refused   int            `json:"refused"`
	Same      int            `json:"same"`
	Differ    map[string]int `json:"differ"`
	Missed    int            `json:"missed"`    // refused by plain CRS, not by the exact inspection, and it decodes
	Confirmed int            `json:"confirmed"` // rules that a test expects and both find
	Unfound   int            `json:"unfound"`   // rules that a test expects and only plain CRS finds
}

type regressionTable struct {
	Versions    map[string]string `json:"versions"`
	Causes      map[string]string `json:"causes"`
	Levels      []regressionLevel `json:"levels"`
	Differences []*regressionLine `json:"differences"`
}

var updateRegression = flag.Bool("update-regression", false, "write docs/waf-regression.json (all tests at all levels)")

const regressionFile = "../../../docs/waf-regression.json"

// CRS's own regression tests come to the same verdict and the same rules, through
// the exact inspection as through plain Coraza; where they do not, the cause is
// known. Without -update-regression or CRENEL_WAF_EVERY=1 a part of the tests is
// run; the whole takes minutes.
func TestRegression(t *testing.T) {
	if testing.Short() {
		t.Skip("inspects thousands of messages")
	}
	every := sampling(t, 41)
	if *updateRegression {
		every = 1
	}
	table := regressionTable{Versions: map[string]string{}, Causes: causes}
	for _, m := range []string{"github.com/corazawaf/coraza/v3", "github.com/corazawaf/coraza-coreruleset/v4"} {
		table.Versions[m] = moduleVersion(t, m)
	}
	all := crsTests(t)
	var last map[string]*regressionLine
	for level := 1; level <= 4; level++ {
		last = regressionAt(t, all, level, every, &table, last)
	}
	if *updateRegression {
		if err := os.WriteFile(regressionFile, table.json(t), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	// What differs is listed in the table, and nothing else.
	b, err := os.ReadFile(regressionFile)
	if err != nil {
		t.Fatal(err)
	}
	var want regressionTable
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, l := range want.Differences {
		for _, level := range l.Levels {
			listed[fmt.Sprint(l.Test, level, l.Plain, l.Exact, l.Cause)] = true
		}
	}
	for _, l := range table.Differences {
		for _, level := range l.Levels {
			if !listed[fmt.Sprint(l.Test, level, l.Plain, l.Exact, l.Cause)] {
				t.Errorf("level %d, %s: plain %v, exact %v, cause %s: not listed in %s; run make waf-regression", level, l.Test, l.Plain, l.Exact, l.Cause, regressionFile)
			}
		}
	}
	if d := cmp.Diff(want.Versions, table.Versions); d != "" {
		t.Errorf("the table is of other versions (-table +now):\n%s", d)
	}
}

// json is the table with a line for each difference.
func (table *regressionTable) json(t testing.TB) []byte {
	t.Helper()
	head := *table
	head.Differences = nil
	b, err := json.MarshalIndent(head, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.TrimSuffix(b, []byte("null\n}"))
	out = append(out, "[\n"...)
	for i, l := range table.Differences {
		line, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, "    "...), line...)
		if i+1 < len(table.Differences) {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	return append(out, "  ]\n}\n"...)
}

func moduleVersion(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == path {
			return f[1]
		}
	}
	t.Fatalf("%s is not in go.mod", path)
	return ""
}

// regressionAt runs the tests at one level. last are the differences of the level
// before: what has not changed is one line.
func regressionAt(t *testing.T, all []crsTest, level, every int, table *regressionTable, last map[string]*regressionLine) map[string]*regressionLine {
	e, g := plainEngine(t, level), exactAt(t, level)
	sum := regressionLevel{Level: level, Differ: map[string]int{}}
	lines := map[string]*regressionLine{}
	for i := range all {
		if i%every != 0 {
			continue
		}
		c := &all[i]
		r, body, err := c.read()
		if err != nil {
			sum.Unread++
			continue
		}
		sum.Messages++
		plain := plainly(t, e, r, body)
		x := exchanged(t, r, body)
		exact, code := exactly(t, g, x)
		if plain.Refused {
			sum.Refused++
		}
		for _, id := range c.want {
			if slices.Contains(plain.Rules, id) {
				if slices.Contains(exact.Rules, id) {
					sum.Confirmed++
				} else {
					sum.Unfound++
				}
			}
		}
		if plain.Refused == exact.Refused && slices.Equal(plain.Rules, exact.Rules) {
			sum.Same++
			continue
		}
		why := cause(x, plain, exact, code)
		sum.Differ[why]++
		if why == "" {
			t.Errorf("level %d, %s: plain Coraza finds %v, exact %v (%s), and nothing explains it\n%q", level, c.id, plain, exact, code, c.raw)
		}
		if plain.Refused && !exact.Refused && why != causeUndecodable {
			sum.Missed++
			t.Errorf("level %d, %s: plain Coraza refuses %v, exact passes %v\n%q", level, c.id, plain, exact, c.raw)
		}
		if why == causeUndecodable {
			// What is found in the raw text of a body that no contract lets through says nothing.
			plain.Rules, exact.Rules = nil, nil
		}
		line := &regressionLine{Test: c.id, Plain: plain, Exact: exact, Cause: why}
		if before := last[c.id]; before != nil && before.Cause == why && reflect.DeepEqual(before.Plain, plain) && reflect.DeepEqual(before.Exact, exact) {
			line = before
		} else {
			table.Differences = append(table.Differences, line)
		}
		line.Levels = append(line.Levels, level)
		lines[c.id] = line
	}
	if sum.Messages == 0 || sum.Same == 0 || sum.Refused == 0 {
		t.Errorf("level %d: nothing was tried: %+v", level, sum)
	}
	t.Logf("level %d: %+v", level, sum)
	table.Levels = append(table.Levels, sum)
	return lines
}
