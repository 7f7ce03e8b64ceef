package upload

import (
	"archive/zip"
	"bytes"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/value"
)

func picture(t testing.TB, kind string) string {
	t.Helper()
	var b bytes.Buffer
	grey := image.NewGray(image.Rect(0, 0, 8, 8))
	var err error
	switch kind {
	case "png":
		err = png.Encode(&b, grey)
	case "jpeg":
		err = jpeg.Encode(&b, grey, nil)
	case "gif":
		err = gif.Encode(&b, grey, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func archive(t testing.TB, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, n := range names {
		w, err := z.Create(n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("<x/>")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// sent is one multipart file as the data plane leaves it.
func sent(name, claim, content string, allowed string) *exchange.Exchange {
	x := &exchange.Exchange{}
	x.Request.Body = &exchange.Body{
		Bytes: []byte("--" + content + "--"), MediaType: "multipart/form-data", Root: &value.Value{Kind: value.Object},
		Parts: []value.Part{{Name: "photo", FileName: name, ContentType: claim, Start: 2, End: 2 + len(content)}},
	}
	if allowed != "" {
		x.Request.Body.Declared = &spec.MediaType{Type: "multipart/form-data", Encoding: map[string]*spec.Encoding{"photo": {ContentType: allowed}}}
	}
	return x
}

const (
	svg = `<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><g class="online"><path d="M0 0h9"/><text>on = off</text></g>`
	pdf = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<</Type/Catalog>>\nendobj\ntrailer\n%%EOF\n"
	elf = "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x3e\x00\x01\x00\x00\x00"
	exe = "MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00"
)

func TestFiles(t *testing.T) {
	pngFile, jpg, gifFile := picture(t, "png"), picture(t, "jpeg"), picture(t, "gif")
	docx := archive(t, "[Content_Types].xml", "_rels/.rels", "word/document.xml")
	jar := archive(t, "META-INF/MANIFEST.MF", "A.class")
	type row struct {
		x    *exchange.Exchange
		code string
	}
	rows := map[string]row{
		// Honest files.
		"png":                         {sent("cat.png", "image/png", pngFile, "image/png, image/jpeg"), ""},
		"jpeg, wildcard":              {sent("Photo 1 (final).JPG", "image/jpeg", jpg, "image/*"), ""},
		"no claim":                    {sent("cat.png", "application/octet-stream", pngFile, "image/png"), ""},
		"no name, no claim":           {sent("", "", pngFile, ""), ""},
		"dots in a name":              {sent("report.v1.2.pdf", "application/pdf", pdf, "application/pdf"), ""},
		"archive":                     {sent("backup.tar.gz", "application/gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", ""), ""},
		"document":                    {sent("letter.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", docx, ""), ""},
		"document as zip":             {sent("letter.docx", "application/zip", docx, ""), ""},
		"csv":                         {sent("list.csv", "text/csv", "a,b\n1,2\n3,4\n", "text/csv"), ""},
		"one column csv":              {sent("list.csv", "text/csv", "hello\n", "text/csv"), ""},
		"markdown":                    {sent("README.md", "text/markdown", "# Title\n\n<b>x</b> text\n", ""), ""},
		"text":                        {sent("notes.txt", "text/plain", "if a < b then print", "text/plain"), ""},
		"text, unicode name":          {sent("Müllers Brief – 東京.txt", "text/plain", "hello", "text/plain"), ""},
		"svg":                         {sent("logo.svg", "image/svg+xml", svg+"</svg>", "image/svg+xml"), ""},
		"unknown format":              {sent("data.bin7", "application/x-acme", "\x00\x01\x02\x03\xfe\xff", ""), ""},
		"empty":                       {sent("cat.png", "image/png", "", "image/png"), ""},
		"percent in a name":           {sent("50% off.png", "image/png", pngFile, ""), ""},
		"domain in a name":            {sent("example.com.png", "image/png", pngFile, ""), ""},
		"html, named by the contract": {sent("page.html", "text/html", "<!DOCTYPE html><html><body>x</body></html>", "text/html"), ""},
		"program, named":              {sent("tool.exe", "application/vnd.microsoft.portable-executable", exe, "application/vnd.microsoft.portable-executable"), ""},
		"polish":                      {sent("cv.pl.pdf", "application/pdf", pdf, ""), ""},

		"image/jpg":            {sent("cat.jpg", "image/jpg", jpg, "image/jpeg"), ""},
		"zip, as browsers say": {sent("a.zip", "application/x-zip-compressed", archive(t, "a.txt"), "application/zip"), ""},
		"csv, as Windows says": {sent("a.csv", "application/vnd.ms-excel", "a,b\n1,2\n", ""), "upload.type"}, // known: the Excel type for CSV is refused

		// Content.
		"html as png":                  {sent("cat.png", "image/png", "<html><script>alert(1)</script></html>", "image/png"), "upload.type"},
		"html, undeclared":             {sent("page.txt", "text/plain", "<!DOCTYPE html><html></html>", ""), "upload.type"},
		"html, wildcard is no name":    {sent("page.html", "text/html", "<!DOCTYPE html><html></html>", "text/*"), "upload.name"},
		"php":                          {sent("cat.png", "image/png", "<?php system($_GET['c']);", "image/png"), "upload.type"},
		"php in a gif":                 {sent("cat.gif", "image/gif", gifFile+"<?PhP system('id'); ?>", "image/gif"), "upload.type"},
		"gif header before php":        {sent("cat.gif", "image/gif", "GIF89a;<?php system('id'); ?>", "image/gif"), "upload.type"},
		"script in a png":              {sent("cat.png", "image/png", pngFile+"<ScRiPt>alert(1)</script>", "image/png"), "upload.type"},
		"php in text":                  {sent("a.txt", "text/plain", "hello\n<?= `id` ?>", ""), "upload.type"},
		"jsp in text":                  {sent("a.txt", "text/plain", "hello\n<%@ page import=\"java.io\" %>", ""), "upload.type"},
		"shell script":                 {sent("run", "text/plain", "#!/bin/sh\nrm -rf /\n", ""), "upload.type"},
		"python":                       {sent("run", "", "#!/usr/bin/env python3\nimport os\n", ""), "upload.type"},
		"elf":                          {sent("cat.png", "image/png", elf, "image/png"), "upload.type"},
		"windows program":              {sent("cat", "application/octet-stream", exe, ""), "upload.type"},
		"program under image/*":        {sent("cat.png", "image/png", exe, "image/*"), "upload.type"},
		"jar as zip":                   {sent("a.zip", "application/zip", jar, "application/zip"), "upload.type"},
		"svg with script":              {sent("logo.svg", "image/svg+xml", svg+"<script>alert(1)</script></svg>", "image/svg+xml"), "upload.type"},
		"svg with prefix":              {sent("logo.svg", "image/svg+xml", svg+"<s:script xmlns:s='http://www.w3.org/2000/svg'>1</s:script></svg>", "image/svg+xml"), "upload.type"},
		"svg with handler":             {sent("logo.svg", "image/svg+xml", svg+"<path\nONLOAD = 'x'/></svg>", "image/svg+xml"), "upload.type"},
		"svg with link":                {sent("logo.svg", "image/svg+xml", svg+"<a href='java&#x0A;script:alert(1)'/></svg>", "image/svg+xml"), "upload.type"},
		"svg with html":                {sent("logo.svg", "image/svg+xml", svg+"<foreignObject><b/></foreignObject></svg>", "image/svg+xml"), "upload.type"},
		"svg with entity":              {sent("logo.svg", "image/svg+xml", `<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>`+svg[21:]+"</svg>", "image/svg+xml"), "upload.type"},
		"svg in utf-16":                {sent("logo.svg", "image/svg+xml", "\xff\xfe<\x00s\x00v\x00g\x00>\x00", "image/svg+xml"), "upload.type"},
		"svg, animated link":           {sent("logo.svg", "image/svg+xml", svg+"<set attributeName='href' to='x'/></svg>", "image/svg+xml"), "upload.type"},
		"xxe":                          {sent("a.xml", "application/xml", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, "application/xml"), "upload.type"},
		"pdf as png":                   {sent("cat.png", "image/png", pdf, "image/png"), "upload.type"},
		"png as pdf":                   {sent("a.pdf", "application/pdf", pngFile, "application/pdf"), "upload.type"},
		"text as png":                  {sent("cat.png", "image/png", "just text", "image/png"), "upload.type"},
		"name says otherwise":          {sent("cat.pdf", "image/png", pngFile, ""), "upload.type"},
		"not allowed, honestly sent":   {sent("a.pdf", "application/pdf", pdf, "image/png, image/jpeg"), "upload.type"},
		"not allowed, sent as nothing": {sent("a", "application/octet-stream", pdf, "image/*"), "upload.type"},
		"unknown claim, known content": {sent("a", "application/x-acme", pdf, ""), "upload.type"},
		"zip as document":              {sent("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", pngFile, ""), "upload.type"},

		// Names.
		"path":            {sent("../../etc/cron.d/x", "text/plain", "x", ""), "upload.name"},
		"backslash":       {sent(`..\x.txt`, "text/plain", "x", ""), "upload.name"},
		"encoded path":    {sent("..%2f..%2fx.txt", "text/plain", "x", ""), "upload.name"},
		"twice encoded":   {sent("..%252fx.txt", "text/plain", "x", ""), "upload.name"},
		"nul":             {sent("x.php\x00.png", "image/png", pngFile, ""), "upload.name"},
		"encoded nul":     {sent("x.pdf%00.png", "image/png", pngFile, ""), "upload.name"},
		"control":         {sent("x\r\ny.png", "image/png", pngFile, ""), "upload.name"},
		"turned":          {sent("photo\u202egnp.txt", "text/plain", "x", ""), "upload.name"},
		"php name":        {sent("x.php", "image/png", pngFile, ""), "upload.name"},
		"php, odd case":   {sent("x.PhP5", "image/png", pngFile, ""), "upload.name"},
		"php, doubled":    {sent("x.php.png", "image/png", pngFile, ""), "upload.name"},
		"php, after":      {sent("x.png.phtml", "image/png", pngFile, ""), "upload.name"},
		"php and space":   {sent("x.php .png", "image/png", pngFile, ""), "upload.name"},
		"php and dot":     {sent("x.php.", "image/png", pngFile, ""), "upload.name"},
		"stream":          {sent("x.asp::$DATA", "text/plain", "x", ""), "upload.name"},
		"jsp":             {sent("x.jspx", "text/plain", "x", ""), "upload.name"},
		"htaccess":        {sent(".htaccess", "text/plain", "x", ""), "upload.name"},
		"web.config":      {sent("web.config", "text/xml", "<x/>", ""), "upload.name"},
		"program name":    {sent("x.exe", "application/octet-stream", "\x00\x01", ""), "upload.name"},
		"script name":     {sent("x.js", "text/plain", "x", ""), "upload.name"},
		"long":            {sent(strings.Repeat("a", 300), "text/plain", "x", ""), "upload.name"},
		"not utf-8":       {sent("a\xff.png", "image/png", pngFile, ""), "upload.name"},
		"fullwidth slash": {sent("..／x.png", "image/png", pngFile, ""), "upload.name"},
	}
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			v := g.rule(r.x)
			if v.Code != r.code || r.code != "" && (v.Action != exchange.Deny || v.At != "/photo") {
				t.Errorf("got %s %q at %q (%s), want %q", v.Action, v.Code, v.At, v.Reason, r.code)
			}
			if r.code != "" {
				if _, ok := exchange.LookupCode(r.code); !ok {
					t.Errorf("%s is not in the code table", r.code)
				}
			}
		})
	}
}

func whole(mediaType, declared, content, disposition string) *exchange.Exchange {
	x := &exchange.Exchange{}
	x.Request.Header = http.Header{}
	if disposition != "" {
		x.Request.Header.Set("Content-Disposition", disposition)
	}
	x.Request.Body = &exchange.Body{Bytes: []byte(content), MediaType: mediaType}
	if declared != "" {
		x.Request.Body.Declared = &spec.MediaType{Type: declared}
	}
	return x
}

func TestWholeBodies(t *testing.T) {
	pngFile := picture(t, "png")
	g, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		x    *exchange.Exchange
		code string
	}{
		"image":              {whole("image/png", "image/png", pngFile, ""), ""},
		"image, wildcard":    {whole("image/png", "image/*", pngFile, `attachment; filename="a.png"`), ""},
		"any":                {whole("application/octet-stream", "application/octet-stream", pngFile, ""), ""},
		"html as image":      {whole("image/png", "image/*", "<html></html>", ""), "upload.type"},
		"program as any":     {whole("application/octet-stream", "*/*", elf, ""), "upload.type"},
		"bad name":           {whole("image/png", "image/*", pngFile, `attachment; filename="../a.png"`), "upload.name"},
		"bad name, extended": {whole("image/png", "image/*", pngFile, `attachment; filename*=UTF-8''..%2fa.png`), "upload.name"},
		"unreadable":         {whole("image/png", "image/*", pngFile, `attachment; filename="a`), "upload.name"},
		"no contract, a lie": {whole("image/png", "", pdf, ""), "upload.type"},
	} {
		t.Run(name, func(t *testing.T) {
			if v := g.rule(c.x); v.Code != c.code {
				t.Errorf("got %q (%s), want %q", v.Code, v.Reason, c.code)
			}
		})
	}
	tree := whole("application/json", "application/json", `{"a":"<html>"}`, "")
	tree.Request.Body.Root = &value.Value{Kind: value.Object}
	for name, x := range map[string]*exchange.Exchange{"no body": {}, "a document": tree} {
		if v := g.rule(x); v.Action != exchange.Allow {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestConfigNamesTypes(t *testing.T) {
	g, err := New(Options{Config: config.Upload{Types: []string{"text/html", "Image/*"}}})
	if err != nil {
		t.Fatal(err)
	}
	if v := g.rule(sent("a.html", "text/html", "<!DOCTYPE html><html></html>", "")); v.Action != exchange.Allow {
		t.Errorf("a type named in the config was refused: %+v", v)
	}
	if v := g.rule(sent("a.png", "image/png", picture(t, "png"), "application/pdf")); v.Action != exchange.Allow {
		t.Errorf("a type named in the config was refused beside the contract's: %+v", v)
	}
	if v := g.rule(sent("a.js", "text/javascript", "#!/usr/bin/node\nx", "")); v.Action == exchange.Allow {
		t.Error("a type that nobody named was taken")
	}
	for _, bad := range []string{"", "png", "*/*", "a/b/c", "/x", "x/"} {
		if _, err := New(Options{Config: config.Upload{Types: []string{bad}}}); err == nil {
			t.Errorf("type %q was accepted", bad)
		}
	}
}

// No name or content panics, and what holds a path is refused whatever else it is.
func FuzzFile(f *testing.F) {
	f.Add("a.png", "image/png", "\x89PNG\r\n\x1a\n", "image/*")
	f.Add("../x%2e.php", "text/html", "<?xml version='1.0'?><svg onload=1>", "")
	g, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, claim, content, allowed string) {
		v := g.rule(sent(name, claim, content, allowed))
		if strings.ContainsAny(name, "/\\\x00") && v.Action == exchange.Allow {
			t.Fatalf("the name %q was taken", name)
		}
		if strings.HasPrefix(content, "<?php") && v.Action == exchange.Allow && allowed == "" {
			t.Fatalf("PHP was taken as %q, %q", name, claim)
		}
	})
}

func BenchmarkPNG(b *testing.B) {
	g, err := New(Options{})
	if err != nil {
		b.Fatal(err)
	}
	x := sent("cat.png", "image/png", picture(b, "png")+strings.Repeat("\x00<abc", 50_000), "image/png")
	b.ReportAllocs()
	for b.Loop() {
		if v := g.rule(x); v.Action != exchange.Allow {
			b.Fatal(v)
		}
	}
}
