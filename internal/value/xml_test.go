package value

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

// petShape is what a schema of a pet with XML Objects would say.
type petShape struct{ kind Kind }

func (s petShape) Kind() Kind { return s.kind }

func (s petShape) Attribute(space, local string) string {
	if local == "identifier" {
		return "id"
	}
	return ""
}

func (s petShape) Child(space, local string) XMLChild {
	switch local {
	case "tags": // wrapped
		return XMLChild{Property: "tagList", Shape: petShape{Array}}
	case "photo": // not wrapped
		return XMLChild{Property: "photos", List: true}
	case "owner":
		return XMLChild{Shape: petShape{Object}}
	}
	return XMLChild{}
}

func TestXML(t *testing.T) {
	for _, c := range []struct {
		src, want string
		shape     XMLShape
	}{
		{`<a/>`, `""`, nil},
		{`<a></a>`, `""`, nil},
		{`<a> x </a>`, `" x "`, nil},
		{`<?xml version="1.0" encoding="UTF-8" standalone='yes'?><a>é</a>`, `"é"`, nil},
		{"\xEF\xBB\xBF<?xml version='1.0'?>\n<a>1</a>\n", `"1"`, nil},
		{`<!-- c --><a>1</a><!-- d -->`, `"1"`, nil},
		{`<a>&lt;&amp;&gt;&quot;&apos;&#65;&#x42;</a>`, `"<&>\"'AB"`, nil},
		{`<a><![CDATA[<b>]]>x</a>`, `"<b>x"`, nil},
		{`<a x="1" y='2'/>`, `{"x":"1","y":"2"}`, nil},
		{`<a x="1">t</a>`, `{"x":"1","#text":"t"}`, nil},
		{`<a><b>1</b> <c/> <b>2</b></a>`, `{"b":["1","2"],"c":""}`, nil},
		{`<a>t<b/>u</a>`, `{"b":"","#text":"tu"}`, nil},
		{`<a><b><c>1</c></b><b><c>2</c></b></a>`, `{"b":[{"c":"1"},{"c":"2"}]}`, nil},
		{`<p:a xmlns:p="urn:1" xmlns="urn:2"><b p:x="1"/></p:a>`, `{"b":{"x":"1"}}`, nil},
		{`<a xml:lang="de">t</a>`, `{"lang":"de","#text":"t"}`, nil},
		{`<a><!-- c -->t<!-- d --></a>`, `"t"`, nil},
		{`<pet identifier="7"><tags><tag>x</tag></tags><photo>u</photo><owner/></pet>`, `{"id":"7","tagList":["x"],"photos":["u"],"owner":{}}`, petShape{Object}},
		{`<pet><tags/><photo>u</photo><photo>v</photo></pet>`, `{"tagList":[],"photos":["u","v"]}`, petShape{Object}},
		{`<pet><tags n="1"><t>x</t></tags></pet>`, `{"tagList":{"n":"1","#items":["x"]}}`, petShape{Object}},
		{`<pet/>`, `{}`, petShape{Object}},
		{`<pets><pet/><pet>x</pet></pets>`, `["","x"]`, petShape{Array}},
	} {
		v, err := XMLWith([]byte(c.src), Limits{}, c.shape)
		if err != nil {
			t.Errorf("%s: %v", c.src, err)
			continue
		}
		if got := string(Append(nil, v)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.src, got, c.want)
		}
		if at := c.src[v.Start:v.End]; at[0] != '<' || at[len(at)-1] != '>' || at[1] == '?' {
			t.Errorf("%s: source of the root is %q", c.src, at)
		}
	}
	if v, _ := XML([]byte(`<n:order xmlns:n="u"/>`), Limits{}); v.Name != "order" {
		t.Errorf("root is called %q", v.Name)
	}
}

