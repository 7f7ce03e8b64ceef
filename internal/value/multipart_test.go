package value

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// crlf writes a body as it goes over the wire.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

// one is a body with one part of these header lines and content.
func one(header, content string) []byte {
	return append(crlf("--b\n"+header+"\n\n"), []byte(content+"\r\n--b--\r\n")...)
}

func TestMultipart(t *testing.T) {
	body := crlf(`--b
Content-Disposition: form-data; name="title"

Hello
--b
content-disposition: Form-Data ; name=tag

x
--b
Content-Disposition: form-data; name="tag"
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8BIT
Content-Length: 2

é
--b
Content-Disposition: form-data; name="meta"
Content-Type: application/json

{"a":[1,"\n"]}
--b
Content-Disposition: form-data; name="photo"; filename="a b.png"
Content-Type: Image/PNG

x--b
-b
--b
Content-Disposition: form-data; name="doc"; filename="=?utf-8?B?w6kudHh0?="; filename*=utf-8''%c3%a9.txt

--b
Content-Disposition: form-data; name="raw"
Content-Type: application/octet-stream

--
--b--
`)
	body = bytes.Replace(body, []byte("%c3%a9.txt\r\n\r\n--b"), []byte("%c3%a9.txt\r\n\r\n\r\n--b"), 1)
	root, parts, err := Multipart(body, "b", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"title":"Hello","tag":["x","é"],"meta":{"a":[1,"\n"]},"photo":"","doc":"","raw":""}`
	if got := string(Append(nil, root)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, name := range []string{"photo", "doc", "raw"} {
		if !root.Get(name).File {
			t.Errorf("%s is no file", name)
		}
	}
	if !root.Get("title").Untyped || root.At("/meta/a/1").Untyped {
		t.Error("a text field is untyped, a JSON string is not")
	}
	if n := root.At("/meta/a/1"); string(body[n.Start:n.End]) != `"\n"` {
		t.Errorf("offsets of a JSON part point at %q", body[n.Start:n.End])
	}
	type file struct{ Name, FileName, ContentType, Content string }
	var files []file
	for _, p := range parts {
		files = append(files, file{p.Name, p.FileName, p.ContentType, string(body[p.Start:p.End])})
	}
	if d := cmp.Diff([]file{
		{"photo", "a b.png", "image/png", "x--b\r\n-b"}, {"doc", "é.txt", "", ""}, {"raw", "", "application/octet-stream", "--"},
	}, files); d != "" {
		t.Error(d)
	}
	if root, _, err := Multipart([]byte("--b--"), "b", Limits{}); err != nil || len(root.Kids) != 0 {
		t.Errorf("empty form: %v", err)
	}
}

func TestMultipartRefuses(t *testing.T) {
	const name = `Content-Disposition: form-data; name="a"`
	good := string(one(name, "v"))
	if _, _, err := Multipart([]byte(good), "b", Limits{}); err != nil {
		t.Fatal(err)
	}
	lim := Limits{String: 9, Keys: 2, Items: 2, Nodes: 5, Depth: 3}
	part := "--b\n" + name + "\n\nv\n"
	for what, c := range map[string]struct {
		body  []byte
		fault Fault
	}{
		"empty":                    {nil, FaultSyntax},
		"preamble":                 {[]byte("hello\r\n" + good), FaultSyntax},
		"preamble of CRLF":         {[]byte("\r\n" + good), FaultSyntax},
		"epilogue":                 {[]byte(good + "x"), FaultTrailing},
		"second form":              {[]byte(good + good), FaultTrailing},
		"no close":                 {crlf(part + "--b\n"), FaultSyntax},
		"cut":                      {[]byte(good[:len(good)-5]), FaultSyntax},
		"padding":                  {[]byte(strings.Replace(good, "--b\r\n", "--b \r\n", 1)), FaultSyntax},
		"longer boundary":          {crlf("--b\n" + name + "\n\nv\n--bc\nv\n--b--\n"), FaultSyntax},
		"bare LF":                  {[]byte(strings.ReplaceAll(good, "\r\n", "\n")), FaultSyntax},
		"LF before boundary":       {[]byte("--b\r\n" + name + "\r\n\r\nv\n--b\r\n" + name + "\r\n\r\nw\r\n--b--"), FaultSyntax},
		"CR before boundary":       {[]byte("--b\r\n" + name + "\r\n\r\nv\r--b--\r\n--b--"), FaultSyntax},
		"no CRLF of its own":       {crlf("--b\n" + name + "\n\n--b--\n"), FaultSyntax},
		"LF in header":             {[]byte("--b\r\n" + name + "\n\r\nv\r\n--b--"), FaultSyntax},
		"CR in header":             {one(name+"\rX: y", "v"), FaultSyntax},
		"NUL in header":            {one(strings.Replace(name, `"a"`, "\"a\x00\"", 1), "v"), FaultSyntax},
		"folded":                   {one("Content-Disposition: form-data;\n name=\"a\"", "v"), FaultSyntax},
		"no header":                {crlf("--b\n\nv\n--b--"), FaultSyntax},
		"no disposition":           {one("Content-Type: text/plain", "v"), FaultSyntax},
		"two dispositions":         {one(name+"\ncontent-disposition: form-data; name=b", "v"), FaultSyntax},
		"two types":                {one(name+"\nContent-Type: text/plain\nContent-Type: text/plain", "v"), FaultSyntax},
		"space before colon":       {one(strings.Replace(name, ":", " :", 1), "v"), FaultSyntax},
		"no colon":                 {one(name+"\nfoo", "v"), FaultSyntax},
		"attachment":               {one(`Content-Disposition: attachment; name="a"`, "v"), FaultSyntax},
		"no name":                  {one(`Content-Disposition: form-data`, "v"), FaultSyntax},
		"name twice":               {one(name+`; Name="b"`, "v"), FaultSyntax},
		"filename twice":           {one(name+`; filename=x; filename=y`, "v"), FaultSyntax},
		"filename* differs":        {one(name+`; filename=x.png; filename*=utf-8''x.php`, "v"), FaultSyntax},
		"filename* latin":          {one(name+`; filename*=iso-8859-1''x.php`, "v"), FaultSyntax},
		"filename* quoted":         {one(name+`; filename*="utf-8''x.php"`, "v"), FaultSyntax},
		"filename* bytes":          {one(name+`; filename*=utf-8''%ff`, "v"), FaultSyntax},
		"filename* CRLF":           {one(name+`; filename*=utf-8''a%0d%0ab`, "v"), FaultSyntax},
		"name*":                    {one(`Content-Disposition: form-data; name*=utf-8''a`, "v"), FaultSyntax},
		"continuation":             {one(name+`; filename*0=x; filename*1=y`, "v"), FaultSyntax},
		"backslash":                {one(`Content-Disposition: form-data; name="a\"; filename=\"x"`, "v"), FaultSyntax},
		"open quote":               {one(`Content-Disposition: form-data; name="a`, "v"), FaultSyntax},
		"text after quote":         {one(`Content-Disposition: form-data; name="a"b`, "v"), FaultSyntax},
		"space around =":           {one(`Content-Disposition: form-data; name = "a"`, "v"), FaultSyntax},
		"empty parameter":          {one(`Content-Disposition: form-data;; name="a"`, "v"), FaultSyntax},
		"base64":                   {one(name+"\nContent-Transfer-Encoding: base64", "dg=="), FaultSyntax},
		"gzip":                     {one(name+"\nContent-Encoding: gzip", "v"), FaultSyntax},
		"length":                   {one(name+"\nContent-Length: 7", "v"), FaultSyntax},
		"nested":                   {one(name+"\nContent-Type: multipart/mixed; boundary=c", "v"), FaultSyntax},
		"charset":                  {one(name+"\nContent-Type: text/plain; charset=utf-7", "v"), FaultInvalidUTF8},
		"_charset_":                {one(`Content-Disposition: form-data; name="_charset_"`, "utf-16"), FaultInvalidUTF8},
		"invalid text":             {one(name, "\xff"), FaultInvalidUTF8},
		"invalid name":             {one("Content-Disposition: form-data; name=\"\xff\"", "v"), FaultInvalidUTF8},
		"no media type":            {one(name+"\nContent-Type: plain", "v"), FaultSyntax},
		"long text":                {one(name, "1234567890"), FaultString},
		"long name":                {one(`Content-Disposition: form-data; name="1234567890"`, "v"), FaultString},
		"long header":              {one(name+"\nX: "+strings.Repeat("x", maxPartHeader), "v"), FaultSyntax},
		"many lines":               {one(name+manyLines(17), "v"), FaultSyntax},
		"many parts":               {crlf(part + part + part + "--b--"), FaultKeys},
		"JSON syntax":              {one(name+"\nContent-Type: application/json", "{"), FaultSyntax},
		"JSON duplicate":           {one(name+"\nContent-Type: application/ld+json", `{"x":1,"x":2}`), FaultDuplicateKey},
		"JSON depth with the form": {one(name+"\nContent-Type: application/json", `[[[]]]`), FaultDepth},
		"JSON nodes with the form": {one(name+"\nContent-Type: application/json", `[[1],[2]]`), FaultKeys},
	} {
		root, _, err := Multipart(c.body, "b", lim)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: accepted as %s", what, Append(nil, root))
			continue
		}
		if e.Fault != c.fault || e.Offset < 0 || e.Offset > len(c.body) {
			t.Errorf("%s: %v, want %s", what, e, c.fault)
		}
	}
	for _, b := range []string{"", " ", "a ", strings.Repeat("a", 71), "a\"b", "a\r\n", "é", "a;b", "a\x00", "[", "`", "{"} {
		if _, _, err := Multipart([]byte("--"+b+"--"), b, Limits{}); err == nil {
			t.Errorf("boundary %q accepted", b)
		}
	}
}

