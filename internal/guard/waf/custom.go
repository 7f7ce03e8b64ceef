package waf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3"

	"github.com/crenel-project/crenel/config"
)

// custom is one text of the user's own directives.
type custom struct {
	name string // of its file, or where it stands in the config
	text string
}

// customOf reads the user's directives: files first, then those of the config.
func customOf(c config.WAF) ([]custom, error) {
	var out []custom
	for _, f := range c.Rules {
		b, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: there is no such file of rules", f)
		}
		if err != nil {
			return nil, fmt.Errorf("reading rules: %w", err)
		}
		out = append(out, custom{f, string(b)})
	}
	if c.Directives != "" {
		out = append(out, custom{"guards.waf.directives", c.Directives})
	}
	return out, nil
}

// customDirective is one of a text, with what it is continued by, and its chain.
type customDirective struct {
	line int // 1-based
	text string
}

// directives divides a text as the engine does: a line that ends in a backslash goes
// on, and lines between backticks belong together.
func (c *custom) directives() []customDirective {
	var out []customDirective
	var b strings.Builder
	from, quoted := 0, false
	for i, l := range strings.Split(c.text, "\n") {
		l = strings.TrimSpace(l)
		if l == "" || l[0] == '#' {
			continue
		}
		if b.Len() == 0 {
			from = i + 1
		}
		switch {
		case !quoted && strings.HasSuffix(l, "`"):
			quoted = true
		case quoted && l[0] == '`':
			quoted = false
		}
		if quoted {
			b.WriteString(l + "\n")
			continue
		}
		if rest, ok := strings.CutSuffix(l, `\`); ok {
			b.WriteString(rest)
			continue
		}
		b.WriteString(l)
		out = append(out, customDirective{from, b.String()})
		b.Reset()
	}
	if b.Len() > 0 {
		out = append(out, customDirective{from, b.String()})
	}
	return out
}

// ownDirectives are those that a rule file may hold. Others would change the engine,
// or rules behind the triage's back.
var ownDirectives = map[string]bool{
	"secrule": true, "secaction": true, "secmarker": true,
	"secruleremovebyid": true, "secruleremovebytag": true, "secruleremovebymsg": true,
}

var (
	customID    = regexp.MustCompile(`(?i)[,"\s]id:'?(\d+)`)
	customChain = regexp.MustCompile(`(?i)(^|[,"\s])chain\s*(,|"|$)`)
)

// checkCustom finds mistakes in the user's directives, each with its file and line:
// the engine itself only says what is wrong.
func checkCustom(list []custom) error {
	var errs []error
	known := map[int]string{}
	for i := range list {
		c := &list[i]
		at := func(d customDirective) string { return fmt.Sprintf("%s:%d", c.name, d.line) }
		var chain *customDirective // what goes on
		for _, d := range c.directives() {
			word, _, _ := strings.Cut(d.text, " ")
			if !ownDirectives[strings.ToLower(word)] {
				errs = append(errs, fmt.Errorf("%s: %q is no directive for rules of one's own; write SecRule, SecAction, SecMarker or SecRuleRemoveById", at(d), word))
				chain = nil
				continue
			}
			if chain == nil {
				if err := ownID(d, at(d), known); err != nil {
					errs = append(errs, err)
					continue
				}
				first := d
				chain = &first
			} else {
				chain.text += "\n" + d.text
			}
			if strings.HasPrefix(strings.ToLower(word), "secrule") && customChain.MatchString(actionsOf(d.text)) {
				continue
			}
			if err := compiles(chain.text); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", at(*chain), err))
			}
			chain = nil
		}
		if chain != nil {
			errs = append(errs, fmt.Errorf("%s: the chain has no last rule", at(*chain)))
		}
	}
	return errors.Join(errs...)
}

// actionsOf is the last quoted text of a rule.
func actionsOf(text string) string {
	text = strings.TrimSuffix(strings.TrimSpace(text), `"`)
	if i := strings.LastIndex(text, `"`); i >= 0 {
		return text[i:] + `"`
	}
	return ""
}

// ownID checks the id of a rule: it may be nobody else's.
func ownID(d customDirective, at string, known map[int]string) error {
	word, _, _ := strings.Cut(strings.ToLower(d.text), " ")
	if word != "secrule" && word != "secaction" {
		return nil
	}
	m := customID.FindStringSubmatch(d.text)
	if m == nil {
		return fmt.Errorf("%s: the rule has no id; write one below %d, such as id:10001", at, firstCRS)
	}
	id, err := strconv.Atoi(m[1])
	if err != nil || id < 1 || id >= firstCRS && id <= lastCRS {
		return fmt.Errorf("%s: the id %s is one of the Core Rule Set's; write one below %d", at, m[1], firstCRS)
	}
	if first, twice := known[id]; twice {
		return fmt.Errorf("%s: the id %d is that of the rule at %s", at, id, first)
	}
	known[id] = at
	return nil
}

// compiles tries a directive by itself.
func compiles(text string) error {
	e, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(rulesFS{}).WithDirectives(text))
	if err != nil {
		// "invalid WAF config from string: failed to compile the directive …"
		return errors.New(strings.TrimPrefix(err.Error(), "invalid WAF config from string: "))
	}
	return closeEngine(e)
}
