package harbour

import (
	"fmt"
	"strings"
)

// Condition is one thing that must be so for a hole to be shown open. Without
// At or Header, Contains looks at the whole body.
type Condition struct {
	Step        string   `yaml:"step"`         // whose answer; the last one of a repeated step
	Status      int      `yaml:"status"`       // its status
	Count       int      `yaml:"count"`        // at least so many answers of the step have that status
	Header      string   `yaml:"header"`       // look at this header
	At          string   `yaml:"at"`           // look at this JSON pointer
	Exists      bool     `yaml:"exists"`       // what At names is there
	Equals      string   `yaml:"equals"`       // as text, with variables
	Contains    string   `yaml:"contains"`     // as text, with variables
	Min         *float64 `yaml:"min"`          // a number of at least
	Max         *float64 `yaml:"max"`          // a number of at most
	MinItems    int      `yaml:"min_items"`    // a list of at least
	DiffersFrom string   `yaml:"differs_from"` // At is not the same as in that step's answer
	Callback    string   `yaml:"callback"`     // the listener got a request with this text in it
}

// prove checks all conditions, and says what showed it or what was missing.
func (r *run) prove() (bool, string) {
	var shown []string
	for _, c := range r.hole.Proof {
		ok, what := r.holds(c)
		if !ok {
			return false, "not so: " + what
		}
		shown = append(shown, what)
	}
	return len(shown) > 0, strings.Join(shown, "; ")
}

func (r *run) last(step string) (Exchange, bool) {
	for i := len(r.exchanges) - 1; i >= 0; i-- {
		if r.exchanges[i].Step == step {
			return r.exchanges[i], true
		}
	}
	return Exchange{}, false
}

func (r *run) holds(c Condition) (bool, string) {
	if c.Callback != "" {
		want, err := r.text(c.Callback)
		return err == nil && r.env.Callback.Saw(want), fmt.Sprintf("the listener was called with %q", want)
	}
	x, ok := r.last(c.Step)
	if !ok {
		return false, c.Step + " was sent"
	}
	if c.Count > 0 {
		n := 0
		for _, other := range r.exchanges {
			if other.Step == c.Step && other.Status == c.Status {
				n++
			}
		}
		return n >= c.Count, fmt.Sprintf("%s: %d answers of status %d (%d needed)", c.Step, n, c.Status, c.Count)
	}
	if c.Status != 0 && x.Status != c.Status {
		return false, fmt.Sprintf("%s: status %d (it was %d)", c.Step, c.Status, x.Status)
	}
	return r.holdsValue(c, x)
}

func (r *run) holdsValue(c Condition, x Exchange) (bool, string) {
	have, found, where := any(x.Body), true, "the body"
	switch {
	case c.Header != "":
		have, where = x.Header.Get(c.Header), c.Header
	case c.At != "":
		have, found = x.at(c.At)
		where = c.At
	}
	where = c.Step + ": " + where
	equals, err1 := r.text(c.Equals)
	contains, err2 := r.text(c.Contains)
	number, isNumber := have.(float64)
	list, _ := have.([]any)
	switch {
	case err1 != nil || err2 != nil:
		return false, where + " has what was not found"
	case !found:
		return false, where + " is there"
	case c.Equals != "":
		return plain(have) == equals, fmt.Sprintf("%s is %q (it was %.80q)", where, equals, plain(have))
	case c.Contains != "":
		return strings.Contains(plain(have), contains), fmt.Sprintf("%s has %q in it", where, contains)
	case c.Min != nil:
		return isNumber && number >= *c.Min, fmt.Sprintf("%s is at least %v (it was %v)", where, *c.Min, have)
	case c.Max != nil:
		return isNumber && number <= *c.Max, fmt.Sprintf("%s is at most %v (it was %v)", where, *c.Max, have)
	case c.MinItems > 0:
		return len(list) >= c.MinItems, fmt.Sprintf("%s has %d items (%d needed)", where, len(list), c.MinItems)
	case c.DiffersFrom != "":
		other, ok := r.last(c.DiffersFrom)
		if !ok {
			return false, c.DiffersFrom + " was sent"
		}
		there, _ := other.at(c.At)
		return plain(have) != plain(there), fmt.Sprintf("%s differs between %s and %s", c.At, c.Step, c.DiffersFrom)
	case c.Exists:
		return true, where + " is there"
	}
	return c.Status != 0, fmt.Sprintf("%s: status %d", c.Step, x.Status)
}
