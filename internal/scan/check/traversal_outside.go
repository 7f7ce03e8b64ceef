package check

import (
	"context"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// neighbours are names of what lies beside or above the directory of a program's
// files: of systems, of containers, and of programs in the usual languages.
var neighbours = []string{
	"etc", "usr", "var", "tmp", "home", "src", "app", "config", "public", "static", "data", "lib", "node_modules", "uploads", "views",
	"package.json", "requirements.txt", "go.mod", "composer.json", "pom.xml", "Dockerfile", "README.md", "index.js", "server.js", "app.js", "app.py", "main.py", "main.go", ".git", ".env",
}

// leadsOut tells a name that leads out of its directory where no file of the
// system is to be had (a container without one, a directory of the program's
// own as the root): what is there above the directory is answered otherwise
// than what is not, and that name is nothing in the directory itself.
func (p *Probe) leadsOut(ctx context.Context, s *slot) error {
	const gone = "crenelzq"
	none, err := p.send(ctx, s.with(gone))
	if err != nil || none.Status >= 500 || none.Status == 429 {
		return err
	}
	if path, err := p.isPath(ctx, s, none, gone); err != nil || !path {
		return err
	}
	for _, up := range []string{"../", "../../", "../../../"} {
		above, err := p.send(ctx, s.with(up+gone))
		if err != nil {
			return err
		}
		if above.Status >= 500 || above.Status == 429 {
			continue
		}
		for _, name := range neighbours {
			x, err := p.send(ctx, s.with(up+name))
			if err != nil {
				return err
			}
			if x.Status/100 != 2 && x.Status != 500 || scenario.Alike(above, x, up+gone, up+name, gone, name) {
				continue
			}
			if done, err := p.outside(ctx, s, up, name); err != nil || done {
				return err
			}
		}
	}
	return nil
}

// isPath: the name is a path, for a step that goes nowhere changes nothing; or,
// where no name is known that is there, the directory itself is no such nothing
// as a name that is not there.
func (p *Probe) isPath(ctx context.Context, s *slot, none *target.Exchange, gone string) (bool, error) {
	if s.base.Status/100 == 2 && s.value != "" && !strings.ContainsAny(s.value, " \n") && !scenario.Alike(s.base, none, s.value, gone) {
		dot, err := p.send(ctx, s.with("./"+s.value))
		if err != nil || scenario.Alike(s.base, dot, "./"+s.value, s.value) {
			return err == nil, err
		}
	}
	dir, err := p.send(ctx, s.with("./."))
	if err != nil {
		return false, err
	}
	return (dir.Status/100 == 2 || dir.Status == 500) && !scenario.Alike(dir, none, "./.", gone), nil
}

func (p *Probe) outside(ctx context.Context, s *slot, up, name string) (bool, error) {
	const gone = "${canary.gone}"
	var l steps
	add := func(id string, part scenario.Part, note, text string, e scenario.Expect) {
		l.add(p.unechoed(s, id, part, note, text, e))
	}
	add("none", scenario.Control, "a name of nothing in the directory", gone, scenario.Expect{Status: "!5xx"})
	add("inside", scenario.Control, "nor is the other name there", name, scenario.Expect{Like: "none"})
	add("above", scenario.Control, "a name of nothing, above the directory", up+gone, scenario.Expect{Status: "!5xx"})
	add("attack", scenario.Attack, "what is above the directory is answered otherwise", up+name, scenario.Expect{Status: "2xx|500", Unlike: "above"})
	add("again", scenario.Attack, "by another spelling as well", strings.Replace(up, "../", ".././", 1)+name, scenario.Expect{Like: "attack"})
	add("twin", scenario.Control, "and the other spelling of nothing is as nothing", strings.Replace(up, "../", ".././", 1)+gone, scenario.Expect{Like: "above"})
	return p.injected(ctx, s, "path traversal", "A name with steps upwards is opened outside its directory: what is there is told from what is not.", &l)
}
