package cli

import "testing"

// What is left of a score when rules are silenced, as each inspection adds up.
func TestScoreLeft(t *testing.T) {
	first := func(m *wafMatch) bool { return m.Rule == 1 }
	for name, c := range map[string]struct {
		d    wafDetail
		want int
	}{
		"exact: one of two values":      {wafDetail{Score: 10, Matches: []wafMatch{{1, "/a", 5}, {2, "/b", 5}}}, 5},
		"exact: one rule of one value":  {wafDetail{Score: 8, Matches: []wafMatch{{1, "/a", 5}, {2, "/a", 3}}}, 3},
		"exact: points without a place": {wafDetail{Score: 10, Matches: []wafMatch{{1, "/a", 5}}}, 5},
		"tuned: one of two values":      {wafDetail{Score: 5, Matches: []wafMatch{{1, "/a", 5}, {2, "/b", 5}}}, 5},
		"tuned: the worse of two":       {wafDetail{Score: 5, Matches: []wafMatch{{1, "/a", 5}, {2, "/b", 3}}}, 3},
		"tuned: header fields add up":   {wafDetail{Score: 6, Matches: []wafMatch{{1, "/a", 5}, {2, "header:a", 3}, {3, "header:b", 3}}}, 6},
		"all of it":                     {wafDetail{Score: 5, Matches: []wafMatch{{1, "/a", 5}}}, 0},
	} {
		if got := c.d.left(first); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
