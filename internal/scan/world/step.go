package world

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// veiled is bind, with what a call holds of the passwords that the run was given: a step
// names them, so that no script or file that is made of it holds one.
func (w *World) veiled(c *Call, bind map[string]string) map[string]string {
	var given []*actor.Actor
	for _, a := range w.people.All() {
		if !a.Made && a.Facts["password"] != "" {
			given = append(given, a)
		}
	}
	if len(given) == 0 {
		return bind
	}
	out := map[string]string{}
	maps.Copy(out, bind)
	for where, text := range c.Values {
		if out[where] != "" || !strings.HasPrefix(text, `"`) {
			continue
		}
		said := scalarText(text)
		if i := slices.IndexFunc(given, func(a *actor.Actor) bool { return a.Facts["password"] == said }); i >= 0 {
			out[where] = `"${` + given[i].Name + `.password}"`
		}
	}
	return out
}

// Step renders a call as a step of a scenario. bind gives placeholder texts for
// inputs, by Input.Where: "${order.id}" stands for a whole JSON value; a text in
// quotes is a JSON string with placeholders inside.
func (w *World) Step(c *Call, bind map[string]string) (scenario.Step, error) {
	d := c.clone()
	bind = w.veiled(c, bind)
	var swaps []swap
	for _, where := range slices.Sorted(maps.Keys(bind)) {
		mark := fmt.Sprintf("zqbind%04dqz", len(swaps))
		d.override(where, `"`+mark+`"`)
		swaps = append(swaps, swap{mark, bind[where]})
	}
	r, err := w.render(d)
	if err != nil {
		return scenario.Step{}, fmt.Errorf("writing %s as a step: %w", c.Op.ID, err)
	}
	s := &scenario.Send{Method: r.Method, Path: swapEscaped(r.Path, swaps, url.PathEscape)}
	if strings.Contains(strings.ToLower(r.Query), "%24%7b") {
		s.RawQ = swapAll(r.Query, swaps, false) // a literal "${", which a pair would take for a placeholder
	} else if r.Query != "" {
		for p := range strings.SplitSeq(r.Query, "&") {
			name, text, _ := strings.Cut(p, "=")
			s.Query = append(s.Query, scenario.Pair{Name: unescaped(name), Value: swapAll(unescaped(text), swaps, false)})
		}
	}
	for _, f := range r.Header {
		if strings.EqualFold(f.Name, "Content-Type") {
			s.Type = f.Value
			continue
		}
		s.Header = append(s.Header, scenario.Pair{Name: f.Name, Value: swapAll(f.Value, swaps, false)})
	}
	if err := stepBody(s, r, swaps); err != nil {
		return scenario.Step{}, fmt.Errorf("writing %s as a step: %w", c.Op.ID, err)
	}
	as := ""
	if c.As != nil {
		as = c.As.Name
	}
	return scenario.Step{As: as, Send: s, Note: c.note()}, nil
}

// note says what a call does, for people.
func (c *Call) note() string {
	who := "nobody"
	if c.As != nil {
		who = c.As.Name
	}
	if c.Op.Summary != "" {
		return who + ": " + strings.TrimSuffix(c.Op.Summary, ".")
	}
	return who + ": " + c.Op.Method + " " + c.Op.Path
}

// swap is a mark that stands in a rendered request for a placeholder.
type swap struct{ mark, text string }

// inside is the placeholder as it stands within a string.
func (s swap) inside() string {
	if strings.HasPrefix(s.text, `"`) {
		if v, err := value.JSON([]byte(s.text), value.Limits{}); err == nil && v.Kind == value.String {
			return v.Text
		}
	}
	return s.text
}

func swapAll(text string, swaps []swap, json bool) string {
	for _, s := range swaps {
		if json {
			text = strings.ReplaceAll(text, `"`+s.mark+`"`, s.text)
			continue
		}
		text = strings.ReplaceAll(text, s.mark, s.inside())
	}
	return text
}

func stepBody(s *scenario.Send, r *target.Request, swaps []swap) error {
	if r.Body == nil {
		return nil
	}
	text := string(r.Body)
	media, _, _ := strings.Cut(s.Type, ";")
	if strings.HasPrefix(media, "multipart/") { // parts that are JSON
		for _, b := range swaps {
			if !strings.HasPrefix(b.text, `"`) {
				text = strings.ReplaceAll(text, `"`+b.mark+`"`, b.text)
			}
		}
	}
	if !utf8.Valid(r.Body) || strings.ContainsRune(text, 0) {
		if strings.Contains(string(r.Body), "${") && swapAll(text, swaps, false) != string(r.Body) {
			return errors.New("the body holds bytes that would be taken for a placeholder")
		}
		filled := swapAll(text, swaps, false)
		s.Base64, s.Fill = base64.StdEncoding.EncodeToString([]byte(filled)), filled != string(r.Body)
		return nil
	}
	if isJSON(media) {
		s.Body = swapAll(strings.ReplaceAll(text, "${", `\u0024{`), swaps, true)
		return nil
	}
	if strings.Contains(string(r.Body), "${") {
		s.Base64 = base64.StdEncoding.EncodeToString(r.Body)
		for _, b := range swaps {
			if strings.Contains(text, b.mark) {
				return fmt.Errorf("the body holds a text that would be taken for a placeholder, so %s cannot be put into it", b.text)
			}
		}
		return nil
	}
	if strings.Contains(media, "urlencoded") {
		s.Body = swapEscaped(text, swaps, url.QueryEscape)
		return nil
	}
	s.Body = swapAll(text, swaps, false)
	return nil
}

// heldPlaceholder is a placeholder as scenarios know them.
var heldPlaceholder = regexp.MustCompile(`\$\{[A-Za-z0-9_.\-]+(?:\|[a-z0-9]+)*\}`)

// swapEscaped puts texts in where what stands around placeholders is sent as it
// is: that is escaped here, and the placeholders' values when they are known.
func swapEscaped(text string, swaps []swap, escape func(string) string) string {
	for _, s := range swaps {
		if !strings.Contains(text, s.mark) {
			continue
		}
		in := s.inside()
		var b strings.Builder
		last := 0
		for _, at := range heldPlaceholder.FindAllStringIndex(in, -1) {
			b.WriteString(escape(in[last:at[0]]))
			b.WriteString(in[at[0]:at[1]])
			last = at[1]
		}
		b.WriteString(escape(in[last:]))
		text = strings.ReplaceAll(text, s.mark, b.String())
	}
	return text
}
