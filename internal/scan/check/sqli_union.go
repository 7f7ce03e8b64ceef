package check

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/scenario"
)

// maxUnion is how many columns a statement is thought to have, at most.
const maxUnion = 24

// How a statement's own value is left: what comes before the second statement, for
// text and for numbers.
var (
	unionTexts    = []string{"'", "')", "'))", `"`}
	unionNumerals = []string{"", ")"}
)

// sqlUnion proves injection by a second statement whose rows come with the
// first one's: the answer holds a product of which only the factors were sent.
// How many columns there are is found by ordering by the nth, where only those
// that exist can be.
func (p *Probe) sqlUnion(ctx context.Context, s *slot) (bool, error) {
	ends, none := unionTexts, nothingThere
	if numeric(s.in) {
		ends, none = unionNumerals, "-91374563"
	}
	a, b := p.sums(s.op.ID + s.in.Where() + "union")
	for _, end := range ends {
		n, err := p.columns(ctx, s, end)
		if err != nil {
			return false, err
		}
		if n == 0 {
			continue
		}
		for _, from := range []string{"", " FROM DUAL"} {
			for _, row := range unionRows(n) {
				union := func(f [2]int) string { return united(none+end, row, from, f) }
				x, err := p.send(ctx, s.with(union(a)))
				if err != nil {
					return false, err
				}
				if scenario.Holds(x, string(product(a))) {
					return p.sqlUnited(ctx, s, a, b, union)
				}
			}
		}
	}
	return false, nil
}

// united is a value's end, and a second statement of one row with two numbers' product.
func united(end string, row []string, from string, f [2]int) string {
	made := strings.NewReplacer("TEXT", fmt.Sprintf("CAST(%d*%d AS CHAR(9))", f[0], f[1]), "NUMBER", fmt.Sprintf("%d*%d", f[0], f[1]))
	return end + " UNION SELECT " + made.Replace(strings.Join(row, ",")) + from + " -- "
}

// sqlUnited proves that a second statement's row is in the answer.
func (p *Probe) sqlUnited(ctx context.Context, s *slot, a, b [2]int, union func([2]int) string) (bool, error) {
	var l steps
	l.add(p.slotStep(s, "plain", scenario.Control, "the bare factors bring nothing", fmt.Sprintf("%d*%d", a[0], a[1]), scenario.Expect{Lacks: []string{string(product(a))}}))
	l.add(p.slotStep(s, "first", scenario.Attack, "a second statement's product is in the answer", union(a), scenario.Expect{Contains: []string{string(product(a))}}))
	l.add(p.slotStep(s, "second", scenario.Attack, "and another one", union(b), scenario.Expect{Contains: []string{string(product(b))}}))
	return p.injected(ctx, s, "SQL injection", "A second statement that is put into the input with UNION is run by the database, and its row is in the answer.", &l)
}

// maxBlindUnions is how many second statements are tried in a run where nothing
// tells how many columns the first one has.
const maxBlindUnions = 60

// sqlUnionBlind is sqlUnion where a statement that is wrong is answered as one
// that finds nothing, and nothing is there to be found: no error tells, nor does
// a condition. As many columns are tried first as the description has fields.
func (p *Probe) sqlUnionBlind(ctx context.Context, s *slot) (bool, error) {
	fields := 0
	for _, out := range s.op.Outputs {
		if rest, ok := strings.CutPrefix(out.Pointer, s.op.ListAt+"/*/"); ok && s.op.Answered == "list" && !strings.Contains(rest, "/") || s.op.Answered != "list" && strings.Count(out.Pointer, "/") == 1 {
			fields++
		}
	}
	var counts []int
	for _, n := range []int{fields, fields + 1, fields + 2, fields - 1, 1, 2, 3, 4, 5, 6} {
		if n > 0 && n <= maxUnion && !slices.Contains(counts, n) {
			counts = append(counts, n)
		}
	}
	a, b := p.sums(s.op.ID + s.in.Where() + "union")
	try := func(end string, row []string, from string) (bool, error) {
		if p.unions.Add(1) > maxBlindUnions {
			return false, nil
		}
		union := func(f [2]int) string { return united(nothingThere+end, row, from, f) }
		x, err := p.send(ctx, s.with(union(a)))
		if err != nil || !scenario.Holds(x, string(product(a))) {
			return false, err
		}
		return p.sqlUnited(ctx, s, a, b, union)
	}
	for _, n := range counts {
		for _, end := range unionTexts[:2] {
			if done, err := try(end, slices.Repeat([]string{"TEXT"}, n), ""); err != nil || done {
				return done, err
			}
		}
	}
	// Databases of strict types: one column after the other, beside nothing.
	for i := range min(fields, 4) {
		row := slices.Repeat([]string{"NULL"}, fields)
		row[i] = "TEXT"
		for _, from := range []string{"", " FROM DUAL"} {
			if done, err := try(unionTexts[0], row, from); err != nil || done {
				return done, err
			}
		}
	}
	return false, nil
}

// findsNothing: what the slot's call is answered with is what there is to find: nothing.
func findsNothing(s *slot) bool {
	return s.op.Answered == "list" && s.base.Status/100 == 2 && items(s.base.Body, s.op.ListAt) == 0 || s.base.Status == http.StatusNotFound && s.in.In == "query"
}

// columns is how many columns the statement has that a value with such an end
// is part of; 0 where ordering by the first is answered as by one that cannot be.
func (p *Probe) columns(ctx context.Context, s *slot, end string) (int, error) {
	ordered := func(n int) (string, error) {
		x, err := p.send(ctx, s.with(fmt.Sprintf("%s%s ORDER BY %d -- ", s.value, end, n)))
		if err != nil {
			return "", err
		}
		return wordsOf(x), nil
	}
	first, err := ordered(1)
	if err != nil {
		return 0, err
	}
	wrong, err := ordered(maxUnion + 75)
	if err != nil || first == wrong {
		return 0, err
	}
	low, high := 1, maxUnion+1 // low is there, high is not
	for low+1 < high {
		mid := (low + high) / 2
		x, err := ordered(mid)
		if err != nil {
			return 0, err
		}
		if x == first {
			low = mid
		} else {
			high = mid
		}
	}
	return low, nil
}

// unionRows are second rows of n columns: the product as a text in all of them;
// then in one after the other, as a text and as a number, beside texts that
// databases of strict types take for a number as well, and beside nothing.
func unionRows(n int) [][]string {
	out := [][]string{slices.Repeat([]string{"TEXT"}, n)}
	for _, beside := range []string{"'7'", "NULL"} {
		for i := range n {
			for _, kind := range []string{"TEXT", "NUMBER"} {
				row := slices.Repeat([]string{beside}, n)
				row[i] = kind
				out = append(out, row)
			}
		}
	}
	return out[:min(len(out), 60)]
}
