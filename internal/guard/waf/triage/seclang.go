package triage

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// directive is one SecRule, parsed.
type directive struct {
	id        string
	targets   []target
	negated   bool
	operator  string // without "@": "rx"
	argument  string
	phase     string
	chain     []string // transformations, in order; "none" begins anew
	multi     bool     // the operator looks at the result of every transformation
	chained   bool     // further members follow
	disrupts  bool     // deny, block, drop, redirect
	sets      []string // names of TX variables that it sets, in lower case, with their macros
	counters  []string // beginnings of those of them that count how often a name matched
	scores    bool     // it adds to an anomaly score
	level     int      // paranoia level of its tag; 0 without
	skips     bool     // it only jumps
	steers    bool     // it changes what other rules do
	condition bool     // a SecRule, not a SecAction
}

// target is one variable that a rule looks at.
type target struct {
	variable string // in upper case
	selector string // of a collection, in lower case; "" is all of it
	pattern  *regexp.Regexp
	count    bool // &: how many there are
	except   bool // !: left out
}

// parse reads a SecRule or SecAction as the engine hands it out: on one line.
func parse(raw string) (*directive, error) {
	name, rest, _ := strings.Cut(strings.TrimSpace(raw), " ")
	d := new(directive)
	switch strings.ToLower(name) {
	case "secaction":
		actions, _, err := quoted(strings.TrimSpace(rest))
		if err != nil {
			return nil, fmt.Errorf("SecAction: %w", err)
		}
		d.read(actions)
		return d, nil
	case "secrule":
	default:
		return nil, fmt.Errorf("%q is neither SecRule nor SecAction", name)
	}
	d.condition = true
	rest = strings.TrimSpace(rest)
	variables, rest, err := word(rest)
	if err != nil {
		return nil, fmt.Errorf("variables: %w", err)
	}
	if err := d.look(variables); err != nil {
		return nil, err
	}
	operator, rest, err := quoted(strings.TrimSpace(rest))
	if err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	d.operate(operator)
	if rest = strings.TrimSpace(rest); rest == "" {
		return d, nil
	}
	actions, rest, err := quoted(rest)
	if err != nil {
		return nil, fmt.Errorf("actions: %w", err)
	}
	if strings.TrimSpace(rest) != "" {
		return nil, errors.New("there is something behind the actions")
	}
	d.read(actions)
	return d, nil
}

// word takes a word off, in quotes or up to a space.
func word(s string) (first, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return quoted(s)
	}
	first, rest, ok := strings.Cut(s, " ")
	if !ok {
		return "", "", errors.New("the line ends")
	}
	return first, rest, nil
}

// quoted takes a text in quotes off. A quote in it stands behind a backslash,
// which goes; other backslashes are the text's own.
func quoted(s string) (text, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", errors.New("a quote is missing")
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			b.WriteByte('"')
			i++
		case s[i] == '\\' && i+1 < len(s):
			b.WriteString(s[i : i+2])
			i++
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("a quote is not closed")
}

// look reads the list of variables.
func (d *directive) look(list string) error {
	for list != "" {
		var t target
		for list != "" && (list[0] == '&' || list[0] == '!') {
			t.count = t.count || list[0] == '&'
			t.except = t.except || list[0] == '!'
			list = list[1:]
		}
		end := strings.IndexAny(list, ":|")
		if end < 0 {
			end = len(list)
		}
		t.variable = strings.ToUpper(list[:end])
		list = list[end:]
		if strings.HasPrefix(list, ":") {
			list = list[1:]
			var selector string
			quote := strings.HasPrefix(list, "'")
			list = strings.TrimPrefix(list, "'")
			// XML's selectors are XPath, which may hold slashes; nothing is ever in XML.
			if strings.HasPrefix(list, "/") && t.variable != "XML" {
				stop := 1
				for stop < len(list) && (list[stop] != '/' || list[stop-1] == '\\') {
					stop++
				}
				if stop == len(list) {
					return fmt.Errorf("the selector of %s is not closed", t.variable)
				}
				re, err := regexp.Compile("(?i)" + strings.ReplaceAll(list[1:stop], `\/`, "/"))
				if err != nil {
					return fmt.Errorf("the selector of %s: %w", t.variable, err)
				}
				t.pattern = re
				list = list[stop+1:]
			} else {
				stop := strings.IndexAny(list, "|'")
				if stop < 0 {
					stop = len(list)
				}
				selector, list = list[:stop], list[stop:]
				t.selector = strings.ToLower(selector)
			}
			if quote {
				list = strings.TrimPrefix(list, "'")
			}
		}
		if list != "" {
			if list[0] != '|' {
				return fmt.Errorf("what follows variable %s cannot be read", t.variable)
			}
			list = list[1:]
		}
		d.targets = append(d.targets, t)
	}
	if len(d.targets) == 0 {
		return errors.New("the rule looks at nothing")
	}
	return nil
}

