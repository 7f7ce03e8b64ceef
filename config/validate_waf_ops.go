package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var wafPlace = regexp.MustCompile(`^(/.*|path|(query|path|header|cookie):.+)$`)

func (v *validator) wafExclusions(list []WAFExclusion, path string) {
	for i := range list {
		e, at := &list[i], fmt.Sprintf("%s[%d]", path, i)
		if e.At != "" && !wafPlace.MatchString(e.At) {
			v.value(at+".at", e.At, "is not a place", "write /pointer, query:name, path:name, header:name, cookie:name or path")
		}
		if len(e.Rules)+len(e.Tags)+len(e.Classes) == 0 {
			v.add(at, "names no rule", "set rules, tags or classes; what is not to be inspected at all stands in skip")
		}
		for n, r := range e.Rules {
			if _, _, ok := RuleRange(r); !ok {
				v.value(fmt.Sprintf("%s.rules[%d]", at, n), r, "is not a rule", `write an id, "942350", or a range, "942400-942499"`)
			}
		}
	}
}

func (v *validator) wafOperations(list []WAFOperation, path string) {
	for i := range list {
		if o := &list[i]; o.Paranoia == 0 && o.Threshold == 0 && o.Operation != "" {
			v.add(fmt.Sprintf("%s[%d]", path, i), "sets nothing", "set paranoia, threshold or both")
		}
	}
}

// RuleRange reads an id of a rule, or a range of them.
func RuleRange(s string) (first, last int, ok bool) {
	a, b, isRange := strings.Cut(s, "-")
	first, err := strconv.Atoi(a)
	if err != nil || first < 1 {
		return 0, 0, false
	}
	if !isRange {
		return first, first, true
	}
	last, err = strconv.Atoi(b)
	return first, last, err == nil && last >= first
}
