package scenario

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// save takes a value out of an answer into a variable.
func (r *run) save(s *Save, x *target.Exchange) error {
	if x == nil || x.Status == 0 && x.TLS == nil { // a handshake has no status
		return errors.New("there is no answer to save from")
	}
	if strings.Contains(s.Pattern, "${") {
		// What stands beside the value is known only now: a canary, another id.
		pattern, err := render(s.Pattern, inPlain, func(name string) (any, error) {
			v, err := r.get(name)
			return regexp.QuoteMeta(Plain(v)), err
		})
		if err != nil {
			return err
		}
		t := *s
		t.Pattern = pattern
		s = &t
	}
	v, found, err := take(s, x)
	switch {
	case err != nil:
		return err
	case found:
		r.vars[s.As] = v
	case !s.Optional:
		return fmt.Errorf("the answer (status %d) holds no %s to save as %s", x.Status, s.from(), s.As)
	}
	return nil
}

func (s *Save) from() string {
	switch {
	case s.Header != "":
		return "header " + s.Header
	case s.Cookie != "":
		return "cookie " + s.Cookie
	case s.Pattern != "":
		return "match of " + s.Pattern
	}
	return "value at " + s.At
}

func take(s *Save, x *target.Exchange) (v any, found bool, err error) {
	text := string(x.Body)
	switch {
	case s.Header != "":
		if len(x.Header.Values(s.Header)) == 0 {
			return nil, false, nil
		}
		text = x.Header.Get(s.Header)
		if s.Pattern == "" {
			return text, true, nil
		}
	case s.Cookie != "":
		for _, c := range (&http.Response{Header: x.Header}).Cookies() {
			if c.Name == s.Cookie {
				return c.Value, true, nil
			}
		}
		return nil, false, nil
	}
	if s.Pattern != "" && s.Header == "" && s.At != "" {
		body, _ := Decode(x.Body)
		at := Find(body, s.At)
		if len(at) == 0 || at[0] == nil {
			return nil, false, nil
		}
		text = Plain(at[0])
	}
	if s.Pattern != "" {
		re, err := regexp.Compile(s.Pattern)
		if err != nil {
			return nil, false, fmt.Errorf("pattern %q: %w", s.Pattern, err)
		}
		m := re.FindStringSubmatch(text)
		if m == nil {
			return nil, false, nil
		}
		return m[len(m)-1], true, nil
	}
	body, ok := Decode(x.Body)
	if !ok {
		return nil, false, nil
	}
	at := Find(body, s.At)
	if len(at) == 0 || at[0] == nil {
		return nil, false, nil
	}
	return at[0], true, nil
}
