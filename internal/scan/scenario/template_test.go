package scenario

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func fixed(values map[string]any) func(string) (any, error) {
	return func(name string) (any, error) {
		if v, ok := values[name]; ok {
			return v, nil
		}
		return nil, fmt.Errorf("no %s", name)
	}
}

func TestRender(t *testing.T) {
	get := fixed(map[string]any{"id": json.Number("7"), "name": `a "b"/c&d`, "line": "x\r\nEvil: 1", "list": []any{json.Number("1"), "z"}, "none": nil})
	for _, c := range []struct {
		at         place
		text, want string
	}{
		{inPlain, "no placeholders $ {x}", "no placeholders $ {x}"},
		{inPath, "/orders/${id}/${name}", "/orders/7/a%20%22b%22%2Fc&d"},
		{inPath, "/orders/${name|raw}", `/orders/a "b"/c&d`},
		{inQuery, "x=${name}", "x=a+%22b%22%2Fc%26d"},
		{inHeader, "${line}", "xEvil: 1"},
		{inJSON, `{"id":${id},"s":"${id}","n":"pre ${name} post"}`, `{"id":7,"s":"7","n":"pre a \"b\"/c&d post"}`},
		{inJSON, `{"name":${name},"l":${list},"0":${none}}`, `{"name":"a \"b\"/c&d","l":[1,"z"],"0":null}`},
		{inJSON, `{"q":"\"${id}\"","r":${id}}`, `{"q":"\"7\"","r":7}`},
		{inXML, `<a b="${name}"/>`, `<a b="a &quot;b&quot;/c&amp;d"/>`},
		{inPlain, "${name|base64}", "YSAiYiIvYyZk"},
		{inPlain, "${id|hex|upper}", "37"},
	} {
		got, err := render(c.text, c.at, get)
		if err != nil || got != c.want {
			t.Errorf("render(%s) = %s, %v; want %s", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"${nothing}", "${id|strange}"} {
		if _, err := render(bad, inPlain, get); err == nil {
			t.Errorf("%s was rendered", bad)
		}
	}
}

// Whatever a value holds, it cannot change the structure of what it stands in.
func TestValuesKeepTheStructure(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.String().Draw(t, "value")
		get := fixed(map[string]any{"v": v})
		text, err := render(`{"a":"x${v}y","b":${v},"c":1}`, inJSON, get)
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(text), &doc); err != nil || len(doc) != 3 {
			t.Fatalf("%s: %v", text, err)
		}
		want := strings.ToValidUTF8(v, "\ufffd")
		if doc["b"] != want || doc["a"] != "x"+want+"y" {
			t.Fatalf("%q came out as %q", v, doc["b"])
		}
		path, err := render("/a/${v}/z", inPath, get)
		if err != nil || strings.Count(path, "/") != 3 || strings.ContainsAny(path, "?# ") {
			t.Fatalf("path %q: %v", path, err)
		}
		q, err := url.ParseQuery("x=" + queryText(v) + "&y=2")
		if err != nil || q.Get("x") != v || q.Get("y") != "2" {
			t.Fatalf("query of %q: %v, %v", v, q, err)
		}
	})
}

func FuzzRender(f *testing.F) {
	f.Add(`{"a":"${v}"}`, "x")
	f.Add(`${v|json|url}${`, "\x00")
	f.Fuzz(func(t *testing.T, text, v string) {
		for at := inPlain; at <= inXML; at++ {
			out, err := render(text, at, fixed(map[string]any{"v": v}))
			if err == nil && !strings.Contains(text, "${") && out != text {
				t.Fatalf("%q changed to %q", text, out)
			}
		}
	})
}
