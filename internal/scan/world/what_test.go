package world

import (
	"net/http"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// TestWhat: a refusal is told by its message and not by its JSON.
func TestWhat(t *testing.T) {
	for body, want := range map[string]string{
		`{"errors":[{"message":"You may not do this.","extensions":{"code":"FORBIDDEN"}}]}`: "403 (You may not do this.)",
		`{"error":{"code":403,"message":"Not for you"}}`:                                    "403 (Not for you)",
		`{"errors":["permission denied"]}`:                                                  "403 (permission denied)",
		`{"message":"No."}`:                                                                 "403 (No.)",
		`{"errors":[]}`:                                                                     `403 ({"errors":[]})`,
	} {
		x := &target.Exchange{Status: 403, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
		if got := what(x, nil); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
