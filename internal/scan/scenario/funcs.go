package scenario

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// funcs are the functions that every scenario may compute with.
var funcs = map[string]Func{
	// text.repeat: text, times.
	"text.repeat": func(a map[string]string) (any, error) {
		n, err := strconv.Atoi(a["times"])
		if err != nil || n < 0 || n > (16<<20)/max(1, len(a["text"])) {
			return nil, fmt.Errorf("text.repeat: times %q: want a number, and at most 16 MiB in all", a["times"])
		}
		return strings.Repeat(a["text"], n), nil
	},
	// text.cut: text, from, to: characters, counted from 0, or from the end when negative.
	"text.cut": func(a map[string]string) (any, error) {
		r := []rune(a["text"])
		at := func(name string, other int) (int, error) {
			if a[name] == "" {
				return other, nil
			}
			n, err := strconv.Atoi(a[name])
			if err != nil {
				return 0, fmt.Errorf("text.cut: %s %q: want a number", name, a[name])
			}
			if n < 0 {
				n += len(r)
			}
			return min(max(n, 0), len(r)), nil
		}
		from, err := at("from", 0)
		if err != nil {
			return nil, err
		}
		to, err := at("to", len(r))
		if err != nil {
			return nil, err
		}
		return string(r[from:max(from, to)]), nil
	},
	// text.set: text.
	"text.set": func(a map[string]string) (any, error) { return a["text"], nil },
	// number.add: number, plus: whole ones exactly, others to 6 places.
	"number.add": func(a map[string]string) (any, error) {
		x, err1 := strconv.ParseInt(a["number"], 10, 64)
		y, err2 := strconv.ParseInt(a["plus"], 10, 64)
		if err1 == nil && err2 == nil {
			return json.Number(strconv.FormatInt(x+y, 10)), nil
		}
		f, err1 := strconv.ParseFloat(a["number"], 64)
		g, err2 := strconv.ParseFloat(a["plus"], 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("number.add: want numbers, have %q and %q", a["number"], a["plus"])
		}
		return json.Number(strconv.FormatFloat(math.Round((f+g)*1e6)/1e6, 'f', -1, 64)), nil
	},
}

// Call runs one of this package's functions.
func Call(name string, args map[string]string) (any, error) {
	f := funcs[name]
	if f == nil {
		return nil, fmt.Errorf("there is no function %q", name)
	}
	return f(args)
}
