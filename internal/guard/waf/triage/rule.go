package triage

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"github.com/crenel-project/crenel/internal/guard/waf/triage/automaton"
)

// Kind is which of the engine's variables a text is.
type Kind uint8

// The kinds of texts. A value and its name are two texts.
const (
	Arg Kind = iota
	ArgName
	Cookie
	CookieName
	Header
	HeaderName
	Filename
	Basename
	URI
	Line
	// Those that follow are given where Options.Whole says so.

	Query // the whole query string
	Whole // the whole body
	XML   // a text of an XML document
	kinds
)

// texts maps the engine's variables to the kinds of texts that they hold. That a
// rule looks at the arguments of the query alone is not told apart.
var texts = map[string]Kind{
	"ARGS": Arg, "ARGS_GET": Arg, "ARGS_POST": Arg, "ARGS_PATH": Arg,
	"ARGS_NAMES": ArgName, "ARGS_GET_NAMES": ArgName, "ARGS_POST_NAMES": ArgName,
	"REQUEST_COOKIES": Cookie, "REQUEST_COOKIES_NAMES": CookieName,
	"REQUEST_HEADERS": Header, "REQUEST_HEADERS_NAMES": HeaderName,
	"REQUEST_FILENAME": Filename, "REQUEST_BASENAME": Basename,
	"REQUEST_URI": URI, "REQUEST_URI_RAW": URI, "REQUEST_LINE": Line,
	"XML": XML, "QUERY_STRING": Query, "REQUEST_BODY": Whole,
}

// empty are collections that are never filled: the engine gets no body, and no
// upload. A rule that looks at nothing does not match.
var empty = map[string]bool{
	"JSON": true, "FILES": true, "FILES_NAMES": true, "FILES_SIZES": true, "FILES_TMPNAMES": true,
	"FILES_TMP_CONTENT": true, "MULTIPART_PART_HEADERS": true, "MULTIPART_NAME": true, "MULTIPART_FILENAME": true,
	"ENV": true, "GEO": true, "RESPONSE_HEADERS": true, "RESPONSE_ARGS": true,
}

// bare are variables that are always there, and empty where no text stands for them.
var bare = map[string]bool{"REQUEST_BODY": true, "QUERY_STRING": true}

// fixed are variables that do not depend on the request, but for what Transport
// names.
var fixed = map[string]bool{
	"REQUEST_METHOD": true, "REQUEST_PROTOCOL": true, "REQUEST_BODY_LENGTH": true,
	"REQBODY_PROCESSOR": true, "REQBODY_ERROR": true, "REQBODY_PROCESSOR_ERROR": true, "MULTIPART_STRICT_ERROR": true,
	"MULTIPART_UNMATCHED_BOUNDARY": true, "FILES_COMBINED_SIZE": true,
}

// rule is the condition on texts that a rule puts.
type rule struct {
	id       int
	local    bool // what its chain goes on to look at is what it found, or how the message travels
	at       [kinds]bool
	targets  []target
	negated  bool
	operator plugintypes.Operator
	name     string // of the operator
	argument string
	chains   [][]plugintypes.Transformation // several when every step counts
	names    [][]string
	decoding bool                 // the transformations are decoders: they leave plain texts alone
	allowed  [4]uint64            // of validateByteRange: the bytes that it finds nothing wrong with
	clean    marks                // of the same: the classes of such bytes alone
	must     *automaton.Automaton // of a negated expression: it is silent where this matches
}

// looksAt reports whether the rule looks at a text.
func (r *rule) looksAt(t *Text) bool {
	if !r.at[t.Kind] {
		return false
	}
	in, out := false, false
	for i := range r.targets {
		g := &r.targets[i]
		if kind, ok := texts[g.variable]; !ok || kind != t.Kind || g.count {
			continue
		}
		hit := g.selector == "" && g.pattern == nil ||
			g.selector != "" && strings.EqualFold(g.selector, t.Name) ||
			g.pattern != nil && g.pattern.MatchString(t.Name)
		in, out = in || hit && !g.except, out || hit && g.except
	}
	return in && !out
}

// matches reports whether the rule's operator matches the text behind the rule's
// transformations: exactly what the engine would find.
func (r *rule) matches(text string) bool {
	last := ""
	for i, chain := range r.chains {
		out := transform(chain, text)
		if i > 0 && out == last {
			continue
		}
		last = out
		if r.evaluate(out) {
			return true
		}
	}
	return false
}

// evaluate reports whether the rule's operator matches what transformations made.
func (r *rule) evaluate(text string) (hit bool) {
	defer func() {
		if recover() != nil {
			hit = true // the operator wants more than a text: the engine must be asked
		}
	}()
	return r.operator.Evaluate(quiet{}, text) != r.negated
}

