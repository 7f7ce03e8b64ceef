package scan

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// hole is where a check must find something.
type hole struct{ check, method, path, where string }

// twins scans an API with its holes open, where each of them must be found and
// nothing else, and its fixed twin, where nothing may be.
func twins(t *testing.T, spec string, build func(t *testing.T, open bool) http.Handler, holes []hole, checks ...string) {
	t.Helper()
	for _, open := range []bool{true, false} {
		t.Run(fmt.Sprintf("open=%v", open), func(t *testing.T) {
			res := tested(t, spec, build(t, open), checks...)
			for again := 0; open && !testing.Short() && again < 3 && slices.ContainsFunc(holes, func(h hole) bool {
				return timed(h.check) && !has(res.Report.Findings, h.check, h.method, h.path, h.where)
			}); again++ {
				t.Log("a time proved nothing while the machine was busy: once more")
				res = tested(t, spec, build(t, open), checks...)
			}
			for _, h := range holes {
				if timed(h.check) && testing.Short() {
					continue // beside other tests the machine is too busy to tell times apart
				}
				if open && !has(res.Report.Findings, h.check, h.method, h.path, h.where) {
					t.Errorf("not found: %+v", h)
				}
			}
			for _, f := range res.Report.Findings {
				if !open || !slices.ContainsFunc(holes, func(h hole) bool {
					return h.check == f.Check && h.method == f.Method && h.path == f.Path && (h.where == "" || h.where == f.Where)
				}) {
					t.Errorf("what is no hole was found: %s %s [%s] %s", f.Check, f.Title, f.Where, f.Severity)
				}
			}
		})
	}
}

// timed: a check proves by the time that answers take.
func timed(check string) bool {
	return strings.HasSuffix(check, "-time") || strings.HasSuffix(check, "-timing") || strings.HasSuffix(check, "-growth")
}
