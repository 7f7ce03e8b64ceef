package actor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// steps logs in by the requests that the user has written down.
func (p *People) steps(ctx context.Context, a *Actor, st *Steps) (*Session, *target.Exchange, error) {
	saved := map[string]string{}
	for k, v := range a.Facts {
		saved["fact."+k] = v
	}
	j := &jar{}
	var ex *target.Exchange
	for i, step := range st.Requests {
		var err error
		if ex, err = p.stepRequest(ctx, a, step, saved, j); err != nil {
			return nil, ex, fmt.Errorf("login step %d: %w", i+1, err)
		}
		for _, sv := range step.Save {
			v, err := sv.from(ex)
			if err != nil {
				return nil, ex, fmt.Errorf("%w: step %d, saving %s: %w", ErrCannotLogin, i+1, sv.As, err)
			}
			saved[sv.As] = v
			p.c.Secrets().Add(v)
		}
	}
	s := &Session{Opened: time.Now()}
	for _, u := range st.Use {
		part := splitPart(u.In, u.Name, headerText(fill(u.Value, saved, nil)))
		part.CSRF = part.CSRF || u.CSRF
		s.Parts = append(s.Parts, part)
	}
	if st.Cookies {
		for _, part := range j.parts(p.g) {
			if !slices.ContainsFunc(s.Parts, func(o Part) bool { return o.In == part.In && strings.EqualFold(o.Name, part.Name) }) {
				s.Parts = append(s.Parts, part)
			}
		}
	}
	if len(s.Parts) == 0 {
		return nil, ex, fmt.Errorf("%w: the steps brought no cookie", ErrCannotLogin)
	}
	s.Expires = expiryOf(s.Parts[0].Value, tree(ex), ex.Sent)
	s.Refresh = refreshIn(tree(ex))
	return s, ex, nil
}

// stepRequest sends one request that the user has written down.
func (p *People) stepRequest(ctx context.Context, a *Actor, step LoginStep, saved map[string]string, j *jar) (*target.Exchange, error) {
	r, err := p.whole(fill(step.Path, saved, url.PathEscape))
	if err != nil {
		return nil, err
	}
	r.Root = r.Root || step.Root
	r.Method = strings.ToUpper(step.Method)
	if r.Method == "" {
		r.Method = "POST"
	}
	for _, n := range slices.Sorted(maps.Keys(step.Header)) {
		r.Header = append(r.Header, target.Field{Name: n, Value: headerText(fill(step.Header[n], saved, nil))})
	}
	if step.Body != "" {
		typ := step.Type
		if typ == "" {
			typ = "application/json"
		}
		r.Set("Content-Type", typ)
		r.Body = []byte(fill(step.Body, saved, escaperFor(typ)))
		p.c.Secrets().Add(secretFields(typ, r.Body)...)
	}
	for _, c := range j.cookies {
		Part{In: "cookie", Name: c.Name, Value: c.Value}.apply(r)
	}
	ex, err := p.c.Do(ctx, a.Name, r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.Path, err)
	}
	if ex.Err != nil {
		return ex, fmt.Errorf("%s %s: %w", r.Method, r.Path, ex.Err)
	}
	j.take(ex)
	if !statusFits(step.Status, ex.Status) {
		return ex, fmt.Errorf("%w: %s %s should answer %s and answers %d: %s", ErrCannotLogin, r.Method, r.Path, orText(step.Status, "2xx"), ex.Status, firstComplaint(ex))
	}
	return ex, nil
}

func orText(s, def string) string {
	if s == "" {
		return def
	}
	return s
}

// statusFits: "2xx", "200", "302|200".
func statusFits(want string, got int) bool {
	if want == "" {
		want = "2xx|3xx"
	}
	for w := range strings.SplitSeq(want, "|") {
		w = strings.TrimSpace(w)
		if len(w) == 3 && strings.EqualFold(w[1:], "xx") && int(w[0]-'0') == got/100 || w == strconv.Itoa(got) {
			return true
		}
	}
	return false
}

func escaperFor(typ string) func(string) string {
	switch {
	case strings.Contains(typ, "json"):
		return func(s string) string {
			b, err := json.Marshal(s)
			if err != nil || len(b) < 2 {
				return ""
			}
			return string(b[1 : len(b)-1])
		}
	case strings.Contains(typ, "urlencoded"):
		return url.QueryEscape
	}
	return nil
}

// fill puts saved values in place of ${name}, encoded for where they stand.
func fill(text string, saved map[string]string, escape func(string) string) string {
	return rePlaceholder.ReplaceAllStringFunc(text, func(m string) string {
		v, ok := saved[m[2:len(m)-1]]
		if !ok {
			return m
		}
		if escape != nil {
			v = escape(v)
		}
		return v
	})
}

// from takes the value out of an answer.
func (sv SaveValue) from(ex *target.Exchange) (string, error) {
	text := string(ex.Body)
	switch {
	case sv.Header != "":
		if text = ex.Header.Get(sv.Header); text == "" {
			return "", fmt.Errorf("the answer has no header %s", sv.Header)
		}
	case sv.Cookie != "":
		set, _ := cookiesOf(ex)
		for _, c := range set {
			if c.Name == sv.Cookie {
				return c.Value, nil
			}
		}
		return "", fmt.Errorf("the answer sets no cookie %s", sv.Cookie)
	case sv.At != "":
		v := tree(ex).At(sv.At)
		if v == nil || v.Text == "" {
			return "", fmt.Errorf("the answer holds nothing at %s%s", sv.At, held(tree(ex)))
		}
		return v.Text, nil
	}
	if sv.Pattern == "" {
		return text, nil
	}
	re, err := regexp.Compile(sv.Pattern)
	if err != nil {
		return "", fmt.Errorf("the pattern: %w", err)
	}
	m := re.FindStringSubmatch(text)
	if len(m) < 2 {
		return "", fmt.Errorf("the pattern %s does not match", sv.Pattern)
	}
	return m[1], nil
}

// maxHeld bounds how many places of an answer are named.
const maxHeld = 8

// held names the places of an answer that hold something, never what they hold.
func held(v *value.Value) string {
	var at []string
	for _, s := range scalars(v) {
		if s.v.Text != "" {
			at = append(at, s.pointer)
		}
	}
	switch n := len(at); {
	case n == 0:
		return ""
	case n > maxHeld:
		return fmt.Sprintf(" (it holds something at %s and %d more)", strings.Join(at[:maxHeld], ", "), n-maxHeld)
	}
	return " (it holds something at " + strings.Join(at, ", ") + ")"
}
