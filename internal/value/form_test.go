package value

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestForm(t *testing.T) {
	for src, want := range map[string]string{
		"":                              `{}`,
		"a=1":                           `{"a":"1"}`,
		"a=1&b=2&a=3":                   `{"a":["1","3"],"b":"2"}`,
		"a=&b&=c":                       `{"a":"","b":"","":"c"}`,
		"a=1&&b=2&":                     `{"a":"1","b":"2"}`,
		"a=b=c":                         `{"a":"b=c"}`,
		"a;b=1;c":                       `{"a;b":"1;c"}`,
		"a+b=c+d%2Be%26f":               `{"a b":"c d+e&f"}`,
		"n=J%c3%b8rgen&x=%00":           `{"n":"Jørgen","x":"\u0000"}`,
		"n=Jørgen":                      `{"n":"Jørgen"}`,
		"%61=1&a=2":                     `{"a":["1","2"]}`,
		"f[a]=1&f[b]=2":                 `{"f[a]":"1","f[b]":"2"}`,
		"x=%7B%22a%22%3A1%7D&__proto__": `{"x":"{\"a\":1}","__proto__":""}`,
	} {
		v, err := Form([]byte(src), Limits{})
		if err != nil {
			t.Errorf("%q: %v", src, err)
			continue
		}
		if got := string(Append(nil, v)); got != want {
			t.Errorf("%q: got %s, want %s", src, got, want)
		}
		for _, kid := range v.Kids {
			if kid.Kind == String && !kid.Untyped {
				t.Errorf("%q: %q is typed", src, kid.Name)
			}
			raw := src[kid.Start:kid.End]
			if text, _ := url.QueryUnescape(raw); kid.Kind == String && text != kid.Text {
				t.Errorf("%q: source of %q is %q", src, kid.Name, raw)
			}
		}
	}
}

func TestFormRefuses(t *testing.T) {
	small := Limits{Keys: 3, Items: 2, String: 4, Nodes: 100}
	for _, c := range []struct {
		src    string
		fault  Fault
		offset int
	}{
		{"a=%", FaultSyntax, 2}, {"a=%4", FaultSyntax, 2}, {"a=%zz", FaultSyntax, 2}, {"%=1", FaultSyntax, 0}, {"b=1&a=%u0041", FaultSyntax, 6},
		{"a=%FF", FaultInvalidUTF8, 2}, {"%C0%AF=1", FaultInvalidUTF8, 0}, {"a=\xff", FaultInvalidUTF8, 2}, {"a=%ed%a0%80", FaultInvalidUTF8, 2},
		{"a=1 2", FaultSyntax, 3}, {"a=1\r\n", FaultSyntax, 3}, {"a\x00=1", FaultSyntax, 1}, {"a=\x7f", FaultSyntax, 2},
		{"a=1&b=2&c=3&d=4", FaultKeys, 12}, {"a=12345", FaultString, 2}, {"abcde=1", FaultString, 0}, {"a=1&a=2&a=3", FaultItems, 8},
		{"a=%41%41%41%41%41", FaultString, 2},
	} {
		v, err := Form([]byte(c.src), small)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%q: accepted as %s", c.src, Append(nil, v))
			continue
		}
		if e.Fault != c.fault || e.Offset != c.offset {
			t.Errorf("%q: got %v, want %s at %d", c.src, e, c.fault, c.offset)
		}
	}
}

func TestQuery(t *testing.T) {
	got, err := Query("debug&a=1%202&b=&a=+", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Pair{
		{Name: "debug", RawName: "debug"},
		{Name: "a", Value: "1 2", RawName: "a", RawValue: "1%202", Offset: 6, HasEquals: true},
		{Name: "b", RawName: "b", Offset: 14, HasEquals: true},
		{Name: "a", Value: " ", RawName: "a", RawValue: "+", Offset: 17, HasEquals: true},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if pairs, err := Query("", Limits{}); pairs != nil || err != nil {
		t.Errorf("empty: %v %v", pairs, err)
	}
	if _, err := Query("a=%", Limits{}); err == nil {
		t.Error("a broken escape is accepted")
	}
}

// What url.Values writes, we read back; and what url.Values reads otherwise than
// we do, it does not read.
func TestFormAgreesWithURL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := url.Values(rapid.MapOfN(rapid.String(), rapid.SliceOfN(rapid.String(), 1, 4), 0, 8).Draw(t, "values"))
		v, err := Form([]byte(values.Encode()), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(values, valuesOf(v)); d != "" {
			t.Fatal(d)
		}
	})
}

func valuesOf(v *Value) url.Values {
	out := url.Values{}
	for i := range v.Kids {
		kid := &v.Kids[i]
		if kid.Kind == String {
			out.Add(kid.Name, kid.Text)
		}
		for j := range kid.Kids {
			out.Add(kid.Name, kid.Kids[j].Text)
		}
	}
	return out
}

func FuzzForm(f *testing.F) {
	for _, s := range []string{"a=1&b=%20+", "a;b", "%zz", "&&=", "a=1&a=2", "é=%C3%A9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		v, err := Form([]byte(src), Limits{Keys: 10, Items: 5, String: 20})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(src) {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		std, stdErr := url.ParseQuery(src)
		if strings.Contains(src, ";") { // the one thing on which we differ: it drops such pairs
			std, stdErr = url.ParseQuery(strings.ReplaceAll(src, ";", "%3B"))
		}
		if stdErr != nil {
			t.Fatalf("%q: we accept, net/url: %v", src, stdErr)
		}
		if d := cmp.Diff(std, valuesOf(v)); d != "" {
			t.Fatalf("%q: %s", src, d)
		}
	})
}

func TestText(t *testing.T) {
	v, err := Text([]byte("hé\tllo\n"), Limits{})
	if err != nil || v.Str() != "hé\tllo\n" || v.End != 8 {
		t.Fatalf("%+v %v", v, err)
	}
	if v, err := Text(nil, Limits{}); err != nil || v.Kind != String || v.Text != "" {
		t.Fatalf("empty: %+v %v", v, err)
	}
	for src, fault := range map[string]Fault{
		"a\xffb": FaultInvalidUTF8, "a\x00": FaultSyntax, "\xEF\xBB\xBFa": FaultSyntax, "12345": FaultString,
	} {
		var e *Error
		if _, err := Text([]byte(src), Limits{String: 4}); !errors.As(err, &e) || e.Fault != fault {
			t.Errorf("%q: %v", src, err)
		}
	}
}
