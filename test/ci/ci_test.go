package ci

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// The address that the examples name: the checkout's API is elsewhere.
const named = "http://127.0.0.1:9000"

// pipeline is a checkout in which a pipeline's commands are run.
type pipeline struct {
	t    *testing.T
	dir  string
	env  []string
	bin  string
	repo string

	mu    sync.Mutex
	notes []string // comments that the stand-in of a forge got
}

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "crenel-ci-")
	if err != nil {
		return "", err
	}
	// As the step "Build" of action.yml does.
	var action struct{ Runs struct{ Steps []step } }
	if err := read("../../action.yml", &action); err != nil {
		return dir, err
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		return dir, err
	}
	for _, s := range action.Runs.Steps {
		if s.Name != "Build" {
			continue
		}
		cmd := exec.Command("bash", "-eo", "pipefail", "-c", s.Run)
		cmd.Env = append(os.Environ(), "GITHUB_ACTION_PATH="+repo, "RUNNER_TEMP="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, errors.New("building: " + err.Error() + "\n" + string(out))
		}
		return dir, nil
	}
	return dir, errors.New("action.yml has no step Build")
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := build(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

type step struct {
	Name string            `yaml:"name"`
	Uses string            `yaml:"uses"`
	Run  string            `yaml:"run"`
	If   string            `yaml:"if"`
	Env  map[string]string `yaml:"env"`
	With map[string]string `yaml:"with"`
}

func read(file string, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(data, into)
}

// checkout has the description, a script that starts nothing (the API is there), and
// stand-ins for what is not ours.
func checkout(t *testing.T, open bool) *pipeline {
	t.Helper()
	if testing.Short() {
		t.Skip("SKIPPED in short mode: it builds the binary")
	}
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	p := &pipeline{t: t, dir: t.TempDir(), bin: bin, repo: repo}
	forge := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.notes = append(p.notes, r.Method+" "+r.URL.Path+" "+r.Header.Get("PRIVATE-TOKEN")+" "+string(body))
		p.mu.Unlock()
	}))
	t.Cleanup(forge.Close)
	tools := filepath.Join(p.dir, ".tools")
	p.write("openapi.yaml", scantest.Spec)
	p.write("start-api.sh", "#!/bin/sh\nexit 0\n")
	p.write(".tools/gh", "#!/bin/sh\nprintf '%s ' \"$@\" >> gh.log\nexec cat \"$5\" >> gh.log\n")
	p.env = append(os.Environ(), "PATH="+bin+":"+tools+":"+os.Getenv("PATH"), "RUNNER_TEMP="+bin, "GITHUB_ACTION_PATH="+repo, "GITHUB_STEP_SUMMARY="+filepath.Join(p.dir, "summary.md"),
		"CI_API_V4_URL="+forge.URL+"/api/v4", "CI_PROJECT_ID=7", "CI_MERGE_REQUEST_IID=3", "GITLAB_TOKEN=glpat-test", "NO_COLOR=1")
	p.serve(open)
	return p
}

// serve puts another API to the target: with the hole, or without.
func (p *pipeline) serve(open bool) {
	web := httptest.NewServer(&scantest.Notes{Open: open})
	p.t.Cleanup(web.Close)
	p.env = append(p.env, "TARGET="+web.URL)
	p.write("scan.yaml", "spec: openapi.yaml\ntarget: "+web.URL+"\nchecks: [bola-read, bola-write]\n")
}

func (p *pipeline) target() string {
	out := ""
	for _, e := range p.env {
		if v, ok := strings.CutPrefix(e, "TARGET="); ok {
			out = v
		}
	}
	return out
}

func (p *pipeline) write(name, text string) {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, []byte(text), 0o755)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *pipeline) read(name string) string {
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return ""
	}
	return string(data)
}

// run runs a command as a pipeline's shell does, and gives its exit code.
func (p *pipeline) run(command string, env ...string) int {
	p.t.Helper()
	cmd := exec.CommandContext(context.Background(), "bash", "-eo", "pipefail", "-c", strings.ReplaceAll(command, named, p.target()))
	cmd.Dir, cmd.Env = p.dir, append(slices.Clone(p.env), env...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("%s: %v", command, err)
	}
	p.t.Logf("$ %s\n%s[%d]", command, out, cmd.ProcessState.ExitCode())
	return cmd.ProcessState.ExitCode()
}