// operate reads the operator; without a name it is @rx.
func (d *directive) operate(s string) {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "!"); ok && strings.HasPrefix(rest, "@") {
		d.negated, s = true, rest
	} else if ok {
		d.negated, s = true, "@rx "+rest
	}
	if !strings.HasPrefix(s, "@") {
		s = "@rx " + s
	}
	name, argument, _ := strings.Cut(s[1:], " ")
	d.operator, d.argument = name, strings.TrimSpace(argument)
}

var sum = regexp.MustCompile(`(?i)^\+%\{tx\.\w*bound_anomaly_score_pl[1-4]\}$`)

var paranoia = regexp.MustCompile(`^paranoia-level/([1-4])$`)

// read takes from the actions what matters here.
func (d *directive) read(list string) {
	for list != "" {
		var action string
		action, list = cutAction(list)
		name, value, _ := strings.Cut(strings.TrimSpace(action), ":")
		value = strings.Trim(strings.TrimSpace(value), "'")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "id":
			d.id = value
		case "phase":
			d.phase = value
		case "t":
			if value == "none" {
				d.chain = nil
				break
			}
			d.chain = append(d.chain, value)
		case "multimatch":
			d.multi = true
		case "chain":
			d.chained = true
		case "deny", "block", "drop", "redirect":
			d.disrupts = true
		case "skipafter", "skip":
			d.skips = true
		case "ctl", "allow":
			d.steers = true
		case "tag":
			if m := paranoia.FindStringSubmatch(value); m != nil {
				d.level = int(m[1][0] - '0')
			}
		case "setvar":
			variable, number, _ := strings.Cut(value, "=")
			variable = strings.ToLower(strings.TrimPrefix(variable, "!"))
			if tx, ok := strings.CutPrefix(variable, "tx."); ok {
				d.sets = append(d.sets, tx)
				if prefix, ok := strings.CutSuffix(tx, "%{matched_var_name}"); ok && number == "+1" && !strings.Contains(prefix, "%{") {
					d.counters = append(d.counters, prefix)
				}
			}
			// What adds up the scores of others adds nothing when they have none.
			d.scores = d.scores || strings.Contains(variable, "anomaly_score") && strings.HasPrefix(number, "+") && !sum.MatchString(number)
		}
	}
}

// setsAny reports whether it sets a variable of whose name this is part.
func (d *directive) setsAny(part string) bool {
	return slices.ContainsFunc(d.sets, func(name string) bool { return strings.Contains(name, part) })
}

// cutAction takes the first action off: up to a comma that stands in no quotes.
func cutAction(s string) (first, rest string) {
	in := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			i++
		case s[i] == '\'':
			in = !in
		case s[i] == ',' && !in:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// Chains reads configuration files for what the engine does not hand out: the
// further members of chained rules, by the id of the first. Lines that end with a
// backslash go on.
func Chains(files ...string) (map[int][]string, error) {
	out := map[int][]string{}
	for _, file := range files {
		open := 0 // the chain that goes on
		var line strings.Builder
		for l := range strings.Lines(file) {
			l = strings.TrimSpace(l)
			if line.Len() == 0 && (l == "" || l[0] == '#') {
				continue
			}
			if part, ok := strings.CutSuffix(l, `\`); ok {
				line.WriteString(part)
				continue
			}
			line.WriteString(l)
			raw := line.String()
			line.Reset()
			if word := strings.ToLower(firstWord(raw)); word != "secrule" && word != "secaction" {
				continue
			}
			d, err := parse(raw)
			if err != nil {
				return nil, err
			}
			if open != 0 {
				out[open] = append(out[open], raw)
			}
			switch id, err := strconv.Atoi(d.id); {
			case !d.chained:
				open = 0
			case open == 0 && err != nil:
				return nil, fmt.Errorf("a chain begins with a rule that has no id: %q", raw)
			case open == 0:
				open = id
			}
		}
	}
	return out, nil
}

func firstWord(s string) string {
	w, _, _ := strings.Cut(s, " ")
	return w
}
