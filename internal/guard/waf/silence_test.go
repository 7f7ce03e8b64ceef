package waf

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/value"
)

// places puts a text at each place of a request where rules look.
func places(t testing.TB, text string) map[string]*exchange.Exchange {
	t.Helper()
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	out := map[string]*exchange.Exchange{
		"value":  request(t, 0, "", `{"text":`+string(value.AppendString(nil, strings.ToValidUTF8(text, "?")))+`}`),
		"query":  request(t, 1, url.Values{"q": {text}}.Encode(), ""),
		"name":   request(t, 1, url.Values{text: {"1"}}.Encode(), ""),
		"header": request(t, 1, "", "", "X-Note", clean),
		"agent":  request(t, 1, "", "", "Referer", clean),
		"cookie": request(t, 1, "", "", "Cookie", "sid="+strings.ReplaceAll(clean, ";", ",")),
	}
	x := path(t, text)
	x.Request.RawPath = "/notes/" + url.PathEscape(text)
	x.Request.Path = "/notes/" + text
	out["path"] = x
	return out
}

// silentAndAsked is what the triage says of a request, and what the engine does.
func silentAndAsked(t testing.TB, g *Guard, x *exchange.Exchange) (silent bool, v exchange.Verdict) {
	t.Helper()
	c := collector{exact: g.exact, value: int(g.cfg.Value), count: g.cfg.Values}
	if !c.collect(x) {
		return false, exchange.Verdict{Action: exchange.Deny}
	}
	r := g.silence.judge(x, c.fields, nil)
	v = g.inspect(t.Context(), x, ruling{fields: c.fields})
	if !r.silent {
		// Asked only for what is suspect, the engine says the same as of everything.
		less := g.inspect(t.Context(), x, r)
		if less.Action != v.Action || less.At != v.At || !reflect.DeepEqual(less.Detail, v.Detail) {
			t.Errorf("asked for what is suspect the engine says %s %q %v, of everything %s %q %v", less.Action, less.At, less.Detail, v.Action, v.At, v.Detail)
		}
	}
	if v.Action == exchange.Allow && v.Detail == nil {
		g.silence.remember(r.keys)
	}
	return r.silent, v
}

// Whatever the engine has something to say of, the triage does not call silent:
// over all public data, wherever in a request it stands.
func TestSilenceMissesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("inspects thousands of requests")
	}
	every := sampling(t, 1999) // a prime: no pattern of the files' order
	files, err := filepath.Glob(filepath.Join(corpora(t), "*", "*.jsonl.gz"))
	if err != nil || len(files) == 0 {
		t.Fatal("no corpora", err)
	}
	for level := 1; level <= 4; level++ {
		for _, g := range []*Guard{at(t, level), exactAt(t, level)} {
			asked, silences, loud := 0, 0, 0
			for _, f := range files {
				for _, s := range sampled(t, f, every*[]int{1, 1, 3, 3}[level-1]) {
					text := s.Value
					if text == "" {
						text = s.Query
					}
					if text == "" || len(text) > 4096 {
						continue
					}
					for where, x := range places(t, text) {
						silent, v := silentAndAsked(t, g, x)
						asked++
						heard := v.Action != exchange.Allow || v.Detail != nil
						if silent {
							silences++
						}
						if heard {
							loud++
						}
						if silent && heard {
							t.Errorf("level %d, exact %v, %s in %s: called silent, but the engine says %v %v: %q", level, g.exact, where, filepath.Base(f), v.Code, v.Detail, text)
						}
					}
				}
			}
			t.Logf("level %d, exact %v: %d requests, %d called silent, the engine found something in %d: %d were asked about in vain", level, g.exact, asked, silences, loud, asked-silences-loud)
			// Header fields are CRS's own affair above level 2: nothing is silent there.
			if loud == 0 || silences == 0 && level <= 2 {
				t.Error("one of the two never happened")
			}
		}
	}
}

// What is decoded twice, with something else in between, is decoded twice here too.
func TestDecodedAgainBehindBase64(t *testing.T) {
	for _, g := range []*Guard{at(t, 1), exactAt(t, 1)} {
		for _, text := range []string{"XHUwMDc3XHUwMDY4aWxlKHRydWUpOwo=", "XyQkXHUwMDRlXHUwMDQ0X0ZVTkMkJF9cdTAwNjZ1bmN0aW9uKCkK"} {
			if silent, v := silentAndAsked(t, g, request(t, 0, "", `{"text":"`+text+`"}`)); silent || v.Action == exchange.Allow {
				t.Errorf("%s, exact %v: called silent %v, the engine says %v", text, g.exact, silent, v)
			}
		}
	}
}

