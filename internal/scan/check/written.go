package check

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// Written is a check that a user wrote in YAML: what it is, which operations it
// applies to, and the story that proves it there.
type Written struct {
	ID    string `yaml:"id"`
	Title string `yaml:"title"`
	OWASP string `yaml:"owasp"`
	CWE   string `yaml:"cwe"`
	WSTG  string `yaml:"wstg"`
	CVSS  string `yaml:"cvss"`
	About string `yaml:"about"`
	Proof string `yaml:"proof"`
	Fix   string `yaml:"fix"`
	Mode  string `yaml:"mode,omitempty"`  // safe, default, aggressive; "" is default
	Late  bool   `yaml:"late,omitempty"`  // it changes or destroys what others lean on
	Alone bool   `yaml:"alone,omitempty"` // it measures time
	// Applies says to which operations; none: once, to the API as a whole.
	Applies *Applies `yaml:"applies_to,omitempty"`
	// Where is the place in the request or answer that the finding names: "path.id".
	// "" is the input that Applies chose, if it chose one.
	Where       string `yaml:"where,omitempty"`
	Description string `yaml:"description,omitempty"`
	// Object, when given, is made anew at the beginning.
	Object *Wanted `yaml:"object,omitempty"`
	// NoControl says why no step needs to be a control: without one, what an
	// honest API does as well would be reported.
	NoControl string        `yaml:"no_control,omitempty"`
	Steps     []WrittenStep `yaml:"steps"`

	input *regexp.Regexp
}

// Applies chooses operations; all that is given must hold.
type Applies struct {
	Methods    []string `yaml:"methods,omitempty"`
	Paths      []string `yaml:"paths,omitempty"`      // templates, * for anything
	Operations []string `yaml:"operations,omitempty"` // operationIds
	Kinds      []string `yaml:"kinds,omitempty"`      // create, list, read, update, delete, action
	Purposes   []string `yaml:"purposes,omitempty"`   // login, upload, payment, …: see crenel scan --plan
	Resources  []string `yaml:"resources,omitempty"`  // singular, as crenel scan --plan writes them
	Input      string   `yaml:"input,omitempty"`      // regular expression over inputs: "body./price"; the first that matches is ${input}
	Secured    *bool    `yaml:"secured,omitempty"`    // whether the description asks for credentials
}

// Wanted is an object that a story begins with.
type Wanted struct {
	Of string `yaml:"of"` // a resource; "this": the one that the operation is about
	As string `yaml:"as"` // whose
}

// WrittenStep is a scenario's step that may name an operation of the
// description in place of a request.
type WrittenStep struct {
	scenario.Step `yaml:",inline"`
	Call          *WrittenCall `yaml:"call,omitempty"`
}

// WrittenCall is a valid call of an operation, made by the run as for any check:
// its inputs are filled in, the object's identifier is put where it belongs.
type WrittenCall struct {
	// Operation is "this", an operationId, "GET /orders/{id}", or a kind (create,
	// list, read, update, delete) of the object's resource.
	Operation string `yaml:"operation"`
	// With gives inputs by place ("query.limit", "body./price"); texts may hold placeholders.
	With map[string]any `yaml:"with,omitempty"`
	// Without leaves inputs out, by place.
	Without []string `yaml:"without,omitempty"`
	// Absent puts an identifier of nothing in place of the object's.
	Absent bool `yaml:"absent,omitempty"`
}

// ReadWritten reads the checks of a directory (*.yaml, *.yml) or a file. All
// mistakes are told together.
func ReadWritten(dir string) ([]*Check, error) {
	files := []string{dir}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("reading checks: %w", err)
	}
	if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(dir, "*.y*ml")); err != nil {
			return nil, fmt.Errorf("reading checks: %w", err)
		}
		slices.Sort(files)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("reading checks: there is no *.yaml in %s", dir)
	}
	var out []*Check
	var wrong []error
	from := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading checks: %w", err)
		}
		w, err := ParseWritten(data)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%s: %w", file, err))
		case Find(w.ID) != nil:
			wrong = append(wrong, fmt.Errorf("%s: there is a check %q in Crenel already; call yours otherwise", file, w.ID))
		case from[w.ID] != "":
			wrong = append(wrong, fmt.Errorf("%s: %s has the same id, %q", file, from[w.ID], w.ID))
		default:
			from[w.ID] = file
			out = append(out, w.Check())
		}
	}
	return out, errors.Join(wrong...)
}

// ParseWritten reads one check and says what is wrong with it, all of it together.
func ParseWritten(data []byte) (*Written, error) {
	var w Written
	if err := yaml.NewDecoder(bytes.NewReader(data), yaml.Strict()).Decode(&w); err != nil {
		return nil, fmt.Errorf("reading a check: %s", yaml.FormatError(err, false, true))
	}
	return &w, w.valid()
}