// compiler turns directives into conditions.
type compiler struct {
	o       Options
	tx      map[string]string // constants
	dynamic map[string]bool   // TX variables that requests change
	made    []string          // prefixes of those whose names are made up
	by      map[string][]int  // which rules change each, and each prefix
	setters []*directive      // what sets them
	out     *Triage
}

// change notes that requests change a variable; a name with a macro is all that
// begin like it.
func (c *compiler) change(name string, rule int) {
	prefix, _, made := strings.Cut(name, "%{")
	c.by[prefix] = append(c.by[prefix], rule)
	if !made {
		c.dynamic[name] = true
		return
	}
	for known := range c.tx {
		if strings.HasPrefix(known, prefix) {
			c.dynamic[known] = true
		}
	}
	c.made = append(c.made, prefix)
}

// changedByOthers reports whether what a target in TX looks at may have been set by
// a rule other than this one. Scores are added up by all, and only ever compared
// where a request is ruled on as a whole.
func (c *compiler) changedByOthers(rule int, t *target) bool {
	for name, rules := range c.by {
		if strings.Contains(name, "anomaly_score") || !slices.ContainsFunc(rules, func(id int) bool { return id != rule }) {
			continue
		}
		switch {
		case t.pattern != nil && t.pattern.MatchString(name),
			t.pattern == nil && t.selector == "",
			t.pattern == nil && (t.selector == name || slices.Contains(c.made, name) && strings.HasPrefix(t.selector, name)):
			return true
		}
	}
	return false
}

// comparesWithOthers reports whether an operator's argument holds what another rule may
// have set, or something else that is neither a rule's own nor a constant.
func (c *compiler) comparesWithOthers(rule int, argument string) bool {
	for _, m := range macro.FindAllStringSubmatch(argument, -1) {
		name, tx := strings.CutPrefix(strings.ToLower(m[1]), "tx.")
		if !ownMacro.MatchString(m[0]) || tx && c.changedByOthers(rule, &target{variable: "TX", selector: name}) {
			return true
		}
	}
	return false
}

// changes reports whether requests change a variable.
func (c *compiler) changes(name string) bool {
	return c.dynamic[name] || slices.ContainsFunc(c.made, func(p string) bool { return strings.HasPrefix(name, p) })
}

// condition adds what must hold for a rule to match; travels says that this is how a
// message travels. An error is that it cannot be expressed.
func (c *compiler) condition(id int, d *directive, local bool) (travels bool, err error) {
	if !d.condition {
		return false, errors.New("it has no condition")
	}
	onTexts, onNames, onTransport, onTX, counts := false, false, false, false, false
	for i := range d.targets {
		t := &d.targets[i]
		kind, isText := texts[t.variable]
		switch {
		case t.except && !t.count:
		case t.variable == "TX":
			onTX = true
		case empty[t.variable] && !t.count:
		case isText && (kind == Header || kind == HeaderName) && t.count:
			onTransport = true
		case isText && t.count:
			counts = true
		case isText && kind == HeaderName:
			onNames = true
		case isText:
			onTexts = true
		case fixed[t.variable] || empty[t.variable]:
			onTransport = true
		default:
			return false, fmt.Errorf("it looks at %s", t.variable)
		}
	}
	switch {
	case counts:
		return false, errors.New("it counts what a request holds")
	case onTX:
		if onTexts || onTransport || len(d.targets) != 1 {
			return false, errors.New("it looks at TX beside others")
		}
		return false, c.onTX(d)
	case onTransport && onTexts:
		return false, errors.New("it looks at texts and at how the message travels")
	case (onTransport || onNames) && !onTexts:
		return true, c.transport(d)
	case !onTexts:
		return false, nil // it looks at nothing that is ever there
	case transportHeaders(d) && !positive(d):
		// What no set can express and looks at few headers by name only.
		return true, c.transport(d)
	}
	return false, c.onTexts(id, d, local)
}

// transportHeaders reports whether all that the rule looks at is headers by name.
func transportHeaders(d *directive) bool {
	for i := range d.targets {
		if t := &d.targets[i]; t.variable != "REQUEST_HEADERS" && !empty[t.variable] || t.selector == "" && !empty[t.variable] {
			return false
		}
	}
	return true
}

// transport notes whose values a combination is known by.
func (c *compiler) transport(d *directive) error {
	for _, m := range macro.FindAllStringSubmatch(d.argument, -1) {
		if tx, ok := strings.CutPrefix(strings.ToLower(m[1]), "tx."); !ok || !slices.Contains(c.o.PerRequest, tx) && c.changes(tx) {
			return fmt.Errorf("it compares with %s", m[0])
		}
	}
	for i := range d.targets {
		if t := &d.targets[i]; t.variable == "REQUEST_HEADERS" && !slices.Contains(c.out.transport, t.selector) {
			c.out.transport = append(c.out.transport, t.selector)
		}
	}
	return nil
}