func manyLines(n int) string {
	var s strings.Builder
	for i := range n {
		s.WriteString("\nX-" + string(rune('a'+i)) + ": 1")
	}
	return s.String()
}

func TestMultipartReadsTheStandardWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type field struct {
			Name, Content string
			File          bool
		}
		plain := rapid.StringMatching(`[a-zA-Z0-9 é_.\[\]-]{0,12}`)
		fields := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) field {
			f := field{Name: plain.Draw(t, "name"), File: rapid.Bool().Draw(t, "file")}
			if f.File {
				f.Content = string(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "bytes"))
			} else {
				f.Content = rapid.StringOfN(rapid.RuneFrom([]rune("ab\r\n-é😀")), 0, 30, -1).Draw(t, "text")
			}
			return f
		}), 0, 6).Draw(t, "fields")
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for _, f := range fields {
			var part io.Writer
			var err error
			if f.File {
				part, err = w.CreateFormFile(f.Name, "x.bin")
			} else {
				part, err = w.CreateFormField(f.Name)
			}
			if err == nil {
				_, err = io.WriteString(part, f.Content)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if len(fields) == 0 {
			return // the writer then begins with CRLF, which is a preamble
		}
		root, parts, err := Multipart(body.Bytes(), w.Boundary(), Limits{})
		if err != nil {
			t.Fatalf("%v in %q", err, body.Bytes())
		}
		texts, files := map[string][]string{}, map[string][]string{}
		for _, f := range fields {
			if f.File {
				files[f.Name] = append(files[f.Name], f.Content)
			} else {
				texts[f.Name] = append(texts[f.Name], f.Content)
			}
		}
		gotTexts, gotFiles := map[string][]string{}, map[string][]string{}
		for _, p := range parts {
			gotFiles[p.Name] = append(gotFiles[p.Name], string(body.Bytes()[p.Start:p.End]))
		}
		for i := range root.Kids {
			for _, v := range append([]Value{root.Kids[i]}, root.Kids[i].Kids...) {
				if v.Kind == String && !v.File {
					gotTexts[root.Kids[i].Name] = append(gotTexts[root.Kids[i].Name], v.Text)
				}
			}
		}
		if d := cmp.Diff([]any{texts, files}, []any{gotTexts, gotFiles}); d != "" {
			t.Fatal(d)
		}
	})
}

