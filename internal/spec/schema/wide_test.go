package schema_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/spec/schema"
	"github.com/crenel-project/crenel/internal/value"
)

// Each schema of a description lies below the list of its paths: how long that list is
// must not be paid for by each of them. Eight times as many may take some more than
// eight times as long, and not 64 times.
func TestCompileBelowAWideObject(t *testing.T) {
	few, many := compileBelow(t, 10_000), compileBelow(t, 80_000)
	if many > 25*few {
		t.Errorf("10,000 schemas took %v, 80,000 took %v", few, many)
	}
}

// compileBelow compiles n schemas that are members of one object, and says how long it took.
func compileBelow(t *testing.T, n int) time.Duration {
	t.Helper()
	var b strings.Builder
	b.WriteString(`{"paths": {`)
	for i := range n {
		fmt.Fprintf(&b, `"/boats/by/number/~%d": {"type": "string", "maxLength": %d},`, i, i)
	}
	b.WriteString(`"/last": {"type": "integer"}}}`)
	root, err := value.JSON([]byte(b.String()), value.Limits{Nodes: 10 * n, Keys: 2 * n})
	if err != nil {
		t.Fatal("the description cannot be decoded")
	}
	c := schema.NewCompiler(schema.OpenAPI31, schema.CompilerOptions{})
	c.AddResource("file:///fleet.json", root)
	began := time.Now()
	for i := range n {
		s, problems := c.Compile(fmt.Sprintf("file:///fleet.json#/paths/~1boats~1by~1number~1~0%d", i))
		if len(problems) > 0 || s.Bounds().MaxLength != i {
			t.Fatalf("%d: %v %+v", i, problems, s.Bounds())
		}
	}
	if _, problems := c.Compile("file:///fleet.json#/paths/~1none"); len(problems) == 0 {
		t.Error("what is not there was found")
	}
	return time.Since(began)
}
