package check

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

var _ = register(&Check{
	ID: "path-traversal", Title: "A name leads out of its directory",
	OWASP: "API8:2023", CWE: "CWE-22", WSTG: "WSTG-ATHZ-01",
	CVSS:  "CVSS:4.0/AV:N/AC:L/AT:N/PR:L/UI:N/VC:H/VI:N/VA:N/SC:N/SI:N/SA:N",
	About: "Puts paths to files that every system has, in several spellings, into each input of a read that is a name or a path. Where a call may write, only what is surely a file's name is tried, with /proc/version, which nothing can change.",
	Proof: "The answer holds what such a file begins with. Controls: the same path to a file that is not there does not bring it, nor does the plain value.",
	Fix:   "Choose files by a fixed list or an identifier; else join, clean, and check that the result lies under the directory (os.Root in Go).",
	Mode:  Default, Dirty: true,
	Run: func(ctx context.Context, p *Probe) error {
		return Each(ctx, p, p.Ops(), p.traversed)
	},
})

// traversed tries the names that one operation takes. It need not be known
// which names there are: what is not found is a name that was looked for.
func (p *Probe) traversed(ctx context.Context, op *graph.Op) error {
	var names []*graph.Input
	for _, in := range op.Inputs {
		if takesText(in) && takesPath(&slot{op: op, in: in}) {
			names = append(names, in)
		}
	}
	if len(names) == 0 && !op.Has(graph.Download) && op.Method != http.MethodGet {
		return nil
	}
	call, base, err := p.working(ctx, op)
	if err != nil || call == nil || base.Status/100 != 2 && (len(names) == 0 || base.Status != 404 && base.Status != 400 && base.Status != 422) {
		return err
	}
	for _, in := range op.Inputs {
		s := slotOf(op, in, call, base)
		if !takesText(in) || !takesPath(s) {
			continue
		}
		p.Note(op, Clean)
		if err := p.traverses(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

var reFileName = regexp.MustCompile(`file|path|name$|template|document|dir|folder|page|view|include|load|download|attachment|report|export|lang|locale|theme|image|img|log|resource|asset|key$`)

// reOnlyFile are names of inputs that can be nothing but a file's name.
var reOnlyFile = regexp.MustCompile(`(?i)^(the_?|input_?|source_?|src_?)?(file|path|document|template|attachment|include|log_?file)(_?(name|path))?$`)

// takesPath: reads are tried with files of the system. Where a call may make
// something, the name may be one to write to, and the file of the system would be
// gone: there only names that are surely a file's are tried, with a file that the
// kernel makes up, and that nobody can write (readOnlyFile).
func takesPath(s *slot) bool {
	if s.op.Method != http.MethodGet && s.in.In == "body" {
		return s.op.Method == http.MethodPost && (s.in.Meaning == graph.MeansFileName || reOnlyFile.MatchString(s.in.Name))
	}
	if s.op.Method != http.MethodGet || s.op.Kind != graph.Read && s.op.Kind != graph.List && !s.op.Has(graph.Download) && !s.op.Has(graph.Search) && s.op.Kind != graph.Action {
		return false
	}
	return s.in.Meaning == graph.MeansFileName || s.op.Has(graph.Download) || reFileName.MatchString(strings.ToLower(s.in.Name)) || strings.Contains(s.value, ".") || s.in.In == "path" && servesFiles(s.op)
}

// servesFiles: what the operation answers is no JSON.
func servesFiles(op *graph.Op) bool {
	other := false
	for _, r := range op.Responses {
		if !strings.HasPrefix(r.Status, "2") {
			continue
		}
		for _, m := range r.Content {
			if strings.Contains(m.Type, "json") || strings.Contains(m.Type, "xml") || strings.Contains(m.Type, "event-stream") {
				return false
			}
			other = true
		}
	}
	return other
}

// systemFile is where a file is, a file beside it that is not there, and what it holds.
type systemFile struct{ path, wrong, holds string }

// systemFiles are files that are there on nearly every machine, and what they hold.
var systemFiles = []systemFile{
	{"etc/passwd", "etc/passwe", `(?m)root:[^:\n]*:0:0:`},
	{"windows/win.ini", "windows/win.inj", `(?i)\[fonts\]|for 16-bit app support`},
}

// readOnlyFile is a file that nobody can write, in a directory where nobody can make one.
var readOnlyFile = systemFile{"proc/version", "proc/versiom", `Linux version \d+\.\d+`}

func (p *Probe) traverses(ctx context.Context, s *slot) error {
	files := systemFiles
	if s.op.Method != http.MethodGet {
		files = []systemFile{readOnlyFile}
	}
	for _, f := range files {
		re := regexp.MustCompile(f.holds)
		if re.Match(s.base.Body) {
			continue
		}
		for _, form := range []string{"../../../../../../../../%s", "/%s", "....//....//....//....//....//....//%s", "..%%2f..%%2f..%%2f..%%2f..%%2f..%%2f..%%2f%s", "../../../../../../../../%s%%00", "file:///%s", `..\..\..\..\..\..\..\%s`} {
			spell := func(path string) string {
				return strings.ReplaceAll(strings.ReplaceAll(form, "%s", path), "%%", "%")
			}
			x, err := p.send(ctx, s.with(spell(f.path)))
			if err != nil {
				return err
			}
			if !re.Match(x.Body) {
				continue
			}
			var l steps
			l.add(p.slotStep(s, "wrong", scenario.Control, "a file that is not there brings nothing", spell(f.wrong), scenario.Expect{Status: "any"}))
			st, err := p.slotStep(s, "attack", scenario.Attack, "a file of the system is in the answer", spell(f.path), scenario.Expect{Matches: f.holds, Unlike: "wrong"})
			l.add(st, err)
			if ok, err := p.injected(ctx, s, "path traversal", "A name with steps upwards leads to any file that the server can read.", &l); err != nil || ok {
				return err
			}
		}
	}
	if s.op.Method != http.MethodGet {
		return nil
	}
	return p.leadsOut(ctx, s)
}
