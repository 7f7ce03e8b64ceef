package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var _ = register(&Check{
	ID: "upload-unrestricted", Title: "A web page can be uploaded, and is served as one",
	OWASP: "API8:2023", CWE: "CWE-434", WSTG: "WSTG-BUSL-09",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:A/VC:H/VI:H/VA:N/SC:L/SI:L/SA:N",
	About: "Uploads an HTML page and an SVG image with a script, under their own names and types, under the names and types of pictures, under double names, with a NUL in the name, as a picture by their first bytes and behind a whole one, and reads them back.",
	Proof: "What is read back is the script, with a type that browsers run and no header that keeps them from it (Content-Disposition: attachment; a Content-Security-Policy that runs nothing). Controls: a harmless file of the accepted kind is taken as well.",
	Fix:   "Look at the content and take the types that are needed, give files names of your own, and serve them with Content-Disposition: attachment, X-Content-Type-Options: nosniff, from another origin.",
	Mode:  Default, Dirty: true,
	Run: uploadUnrestricted,
})

func uploadUnrestricted(ctx context.Context, p *Probe) error {
	return p.uploadsOf(ctx, p.uploadsActive)
}

// uploadsOf calls try for each operation that takes files, with a call that works
// and the place of each file in it.
func (p *Probe) uploadsOf(ctx context.Context, try func(ctx context.Context, op *graph.Op, c *world.Call, where string) error) error {
	return Each(ctx, p, p.Ops(), func(ctx context.Context, op *graph.Op) error {
		if op.Method == http.MethodGet || op.Has(graph.Hazard) {
			return nil
		}
		for _, a := range append(p.People.All(), nil) {
			c, err := p.World.Call(ctx, op, a, nil)
			if err != nil || len(c.Files) == 0 {
				continue
			}
			x, err := p.send(ctx, c)
			if err != nil {
				return err
			}
			if x.Status/100 != 2 {
				continue
			}
			p.Note(op, Clean)
			for where := range c.Files {
				if err := try(ctx, op, c, where); err != nil {
					return err
				}
			}
			return nil
		}
		return nil
	})
}

// active are files that browsers run. %FILE% stands for a file that the operation takes.
var active = []struct{ name, media, content, served string }{
	{"page.html", "text/html", "<script>/*MARK*/</script>", `(?i)text/html`},
	{"image.svg", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><script>/*MARK*/</script></svg>`, `(?i)image/svg`},
	{"page.html", "image/png", "<script>/*MARK*/</script>", `(?i)text/html`},
	{"image.svg", "image/png", `<svg xmlns="http://www.w3.org/2000/svg"><script>/*MARK*/</script></svg>`, `(?i)image/svg`},
	{"picture.png", "image/png", "<html><script>/*MARK*/</script></html>", `(?i)text/html`}, // by its content a page
	{"picture.png", "text/html", "<script>/*MARK*/</script>", `(?i)text/html`},
	{"page.png.html", "image/png", "<script>/*MARK*/</script>", `(?i)text/html`},
	{"page.html\x00.png", "image/png", "<script>/*MARK*/</script>", `(?i)text/html`},
	{"image.html", "image/gif", "GIF89a/*<script>/*MARK*/</script>", `(?i)text/html`}, // by its first bytes a picture
	{"page.html", "", "%FILE%<script>/*MARK*/</script>", `(?i)text/html`},             // a whole picture, and a page behind it
	{"page.xhtml", "application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml"><script>/*MARK*/</script></html>`, `(?i)xhtml`},
}

func (p *Probe) uploadsActive(ctx context.Context, op *graph.Op, c *world.Call, where string) error {
	for _, f := range active {
		mark := "crup" + p.RunID
		plain := c.Files[where]
		media := f.media
		if media == "" {
			media = plain.Type
		}
		content := strings.NewReplacer("MARK", mark, "%FILE%", string(plain.Content)).Replace(f.content)
		d := c.WithFile(where, world.File{Name: f.name, Type: media, Content: []byte(content)})
		x, err := p.send(ctx, d)
		if err != nil {
			return err
		}
		if x.Status/100 != 2 {
			continue
		}
		done, err := p.servedActive(ctx, op, c, d, x, f.name, f.served, mark)
		if err != nil || done {
			return err
		}
	}
	return nil
}