// settled notes what else the further members of a chain look at, of which one is known
// by how a message travels. An error is that they look at something else.
func (c *compiler) settled(id int, others []*directive) error {
	for _, d := range others {
		if c.comparesWithOthers(id, d.argument) {
			return fmt.Errorf("its chain compares with %s", d.argument)
		}
		for i := range d.targets {
			t := &d.targets[i]
			kind, isText := texts[t.variable]
			switch {
			case t.except && !t.count:
			case t.variable == "TX" && !c.changedByOthers(id, t):
			case t.variable == "MATCHED_VAR", t.variable == "MATCHED_VARS", empty[t.variable] && !t.count, fixed[t.variable]:
			case isText && kind == HeaderName, isText && kind == Header && t.count:
			case isText && kind == Header && t.selector != "":
				if !slices.Contains(c.out.transport, t.selector) {
					c.out.transport = append(c.out.transport, t.selector)
				}
			default:
				return fmt.Errorf("its chain looks at %s beside how the message travels", t.variable)
			}
		}
		if !d.condition {
			return errors.New("its chain goes on with an action")
		}
	}
	return nil
}

// onTX rules on a condition on a variable that the rules themselves set.
func (c *compiler) onTX(d *directive) error {
	t := &d.targets[0]
	if t.pattern != nil {
		return c.repeats(d)
	}
	if t.selector == "" {
		return errors.New("it looks at all TX variables")
	}
	if strings.Contains(t.selector, "anomaly_score") && !t.count {
		if n := strings.ToLower(d.operator); (n == "ge" || n == "gt") && !d.negated && d.argument != "0" {
			return nil // it adds up what others have scored: nothing
		}
		return errors.New("it looks at a score")
	}
	if c.changes(t.selector) {
		return fmt.Errorf("it looks at TX:%s, which requests change", t.selector)
	}
	value, known := c.tx[t.selector]
	if t.count {
		value = "0"
		if known {
			value = "1"
		}
	} else if !known {
		return nil // there is no such variable to look at
	}
	argument, err := c.expand(d.argument)
	if err != nil {
		return err
	}
	op, err := engineOperator(d.operator, plugintypes.OperatorOptions{Arguments: argument})
	if err != nil {
		return err
	}
	chain, err := transformations(d.chain)
	if err != nil {
		return err
	}
	if op.Evaluate(quiet{}, transform(chain, value)) != d.negated {
		return fmt.Errorf("its condition on TX:%s always holds", t.selector)
	}
	return nil
}

// repeats expresses a condition on counters of argument names, as of CRS's rule on
// parameter pollution (921180): it can hold only where a name comes twice.
func (c *compiler) repeats(d *directive) error {
	t := &d.targets[0]
	prefix, ok := strings.CutSuffix(strings.TrimPrefix(t.pattern.String(), "(?i)"), ".*")
	prefix = strings.ToLower(prefix)
	n, err := strconv.Atoi(d.argument)
	atLeast := d.operator == "gt" && n >= 1 || d.operator == "ge" && n >= 2
	if !ok || regexp.QuoteMeta(prefix) != prefix || err != nil || !atLeast || d.negated || t.count || len(d.chain) > 0 {
		return errors.New("it looks at TX variables by a pattern")
	}
	for name := range c.tx {
		if strings.Contains(name, prefix) {
			return fmt.Errorf("it looks at TX:%s by a pattern", name)
		}
	}
	only := func(s *directive, kind Kind) bool {
		return !slices.ContainsFunc(s.targets, func(t target) bool { return texts[t.variable] != kind || t.count })
	}
	for _, s := range c.setters {
		for _, name := range s.sets {
			literal, _, made := strings.Cut(name, "%{")
			switch {
			case !made && !strings.Contains(name, prefix): // the pattern does not match it
			case slices.Contains(s.counters, literal) && only(s, ArgName):
			case made && (name == literal+"%{matched_var_name}" || only(s, HeaderName) && !slices.ContainsFunc(s.chain, func(t string) bool { return t != "lowercase" })):
				// Something may be named like a counter: see repeated.
			default:
				return fmt.Errorf("it looks at TX:%s by a pattern", name)
			}
		}
	}
	c.out.counters = append(c.out.counters, prefix)
	return nil
}