// baseline is made as docs/ci.md says.
func (p *pipeline) baseline() {
	p.t.Helper()
	page, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		p.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^    (crenel scan .* --json crenel-baseline\.json)$`).FindSubmatch(page)
	if m == nil {
		p.t.Fatal("docs/ci.md does not say how a baseline is made")
	}
	if code := p.run(string(m[1])); code != 0 {
		p.t.Fatalf("making a baseline exits with %d", code)
	}
}

// stories are what every pipeline must do: whether the main branch has the hole,
// whether the change has it, and whether the build fails.
var stories = []struct {
	name         string
	main, change bool
	fails        bool
}{
	{"a hole that was there before", true, true, false},
	{"a hole that the change brings", false, true, true},
	{"no hole", false, false, false},
}

func each(t *testing.T, run func(t *testing.T, p *pipeline) (code int)) {
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			p := checkout(t, s.main)
			p.baseline()
			if s.main != s.change {
				p.serve(s.change)
			}
			if code := run(t, p); (code == 1) != s.fails || code > 1 {
				t.Errorf("the build's exit code is %d, should it fail: %v", code, s.fails)
			}
		})
	}
}

var expression = regexp.MustCompile(`\$\{\{ *([\w.-]+) *\}\}`)

func TestGitHub(t *testing.T) {
	each(t, func(t *testing.T, p *pipeline) int {
		var action struct {
			Inputs map[string]struct{ Default string }
			Runs   struct{ Steps []step }
		}
		var flow struct {
			Jobs map[string]struct{ Steps []step }
		}
		for file, into := range map[string]any{"../../action.yml": &action, "../../examples/ci/github.yml": &flow} {
			if err := read(file, into); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		code, scans := 0, 0
		do := func(s step, values map[string]string) {
			if s.Run == "" || code != 0 && !strings.Contains(s.If, "always()") {
				return
			}
			var env []string
			for name, text := range s.Env {
				env = append(env, name+"="+expression.ReplaceAllStringFunc(text, func(e string) string {
					v, known := values[expression.FindStringSubmatch(e)[1]]
					if !known {
						t.Fatalf("%s: %s is nothing known", s.Name, e)
					}
					return v
				}))
			}
			if c := p.run(s.Run, env...); c != 0 && code == 0 {
				code = c
			}
		}
		for _, s := range flow.Jobs["scan"].Steps {
			if !strings.HasPrefix(s.Uses, "crenel-project/crenel@") {
				do(s, map[string]string{"github.token": "t", "github.event.pull_request.number": "12"})
				continue
			}
			scans++
			values := map[string]string{}
			for name, in := range action.Inputs {
				values["inputs."+name] = in.Default
			}
			for name, text := range s.With {
				if _, known := action.Inputs[name]; !known {
					t.Errorf("the action has no input %s", name)
				}
				values["inputs."+name] = strings.ReplaceAll(text, named, p.target())
			}
			for _, inner := range action.Runs.Steps {
				if inner.Name != "Build" { // it was done before
					do(inner, values)
				}
			}
		}
		if scans != 1 {
			t.Errorf("the workflow uses the action %d times", scans)
		}
		if got := p.read("gh.log"); !strings.HasPrefix(got, "pr comment 12 --body-file crenel.md --edit-last") || !strings.Contains(got, "<!-- crenel-scan -->") {
			t.Errorf("the comment: %.200q", got)
		}
		if !strings.Contains(p.read("summary.md"), "<!-- crenel-scan -->") {
			t.Error("the summary lacks the report")
		}
		var sarif struct{ Version string }
		if err := json.Unmarshal([]byte(p.read("crenel.sarif")), &sarif); err != nil || sarif.Version != "2.1.0" {
			t.Errorf("crenel.sarif: %v %q", err, sarif.Version)
		}
		return code
	})
}

func TestGitLab(t *testing.T) {
	type job struct {
		Variables    map[string]string
		BeforeScript []string `yaml:"before_script"`
		Script       []string
		AfterScript  []string `yaml:"after_script"`
		Extends      string
	}
	var file map[string]any
	if err := read("../../examples/ci/gitlab.yml", &file); err != nil {
		t.Fatal(err)
	}
	jobs := map[string]job{}
	for name, v := range file {
		text, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var j job
		if name != "stages" {
			if err := yaml.Unmarshal(text, &j); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			jobs[name] = j
		}
	}
	whole := func(p *pipeline, name string) int {
		j := jobs[name]
		parent := jobs[j.Extends]
		code := p.run(strings.Join(append(append(parent.BeforeScript, j.BeforeScript...), j.Script...), "\n"))
		if after := append(parent.AfterScript, j.AfterScript...); len(after) > 0 {
			if c := p.run(strings.Join(after, "\n")); c != 0 {
				p.t.Errorf("after_script exits with %d", c)
			}
		}
		return code
	}
	each(t, func(t *testing.T, p *pipeline) int {
		code := whole(p, "api-scan")
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.notes) != 1 || !strings.HasPrefix(p.notes[0], "POST /api/v4/projects/7/merge_requests/3/notes glpat-test body=") {
			t.Errorf("the comment: %.200q", p.notes)
		}
		if !strings.Contains(p.read("crenel.xml"), "<testsuites") {
			t.Error("there is no JUnit report")
		}
		return code
	})
	t.Run("the main branch", func(t *testing.T) {
		p := checkout(t, true)
		if code := whole(p, "api-scan-main"); code != 0 || !strings.Contains(p.read("crenel-baseline.json"), "fingerprint") {
			t.Errorf("exit code %d, baseline %.100q", code, p.read("crenel-baseline.json"))
		}
	})
}

func TestJenkins(t *testing.T) {
	data, err := os.ReadFile("../../examples/ci/Jenkinsfile")
	if err != nil {
		t.Fatal(err)
	}
	scripts := regexp.MustCompile(`(?s)sh '''(.*?)'''`).FindAllSubmatch(data, -1)
	if len(scripts) != 2 {
		t.Fatalf("%d shell steps, want 2", len(scripts))
	}
	each(t, func(t *testing.T, p *pipeline) int {
		for _, s := range scripts {
			if code := p.run(string(s[1])); code != 0 {
				return code
			}
		}
		for _, f := range []string{"crenel.xml", "crenel.sarif", "crenel.html"} {
			if p.read(f) == "" {
				t.Errorf("%s is not there", f)
			}
		}
		return 0
	})
}

func TestPreCommit(t *testing.T) {
	var hooks []struct {
		ID            string
		Entry         string
		Files         string
		PassFilenames *bool `yaml:"pass_filenames"`
	}
	if err := read("../../.pre-commit-hooks.yaml", &hooks); err != nil {
		t.Fatal(err)
	}
	var config struct {
		Repos []struct{ Hooks []struct{ ID string } }
	}
	if err := read("../../examples/ci/pre-commit-config.yaml", &config); err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, p *pipeline) int {
		code := 0
		for _, used := range config.Repos[0].Hooks {
			i := slices.IndexFunc(hooks, func(h struct {
				ID            string
				Entry         string
				Files         string
				PassFilenames *bool `yaml:"pass_filenames"`
			}) bool {
				return h.ID == used.ID
			})
			if i < 0 {
				t.Fatalf("there is no hook %s", used.ID)
			}
			entry := hooks[i].Entry
			if hooks[i].PassFilenames == nil {
				if !regexp.MustCompile(hooks[i].Files).MatchString("openapi.yaml") {
					t.Errorf("%s does not take openapi.yaml", used.ID)
				}
				entry += " openapi.yaml"
			}
			code = max(code, p.run(entry))
		}
		return code
	})
	t.Run("a description that cannot be read", func(t *testing.T) {
		p := checkout(t, false)
		p.write("openapi.yaml", "no: description\n")
		if code := p.run(hooks[0].Entry + " openapi.yaml"); code != 2 {
			t.Errorf("exit code %d, want 2", code)
		}
	})
}

// What docs/ci.md says of exit codes.
func TestExitCodes(t *testing.T) {
	p := checkout(t, true)
	for command, want := range map[string]int{
		`crenel scan -c scan.yaml`:                             1,
		`crenel scan -c scan.yaml --fail-on never`:             0,
		`crenel scan -c scan.yaml --fail-on critical`:          0,
		`crenel scan -c scan.yaml --fail-on new`:               2, // no baseline
		`crenel scan -c nothing.yaml`:                          2,
		`crenel scan -c scan.yaml --target http://127.0.0.1:1`: 3,
	} {
		if got := p.run(command); got != want {
			t.Errorf("%s: exit code %d, want %d", command, got, want)
		}
	}
}
