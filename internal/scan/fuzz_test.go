package scan

import (
	"testing"

	"github.com/crenel-project/crenel/internal/scan/check"
)

// Whatever a file holds, it is read or refused; what is read is whole.
func FuzzParseRegression(f *testing.F) {
	f.Add([]byte("version: 1\nfingerprint: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nseverity: high\nscenario: {name: n, steps: [{id: a, send: {method: GET, path: /}, expect: [{status: 2xx}]}]}\n"))
	f.Add([]byte("version: 1\nscenario:\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if g, err := ParseRegression(data); err == nil && (len(g.Scenario.Steps) == 0 || len(g.Fingerprint) != 32) {
			t.Errorf("%+v", g)
		}
	})
}

func FuzzParseWritten(f *testing.F) {
	f.Add([]byte("id: x\ntitle: t\nsteps: [{id: a, part: control, send: {method: GET, path: /}, expect: [{status: 2xx}]}]\n"))
	f.Add([]byte("steps: [{id: a, call: {operation: this}}]\napplies_to: {input: '('}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if w, err := check.ParseWritten(data); err == nil && (w.ID == "" || len(w.Steps) == 0) {
			t.Errorf("%+v", w)
		}
	})
}