// Every rule can be expressed, at every level and in both inspections: no request
// goes to the engine for a rule's sake alone.
func TestEveryRuleIsExpressed(t *testing.T) {
	for level := 1; level <= 4; level++ {
		for _, g := range []*Guard{at(t, level), exactAt(t, level)} {
			if always := g.silence.triage.Always(); len(always) > 0 {
				t.Errorf("level %d, exact %v: %v", level, g.exact, always)
			}
		}
	}
}

// The rule on repeated arguments (level 3) is asked about where one is repeated.
func TestRepeatedArguments(t *testing.T) {
	for _, g := range []*Guard{at(t, 3), exactAt(t, 3)} {
		for query, loud := range map[string]bool{"a=1&b=2": false, "a=1&a=2": true, "a=1&A=2": true, "paramcounter_x=http://5.example/": true} {
			x := func() *exchange.Exchange { return request(t, 0, query, "") }
			silentAndAsked(t, g, x())
			silent, v := silentAndAsked(t, g, x())
			if silent == loud {
				t.Errorf("exact %v, %s: called silent %v, the engine says %v", g.exact, query, silent, v)
			}
		}
	}
}

// A combination of transport fields is asked about once.
func TestTransportIsLearned(t *testing.T) {
	g := at(t, 1)
	fresh := "Fresh-" + strconv.Itoa(os.Getpid())
	first, v := silentAndAsked(t, g, request(t, 1, "", "", fresh, "a"))
	if first || v.Action != exchange.Allow {
		t.Fatalf("an unknown combination: silent %v, %v", first, v)
	}
	if again, _ := silentAndAsked(t, g, request(t, 1, "", "", fresh, "another plain value")); !again {
		t.Error("a known combination is asked about again")
	}
	for _, other := range []*exchange.Exchange{
		request(t, 1, "", "", fresh, "a", "Content-Type", "text/evil"),
		request(t, 1, "", "", fresh, "a", http.CanonicalHeaderKey("x-other"), "a"),
	} {
		if silent, _ := silentAndAsked(t, g, other); silent {
			t.Errorf("%v is called silent unseen", other.Request.Header)
		}
	}
}

// No two different triples are one to what remembers them, wherever one part ends and the
// next begins.
func TestKeysTellPartsApart(t *testing.T) {
	g := at(t, 1)
	known := map[transportKey][3]string{}
	for _, parts := range [][3]string{
		{"b", "a", "x\x00y"}, {"b", "a\x00x", "y"}, {"b", "", "a\x00x\x00y"}, {"b", "a\x00x\x00y", ""}, {"", "ba", "x\x00y"},
		{"ba", "", "x\x00y"}, {"header ", "x", "y"}, {"header", " x", "y"}, {"header x", "", "y"}, {"header x", "y", ""}, {"\x01", "\x01", ""}, {"", "\x01\x01", "\x01"},
	} {
		var k transportKey
		k.add(g.silence.seed, parts[0], parts[1], parts[2])
		if other, found := known[k]; found {
			t.Errorf("%q and %q have one key", parts, other)
		}
		known[k] = parts
	}
	// In a whole request: a body's name that holds what would separate it from its value.
	for _, g := range []*Guard{at(t, 1), exactAt(t, 1)} {
		const attack = "' UNION SELECT password FROM users--"
		for _, body := range []string{`{"a":"b' OR 1=1--"}`, `{"a\u0000b":"' OR 1=1--"}`, `{"a\u0000":"` + attack + `"}`, `{"a":"\u0000` + attack + `"}`} {
			if silent, v := silentAndAsked(t, g, request(t, 0, "", body)); silent && (v.Action != exchange.Allow || v.Detail != nil) {
				t.Errorf("exact %v, %s: called silent, but the engine says %v", g.exact, body, v.Detail)
			}
		}
	}
}

func FuzzSilence(f *testing.F) {
	for _, s := range []string{"a plain note", "1' OR '1'='1", "<script>alert(1)</script>", "../../etc/passwd", "%2e%2e%2f", "é\xff\x00", "${jndi:ldap://x}", "a\nb;ls -la"} {
		for where := range byte(14) {
			f.Add(s, where)
		}
	}
	guards := []*Guard{at(f, 2), exactAt(f, 3)}
	f.Fuzz(func(t *testing.T, text string, where byte) {
		if len(text) > 1024 {
			return
		}
		g := guards[where%2]
		all := places(t, text)
		name := slices.Sorted(maps.Keys(all))[int(where/2)%len(all)]
		if silent, v := silentAndAsked(t, g, all[name]); silent && (v.Action != exchange.Allow || v.Detail != nil) {
			t.Fatalf("exact %v, %s: called silent, but the engine says %v %v: %q", g.exact, name, v.Code, v.Detail, text)
		}
	})
}
