package check

import (
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// TestOnlyProvenance: who made something is not whose it is, nor are all who work on it.
func TestOnlyProvenance(t *testing.T) {
	for _, c := range []struct {
		owners []string
		want   bool
	}{
		{[]string{"createdBy"}, true},
		{[]string{"created_by_id", "users/id"}, true},
		{[]string{"createdBy/id", "owner_id"}, false},
		{[]string{"user_id"}, false},
		{[]string{"user/id"}, false},
		{[]string{"author"}, false},
		{nil, false},
	} {
		if got := onlyProvenance(&graph.Resource{Owners: c.owners}); got != c.want {
			t.Errorf("%q: %v, want %v", c.owners, got, c.want)
		}
	}
}
