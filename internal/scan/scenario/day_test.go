package scenario

import (
	"fmt"
	"testing"
	"time"
)

// Days of one run keep their distance; another run takes others, all within bounds.
func TestDays(t *testing.T) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	seen := map[string]bool{}
	for i := range 40 {
		r := &run{stage: &Stage{}, n: fmt.Sprint("run", i)}
		from, err := r.get("day.60.29")
		if err != nil {
			t.Fatal(err)
		}
		to, err := r.get("day.63.29")
		if err != nil {
			t.Fatal(err)
		}
		a, err1 := time.Parse(time.DateOnly, fmt.Sprint(from))
		b, err2 := time.Parse(time.DateOnly, fmt.Sprint(to))
		if err1 != nil || err2 != nil || b.Sub(a) != 3*24*time.Hour {
			t.Fatalf("%v to %v: want three days", from, to)
		}
		if ahead := int(a.Sub(today) / (24 * time.Hour)); ahead < 31 || ahead > 60 {
			t.Errorf("%v is %d days ahead", from, ahead)
		}
		seen[fmt.Sprint(from)] = true
	}
	if len(seen) < 12 {
		t.Errorf("forty runs took %d days", len(seen))
	}
	if _, err := (&run{stage: &Stage{}}).get("day.soon"); err == nil {
		t.Error("a day that is no number was taken")
	}
}
