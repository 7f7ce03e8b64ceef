package waf

import (
	"testing"

	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
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