// FuzzMultipart: what we accept, mime/multipart reads as the same parts.
func FuzzMultipart(f *testing.F) {
	f.Add(one(`Content-Disposition: form-data; name="a"; filename="x"`, "v"))
	f.Add(one("Content-Disposition: form-data; name=a\nContent-Type: application/json", `{"a":[1]}`))
	f.Add(one(`Content-Disposition: form-data; name="a"; filename*=utf-8''%41`, "\r\n--c"))
	f.Add(one("Content-Disposition: form-data; name=\"a\"\nContent-Length: 1", "v"))
	f.Fuzz(func(t *testing.T, src []byte) {
		root, parts, err := Multipart(src, "b", Limits{Keys: 8, String: 100})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(src) {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		r := multipart.NewReader(bytes.NewReader(src), "b")
		var names []string
		files := parts
		for {
			p, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%q: we accept, mime/multipart: %v", src, err)
			}
			content, err := io.ReadAll(p)
			if err != nil {
				t.Fatalf("%q: %v", src, err)
			}
			name := stdName(t, p.Header)
			names = append(names, name)
			if root.Get(name) == nil {
				t.Fatalf("%q: field %q is not in the tree", src, name)
			}
			if len(files) > 0 && files[0].Name == name && bytes.Equal(src[files[0].Start:files[0].End], content) {
				files = files[1:]
			} else if v := root.Get(name); v.Kind == String && v.Text != string(content) {
				t.Fatalf("%q: %q holds %q, mime/multipart reads %q", src, name, v.Text, content)
			}
		}
		if len(files) > 0 {
			t.Fatalf("%q: files %v are not in mime/multipart's reading", src, files)
		}
		for i := range root.Kids {
			if !contains(names, root.Kids[i].Name) {
				t.Fatalf("%q: field %q only in our reading", src, root.Kids[i].Name)
			}
		}
	})
}

func stdName(t *testing.T, h textproto.MIMEHeader) string {
	_, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	if err != nil {
		t.Fatalf("mime on %q: %v", h.Get("Content-Disposition"), err)
	}
	return params["name"]
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}
