package harbour

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:generate go run ./cmd/holesdoc -o HOLES.md

//go:embed holes/*.yaml
var holeFiles embed.FS

// Hole is one documented weakness: what it is, how it is shown, how it is fixed.
type Hole struct {
	ID       string `yaml:"id"`    // kebab case; also marks the branch in the code
	Title    string `yaml:"title"` // one sentence
	OWASP    string `yaml:"owasp"` // OWASP API Security Top 10 (2023), "API1:2023"
	CWE      string `yaml:"cwe"`   // "CWE-639"
	Kind     string `yaml:"kind"`  // object-level, function-level, property-level, authentication, injection, …
	Severity string `yaml:"severity"`
	Where    Where  `yaml:"where"`
	Why      string `yaml:"why"`
	Fix      string `yaml:"fix"`
	// Guards are the general kinds of gateway rule that stop the attack without
	// knowing this hole: contract-request, contract-response, contract-route,
	// token, role, scope, ownership, rate, concurrency, signature, session-end,
	// headers.
	Guards []string    `yaml:"guards"`
	Attack []Step      `yaml:"attack"`
	Proof  []Condition `yaml:"proof"` // all must hold for the hole to be open
}

// Where is the operation that has the hole.
type Where struct {
	Method string `yaml:"method"`
	Path   string `yaml:"path"`
}

func (w Where) String() string { return w.Method + " " + w.Path }

var loadHoles = sync.OnceValues(func() ([]Hole, error) {
	names, err := fs.Glob(holeFiles, "holes/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the hole files: %w", err)
	}
	var all []Hole
	for _, name := range names {
		raw, err := holeFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		var some []Hole
		err = yaml.UnmarshalWithOptions(raw, &some, yaml.Strict())
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b Hole) int { return cmp.Compare(owaspNumber(a), owaspNumber(b)) })
	return all, nil
})

func owaspNumber(h Hole) int {
	var n int
	_, _ = fmt.Sscanf(h.OWASP, "API%d:", &n) // 0 when malformed; the tests refuse that
	return n
}

// Holes lists all holes, by OWASP item. It panics if the embedded files cannot
// be read, which the package's tests rule out.
func Holes() []Hole {
	all, err := loadHoles()
	if err != nil {
		panic(err)
	}
	return slices.Clone(all)
}

// HoleByID finds a hole.
func HoleByID(id string) (Hole, bool) {
	for _, h := range Holes() {
		if h.ID == id {
			return h, true
		}
	}
	return Hole{}, false
}

// HoleIDs lists the ids of all holes.
func HoleIDs() []string {
	var ids []string
	for _, h := range Holes() {
		ids = append(ids, h.ID)
	}
	return ids
}

// ParseHoles reads what --holes takes: "all", "none", or ids with commas between.
func ParseHoles(text string) ([]string, error) {
	switch text {
	case "", "none":
		return nil, nil
	case "all":
		return HoleIDs(), nil
	}
	var ids, bad []string
	for _, id := range strings.Split(text, ",") {
		id = strings.TrimSpace(id)
		if _, ok := HoleByID(id); !ok {
			bad = append(bad, id)
		}
		ids = append(ids, id)
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("no such holes: %s; known are: all, none, %s", strings.Join(bad, ", "), strings.Join(HoleIDs(), ", "))
	}
	return ids, nil
}
