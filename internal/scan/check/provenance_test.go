package check

import (
	"testing"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/scan/world"
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
		{[]string{"uploaded_by", "modified_by/id", "uploaded_by/email"}, true},
		{[]string{"addedBy"}, true},
		{[]string{"upload"}, false},
		{nil, false},
	} {
		if got := onlyProvenance(&graph.Resource{Owners: c.owners}); got != c.want {
			t.Errorf("%q: %v, want %v", c.owners, got, c.want)
		}
	}
}

// TestOfMaker: what is said of who made something is not said of the thing.
func TestOfMaker(t *testing.T) {
	for at, want := range map[string]bool{
		"/created_by/email": true, "/data/*/uploadedBy/token": true,
		"/email": false, "/user/email": false, "/created_by": false, "": false,
	} {
		if got := ofMaker(&graph.Output{Pointer: at}); got != want {
			t.Errorf("%q: %v, want %v", at, got, want)
		}
	}
}

// TestNobodysMember: the members of an owner that is named are no owners themselves, by
// whatever names the thing has members of its own.
func TestNobodysMember(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{`{"data":{"id":7,"email":"desk@yard.example","keeper":null}}`, "keeper"},
		{`{"data":{"id":7,"email":null,"keeper":{"id":3,"email":"ida@yard.example"}}}`, ""},
		{`{"data":{"id":7,"keeper":3}}`, ""},
	} {
		r := &graph.Resource{Name: "locker", Owners: []string{"keeper", "keeper/email", "keeper/id"}}
		o := &world.Object{Resource: r, MadeBy: &world.Call{Last: &target.Exchange{Status: 200, Body: []byte(c.body)}}}
		if got := nobodys(r, o); got != c.want {
			t.Errorf("%s: %q, want %q", c.body, got, c.want)
		}
	}
}
