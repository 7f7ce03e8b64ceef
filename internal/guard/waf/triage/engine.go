package triage

import (
	"fmt"
	_ "unsafe" // for go:linkname

	_ "github.com/corazawaf/coraza/v3" // the engine itself

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// The engine's own operators and transformations, by name. The engine offers no
// other way to them than a transaction, and a copy would drift from what judges:
// if it moves them, this does not link.
//
//go:linkname engineOperator github.com/corazawaf/coraza/v3/internal/operators.Get
func engineOperator(name string, options plugintypes.OperatorOptions) (plugintypes.Operator, error)

//go:linkname engineTransformation github.com/corazawaf/coraza/v3/internal/transformations.GetTransformation
func engineTransformation(name string) (plugintypes.Transformation, error)

// engineReadsBytes says whether the engine takes a text's bytes for its characters.
//
//go:linkname engineReadsBytes github.com/corazawaf/coraza/v3/internal/operators.matchesArbitraryBytes
func engineReadsBytes(expr string) bool

// transform applies transformations in order. What fails leaves the text as it
// is, as in the engine.
func transform(chain []plugintypes.Transformation, text string) string {
	for _, t := range chain {
		if out, _, err := t(text); err == nil {
			text = out
		}
	}
	return text
}

func transformations(names []string) ([]plugintypes.Transformation, error) {
	out := make([]plugintypes.Transformation, 0, len(names))
	for _, n := range names {
		t, err := engineTransformation(n)
		if err != nil {
			return nil, fmt.Errorf("transformation %q: %w", n, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// quiet is a transaction for operators that only match: it captures nothing. An
// operator that asks it for anything else panics, and the rule is never silent.
type quiet struct{ plugintypes.TransactionState }

func (quiet) Capturing() bool { return false }

func (quiet) CaptureField(int, string) {}
