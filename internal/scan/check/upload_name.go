package check

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
)

var (
	_ = register(&Check{
		ID: "upload-name", Title: "An upload's name leads out of its directory",
		OWASP: "API8:2023", CWE: "CWE-22", WSTG: "WSTG-BUSL-08",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:N/VI:H/VA:L/SC:N/SI:N/SA:N",
		About: "Uploads a small text under a new name that has a step upwards in it, in several spellings, and asks for it one directory above where uploads lie.",
		Proof: "The text is served from one directory above. Controls: a plain name lies where uploads lie, and before the upload nothing was above.",
		Fix:   "Give files names of your own; else take the last element of the name, and refuse what is empty, dots or holds a NUL.",
		Mode:  Default, Dirty: true,
		Run: uploadName,
	})
	_ = register(&Check{
		ID: "upload-size", Title: "An upload may be larger than the description says",
		OWASP: "API4:2023", CWE: "CWE-770", WSTG: "WSTG-BUSL-08",
		CVSS:  "CVSS:4.0/AV:N/AC:L/AT:P/PR:L/UI:N/VC:N/VI:N/VA:L/SC:N/SI:N/SA:N/E:U",
		About: "Uploads a file that is half as large again as the description allows, by its maxLength or its words (\"at most 1 MB\"), up to 3 MB.",
		Proof: "It is taken, twice. Controls: a small file is taken, too.",
		Fix:   "Count bytes while they are read, and stop at the limit with 413.",
		Mode:  Aggressive, Dirty: true,
		Run: uploadSize,
	})
)

func uploadName(ctx context.Context, p *Probe) error {
	return p.uploadsOf(ctx, func(ctx context.Context, op *graph.Op, c *world.Call, where string) error {
		file := c.Files[where]
		ext := path.Ext(file.Name)
		mark := "crun" + p.RunID
		named := func(name, text string) *world.Call {
			f := world.File{Name: name, Type: file.Type, Content: []byte(text)}
			if ext != ".txt" && len(file.Content) > 0 { // what looks at content finds what it wants
				f.Content = append(append([]byte(nil), file.Content...), text...)
			}
			return c.WithFile(where, f)
		}
		x, err := p.send(ctx, named(mark+ext, mark))
		if err != nil || x.Status/100 != 2 {
			return err
		}
		dir := uploadDir(x, mark+ext)
		if dir == "" {
			return nil
		}
		there, err := p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: dir + "/" + mark + ext, Root: true})
		if err != nil || !strings.Contains(string(there.Body), mark) {
			return err
		}
		above := strings.TrimSuffix(path.Dir(dir), "/") + "/"
		for i, form := range []string{"../%s", "..%%2f%s", `..\%s`, "....//%s", "%%2e%%2e/%s"} {
			name := mark + strconv.Itoa(i) + ext
			spelt := strings.ReplaceAll(strings.Replace(form, "%s", name, 1), "%%", "%")
			x, err := p.send(ctx, named(spelt, mark+"above"))
			if err != nil {
				return err
			}
			if x.Status/100 != 2 {
				continue
			}
			y, err := p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: above + name, Root: true})
			if err != nil {
				return err
			}
			if y.Status/100 != 2 || !strings.Contains(string(y.Body), mark+"above") {
				continue
			}
			const name2, text2 = "crunnamezq", "cruntextzq"
			attack := named(strings.Replace(spelt, name, name2+ext, 1), text2)
			st, err := p.World.Step(attack, attack.Renew("attack"))
			if err != nil || !refilled(&st, name2, "${canary.name}", text2, "${canary.text}") {
				continue
			}
			st.ID, st.Part, st.Note, st.Expect = "attack", scenario.Attack, "a file is uploaded under a name with a step upwards", []scenario.Expect{{Status: "2xx"}}
			get := func(id string, part scenario.Part, note string, e scenario.Expect) scenario.Step {
				return scenario.Step{ID: id, Part: part, Note: note, Send: &scenario.Send{Method: http.MethodGet, Path: above + "${canary.name}" + ext, Root: true}, Expect: []scenario.Expect{e}}
			}
			done, err := p.Prove(ctx, Hypothesis{
				Op: op, Where: "file.name", Title: fmt.Sprintf("%s %s: a file's name leads out of its directory", op.Method, op.Path),
				Description: "The name that an upload brings is part of the path that is written to: a step upwards in it leads out of the directory, and other files can be written over.",
				Scenario: &scenario.Scenario{Name: "an upload above its directory", Steps: []scenario.Step{
					get("before", scenario.Control, "before, there is nothing of that name above", scenario.Expect{Lacks: []string{"${canary.text}"}}),
					st,
					get("above", scenario.Observe, "and is served from above", scenario.Expect{Status: "2xx", Contains: []string{"${canary.text}"}}),
				}},
			})
			if err != nil || done {
				return err
			}
		}
		return nil
	})
}