func (w *Written) valid() error {
	var wrong []error
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if w.Mode != "" && !slices.Contains(modes, w.Mode) {
		say("mode is %q, want safe, default or aggressive", w.Mode)
	}
	if err := w.Check().Valid(); err != nil {
		wrong = append(wrong, err)
	}
	if a := w.Applies; a != nil {
		for _, k := range a.Kinds {
			if !slices.Contains([]graph.Kind{graph.Create, graph.List, graph.Read, graph.Update, graph.Delete, graph.Action}, graph.Kind(k)) {
				say("applies_to.kinds: %q: want create, list, read, update, delete or action", k)
			}
		}
		for _, at := range a.Paths {
			if _, err := path.Match(at, ""); err != nil {
				say("applies_to.paths: %q: %v", at, err)
			}
		}
		if a.Input != "" {
			re, err := regexp.Compile(a.Input)
			if err != nil {
				say("applies_to.input: %v", err)
			}
			w.input = re
		}
	}
	if w.Object != nil {
		if w.Object.As == "" || w.Object.Of == "" {
			say("object: want of (a resource, or this) and as (an actor)")
		}
		if w.Object.Of == "this" && w.Applies == nil {
			say("object.of: this needs applies_to")
		}
	}
	control := false
	sc := &scenario.Scenario{Name: w.ID}
	for i, s := range w.Steps {
		control = control || s.Part == scenario.Control && (len(s.Expect) > 0)
		st := s.Step
		if c := s.Call; c != nil {
			if st.Send != nil || st.Handshake != nil || st.Raw != nil {
				say("step %d (%s): it has send and call (or handshake, or raw); want one of them", i+1, s.ID)
			}
			if c.Operation == "" || c.Operation == "this" && w.Applies == nil {
				say("step %d (%s): call.operation: want this (with applies_to), an operationId, \"GET /path\" or a kind", i+1, s.ID)
			}
			if c.Absent && w.Object == nil {
				say("step %d (%s): call.absent needs an object", i+1, s.ID)
			}
			st.Send = &scenario.Send{Method: "GET", Path: "/"} // as a stand-in: what it is said of steps that send holds for calls
		}
		if st.Send != nil && strings.HasPrefix(st.Send.Path, "${op.path}") && w.Applies != nil {
			send := *st.Send
			send.Path = "/" // what it stands for begins so
			st.Send = &send
		}
		sc.Steps = append(sc.Steps, st)
	}
	if err := sc.Check(); err != nil {
		wrong = append(wrong, err)
	}
	if !control && w.NoControl == "" {
		say("no step is a control that expects something: what an honest API does as well would be reported; add one (part: control), or say in no_control why none is needed")
	}
	return errors.Join(wrong...)
}

// mode is the least mode in which the check runs.
func (w *Written) mode() Mode {
	if i := slices.Index(modes, w.Mode); i >= 0 {
		return Mode(i)
	}
	return Default
}

// Check is the check as all others are.
func (w *Written) Check() *Check {
	return &Check{
		ID: w.ID, Title: w.Title, OWASP: w.OWASP, CWE: w.CWE, WSTG: w.WSTG, CVSS: w.CVSS, About: w.About, Proof: w.Proof, Fix: w.Fix,
		Mode: w.mode(), Late: w.Late, Alone: w.Alone, Run: w.run,
	}
}

// chooses reports whether the check applies to an operation, and which of its
// inputs it is about; nil: none in particular.
func (a *Applies) chooses(op *graph.Op, re *regexp.Regexp) (*graph.Input, bool) {
	hits := func(list []string, is func(string) bool) bool { return len(list) == 0 || slices.ContainsFunc(list, is) }
	switch {
	case !hits(a.Methods, func(s string) bool { return strings.EqualFold(s, op.Method) }),
		!hits(a.Paths, func(s string) bool { return pathIs(s, op.Path) }),
		!hits(a.Operations, func(s string) bool { return s == op.ID }),
		!hits(a.Kinds, func(s string) bool { return graph.Kind(s) == op.Kind }),
		!hits(a.Purposes, func(s string) bool { return op.Has(graph.Purpose(s)) }),
		!hits(a.Resources, func(s string) bool { return op.About != nil && op.About.Name == s }),
		a.Secured != nil && *a.Secured != op.Secured:
		return nil, false
	}
	if re == nil {
		return nil, true
	}
	for _, in := range op.Inputs {
		if re.MatchString(in.Where()) {
			return in, true
		}
	}
	return nil, false
}

// pathIs compares a path template with a pattern, in which * stands for anything.
func pathIs(pattern, template string) bool {
	if pattern == template {
		return true
	}
	if ok, err := path.Match(pattern, template); err == nil && ok {
		return true
	}
	prefix, all := strings.CutSuffix(pattern, "*")
	return all && strings.HasPrefix(template, prefix)
}
