package actor

import (
	"context"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

var (
	metaCSRF  = regexp.MustCompile(`(?i)<meta[^>]+name=["']?([a-z_-]*(?:csrf|xsrf)[a-z_-]*)["']?[^>]+content=["']([^"']{8,})["']`)
	inputCSRF = regexp.MustCompile(`(?i)<input[^>]+name=["']?([a-z_-]*(?:csrf|xsrf|authenticity_token|requestverificationtoken)[a-z_-]*)["']?[^>]+value=["']([^"']{8,})["']`)
)

// csrfIn finds a token against cross-site requests in an answer, and the header
// or form field that it goes back in, where the answer says so.
func csrfIn(ex *target.Exchange) (token, header, field string) {
	for name, vs := range ex.Header {
		if isCSRFName(name) && len(vs) > 0 && len(vs[0]) >= 6 {
			return vs[0], name, ""
		}
	}
	v := tree(ex)
	named := ""
	for _, s := range scalars(v) {
		if s.v.Kind != value.String {
			continue
		}
		if isCSRFName(s.name) || s.name == "token" && slices.ContainsFunc(s.above, isCSRFName) || s.name == "token" && isCSRFName(ex.Request.Path) {
			if strings.Contains(strings.ToLower(s.name), "header") {
				named = validName(s.v.Text) // {"headerName": "X-CSRF-TOKEN", "token": "…"}
				continue
			}
			if len(s.v.Text) >= 6 && token == "" {
				token, field = s.v.Text, s.name
			}
		}
		if strings.EqualFold(s.name, "headerName") {
			named = validName(s.v.Text)
		}
	}
	if token != "" {
		return token, named, field
	}
	if v == nil {
		body := string(ex.Body[:min(len(ex.Body), 256<<10)])
		if m := inputCSRF.FindStringSubmatch(body); m != nil {
			return m[2], "", m[1]
		}
		if m := metaCSRF.FindStringSubmatch(body); m != nil {
			return m[2], "", ""
		}
	}
	return "", "", ""
}

var reHeaderName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")

// validName is a name as an answer gives it, "" when no header can be called so.
func validName(s string) string {
	if reHeaderName.MatchString(s) {
		return s
	}
	return ""
}

// preflight looks for a CSRF token where APIs give one: at operations that say
// so, where the form would be, and at the root.
func (p *People) preflight(ctx context.Context, as string, s *Session, paths ...string) (*jar, error) {
	var tries []string
	for _, op := range p.g.Ops {
		if op.Method == http.MethodGet && isCSRFName(op.Path) && !strings.Contains(op.Path, "{") {
			tries = append(tries, op.Path)
		}
	}
	tries = append(tries, paths...)
	tries = append(tries, "/csrf-token", "/csrf", "/")
	j := &jar{}
	seen := map[string]bool{}
	for _, path := range tries {
		if seen[path] {
			continue
		}
		seen[path] = true
		r := &target.Request{Method: http.MethodGet, Path: path}
		s.Apply(r)
		for _, c := range j.cookies {
			Part{In: "cookie", Name: c.Name, Value: c.Value}.apply(r)
		}
		ex, err := p.c.Do(ctx, as, r)
		if err != nil {
			if stops(err) {
				return nil, err
			}
			continue
		}
		if ex.Err != nil {
			continue
		}
		j.take(ex)
		if len(j.csrfParts(p.g)) > 0 {
			return j, nil
		}
	}
	return j, nil
}

// guard puts a jar's cookies and CSRF token on a form.
func (j *jar) guard(p *People, r *target.Request) {
	if j == nil {
		return
	}
	for _, part := range j.parts(p.g) {
		part.apply(r)
	}
	if j.csrf != "" && j.field != "" && r.Get("Content-Type") == "application/x-www-form-urlencoded" {
		sep := "&"
		if len(r.Body) == 0 {
			sep = ""
		}
		r.Body = append(slices.Clone(r.Body), []byte(sep+formPair(j.field, j.csrf))...)
	}
}
