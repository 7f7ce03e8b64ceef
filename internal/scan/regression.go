package scan

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// Regression is a file that proves one finding again: what was found, and the
// story that shows it. It holds no credential: actors are named, and whoever
// runs it says who they are.
type Regression struct {
	Version     int               `yaml:"version"` // 1
	Fingerprint string            `yaml:"fingerprint"`
	Check       string            `yaml:"check"`
	Title       string            `yaml:"title"`
	Severity    finding.Severity  `yaml:"severity"`
	OWASP       string            `yaml:"owasp,omitempty"`
	CWE         string            `yaml:"cwe,omitempty"`
	CVSS        string            `yaml:"cvss,omitempty"`
	Method      string            `yaml:"method,omitempty"`
	Path        string            `yaml:"path,omitempty"`
	Where       string            `yaml:"where,omitempty"`
	Fix         string            `yaml:"fix,omitempty"`
	Scenario    scenario.Scenario `yaml:"scenario"`

	File string `yaml:"-"` // where it was read from
}

const regressionHead = "# Proves a finding again: crenel scan verify THIS-FILE -c scan.yaml\n"

// WriteRegressions writes a file for each proven finding into dir, names it in
// the finding, and returns how many were written. Files of findings that dir
// had already are replaced; others are left alone.
func WriteRegressions(dir string, res *Result) (int, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, fmt.Errorf("writing regression files: %w", err)
	}
	n := 0
	for _, p := range res.Proofs {
		f := p.Finding
		g := Regression{
			Version: 1, Fingerprint: f.Fingerprint, Check: f.Check, Title: f.Title, Severity: f.Severity, OWASP: f.OWASP, CWE: f.CWE, CVSS: f.CVSS,
			Method: f.Method, Path: f.Path, Where: f.Where, Fix: f.Fix, Scenario: *p.Scenario,
		}
		text, err := scenario.WriteYAML(g)
		if err != nil {
			return n, fmt.Errorf("writing the regression file of %s: %w", f.Fingerprint, err)
		}
		file := filepath.Join(dir, regressionName(f))
		if err := writePrivate(file, append([]byte(regressionHead), text...)); err != nil {
			return n, fmt.Errorf("writing the regression file of %s: %w", f.Fingerprint, err)
		}
		f.Regression = filepath.ToSlash(file)
		f.Reproduce = strings.Replace(f.Reproduce, scenario.VerifyFile, "crenel scan verify "+shellWord(f.Regression)+" -c scan.yaml", 1)
		n++
	}
	return n, nil
}

// shellWord is a text as one word of the shell, on one line.
func shellWord(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") == "" {
		return text
	}
	return "'" + strings.NewReplacer("'", `'\''`, "\n", "").Replace(text) + "'"
}

// regressionName is a file name that says what the finding is, the same in each run.
func regressionName(f *finding.Finding) string {
	words := strings.FieldsFunc(strings.ToLower(f.Method+" "+f.Path), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := f.Check
	if len(words) > 0 {
		name += "-" + strings.Join(words, "-")
	}
	if len(name) > 80 {
		name = name[:80]
	}
	return name + "-" + f.Fingerprint[:8] + ".yaml"
}

// ReadRegressions reads files, and those of directories (*.yaml, *.yml, not
// below them), in order. All mistakes are told together.
func ReadRegressions(names []string) ([]*Regression, error) {
	var files []string
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, fmt.Errorf("reading regression files: %w", err)
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, fmt.Errorf("reading regression files: %w", err)
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); e.Type()&fs.ModeDir == 0 && (ext == ".yaml" || ext == ".yml") {
				files = append(files, filepath.Join(name, e.Name()))
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no regression file (*.yaml) in %s", strings.Join(names, ", "))
	}
	var out []*Regression
	var wrong []error
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading regression files: %w", err)
		}
		g, err := ParseRegression(data)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", file, err))
			continue
		}
		g.File = file
		out = append(out, g)
	}
	return out, errors.Join(wrong...)
}

// ParseRegression reads a regression file, and refuses fields that it does not know.
func ParseRegression(data []byte) (*Regression, error) {
	var g Regression
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&g); err != nil {
		return nil, fmt.Errorf("reading a regression file: %s", yaml.FormatError(err, false, true))
	}
	if g.Version != 1 {
		return nil, fmt.Errorf("reading a regression file: version is %d, want 1", g.Version)
	}
	if len(g.Fingerprint) != 32 {
		return nil, fmt.Errorf("reading a regression file: fingerprint %q: want 32 hexadecimal digits", g.Fingerprint)
	}
	if _, err := finding.ParseSeverity(string(g.Severity)); err != nil {
		return nil, fmt.Errorf("reading a regression file: %w", err)
	}
	if err := g.Scenario.Check(); err != nil {
		return nil, err
	}
	return &g, nil
}
