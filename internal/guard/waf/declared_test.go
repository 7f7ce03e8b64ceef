package waf

import (
	"net/url"
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Which parameters a content type has is between the document and its clients.
func TestParametersOfAContentTypeAreNoAttack(t *testing.T) {
	for _, text := range []string{
		"application/json; odata.metadata=minimal", "application/json;v=1", `application/json; profile="https://x.example/y"`, "application/json;",
		"application/json; charset=us-ascii", "application/json; format=flowed; charset=utf-8", "application/json; q=1",
	} {
		x := request(t, 0, "", `{"text":"good morning"}`)
		x.Request.Header.Set("Content-Type", text)
		if v := at(t, 1).rule(t.Context(), x); v.Action != exchange.Allow || v.Detail != nil {
			t.Errorf("%s: %+v", text, v)
		}
	}
	x := request(t, 3, "", "")
	x.Request.Body = &exchange.Body{Bytes: []byte("good morning")}
	if v := at(t, 1).rule(t.Context(), x); v.Action != exchange.Allow || v.Detail != nil {
		t.Errorf("without a content type: %+v", v)
	}
	x = request(t, 0, "", `{"text":"good morning"}`)
	x.Request.Header.Set("Content-Type", "%{(#_='multipart/form-data').(#cmd='id').(#p=new java.lang.ProcessBuilder(#cmd))}")
	if v := at(t, 1).rule(t.Context(), x); v.Code != "waf.attack" {
		t.Errorf("an expression for a content type: %+v", v)
	}
}

// A header field that the document has for a parameter is an argument.
func TestDeclaredHeadersAreArguments(t *testing.T) {
	with := func(text string) *exchange.Exchange {
		x := request(t, 1, "", "", "X-Note", text)
		x.Params = append(x.Params, exchange.Param{Spec: &spec.Parameter{Name: "X-Note", In: "header"}, Raw: text})
		return x
	}
	for text, want := range map[string]string{
		"1' UNION SELECT password FROM users--":    "waf.attack",
		"$(cat /etc/passwd)":                       "waf.attack",
		"http://169.254.169.254/latest/meta-data/": "waf.ssrf",
		"good morning, all of you":                 "",
	} {
		v := at(t, 1).rule(t.Context(), with(text))
		if v.Code != want || want != "" && v.At != "header:x-note" {
			t.Errorf("%s: %s at %q, want %s", text, v.Code, v.At, want)
		}
	}
}

// Servers in Python read escapes in quoted cookies.
func TestEscapesInCookies(t *testing.T) {
	for text, want := range map[string]string{
		`sid="1\047 UNION SELECT password FROM users--"`: "waf.attack",
		`sid="\074script\076alert(1)\074/script\076"`:    "waf.attack",
		`sid="a \"note\""`: "",
		`sid="good"`:       "",
	} {
		if v := at(t, 1).rule(t.Context(), request(t, 1, "", "", "Cookie", text)); v.Code != want {
			t.Errorf("%s: %+v, want %q", text, v, want)
		}
	}
}

// A parameter that the document has for JSON is read as one: its leaves are judged,
// as those of a body, not the quotes between them.
func TestJSONParameters(t *testing.T) {
	shape := compile(t, `{"type":"object","additionalProperties":true,"properties":{"limit":{"type":"integer"},"q":{"type":"string"}}}`)
	with := func(text string, contentType string) *exchange.Exchange {
		x := request(t, 1, "filter="+url.QueryEscape(text), "")
		root, err := value.JSON([]byte(text), value.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		p := exchange.Param{Spec: &spec.Parameter{Name: "filter", In: "query", ContentType: contentType, Schema: shape}, Raw: text, Value: *root}
		if contentType == "" {
			p.Spec.Schema, p.Value = nil, value.Value{Kind: value.String, Text: text}
		}
		x.Params = append(x.Params, p)
		return x
	}
	for text, want := range map[string]string{
		`{"q":"select a size or drop by","limit":10}`:                       "",
		`{"fields":["select","from"],"limit":10}`:                           "",
		`{"q":"1' UNION SELECT password FROM users--"}`:                     "waf.attack",
		`{"deep":[{"er":"$(cat /etc/passwd)"}]}`:                            "waf.attack",
		`{"$where":"sleep(100)"}`:                                           "waf.attack",
		`{"1' UNION SELECT password FROM users--":{}}`:                      "waf.attack",
		`{"callback":"http://169.254.169.254/latest/meta-data/","limit":1}`: "waf.ssrf",
	} {
		v := at(t, 1).rule(t.Context(), with(text, "application/json"))
		if v.Code != want || want != "" && v.At != "query:filter" {
			t.Errorf("%s: %s at %q, want %q", text, v.Code, v.At, want)
		}
	}
	// What is no document to the contract is a text.
	if v := at(t, 1).rule(t.Context(), with(`{"q":"select a size or drop by","lang":"en"}`, "")); v.Code != "waf.attack" {
		t.Errorf("as a text: %+v", v)
	}
}

// Where any content type is taken, a document that is sent as bytes is read as what it is.
func TestDocumentsSentAsBytes(t *testing.T) {
	file := compile(t, `{"type":"string","format":"binary"}`)
	for _, c := range []struct {
		text, declared string
		schema         *schema.Schema
		want           string
	}{
		{`{"q":"1' UNION SELECT password FROM users--"}`, "*/*", nil, "waf.attack"},
		{` [{"q":["$(cat /etc/passwd)"]}]`, "application/*", nil, "waf.attack"},
		{`<q>1' UNION SELECT password FROM users--</q>`, "*/*", nil, "waf.attack"},
		{`{"q":"good morning"}`, "*/*", nil, ""},
		{`{"q":"1' UNION SELECT password FROM users--"}`, "application/octet-stream", nil, ""},
		{`{"q":"1' UNION SELECT password FROM users--"}`, "*/*", file, ""},
		{`{"q":"1' UNION SELECT password FROM users--" and so on`, "*/*", nil, ""},
	} {
		x := request(t, 3, "", "")
		x.Request.Header.Set("Content-Type", "application/octet-stream")
		x.Request.Body = &exchange.Body{Bytes: []byte(c.text), MediaType: "application/octet-stream", Declared: &spec.MediaType{Type: c.declared, Schema: c.schema}}
		if v := at(t, 1).rule(t.Context(), x); v.Code != c.want {
			t.Errorf("%s as %s: %+v, want %q", c.text, c.declared, v, c.want)
		}
	}
}