// refilled puts placeholders in place of texts in a step's body, and reports
// whether the texts were there.
func refilled(st *scenario.Step, pairs ...string) bool {
	body := st.Send.Body
	if st.Send.Base64 != "" {
		raw, err := base64.StdEncoding.DecodeString(st.Send.Base64)
		if err != nil {
			return false
		}
		body = string(raw)
	}
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(body, pairs[i]) {
			return false
		}
	}
	body = strings.NewReplacer(pairs...).Replace(body)
	if st.Send.Base64 != "" {
		st.Send.Base64, st.Send.Fill = base64.StdEncoding.EncodeToString([]byte(body)), true
	} else {
		st.Send.Body = body
	}
	return true
}

// uploadDir is where an answer says that a file of a name lies, without the name.
func uploadDir(x *target.Exchange, name string) string {
	body, ok := scenario.Decode(x.Body)
	if !ok {
		return ""
	}
	out := ""
	scenario.Walk(body, func(_ string, v any) {
		text := scenario.Plain(v)
		if dir, ok := strings.CutSuffix(text, "/"+name); ok && out == "" && strings.HasPrefix(text, "/") && strings.Count(text, "/") > 1 && path.Clean(text) == text {
			out = dir
		}
	})
	return out
}

var reMost = regexp.MustCompile(`(?i)(?:max(?:imum)?|up to|at most|no (?:more|larger) than|limit(?:ed)?(?: to| of)?|not exceed|smaller than|under)\D{0,24}?(\d{1,4})\s?(k|m)i?b\b`)

const maxUpload = 2 << 20 // bytes of a described limit that is tried

// allowedBytes is how many bytes the description allows; 0: it does not say.
func allowedBytes(op *graph.Op, in *graph.Input) int {
	texts := []string{op.Summary, op.Description}
	if in != nil && in.Schema != nil {
		if n := in.Schema.Bounds().MaxLength; n > 0 {
			return n
		}
		texts = append(texts, in.Schema.Description())
	}
	for _, text := range texts {
		if m := reMost.FindStringSubmatch(text); m != nil {
			n, _ := strconv.Atoi(m[1]) // four digits at most
			if strings.EqualFold(m[2], "m") {
				return n << 20
			}
			return n << 10
		}
	}
	return 0
}

func uploadSize(ctx context.Context, p *Probe) error {
	return p.uploadsOf(ctx, func(ctx context.Context, op *graph.Op, c *world.Call, where string) error {
		var in *graph.Input
		for _, i := range op.Inputs {
			if i.Where() == where {
				in = i
			}
		}
		most := allowedBytes(op, in)
		if most == 0 || most > maxUpload {
			return nil
		}
		file := c.Files[where]
		large := file
		large.Content = append(append([]byte(nil), file.Content...), make([]byte, max(0, most+most/2-len(file.Content)))...)
		d := c.WithFile(where, large)
		x, err := p.send(ctx, d)
		if err != nil || x.Status/100 != 2 {
			return err
		}
		var l steps
		add := func(id string, part scenario.Part, note string, c *world.Call) {
			st, err := p.World.Step(c, c.Renew(id))
			st.ID, st.Part, st.Note, st.Expect = id, part, note, []scenario.Expect{{Status: "2xx"}}
			l.add(st, err)
		}
		add("small", scenario.Control, "a small file is taken", c)
		add("large", scenario.Attack, fmt.Sprintf("so is one of %d bytes, where %d are allowed", len(large.Content), most), d)
		if l.err != nil {
			return nil //nolint:nilerr // a call that cannot be written as a step proves nothing
		}
		_, err = p.Prove(ctx, Hypothesis{
			Op: op, Where: "file.size", Title: fmt.Sprintf("%s %s takes files larger than it says", op.Method, op.Path),
			Description: "The limit that the description gives is not kept: files fill the server's disk and memory.",
			Scenario:    &scenario.Scenario{Name: "a file that is too large", Steps: l.list},
		})
		return err
	})
}