// servedActive looks for where the upload can be read back.
func (p *Probe) servedActive(ctx context.Context, op *graph.Op, plain, up *world.Call, x *target.Exchange, name, served, mark string) (bool, error) {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return false, nil
	}
	type id struct{ at, value string }
	var ids []id
	var links []id
	scenario.Walk(body, func(at string, v any) {
		text := scenario.Plain(v)
		last := strings.ToLower(at[strings.LastIndexByte(at, '/')+1:])
		switch {
		case v == nil || text == "":
		case strings.HasPrefix(text, p.Origin+"/"):
			links = append(links, id{at, strings.TrimPrefix(text, p.Origin)})
		case strings.HasPrefix(text, "/") && len(text) > 1:
			links = append(links, id{at, text})
		case last == "id" || strings.HasSuffix(last, "id") || strings.HasSuffix(last, "key") || strings.Contains(last, "uuid") || strings.Contains(last, "file"):
			ids = append(ids, id{at, text})
		}
	})
	taken, err := p.World.Step(plain, plain.Renew("plain"))
	if err != nil {
		return false, nil //nolint:nilerr // a call that cannot be written as a step proves nothing
	}
	taken.ID, taken.Part, taken.Note, taken.Expect = "plain", scenario.Control, "a harmless file is taken", []scenario.Expect{{Status: "2xx"}}
	upload, err := p.World.Step(up, up.Renew("upload"))
	if err != nil {
		return false, nil //nolint:nilerr // nor does this
	}
	upload.ID, upload.Part, upload.Note, upload.Expect = "upload", scenario.Attack, strings.ReplaceAll(name, "\x00", "\\0")+" is uploaded", []scenario.Expect{{Status: "2xx"}}
	for _, l := range links[:min(3, len(links))] {
		at, query, _ := strings.Cut(l.value, "?")
		y, err := p.Do(ctx, up.As, &target.Request{Method: http.MethodGet, Path: at, Query: query, Root: true})
		if errors.Is(err, target.ErrRefused) || errors.Is(err, target.ErrRequest) {
			continue
		}
		if err != nil {
			return false, err
		}
		if !isActive(y, served, mark) {
			continue
		}
		u := upload
		u.Save = []scenario.Save{{As: "link", At: l.at}}
		read := scenario.Step{As: upload.As, Send: &scenario.Send{Method: http.MethodGet, Path: "/${path|raw}", Root: true}, Compute: []scenario.Compute{{Set: "path", Do: "text.path", Args: map[string]string{"address": "${link}"}}}}
		if done, err := p.readBack(ctx, op, []scenario.Step{taken, u}, read, y, served, mark); err != nil || done {
			return done, err
		}
	}
	for _, other := range p.Ops() {
		if other.Method != http.MethodGet || len(other.PathParams) != 1 || !other.Has(graph.Download) && other.About != op.About && (op.About == nil || p.naming(other, op.About) == nil) {
			continue
		}
		for _, i := range ids[:min(3, len(ids))] {
			where := "path." + other.PathParams[0].Name
			c, err := p.World.Call(ctx, other, up.As, map[string]string{where: jsonString(i.value)})
			if err != nil {
				continue
			}
			y, err := p.send(ctx, c)
			if err != nil {
				return false, err
			}
			if !isActive(y, served, mark) {
				continue
			}
			u := upload
			u.Save = []scenario.Save{{As: "file", At: i.at}}
			read, err := p.World.Step(c, map[string]string{where: `"${file}"`})
			if err != nil {
				continue
			}
			if done, err := p.readBack(ctx, op, []scenario.Step{taken, u}, read, y, served, mark); err != nil || done {
				return done, err
			}
		}
	}
	return false, nil
}

// Headers that keep browsers from running what they are given, and what in them does not.
const (
	shownInline = `(?i)^\s*inline`
	runsInline  = `(?i)'unsafe-inline'`
)

// isActive: the answer is the upload, of a type that browsers run, and no header keeps them from it.
func isActive(x *target.Exchange, served, mark string) bool {
	unless := func(name, harmless string) bool {
		v := x.Header.Get(name)
		return v == "" || regexp.MustCompile(harmless).MatchString(v)
	}
	return x.Status/100 == 2 && strings.Contains(string(x.Body), "<script>/*"+mark+"*/</script>") && regexp.MustCompile(served).MatchString(x.Header.Get("Content-Type")) &&
		unless("Content-Disposition", shownInline) && unless("Content-Security-Policy", runsInline) && !strings.Contains(x.Header.Get("Content-Security-Policy"), "sandbox")
}

// readBack proves that an upload is served as what browsers run, as seen was.
func (p *Probe) readBack(ctx context.Context, op *graph.Op, before []scenario.Step, read scenario.Step, seen *target.Exchange, served, mark string) (bool, error) {
	read.ID, read.Part, read.Note = "read", scenario.Observe, "and served as what browsers run"
	read.Expect = []scenario.Expect{
		{Status: "2xx", Contains: []string{"<script>/*" + mark + "*/</script>"}},
		{Header: "Content-Type", Matches: served},
	}
	for _, h := range [][2]string{{"Content-Disposition", shownInline}, {"Content-Security-Policy", runsInline}} {
		e := scenario.Expect{Header: h[0], Missing: true}
		if seen.Header.Get(h[0]) != "" {
			e = scenario.Expect{Header: h[0], Matches: h[1]}
		}
		read.Expect = append(read.Expect, e)
	}
	return p.Prove(ctx, Hypothesis{
		Op: op, Where: "file", Title: fmt.Sprintf("%s %s takes a web page, and it is served as one", op.Method, op.Path),
		Description: "A file with a script is taken and served from the API's own origin with a type that browsers run.",
		Scenario:    &scenario.Scenario{Name: "a web page as an upload", Steps: append(before, read)},
	})
}
