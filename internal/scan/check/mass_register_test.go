package check

import (
	"encoding/json"
	"testing"
)

// TestRights: what an account earns or may spend is tried while registering, and what
// merely counts or measures is not.
func TestRights(t *testing.T) {
	for name, want := range map[string]bool{"score": true, "total_score": true, "karma": true, "coins": true, "balance": true, "age": false, "height": false, "underscore": false, "login_count": false} {
		if got := len((&Probe{}).rights(name, json.Number("0"))) > 0; got != want {
			t.Errorf("%s is tried: %v", name, got)
		}
	}
}