func TestXMLRefuses(t *testing.T) {
	lim := Limits{Depth: 3, Keys: 3, Items: 2, Nodes: 8, String: 10}
	for src, fault := range map[string]Fault{
		``:                  FaultSyntax,
		`x`:                 FaultSyntax,
		`<a>`:               FaultSyntax,
		`<a></b>`:           FaultSyntax,
		`</a>`:              FaultSyntax,
		`<a/><b/>`:          FaultTrailing,
		`<a/>x`:             FaultTrailing,
		`x<a/>`:             FaultSyntax,
		`<a/><![CDATA[ ]]>`: FaultSyntax,
		`<!DOCTYPE a><a/>`:  FaultDTD,
		`<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`: FaultDTD,
		`<!DOCTYPE a [<!ENTITY`:  FaultDTD,
		`<!doctype a><a/>`:       FaultDTD,
		`<a><!ENTITY x "y"></a>`: FaultDTD,
		`<a>&x;</a>`:             FaultDTD,
		`<a b="&x;"/>`:           FaultDTD,
		`<a>&#0;</a>`:            FaultSyntax,
		`<a b="&#56320;"/>`:      FaultInvalidUTF8,
		`<a>&#xD800;</a>`:        FaultInvalidUTF8,
		"<a>\x01</a>":            FaultSyntax,
		"<a>\x00</a>":            FaultSyntax,
		`<a>&</a>`:               FaultSyntax,
		`<a>]]></a>`:             FaultSyntax,
		"<a>\xff</a>":            FaultInvalidUTF8,
		"\xff\xfe<\x00a\x00":     FaultInvalidUTF8,
		`<?xml version="1.0" encoding="utf-16"?><a/>`:                     FaultInvalidUTF8,
		`<?xml version="1.0" x="encoding='utf-8'" encoding="utf-7"?><a/>`: FaultSyntax,
		`<?xml version="1.1"?><a/>`:                                       FaultSyntax,
		` <?xml version="1.0"?><a/>`:                                      FaultSyntax,
		`<a><?php x ?></a>`:                                               FaultSyntax,
		`<?xml-stylesheet href="x"?><a/>`:                                 FaultSyntax,
		`<a b="1" b="2"/>`:                                                FaultDuplicateKey,
		`<a xmlns:p="u" xmlns:q="u" p:b="1" q:b="2"/>`:                    FaultDuplicateKey,
		`<a xmlns:p="u" xmlns:p="v"/>`:                                    FaultDuplicateKey,
		`<a b="1"><b>2</b></a>`:                                           FaultDuplicateKey,
		`<a xmlns:p="u"><b/><p:b/></a>`:                                   FaultDuplicateKey,
		`<p:a/>`:                                                          FaultSyntax,
		`<a p:b="1"/>`:                                                    FaultSyntax,
		`<a><b xmlns:p="u"/><p:c/></a>`:                                   FaultSyntax,
		`<a xmlns:p=""/>`:                                                 FaultSyntax,
		`<a xmlns:xml="u"/>`:                                              FaultSyntax,
		`<a xmlns:xmlns="u"/>`:                                            FaultSyntax,
		`<a:b:c xmlns:a="u"/>`:                                            FaultSyntax,
		`<a b=1/>`:                                                        FaultSyntax,
		`<a b/>`:                                                          FaultSyntax,
		`<a b="1"c="2"/>`:                                                 FaultSyntax,
		`<a b="<"/>`:                                                      FaultSyntax,
		`<a>adm<!-- -->in</a>`:                                            FaultSyntax,
		`<a><b><c><d/></c></b></a>`:                                       FaultDepth,
		`<a><b/><b/><b/></a>`:                                             FaultItems,
		`<a><b/><c/><d/><e/></a>`:                                         FaultKeys,
		`<a b="1" c="2" d="3" e="4"/>`:                                    FaultKeys,
		`<a><b><c/><c/></b><b><c/><c/></b><d><e/></d></a>`:                FaultKeys,
		`<a>12345678901</a>`:                                              FaultString,
		`<a b="12345678901"/>`:                                            FaultString,
		`<a>12345<![CDATA[678901]]></a>`:                                  FaultString,
		`<a12345678901/>`:                                                 FaultString,
	} {
		v, err := XML([]byte(src), lim)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: accepted as %s", src, Append(nil, v))
			continue
		}
		if e.Fault != fault || e.Offset < 0 || e.Offset > len(src) {
			t.Errorf("%s: %v, want %s", src, e, fault)
		}
	}
}

// A megabyte made to be slow must not be: each case took minutes when its work
// was done over again for each token.
func TestXMLIsLinear(t *testing.T) {
	var scopes strings.Builder
	for i := range 60_000 {
		if i%1000 == 0 {
			scopes.WriteString("<a")
		}
		scopes.WriteString(" xmlns:p" + strconv.Itoa(i) + `="u"`)
		if i%1000 == 999 {
			scopes.WriteString(">")
		}
	}
	for name, src := range map[string]string{
		"comments after blanks": "<a>" + strings.Repeat(" ", 1_000_000) + strings.Repeat("<!-- -->", 100_000) + "</a>",
		"declarations":          scopes.String() + strings.Repeat("<p0:b/>", 50_000),
		"CDATA":                 "<a>" + strings.Repeat("<![CDATA[ ]]>", 100_000) + "</a>",
	} {
		start := time.Now()
		_, _ = XML([]byte(src), Limits{}) // refused or not: only the time counts
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%s: %v", name, d)
		}
	}
	if _, err := XML([]byte(scopes.String()), Limits{}); err == nil || !strings.Contains(err.Error(), "declarations") {
		t.Error(err)
	}
}

// FuzzXML: what we accept, encoding/xml reads with namespaces, without a
// directive, and with the same text in it.
func FuzzXML(f *testing.F) {
	for _, s := range []string{`<a x="1"><b>t</b><b/></a>`, `<!DOCTYPE a><a/>`, `<?xml version="1.0"?><p:a xmlns:p="u"/>`, `<a><![CDATA[x]]>&amp;</a>`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		v, err := XML([]byte(src), Limits{Depth: 6, Keys: 6, Nodes: 40, String: 60})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(src) {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		var texts []string
		var walk func(v *Value)
		walk = func(v *Value) {
			texts = append(texts, v.Text)
			for i := range v.Kids {
				walk(&v.Kids[i])
			}
		}
		walk(v)
		all := strings.Join(texts, "\x00")
		d := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(src, "\ufeff")))
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatalf("%q: we accept, encoding/xml: %v", src, err)
			}
			switch token := token.(type) {
			case xml.Directive:
				t.Fatalf("%q: a directive passed", src)
			case xml.CharData:
				if text := string(token); strings.Trim(text, " \t\r\n") != "" && !strings.Contains(all, text) {
					t.Fatalf("%q: text %q is not in the tree", src, text)
				}
			case xml.StartElement:
				for _, a := range token.Attr {
					if a.Name.Space != "xmlns" && a.Name.Local != "xmlns" && !strings.Contains(all, a.Value) {
						t.Fatalf("%q: attribute %q is not in the tree", src, a.Value)
					}
				}
			}
		}
	})
}
