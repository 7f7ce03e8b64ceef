package scan

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/crenel-project/crenel/internal/finding"
)

// depot is an API for JSON whose framework may have parsers that nobody asked for.
type depot struct {
	plain, form, xml bool
	entities         bool // the parser of XML fetches what a document declares
	cookie           string

	mu     sync.Mutex
	people map[string]string
	boxes  int
}

const depotSpec = `openapi: 3.0.3
info: {title: Depot, version: "1"}
components: {securitySchemes: {sid: {type: apiKey, in: cookie, name: sid}}}
security: [{sid: []}]
paths:
  /signup:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made}}
  /login:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in}}
  /me:
    get: {summary: Who am I, responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}}}
  /boxes:
    post:
      summary: Put a box into the depot
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [label, weight], properties: {label: {type: string, maxLength: 90}, weight: {type: integer, minimum: 1, maximum: 90}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, label: {type: string}, weight: {type: integer}}}}}}}
`

// reDeclared is an entity that a document declares: what libxml2 and Xerces fetch when
// they are told to replace entities, which this imitates.
var reDeclared = regexp.MustCompile(`<!ENTITY (\w+) SYSTEM "file://([^"]+)">`)

func (s *depot) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var in struct {
		XMLName         xml.Name `json:"-"`
		Email, Password string
		Label           string `json:"label" xml:"label"`
		Weight          int    `json:"weight" xml:"weight"`
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method == http.MethodPost {
		switch {
		case media == "application/json" || media == "text/plain" && s.plain:
			err = json.Unmarshal(raw, &in)
		case media == "application/x-www-form-urlencoded" && s.form:
			var q url.Values
			if q, err = url.ParseQuery(string(raw)); err == nil {
				in.Label = q.Get("label")
				_, err = fmt.Sscan(q.Get("weight"), &in.Weight)
			}
		case strings.HasSuffix(media, "/xml") && s.xml:
			d := xml.NewDecoder(strings.NewReader(string(raw)))
			if m := reDeclared.FindStringSubmatch(string(raw)); m != nil && s.entities {
				data, _ := os.ReadFile(m[2]) // what is not there is empty
				d.Entity = map[string]string{m[1]: string(data)}
			}
			err = d.Decode(&in)
		default:
			answer(415, map[string]any{"error": "application/json is wanted, not XML or a form"})
			return
		}
		if err != nil {
			answer(400, map[string]any{"error": err.Error()})
			return
		}
	}
	me := ""
	if c, err := r.Cookie("sid"); err == nil {
		me = strings.TrimPrefix(c.Value, "of-")
	}
	switch key := r.Method + " " + r.URL.Path; {
	case key == "POST /signup" && s.people[in.Email] == "" && len(in.Password) > 7:
		s.people[in.Email] = in.Password
		answer(201, map[string]any{})
	case key == "POST /login" && in.Password != "" && s.people[in.Email] == in.Password:
		w.Header().Set("Set-Cookie", "sid=of-"+in.Email+"; Path=/; HttpOnly"+s.cookie)
		answer(200, map[string]any{"ok": true})
	case s.people[me] == "":
		answer(401, map[string]any{"error": "who is it"})
	case key == "GET /me":
		answer(200, map[string]any{"email": me})
	case key == "POST /boxes":
		if in.Label == "" || in.Weight < 1 {
			answer(422, map[string]any{"error": "label, weight"})
			return
		}
		s.boxes++
		answer(201, map[string]any{"id": s.boxes, "label": in.Label, "weight": in.Weight})
	default:
		answer(404, map[string]any{"error": "nothing"})
	}
}

// What is described as JSON and taken in other types is told as it weighs: as
// information, as what another site's form can do, or as an entity that is fetched.
func TestContentType(t *testing.T) {
	checks := []string{"content-type", "cross-site-request", "xxe"}
	const loose, kept = "; SameSite=None", "; SameSite=Lax"
	for _, c := range []struct {
		name string
		d    *depot
		want map[string]finding.Severity // by check
	}{
		{"JSON alone", &depot{cookie: loose}, nil},
		{"JSON as text/plain, the cookie kept to its site", &depot{plain: true, cookie: kept}, map[string]finding.Severity{"content-type": finding.Info}},
		{"JSON as text/plain", &depot{plain: true, cookie: loose}, map[string]finding.Severity{"content-type": finding.Info, "cross-site-request": finding.Medium}},
		{"a form", &depot{form: true, cookie: loose}, map[string]finding.Severity{"content-type": finding.Info, "cross-site-request": finding.Medium}},
		{"XML without entities", &depot{xml: true, cookie: loose}, map[string]finding.Severity{"content-type": finding.Info}},
		{"XML with entities", &depot{xml: true, entities: true, cookie: kept}, map[string]finding.Severity{"content-type": finding.Info, "xxe": finding.High}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.d
			s.people = map[string]string{}
			got := map[string]finding.Severity{}
			for _, f := range tested(t, depotSpec, s, checks...).Report.Findings {
				got[f.Check] = f.Severity
			}
			if len(got)+len(c.want) > 0 && fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}