var (
	macro = regexp.MustCompile(`%\{([^}]*)\}`)
	// ownMacro is one of what the rules have found or set, or of the Host.
	ownMacro = regexp.MustCompile(`(?i)^[^%]*%\{(tx\.\w+|matched_\w+|request_headers\.host)\}[^%]*$`)
)

// expand puts constants in the place of macros.
func (c *compiler) expand(s string) (string, error) {
	var err error
	out := macro.ReplaceAllStringFunc(s, func(m string) string {
		name := strings.ToLower(m[2 : len(m)-1])
		tx, ok := strings.CutPrefix(name, "tx.")
		value, known := c.tx[tx]
		if !ok || !known || c.changes(tx) {
			err = fmt.Errorf("it compares with %s", m)
		}
		return value
	})
	return out, err
}

// onTexts makes a condition on texts.
func (c *compiler) onTexts(id int, d *directive, local bool) error {
	if strings.Contains(d.argument, "%{") {
		return fmt.Errorf("it compares with %s", d.argument)
	}
	r := &rule{id: id, local: local, targets: d.targets, negated: d.negated, name: d.operator, argument: d.argument}
	for i := range d.targets {
		if kind, ok := texts[d.targets[i].variable]; ok && !d.targets[i].except && (c.o.Whole || kind < Query) {
			r.at[kind] = true
		}
	}
	var err error
	r.operator, err = engineOperator(d.operator, plugintypes.OperatorOptions{Arguments: d.argument, Path: c.o.Paths, Root: c.o.Root})
	if err != nil {
		return err
	}
	r.names = [][]string{d.chain}
	if d.multi {
		r.names = nil
		for i := range len(d.chain) + 1 {
			r.names = append(r.names, d.chain[:i])
		}
	}
	for _, names := range r.names {
		chain, err := transformations(names)
		if err != nil {
			return err
		}
		r.chains = append(r.chains, chain)
	}
	for i := range d.targets {
		if bare[d.targets[i].variable] && !d.targets[i].except && r.matches("") {
			return fmt.Errorf("it matches an empty %s", d.targets[i].variable)
		}
	}
	r.note()
	c.out.all = append(c.out.all, r)
	p := c.pattern(r)
	for g := range c.out.sieves {
		for kind, at := range r.at {
			if at && groupOf(Kind(kind)) == group(g) {
				c.out.onTexts[id] = true
				c.out.sieves[g].add(r, p)
				break
			}
		}
	}
	return nil
}

// positive reports whether the operator finds something in a text that a regular
// expression can express.
func positive(d *directive) bool {
	if d.negated {
		return false
	}
	switch d.operator {
	case "rx", "pm", "pmf", "pmFromFile", "contains", "streq", "beginsWith", "endsWith":
		return true
	}
	return false
}

// pattern is an expression that matches at least whenever the rule's operator does,
// on a text behind the rule's transformations.
func (c *compiler) pattern(r *rule) pattern {
	if !positive(&directive{negated: r.negated, operator: r.name}) {
		return pattern{}
	}
	switch r.name {
	case "rx":
		expr := "(?sm)" + r.argument // as the engine puts it
		switch {
		case !engineReadsBytes(expr):
			return pattern{expr, expressions}
		case strings.Contains(strings.ReplaceAll(r.argument, "(?:", ""), "(?"):
			return pattern{} // what a fold of bytes is, the engine's matcher says
		}
		return pattern{expr, bytewise}
	case "contains":
		return pattern{literal("", r.argument, ""), expressions}
	case "streq":
		return pattern{literal(`\A`, r.argument, `\z`), expressions}
	case "beginsWith":
		return pattern{literal(`\A`, r.argument, ""), expressions}
	case "endsWith":
		return pattern{literal("", r.argument, `\z`), expressions}
	case "pm":
		return pattern{words(strings.Split(r.argument, " ")), wordLists}
	}
	for _, p := range c.o.Paths {
		name := r.argument
		if p != "" {
			name = p + "/" + r.argument
		}
		if b, err := fs.ReadFile(c.o.Root, name); err == nil {
			var list []string
			for line := range strings.Lines(string(b)) {
				if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
					list = append(list, line)
				}
			}
			return pattern{words(list), wordLists}
		}
	}
	return pattern{}
}

// literal is an expression for a text; "" when it holds characters beyond ASCII:
// operators compare bytes.
func literal(before, text, behind string) string {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return ""
		}
	}
	return "(?s)" + before + regexp.QuoteMeta(text) + behind
}

func words(list []string) string {
	for i, w := range list {
		switch {
		case w == "":
			return "(?s)" // it matches everything
		case !utf8.ValidString(w):
			return ""
		}
		list[i] = regexp.QuoteMeta(strings.ToLower(w))
	}
	return "(?i)" + strings.Join(list, "|")
}
