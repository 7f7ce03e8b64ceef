package world

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
)

// pdf is a valid document of one empty page, in ASCII: so that it fits into a
// scenario's text as it is.
func pdf() []byte {
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 72 72] /Resources << >> >>",
	}
	var b strings.Builder
	b.WriteString("%PDF-1.4\n")
	var at []int
	for i, o := range objects {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	start := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, n := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", n)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, start)
	return []byte(b.String())
}

// png is a valid picture of one grey pixel.
func png() []byte {
	b := bytes.NewBufferString("\x89PNG\r\n\x1a\n")
	chunk := func(kind string, data []byte) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(data)))
		b.Write(n[:])
		body := append([]byte(kind), data...)
		b.Write(body)
		binary.BigEndian.PutUint32(n[:], crc32.ChecksumIEEE(body))
		b.Write(n[:])
	}
	chunk("IHDR", []byte{0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0})
	var pixels bytes.Buffer
	z := zlib.NewWriter(&pixels)
	_, _ = z.Write([]byte{0, 128}) // a bytes.Buffer never fails
	_ = z.Close()
	chunk("IDAT", pixels.Bytes())
	chunk("IEND", nil)
	return b.Bytes()
}

// gif is a valid picture of one pixel.
func gif() []byte {
	return []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;")
}

// note is a text that is long enough for two answers that hold it to be the same file's.
const note = "A note, for whoever put it here and for nobody else: it says nothing that counts.\n"

// fileKinds are what files are made of, texts first: they can stand in a
// scenario together with placeholders.
var fileKinds = []struct {
	types []string
	words []string
	file  func() File
}{
	{[]string{"text/plain", "text/*"}, []string{"text", "txt", "note", "log"}, func() File { return File{"note.txt", "text/plain", []byte(note)} }},
	{[]string{"text/csv"}, []string{"csv", "spreadsheet"}, func() File { return File{"data.csv", "text/csv", []byte("name,value\na,1\n")} }},
	{[]string{"application/json"}, []string{"json"}, func() File { return File{"data.json", "application/json", []byte("{}\n")} }},
	{[]string{"application/pdf"}, []string{"pdf", "document", "invoice", "paper", "contract", "cv", "resume"}, func() File { return File{"paper.pdf", "application/pdf", pdf()} }},
	{[]string{"image/png", "image/*"}, []string{"png", "image", "picture", "photo", "avatar", "logo", "label", "icon", "pic", "thumbnail", "jpeg", "jpg"}, func() File { return File{"picture.png", "image/png", png()} }},
	{[]string{"image/gif"}, []string{"gif"}, func() File { return File{"picture.gif", "image/gif", gif()} }},
	{[]string{"image/svg+xml"}, []string{"svg"}, func() File {
		return File{"picture.svg", "image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`)}
	}},
	{[]string{"application/xml", "text/xml"}, []string{"xml"}, func() File { return File{"data.xml", "application/xml", []byte("<root/>")} }},
	{[]string{"application/octet-stream", "*/*"}, nil, func() File { return File{"note.txt", "text/plain", []byte(note)} }},
}

// files lists contents for an input, the likeliest first. accept are the media
// types that the description allows, hints the words near it.
func files(accept []string, hints string) []File {
	var out []File
	add := func(f File) {
		for i := range out {
			if out[i].Type == f.Type {
				return
			}
		}
		out = append(out, f)
	}
	for _, k := range fileKinds {
		for _, t := range k.types {
			for _, a := range accept {
				if strings.TrimSpace(strings.ToLower(a)) == t && t != "*/*" && t != "application/octet-stream" {
					add(k.file())
				}
			}
		}
	}
	words := wordsOf(hints)
	for _, k := range fileKinds {
		for _, word := range k.words {
			if has(words, word) {
				add(k.file())
				break
			}
		}
	}
	for _, i := range []int{4, 3, 0, 1} { // a picture, a paper, a text, a table
		add(fileKinds[i].file())
	}
	return out
}

func (m *maker) hasFiles() bool { return len(m.c.Files) > 0 }

// file chooses the content of a file.
func (m *maker) file(pointer, name string, mt *spec.MediaType) {
	where := "body." + pointer
	var accept []string
	if mt != nil {
		if path := tokens(pointer); len(path) > 0 && mt.Encoding[path[0]] != nil {
			accept = strings.Split(mt.Encoding[path[0]].ContentType, ",")
		}
	}
	hints := name + " " + m.op.ID + " " + m.op.Path + " " + m.op.Summary
	if in := m.inputs["body."+pattern(pointer)]; in != nil && in.Schema != nil {
		hints += " " + in.Schema.Description()
	}
	list := files(accept, hints)
	if len(accept) > 0 {
		// A paper is text, which can stand in a scenario beside placeholders.
		slices.SortStableFunc(list, func(a, b File) int {
			x, y := accepts(accept, a.Type) && isText(a), accepts(accept, b.Type) && isText(b)
			switch {
			case x == y:
				return 0
			case x:
				return -1
			}
			return 1
		})
	}
	i := 0
	if t := m.taught.of("body." + pattern(pointer)); t != nil {
		i = t.next
	}
	m.c.Files[where] = list[i%len(list)]
}

func accepts(accept []string, t string) bool {
	for _, a := range accept {
		if strings.TrimSpace(strings.ToLower(a)) == t {
			return true
		}
	}
	return false
}

func isText(f File) bool {
	for _, b := range f.Content {
		if b >= 0x80 || b == 0 {
			return false
		}
	}
	return true
}
